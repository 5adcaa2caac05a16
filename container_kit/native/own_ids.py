"""Whose rights this process has, and which ids its user may use in a user namespace.

Looks only: `container_kit.native.user_namespace` makes what is described here.

Source: user_namespaces(7), subuid(5), newuidmap(1).
"""

from __future__ import annotations

import errno
import functools
import os
import shutil
from typing import Literal

from container_kit._values import frozen

__all__ = [
    "ALL_IDS",
    "IdMaps",
    "extents",
    "forbidding_switch",
    "forget",
    "id_maps",
    "is_namespaced",
    "mapped_ids",
    "needs_namespace",
    "overlay_prefix",
    "subordinate_remedy",
    "why_no_namespace",
]

ALL_IDS = (1 << 32) - 1
_CAP_SYS_ADMIN = 21
_SUBORDINATE = {"uid": "/etc/subuid", "gid": "/etc/subgid"}
# What most distributions give a new user, and what images count on: nobody is 65534.
_USUAL_IDS = 65536


@frozen(kw_only=True)
class IdMaps:
    """The maps of this user's namespace: id 0 is the user itself, the others are its subordinate ids.

    Args:
        uid_helper, gid_helper: The command that writes a map of several ids, the process id missing at
            index 1; empty where there is but one id, which needs no help.
        count: How many ids there are from 0 up.
        lacking: Why there is only one id; empty when there are more.
    """

    uid: int
    gid: int
    uid_helper: tuple[str, ...] = ()
    gid_helper: tuple[str, ...] = ()
    count: int = 1
    lacking: str = ""

    @property
    def uid_text(self) -> str:
        """The map of the one user id."""
        return f"0 {self.uid} 1\n"

    @property
    def gid_text(self) -> str:
        """The map of the one group id."""
        return f"0 {self.gid} 1\n"


@functools.cache
def needs_namespace() -> bool:
    """Whether mounts and foreign files are beyond this process, so that it has to enter a user namespace."""
    with open("/proc/self/status", "rb") as lines:
        effective = next(int(line.split()[1], 16) for line in lines if line.startswith(b"CapEff:"))
    return not effective >> _CAP_SYS_ADMIN & 1


@functools.cache
def is_namespaced() -> bool:
    """Whether containers live in a user namespace that is not the host's own: ours, or one around us."""
    return needs_namespace() or mapped_ids() < ALL_IDS


@functools.cache
def mapped_ids() -> int:
    """How many ids there are, from 0 up, where containers live: all for root, 1 at the least."""
    if needs_namespace():
        return id_maps().count
    return min(_ids_from_zero(f"/proc/self/{kind}_map") for kind in ("uid", "gid"))


def extents(kind: Literal["uid", "gid"]) -> list[tuple[int, int]]:
    """First id and length of each piece in which the ids are mapped: a map within may not span two."""
    if not needs_namespace():
        return _extents_of(f"/proc/self/{kind}_map")
    helper = id_maps().uid_helper if kind == "uid" else id_maps().gid_helper
    words = [int(word) for word in helper[2:]] or [0, 0, 1]
    return list(zip(words[::3], words[2::3], strict=True))


def overlay_prefix() -> str:
    """How the attributes of overlay's directories begin: in a user namespace none may write trusted ones."""
    return "user.overlay." if is_namespaced() else "trusted.overlay."


def _ids_from_zero(path: str) -> int:
    end = 0
    for first, size in _extents_of(path):
        if first > end:
            break
        end = max(end, first + size)
    return max(end, 1)


def _extents_of(path: str) -> list[tuple[int, int]]:
    with open(path, "rb") as lines:
        return sorted((int(first), int(size)) for first, _, size in map(bytes.split, lines))


def forget() -> None:
    """Look again: after a change of user or rights."""
    for looked in (needs_namespace, is_namespaced, mapped_ids, id_maps):
        looked.cache_clear()


@functools.cache
def id_maps() -> IdMaps:
    """The maps for this user: all its subordinate ids, or itself alone with the reason why."""
    uid, gid = os.geteuid(), os.getegid()
    names = _names_of(uid)
    uids, gids = (_ranges(_SUBORDINATE[kind], names) for kind in ("uid", "gid"))
    helpers = [shutil.which(name, path=_search_path()) for name in ("newuidmap", "newgidmap")]
    if not uids or not gids:
        return IdMaps(uid=uid, gid=gid, lacking="no subordinate ids in /etc/subuid and /etc/subgid")
    if helpers[0] is None or helpers[1] is None:
        return IdMaps(uid=uid, gid=gid, lacking="no programs newuidmap and newgidmap")
    return IdMaps(
        uid=uid,
        gid=gid,
        uid_helper=(helpers[0], "", *_arguments(uid, uids)),
        gid_helper=(helpers[1], "", *_arguments(gid, gids)),
        count=1 + min(sum(size for _, size in ranges) for ranges in (uids, gids)),
    )


def _search_path() -> str:
    return os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/bin", "/bin", "/usr/sbin"))


def _names_of(uid: int) -> set[str]:
    """What lines of the files may begin with for this user."""
    from pwd import getpwuid

    try:
        return {str(uid), getpwuid(uid).pw_name}
    except KeyError:
        return {str(uid)}


def _ranges(path: str, names: set[str]) -> list[tuple[int, int]]:
    """First id and length of each range that *path* gives to one of *names*."""
    try:
        with open(path, encoding="utf-8", errors="replace") as lines:
            fields = [line.strip().split(":") for line in lines]
    except OSError:
        return []
    return [
        (int(field[1]), int(field[2]))
        for field in fields
        if len(field) == 3 and field[0] in names and field[1].isdigit() and field[2].isdigit()
    ]


def _arguments(own: int, ranges: list[tuple[int, int]]) -> list[str]:
    """The arguments of newuidmap: first id inside, first id outside, how many; the own id is 0."""
    words, inside = ["0", str(own), "1"], 1
    for first, size in ranges:
        words += [str(inside), str(first), str(size)]
        inside += size
    return words


def subordinate_remedy(name: str) -> str:
    """The one command, for root, that gives the user *name* subordinate ids."""
    return (
        f"apt install uidmap && usermod --add-subuids 100000-{100000 + _USUAL_IDS - 1} "
        f"--add-subgids 100000-{100000 + _USUAL_IDS - 1} {name}"
    )


# Switches of the kernel that forbid user namespaces, the value that does, and the remedy.
_SWITCHES = (
    ("/proc/sys/user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=28633"),
    ("/proc/sys/kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    ),
)


def forbidding_switch() -> tuple[str, str]:
    """The switch of this kernel that forbids user namespaces, and the command that allows them; else ''."""
    for path, forbids, remedy in _SWITCHES:
        try:
            with open(path, "rb") as file:
                found = file.read().strip().decode()
        except OSError:
            continue
        if found == forbids:
            return f"{path[len('/proc/sys/') :].replace('/', '.')} is {found}", remedy
    return "", ""


def why_no_namespace(number: int) -> str:
    """The message for a user namespace that could not be made, with errno *number*."""
    problem, remedy = forbidding_switch()
    doing = f"cannot make a user namespace for user {os.geteuid()}"
    if problem:
        return f"{doing}: {problem}; as root: {remedy}"
    if number in (errno.ENOSPC, errno.EUSERS):
        return f"{doing}: there are too many or too deep; as root: sysctl -w user.max_user_namespaces=28633"
    if number == errno.EACCES:
        return f"{doing}: this process has changed its user since it was started; start it as that user"
    return (
        f"{doing}: {os.strerror(number)}; a container around this process forbids it: start that one with "
        "profile='privileged', or with profile='docker', seccomp='unconfined', masked_paths=() and "
        "readonly_paths=()"
    )
