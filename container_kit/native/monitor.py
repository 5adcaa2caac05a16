"""Starts the daemons of the static helper, which outlive the caller, and watches their files."""

from __future__ import annotations

from collections.abc import Sequence

from container_kit.native._binding import check, ffi, lib
from container_kit.native.user_namespace import enter_fd

__all__ = ["spawn_daemon", "watch_file"]


def spawn_daemon(exe_fd: int, arguments: Sequence[str], fds: Sequence[int]) -> None:
    """Run the program behind *exe_fd* as a daemon with an empty environment.

    Args:
        exe_fd: The sealed helper.
        arguments: Its argv; the first one is the role.
        fds: What becomes its descriptors 0, 1, 2, ...; it gets no others. At most 16.

    An ordinary user's daemons live in its user namespace, where they may clear away what containers leave.

    Returns when the program has been executed; its parent is then init or the nearest subreaper.

    Raises:
        KernelError: The process could not be made, or the program not executed.
    """
    words = [ffi.new("char[]", argument.encode()) for argument in arguments]
    argv = ffi.new("const char *[]", [*words, ffi.NULL])
    places = ffi.new("int[]", list(fds))
    check(lib.ck_spawn_daemon(exe_fd, enter_fd(), argv, places, len(fds)), "cannot start the helper")


def watch_file(watch_fd: int, fd: int) -> None:
    """Make an inotify descriptor readable when the open file *fd* grows, whatever its name has become."""
    check(lib.ck_watch_file(watch_fd, fd), "cannot watch a log file")
