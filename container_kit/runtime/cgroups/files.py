"""Reading and writing cgroup files, with the kernel's refusals put into words.

The only place of this package that touches the file system; tests put a model of it here.
"""

from __future__ import annotations

import errno
import os
import time

from container_kit.errors import (
    Conflict,
    ContainerKitError,
    InvalidInput,
    KernelError,
    NotFound,
    PermissionMissing,
    UnsupportedFeature,
)
from container_kit.native.descriptors import open_path

__all__ = [
    "make_directory",
    "names",
    "numbers",
    "read",
    "read_or_none",
    "remove_tree",
    "subdirectories",
    "write",
]

_MODE = 0o755
_TRIES = 100
_FIRST_PAUSE_S = 0.0005
_LONGEST_PAUSE_S = 0.02


def write(directory: str, file: str, *values: str) -> None:
    """Write *values*, each in a write of its own, to one file of a cgroup.

    Raises:
        UnsupportedFeature: The kernel has no such file.
        NotFound: The cgroup itself is gone.
        InvalidInput, Conflict, PermissionMissing, KernelError: What the kernel said.
    """
    path = f"{directory}/{file}"
    value = ""
    try:
        with open_path(path, os.O_WRONLY) as opened:
            for value in values:
                os.write(opened.fileno(), value.encode())
    except OSError as error:
        raise _explain(error, directory, file, value) from None


def _explain(error: OSError, directory: str, file: str, value: str) -> ContainerKitError:
    number = error.errno or 0
    doing = f"cannot write {value!r} to {directory}/{file}"
    if number == errno.ENOENT:
        if os.path.isdir(directory):
            return UnsupportedFeature(f"{doing}: this kernel has no {file}")
        return NotFound("cgroup", directory, "it was removed meanwhile")
    if number in (errno.EINVAL, errno.ERANGE, errno.ENODEV, errno.ENXIO):
        return InvalidInput(f"{doing}: the kernel does not accept the value ({os.strerror(number)})")
    if number == errno.EBUSY:
        return Conflict(f"{doing}: what is in use now does not fit below it; free some or set a higher limit")
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return PermissionMissing(
            number, f"{doing}: {os.strerror(number)}; run as root, or in a delegated cgroup"
        )
    return KernelError.of(number, doing)


def read(directory: str, file: str) -> str:
    """The text of one file of a cgroup.

    Raises:
        NotFound: The cgroup, or the file, is not there.
        KernelError: With the errno of the read that failed.
    """
    path = f"{directory}/{file}"
    try:
        pieces = []
        with open_path(path, os.O_RDONLY) as opened:
            while piece := os.read(opened.fileno(), 65536):
                pieces.append(piece)
    except OSError as error:
        # A cgroup that is removed while its file is open answers ENODEV.
        if error.errno in (errno.ENOENT, errno.ENODEV):
            raise NotFound("cgroup file", path) from None
        raise KernelError.of(error.errno or 0, "cannot read a cgroup file", path) from None
    return b"".join(pieces).decode()


def read_or_none(directory: str, file: str) -> str | None:
    """The text of a file that not every kernel has; None where it is missing or switched off."""
    try:
        return read(directory, file)
    except NotFound:
        return None
    except KernelError as error:
        # Pressure files exist but refuse to be read when the kernel was booted without PSI.
        if error.errno == errno.EOPNOTSUPP:
            return None
        raise


def numbers(text: str | None) -> dict[str, int]:
    """The lines ``name number`` of a flat-keyed file, such as ``memory.stat``."""
    pairs = (line.split() for line in (text or "").splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].lstrip("-").isdigit()}


def make_directory(path: str, *, parents_below: str) -> bool:
    """Make a cgroup, and its parents below the root *parents_below*; False if it was there.

    Other processes make and remove the same parents at any moment: a parent that vanishes between
    two calls is made again.

    Raises:
        PermissionMissing, KernelError: What the kernel said.
    """
    for _ in range(_TRIES):
        try:
            os.mkdir(path, _MODE)
        except FileExistsError:
            return False
        except FileNotFoundError:
            parent = os.path.dirname(path)
            if parent == parents_below or not parent.startswith(parents_below):
                raise KernelError.of(
                    errno.ENOENT, "cannot make a cgroup: the hierarchy is gone", path
                ) from None
            make_directory(parent, parents_below=parents_below)
        except OSError as error:
            raise _explain_mkdir(error, path) from None
        else:
            return True
    raise Conflict(f"cannot make the cgroup {path}: its parent is removed again and again by others")


def _explain_mkdir(error: OSError, path: str) -> ContainerKitError:
    number = error.errno or 0
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return PermissionMissing(
            number,
            f"cannot make the cgroup {path}: {os.strerror(number)}; run as root, or in a delegated cgroup",
        )
    if number == errno.EAGAIN:
        return Conflict(
            f"cannot make the cgroup {path}: cgroup.max.descendants or .depth of a parent is reached"
        )
    return KernelError.of(number, "cannot make a cgroup", path)


def names(directory: str) -> list[str]:
    """The names of the files of a cgroup; empty when it is gone."""
    try:
        return os.listdir(directory)
    except OSError:
        return []


def subdirectories(path: str) -> list[str]:
    """The names of the cgroups in a cgroup; empty when it is gone."""
    try:
        with os.scandir(path) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        if error.errno == errno.ENODEV:
            return []
        raise KernelError.of(error.errno or 0, "cannot list a cgroup", path) from None


def remove_tree(path: str, timeout_s: float = 0.0) -> bool:
    """Remove a cgroup and the cgroups in it; True when it is gone, False when it stayed busy.

    The kernel says EBUSY for a moment after the last process has ended, so it is tried again
    until *timeout_s* has passed.

    Raises:
        KernelError: Anything else than "busy".
    """
    deadline = time.monotonic() + timeout_s
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            os.rmdir(path)
        except FileNotFoundError:
            return True
        except OSError as error:
            if error.errno not in (errno.EBUSY, errno.ENOTEMPTY, errno.EINTR):
                raise KernelError.of(error.errno or 0, "cannot remove a cgroup", path) from None
        else:
            return True
        for name in subdirectories(path):
            remove_tree(f"{path}/{name}", 0.0)
        if time.monotonic() >= deadline:
            return _removed_at_last(path)
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def _removed_at_last(path: str) -> bool:
    """One more try, for a cgroup that was busy only because of the cgroups in it."""
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
