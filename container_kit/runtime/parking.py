"""Parked starts: a container's world made ahead, with a process in it that waits to become the program.

The process has done every step of the world (`Plan.halves`): it is in its namespaces and cgroups, and in its
root, of which nothing has been executed.  It holds no descriptor of the host but its status socket, and ends
when that closes.  What it then goes on with are the same steps, in the same order, as in any other start.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from container_kit.errors import KernelError
from container_kit.native import process
from container_kit.native.descriptors import open_path
from container_kit.runtime.launch import Launched, finished

__all__ = ["Parked"]


class Parked:
    """A process that waits; it belongs to this object, and is killed and reaped with it.

    Args:
        world: The first half of a plan, encoded.
        cgroup_fd: Directory of a v2 cgroup to be born in, or -1.
        slots: Descriptors for the plan's slots, in order.

    Raises:
        StartFailed: A step of the world failed.
        KernelError: A process could not be made at all.
    """

    def __init__(self, world: bytes, *, cgroup_fd: int = -1, slots: Sequence[int] = ()) -> None:
        self._start = process.Start()
        self._surroundings = process.surroundings()
        with open_path(os.devnull, os.O_RDWR) as null:
            result = self._start.begin(world, (null.fileno(),) * 3, cgroup_fd=cgroup_fd, slots=slots)
        if result != process.PARKED:
            finished(self._start, result)
            raise KernelError.of(0, "the process did not wait in its world")

    @property
    def pid(self) -> int:
        """The number of the process, which the program will have."""
        number: int = self._start.state.pid
        return number

    @property
    def pidfd(self) -> int:
        """Refers to the process."""
        number: int = self._start.state.pidfd
        return number

    def suits(self, surroundings: bytes) -> bool:
        """Whether a thread with these `process.surroundings` would give it the same limits, rights, ..."""
        return self._surroundings == surroundings

    def is_alive(self) -> bool:
        """Whether it still waits."""
        return process.reap(self._start.state.pidfd) is None

    def go(self, plan: bytes, *, stdin: int = -1, stdout: int = -1, stderr: int = -1) -> None:
        """Go on with the second half of the plan; to be followed by `follow`.

        Args:
            stdin, stdout, stderr: Descriptors for the program; -1 is ``/dev/null``.

        Raises:
            KernelError: The process is no more.
        """
        self._start.go(plan, (stdin, stdout, stderr))

    def follow(self) -> Launched:
        """Return when the program runs.

        Raises:
            StartFailed: As `launch`.
        """
        return finished(self._start, self._start.follow())

    def abandon(self) -> None:
        """Kill the process and reap it; may be repeated."""
        self._start.abandon()
