"""Whether this process can mount an overlay over a directory.

Root on an ordinary file system can; otherwise it is tried: a superblock is made by the
file-descriptor mount API and thrown away, nothing is ever attached.

Source: fsopen(2), fsconfig(2); Linux, Documentation/filesystems/overlayfs.rst.
"""

from __future__ import annotations

import os

from container_kit.native.own_ids import is_namespaced
from container_kit.native.user_namespace import within_mounts

__all__ = ["why_no_overlay"]

# Numbers are the same on every architecture since the system call tables were unified.
_SYS_FSOPEN, _SYS_FSCONFIG = 430, 431
_FSOPEN_CLOEXEC = 1
_FSCONFIG_SET_FLAG, _FSCONFIG_SET_STRING, _FSCONFIG_CMD_CREATE = 0, 1, 6

_CAP_SYS_ADMIN = 21
_ORDINARY = frozenset({"btrfs", "ext4", "f2fs", "tmpfs", "xfs"})

_answers: dict[tuple[str, int], str | None] = {}


def why_no_overlay(root: str) -> str | None:
    """None if an overlay can be mounted below *root* by this process, else the reason in words."""
    key = (root, os.geteuid())
    if key not in _answers:
        _answers[key] = None if _surely_can(root) else within_mounts(_try, root)
    return _answers[key]


def _surely_can(root: str) -> bool:
    """The usual case, told from three files of /proc in a fraction of the time of a trial."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        effective = next(int(line.split()[1], 16) for line in file if line.startswith("CapEff:"))
    with open("/proc/filesystems", encoding="ascii") as file:
        known = "\toverlay\n" in file.read()
    return (
        bool(effective >> _CAP_SYS_ADMIN & 1)
        and not is_namespaced()
        and known
        and _file_system(root) in _ORDINARY
    )


def _file_system(path: str) -> str:
    """Type of the file system that *path* is on, or empty if the mount table does not tell."""
    device = os.stat(path).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            if line.split(" ", 3)[2] == wanted:
                return line.partition(" - ")[2].split(" ")[0]
    return ""


def _try(root: str) -> str | None:
    import shutil
    import tempfile

    try:
        place = tempfile.mkdtemp(prefix=".overlay-", dir=root)
    except OSError as error:
        return f"no directory can be made in {root}: {error.strerror}"
    try:
        for name in ("lower", "upper", "work"):
            os.mkdir(f"{place}/{name}")
        return _make_superblock(place)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _make_superblock(place: str) -> str | None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(_SYS_FSOPEN, b"overlay", _FSOPEN_CLOEXEC)
    if fd < 0:
        return f"the kernel gives no overlay: {os.strerror(ctypes.get_errno())}"
    try:
        for key in ("lower", "upper", "work"):
            value = os.fsencode(f"{place}/{key}")
            result = libc.syscall(_SYS_FSCONFIG, fd, _FSCONFIG_SET_STRING, f"{key}dir".encode(), value, 0)
            if result < 0:
                return f"overlay refuses its {key} directory: {os.strerror(ctypes.get_errno())}"
        if is_namespaced() and libc.syscall(_SYS_FSCONFIG, fd, _FSCONFIG_SET_FLAG, b"userxattr", None, 0) < 0:
            return "this kernel has no overlay for ordinary users: it needs Linux 5.11"
        if libc.syscall(_SYS_FSCONFIG, fd, _FSCONFIG_CMD_CREATE, None, None, 0) < 0:
            return f"the file system takes no overlay: {os.strerror(ctypes.get_errno())}"
        return None
    finally:
        os.close(fd)
