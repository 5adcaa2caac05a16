"""From a plan to a running process: the thin part that acts.

The work is done by ``ckit-init`` (see ``_native/init``); here its reports become values and errors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from container_kit.errors import UnsupportedFeature
from container_kit.runtime.plan import Plan

__all__ = ["Launched", "launch"]


@attrs.define
class Launched:
    """A process that runs in a container; the descriptors belong to the caller, who closes them.

    Attributes:
        pid: Its number as this process sees it.
        pidfd: Refers to it for good; poll it to learn of its end, wait on it to reap.
        mount_ns_fd: Its mount namespace, or -1: as long as it is open, the end of the process does not
            wait for the kernel to unmount.
        terminal_fd: The master side of its terminal, or -1.
        seccomp_fd: The listener of its seccomp filter, or -1.
    """

    pid: int
    pidfd: int
    mount_ns_fd: int = -1
    terminal_fd: int = -1
    seccomp_fd: int = -1


def launch(
    plan: Plan,
    *,
    stdin: int = -1,
    stdout: int = -1,
    stderr: int = -1,
    slots: Sequence[int] = (),
    preserve_fds: Sequence[int] = (),
    cgroup_fd: int = -1,
    on_sync: Callable[[int, int], bytes] | None = None,
) -> Launched:
    """Start *plan* and return when its program runs (or, with a start socket, waits to be started).

    The process is a child of this one, but not one that ``os.wait()`` could take away: it is reaped
    through its pidfd only (`native.process.wait`).

    Args:
        plan: From `compile_plan` or `compile_exec`.
        stdin, stdout, stderr: Descriptors for the program; -1 is ``/dev/null``. Unused with a terminal.
        slots: Descriptors for the plan's slots, in order.
        preserve_fds: Descriptors that the program finds at 3, 4, ...
        cgroup_fd: Directory of a v2 cgroup to be born in, or -1.
        on_sync: Called with the number of the meeting point and the pid; its answer becomes the
            input of hooks that the plan runs later.

    Raises:
        StartFailed: With ``exit_code`` 127 (program not found), 126 (not executable) or 125.
        KernelError: A process could not be made at all.
    """
    raise UnsupportedFeature("this build cannot start programs")
