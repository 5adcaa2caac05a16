"""Children of this process that nobody has told it of.

A program that enters a PID namespace is started by a helper, which tells us of it and ends.  When a container
is killed just then, its helper may die first: then there is a child that we do not know, and as long as it is
not reaped its container cannot end, since a PID namespace ends only with its last process.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import Final

__all__ = ["collect_lost_soon"]

_HELPER: Final = "memfd:ckit-init"  # what it is called until it executes a program
_ALL_CHILDREN: Final = 0x40000000  # __WALL
_MOMENTS_S: Final = (0.0, 0.02, 0.1, 0.5, 1.0, 2.0)  # its end may come a while after its helper's
_LONG_S: Final = 0.5  # whoever knows of a child has collected it by then


def collect_lost_soon() -> None:
    """Reap children that ended in another PID namespace, now and for a while from now; returns at once.

    One that has executed its program may be somebody's who is about to collect it: it is left alone for a
    while, and should it be taken from them after all, its pidfd still tells how it ended.
    """
    threading.Thread(target=_collect, name="container-kit-exec", daemon=True).start()


def _collect() -> None:
    since: dict[int, float] = {}
    for moment_s in _MOMENTS_S:
        time.sleep(moment_s)
        names = {pid: name for pid in _children() if (name := _name_of_lost(pid))}
        since = {pid: since.get(pid, time.monotonic()) for pid in names}
        for pid, name in names.items():
            if name == _HELPER or time.monotonic() - since[pid] >= _LONG_S:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG | _ALL_CHILDREN)


def _children() -> set[int]:
    found: set[int] = set()
    for task in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError), open(f"/proc/self/task/{task}/children", encoding="ascii") as file:
            found.update(map(int, file.read().split()))
    return found


def _name_of_lost(pid: int) -> str:
    """What a child was called that has ended in another PID namespace; else nothing."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            fields = dict(line.rstrip("\n").partition(":\t")[::2] for line in file)
    except OSError:
        return ""
    has_ended = fields.get("State", "").startswith("Z") and len(fields.get("NSpid", "").split()) > 1
    return fields.get("Name", "") if has_ended else ""
