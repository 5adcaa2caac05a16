"""Whether this machine has time for us, and whether its kernel complains: for trials with times and marks."""

from __future__ import annotations

import contextlib
import os
import re

__all__ = ["is_quiet", "kernel_complaints"]

# Percent of the last ten seconds in which somebody waited for a processor.
_BUSY_PERCENT = 50.0
_COMPLAINT = re.compile(
    r"BUG:|WARNING:|Oops|hung_task|blocked for more than|refcount|use-after-free|general protection"
)


def is_quiet() -> bool:
    """Whether a time that is measured now says something about us, and not about who else is at work."""
    with contextlib.suppress(OSError), open("/proc/pressure/cpu") as file:
        return float(file.readline().split("avg10=")[1].split()[0]) < _BUSY_PERCENT
    return os.getloadavg()[0] < (os.cpu_count() or 1)


def kernel_complaints() -> list[str]:
    """The lines of the kernel's log that tell of something broken."""
    with contextlib.suppress(OSError):
        log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(log, "rb", buffering=0) as file:
            return list(filter(_COMPLAINT.search, _records(file.fileno())))
    return []


def _records(fd: int) -> list[str]:
    found = []
    while True:
        try:
            found.append(os.read(fd, 8192).decode(errors="replace"))
        except BlockingIOError:
            return found
        except BrokenPipeError:
            continue  # records that were overwritten meanwhile
