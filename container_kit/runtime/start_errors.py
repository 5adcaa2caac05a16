"""What failed during a start, in a sentence: what could not be done, to what, why, and what to do.

Pure. ``ckit-init`` reports a step, an errno and what the step was about.
"""

from __future__ import annotations

import errno
import os

from container_kit.errors import StartFailed
from container_kit.runtime.plan import Op

__all__ = ["start_failed"]

_DOING = {
    Op.JOIN_CGROUP: "join the cgroup",
    Op.OVERLAY: "mount the overlay root with",
    Op.OPEN_TREE: "open the mount source",
    Op.OPEN_NAMESPACE: "open the namespace",
    Op.ID_MAP_TREE: "shift the owners of an",
    Op.USER_NAMESPACE: "make the",
    Op.SET_NAMESPACE: "join the",
    Op.UNSHARE: "make a new namespace",
    Op.BECOME_ROOT: "become",
    Op.FORK: "start the first process of the PID namespace",
    Op.PROPAGATION: "make private the mounts below",
    Op.ATTACH_ROOT: "attach the",
    Op.MOUNT: "mount on",
    Op.MOUNT_TREE: "mount on",
    Op.SET_ATTRIBUTES: "change the mount on",
    Op.DEVICE: "make the device",
    Op.SYMLINK: "make the link",
    Op.MAKE_DIRECTORY: "make the working directory",
    Op.CONSOLE: "open a terminal by",
    Op.MASK: "mask",
    Op.READ_ONLY: "make read-only",
    Op.PIVOT: "change to the",
    Op.ROOT_READ_ONLY: "make read-only",
    Op.HOSTNAME: "set the hostname",
    Op.DOMAINNAME: "set the domain name",
    Op.SYSCTL: "write the sysctl",
    Op.LOOPBACK_UP: "bring up the",
    Op.RLIMIT: "set a",
    Op.OOM_SCORE: "write",
    Op.KEYRING: "make a new",
    Op.SCHEDULER: "set the",
    Op.IO_PRIORITY: "set the",
    Op.PERSONALITY: "set the",
    Op.CREDENTIALS: "set the",
    Op.NO_NEW_PRIVS: "set",
    Op.SECCOMP: "load the",
    Op.LANDLOCK: "apply the rules of Landlock for",
    Op.SESSION: "begin a new",
    Op.DIRECTORY: "enter the working directory",
    Op.HOOK: "run the hook",
    Op.SYNC: "keep the",
    Op.WAIT_START: "wait on the",
    Op.INIT: "leave behind an",
    Op.OPEN_FILE_SYSTEM: "mount",
}
_HINTS = {
    (Op.OPEN_TREE, errno.ENOENT): "make it first, or correct the mount's source",
    (Op.OPEN_TREE, errno.EXDEV): "a link in it leads out of what is mounted",
    (Op.OPEN_TREE, errno.EINVAL): "a part of an image needs Linux 6.15: mount all of it",
    (Op.ID_MAP_TREE, errno.EINVAL): "its file system cannot do that: use another, or no user namespace",
    (Op.OPEN_FILE_SYSTEM, errno.ENODEV): "this kernel does not have that file system",
    (Op.OPEN_NAMESPACE, errno.ENOENT): "the container whose namespace it is has ended",
    (Op.SET_NAMESPACE, errno.ESRCH): "the container has ended",
    (Op.OVERLAY, errno.EOPNOTSUPP): "layers for a user namespace need Linux 6.13: use the default profile",
    (Op.MOUNT, errno.ENODEV): "this kernel does not have that file system",
    (Op.MOUNT, errno.ENOTDIR): "the image has something else than a directory there",
    (Op.MOUNT, errno.ELOOP): "the image has a link there, where a directory must be",
    (Op.MOUNT_TREE, errno.ENOTDIR): "source and destination must both be directories, or both files",
    (Op.CONSOLE, errno.ENOENT): "a terminal needs a devpts mount on /dev/pts",
    (Op.DIRECTORY, errno.ENOTDIR): "it is not a directory in the image",
    (Op.USER_NAMESPACE, errno.EPERM): "allow user namespaces, or map ids that you own (/etc/subuid)",
    (Op.USER_NAMESPACE, errno.ENOSPC): "raise /proc/sys/user/max_user_namespaces",
    (Op.CREDENTIALS, errno.EINVAL): "the id is not mapped in the user namespace",
    (Op.HOOK, errno.ETIMEDOUT): "it took longer than its timeout",
    (Op.HOOK, errno.ECANCELED): "it ended with an error",
    (Op.JOIN_CGROUP, errno.ENOENT): "it was removed meanwhile",
}
_PROGRAM_STEPS = (Op.FIND_PROGRAM, Op.EXEC)
_NOT_FOUND = (errno.ENOENT, errno.ENOTDIR)


def start_failed(op: int, error: int, about: str) -> StartFailed:
    """The error for a failed step; *about* is the path or thing that it worked on."""
    if op in _PROGRAM_STEPS:
        return _program_failed(op, error, about)
    doing = _DOING.get(Op(op), "carry out a step") if 0 < op <= max(Op) else "read its plan"
    thing = f"{doing} {about!r}" if "/" in about else f"{doing} {about}".rstrip()
    hint = _HINTS.get((Op(op), error)) if op else None
    why = f"{os.strerror(error)}" + (f" ({hint})" if hint else "")
    return StartFailed(f"the container cannot start: could not {thing}: {why}")


def _program_failed(op: int, error: int, about: str) -> StartFailed:
    if error in _NOT_FOUND:
        if op == Op.EXEC:
            return StartFailed(
                f"program {about!r} cannot be executed: its interpreter or loader is not in the container",
                127,
            )
        where = (
            "there is no such file in the container" if "/" in about else "not found in PATH of the container"
        )
        return StartFailed(f"program {about!r} cannot be started: {where}", 127)
    why = {
        errno.EACCES: "it is not an executable file, or its user may not execute it",
        errno.ENOEXEC: "it is neither a program for this machine nor a script that names its interpreter",
        errno.E2BIG: "its arguments and environment are too long for the kernel",
    }.get(error, os.strerror(error))
    return StartFailed(f"program {about!r} cannot be executed: {why}", 126)
