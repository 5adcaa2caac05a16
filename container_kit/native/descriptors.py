"""File descriptors that belong to an object from the first moment: with the object, they are closed.

A signal handler may raise (Ctrl-C, a timeout) between any two bytecodes, so also between ``os.open`` and the
assignment of the number it returns: that number is then lost, and its file stays open until the process
ends.  Here the owner is made first, and the system call puts the number into it within one call into C, where
no handler of Python runs.  An owner that nobody refers to any longer closes what it has, in C as well.

The functions raise OSError as those of :mod:`os` do, with its subclasses.
"""

from __future__ import annotations

import errno
import functools
import os
from typing import IO, TYPE_CHECKING, Any

from container_kit.native._binding import ffi, lib

if TYPE_CHECKING:
    import socket  # not to be loaded for a start that needs none

__all__ = [
    "Descriptor",
    "as_file",
    "call",
    "duplicate",
    "give",
    "memory_file",
    "mkdirs_below",
    "mount_disk",
    "mount_image",
    "new_event",
    "new_watch",
    "open_below",
    "open_path",
    "open_process",
    "pipe",
    "receive",
    "sealed_init",
    "socket_pair",
    "take",
]

Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]
_HERE = -100  # AT_FDCWD


class Descriptor:
    """A file descriptor, closed by :meth:`close`, at the end of a ``with`` block, or with this object.

    It is no number, so that a type checker finds what would close it a second time.  A forked child has
    copies of its own.
    """

    __slots__ = ("__weakref__", "_cell")

    def __init__(self) -> None:
        # In this order: nothing is closed by a cell that has not said that it is empty.
        self._cell: Any = ffi.gc(ffi.new("struct ck_descriptor *", (-1,)), lib.ck_descriptor_close)

    def fileno(self) -> int:
        """The number, valid as long as this object is open and referred to.

        Raises:
            ValueError: It is closed.
        """
        number: int = self._cell.number
        if number < 0:
            raise ValueError("the descriptor is closed")
        return number

    @property
    def cell(self) -> Any:
        """What C puts the number into: for the wrappers of this package."""
        return self._cell

    @property
    def closed(self) -> bool:
        """Whether there is nothing to close."""
        return bool(self._cell.number < 0)

    def close(self) -> None:
        """Close it; may be repeated."""
        lib.ck_descriptor_close(self._cell)

    def give_up(self) -> int:
        """The number, which the caller closes from now on: what is cut off after this may lose it."""
        number = self.fileno()
        self._cell.number = -1
        return number

    def __enter__(self) -> Descriptor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return "<Descriptor closed>" if self.closed else f"<Descriptor {self._cell.number}>"


def take(place: Any) -> Descriptor:
    """Own the descriptor in *place*, a C ``int *``, which is -1 afterwards."""
    held = Descriptor()
    lib.ck_descriptor_take(held._cell, place)
    return held


def give(held: Descriptor, place: Any) -> None:
    """Put the descriptor into *place*, a C ``int *``, whose structure owns it from then on."""
    lib.ck_descriptor_give(held._cell, place)


def as_file(held: Descriptor, mode: str, **arguments: Any) -> IO[Any]:
    """As :func:`os.fdopen`: a file object that the descriptor belongs to from now on."""
    opener = functools.partial(lib.ck_descriptor_hand_over, held._cell)
    return open(b"descriptor", mode, opener=opener, **arguments)  # its opener runs no bytecode


def call(number: int, *arguments: int) -> Descriptor:
    """The system call *number*, with at most three arguments, which gives a descriptor."""
    held, passed = Descriptor(), (*arguments, 0, 0, 0)[:3]
    _check(lib.ck_descriptor_call(held._cell, number, *passed))
    return held


def open_path(path: Path, flags: int, mode: int = 0, *, dir_fd: int | None = None) -> Descriptor:
    """As :func:`os.open`, close-on-exec.

    Args:
        mode: Permissions of a file that O_CREAT makes.
    """
    held, name, folder = Descriptor(), os.fsencode(path), _HERE if dir_fd is None else dir_fd
    result = -errno.EINTR
    while result == -errno.EINTR:  # handlers of signals run between two tries
        result = lib.ck_descriptor_open(held._cell, folder, name, flags, mode)
    _check(result, path)
    return held


def open_below(
    root_fd: int, path: Path, flags: int, mode: int = 0, *, in_root: bool = True, no_symlinks: bool = False
) -> Descriptor:
    """As :func:`container_kit.native.trees.open_beneath`, into an owner."""
    held = Descriptor()
    name = os.fsencode(path)
    _check(lib.ck_descriptor_open_beneath(held._cell, root_fd, name, flags, mode, in_root, no_symlinks), path)
    return held


def mkdirs_below(root_fd: int, path: Path, mode: int = 0o755) -> Descriptor:
    """As :func:`container_kit.native.trees.mkdirs_beneath`, into an owner."""
    held = Descriptor()
    _check(lib.ck_descriptor_mkdirs_beneath(held._cell, root_fd, os.fsencode(path), mode), path)
    return held


def duplicate(fd: int) -> Descriptor:
    """As :func:`os.dup`, close-on-exec; never 0, 1 or 2."""
    held = Descriptor()
    _check(lib.ck_descriptor_duplicate(held._cell, fd))
    return held


def memory_file(name: str, flags: int = 0) -> Descriptor:
    """As :func:`os.memfd_create`, close-on-exec."""
    held = Descriptor()
    _check(lib.ck_descriptor_memory(held._cell, name.encode(), flags))
    return held


def sealed_init(path: str) -> Descriptor:
    """A sealed copy in memory of the program at *path*."""
    held = Descriptor()
    _check(lib.ck_descriptor_init(held._cell, path.encode()), path)
    return held


def open_process(pid: int) -> Descriptor:
    """As :func:`os.pidfd_open`.

    Raises:
        ProcessLookupError: There is no such process.
    """
    held = Descriptor()
    _check(lib.ck_descriptor_process(held._cell, pid))
    return held


def new_event(value: int) -> Descriptor:
    """As :func:`os.eventfd`, close-on-exec."""
    held = Descriptor()
    _check(lib.ck_descriptor_event(held._cell, value))
    return held


def new_watch() -> Descriptor:
    """An inotify descriptor, close-on-exec, that does not block."""
    held = Descriptor()
    _check(lib.ck_descriptor_watch(held._cell))
    return held


def mount_image(image: Path, device: Path) -> Descriptor:
    """The root of the EROFS image in the file *image*, whose second device is the file *device*; read-only.

    It is attached nowhere and unmounted when nothing refers to it any longer.
    """
    held = Descriptor()
    _check(lib.ck_mount_image(held._cell, os.fsencode(image), os.fsencode(device)), image)
    return held


def mount_disk(image: Path, lock: Path) -> Descriptor:
    """The root of the ext4 file system in the file *image*, writable, attached nowhere.

    Whoever mounts it holds the lock file *lock* for that moment; the loop device goes with the last mount.
    """
    held = Descriptor()
    _check(lib.ck_mount_disk(held._cell, os.fsencode(image), os.fsencode(lock)), image)
    return held


def pipe(flags: int = 0) -> tuple[Descriptor, Descriptor]:
    """As :func:`os.pipe2`, close-on-exec: the end to read from and the end to write to."""
    reading, writing = Descriptor(), Descriptor()
    _check(lib.ck_descriptor_pipe(reading._cell, writing._cell, flags))
    return reading, writing


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """As :func:`socket.socketpair` of AF_UNIX and SOCK_SEQPACKET; at no time has a number no owner."""
    import socket

    kind = socket.SOCK_SEQPACKET
    first, second = socket.socket(socket.AF_UNIX, kind), socket.socket(socket.AF_UNIX, kind)
    _check(lib.ck_socket_pair_over(first.fileno(), second.fileno(), kind))
    return first, second


def receive(connection: socket.socket, size: int, most: int) -> tuple[bytes, list[Descriptor]]:
    """As :func:`socket.recv_fds`: a message of at most *size* bytes and at most *most* descriptors.

    It waits without a limit, so the socket must block.  Descriptors beyond *most* are closed.
    """
    held = [Descriptor() for _ in range(most)]
    cells, count = ffi.new("struct ck_descriptor *[]", [one._cell for one in held]), ffi.new("int *")
    data = ffi.new("char[]", size)
    result = -errno.EINTR
    while result == -errno.EINTR:
        result = lib.ck_descriptor_receive(cells, most, count, connection.fileno(), data, size)
    _check(result)
    return bytes(ffi.buffer(data, result)), held[: count[0]]


def _check(result: int, path: Path | None = None) -> None:
    if result < 0 and path is None:
        raise OSError(-result, os.strerror(-result))
    if result < 0:
        raise OSError(-result, os.strerror(-result), path)
