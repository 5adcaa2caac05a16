"""Who a container's process is: ``user``, ``user:group`` and numbers, by the container's own files.

``/etc/passwd`` and ``/etc/group`` come from an image and may be anything: they are looked up without
leaving the root, must be regular files, and are read up to a limit.

Source: the semantics of Docker's ``--user`` (moby/sys, user), without its reading of digits as a name.
"""

from __future__ import annotations

import errno
import functools
import os
import re
import stat
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from container_kit._values import frozen
from container_kit.errors import InvalidInput, LimitExceeded
from container_kit.runtime.layer_files import find_in_layers

__all__ = ["Reader", "ResolvedUser", "layers_reader", "resolve_in_layers", "resolve_user", "root_reader"]

# Content of a file of the container by its absolute path, None where there is none.
Reader: TypeAlias = Callable[[str], bytes | None]

_LARGEST_FILE = 2 << 20
_LARGEST_ID = (1 << 31) - 1
_MOST_GROUPS = 65_536  # NGROUPS_MAX
_DIGITS = re.compile(r"[0-9]+", re.ASCII)
_NAME = re.compile(r"[^\x00-\x20:\x7f]{1,256}")


@frozen
class ResolvedUser:
    """The numbers of a process, and what its account says.

    Args:
        uid, gid: Ids in the container.
        additional_gids: Supplementary groups; *gid* is among them, or a program could regain a group
            that was denied to it by setting its group to it (CVE-2022-36109).
        name: Of the account, empty when no line names it.
        home: Its directory; ``"/"`` without an account.
    """

    uid: int
    gid: int
    additional_gids: tuple[int, ...] = ()
    name: str = ""
    home: str = "/"


@functools.lru_cache(maxsize=256)
def resolve_in_layers(layers: tuple[str, ...], user: str, groups: tuple[str, ...] = ()) -> ResolvedUser:
    """As `resolve_user`, in the overlay of *layers* (uppermost first), which never change: kept."""
    return resolve_user(user, layers_reader(layers), groups)


@frozen
class _Account:
    name: str
    uid: int
    gid: int
    home: str


def resolve_user(user: str, read: Reader, groups: Iterable[str] = ()) -> ResolvedUser:
    """The process identity that *user* means in a container.

    Args:
        user: ``"name"``, ``"uid"``, ``"name:group"``, ``"uid:gid"`` or any mixture; empty is root.
            Digits are always a number, never a name that consists of digits.
        read: From `root_reader` or `layers_reader`.
        groups: Further groups by name or number.

    Raises:
        InvalidInput: It has another form, a name is unknown, or a number is above 2147483647.
        LimitExceeded: A file to look it up in is larger than 2 MiB.
    """
    name, separator, group = user.partition(":")
    if separator and not name:
        raise InvalidInput(f"user {user!r} names a group only: give a user before the colon")
    account = _find_account(name or "0", read)
    wanted = [str(extra) for extra in groups]
    gid = _find_group(group, read) if group else account.gid
    # As in Docker, a group that was asked for by name replaces those of the account.
    own = () if group or not account.name else _groups_of(account.name, read)
    more = (_find_group(extra, read) for extra in wanted)
    gids = dict.fromkeys((gid, *own, *more))
    return ResolvedUser(account.uid, gid, tuple(gids), account.name, account.home)


def _find_account(user: str, read: Reader) -> _Account:
    passwd = read("/etc/passwd") or b""
    if _DIGITS.fullmatch(user):
        uid = _number(user, "user id")
        line = _line(passwd, rb"^[^:\n]*:[^:\n]*:0*%d:[^\n]*$" % uid)
        return _account(line) if line else _Account("", uid, 0, "/")
    if not _NAME.fullmatch(user):
        raise InvalidInput(f"{user!r} is neither a user name nor a number")
    line = _line(passwd, rb"^%b:[^\n]*$" % re.escape(user.encode()))
    if line is None:
        raise InvalidInput(f"there is no user named {user!r} in the container's /etc/passwd: use a number")
    return _account(line)


def _account(line: bytes) -> _Account:
    """A line ``name:password:uid:gid:comment:home:shell``."""
    name, _, uid, gid, *rest = [*line.decode("utf-8", "replace").split(":"), "", "", ""]
    home = rest[1] if rest[1].startswith("/") else "/"
    return _Account(name, _number(uid, f"user id of {name!r}"), _number(gid, f"group id of {name!r}"), home)


def _find_group(group: str, read: Reader) -> int:
    if _DIGITS.fullmatch(group):
        return _number(group, "group id")
    if not _NAME.fullmatch(group):
        raise InvalidInput(f"{group!r} is neither a group name nor a number")
    line = _line(read("/etc/group") or b"", rb"^%b:[^\n]*$" % re.escape(group.encode()))
    if line is None:
        raise InvalidInput(f"there is no group named {group!r} in the container's /etc/group: use a number")
    fields = line.decode("utf-8", "replace").split(":")
    return _number(fields[2] if len(fields) > 2 else "", f"group id of {group!r}")


def _groups_of(name: str, read: Reader) -> tuple[int, ...]:
    """The groups whose list of members has *name*."""
    content = read("/etc/group") or b""
    pattern = rb"^[^:\n]*:[^:\n]*:([0-9]+):(?:[^\n]*,)?%b(?:,[^\n]*)?$" % re.escape(name.encode())
    found = [_number(match[1].decode(), "group id") for match in re.finditer(pattern, content, re.MULTILINE)]
    if len(found) > _MOST_GROUPS:
        raise LimitExceeded(f"user {name!r} is in {len(found)} groups, the kernel takes {_MOST_GROUPS}")
    return tuple(found)


def _line(content: bytes, pattern: bytes) -> bytes | None:
    match = re.search(pattern, content, re.MULTILINE)
    return match[0] if match else None


def _number(text: str, what: str) -> int:
    # More digits than any id has are refused before they cost anything to convert.
    if not _DIGITS.fullmatch(text) or len(text) > 20 or int(text) > _LARGEST_ID:
        raise InvalidInput(f"{what} {text[:40]!r} is not a number from 0 to {_LARGEST_ID}")
    return int(text)


def root_reader(root_fd: int) -> Reader:
    """Reads files below the directory *root_fd*, resolved as in a chroot."""
    from container_kit.native.descriptors import open_below

    def read(path: str) -> bytes | None:
        try:
            found = open_below(root_fd, path, os.O_PATH)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                return None
            why = os.strerror(error.errno or 0)
            raise InvalidInput(f"cannot look up a user in the container's {path}: {why}") from None
        with found:
            return _read_regular(found.fileno(), path)

    return read


def layers_reader(layers: Sequence[str]) -> Reader:
    """Reads files of the overlay that *layers* (directories, uppermost first) would make."""

    def read(path: str) -> bytes | None:
        found = find_in_layers(layers, path)
        if found is None:
            return None
        with found:
            return _read_regular(found.fileno(), path)

    return read


def _read_regular(path_fd: int, path: str) -> bytes:
    """The content behind an O_PATH descriptor, when it is a regular file of bounded size.

    Opened only after its type is known: opening a FIFO waits for a writer, and opening a device may
    do anything (CVE-2024-9676, CVE-2026-47262).
    """
    status = os.fstat(path_fd)
    if not stat.S_ISREG(status.st_mode):
        raise InvalidInput(f"the container's {path} is not a regular file: users cannot be looked up in it")
    if status.st_size > _LARGEST_FILE:
        raise LimitExceeded(f"the container's {path} has {status.st_size} bytes, more than {_LARGEST_FILE}")
    from container_kit.native.descriptors import open_path

    with open_path(f"/proc/self/fd/{path_fd}", os.O_RDONLY | os.O_NONBLOCK) as opened:
        content = os.read(opened.fileno(), min(status.st_size, _LARGEST_FILE) + 1)
    if len(content) > _LARGEST_FILE:
        raise LimitExceeded(f"the container's {path} is larger than {_LARGEST_FILE} bytes")
    return content
