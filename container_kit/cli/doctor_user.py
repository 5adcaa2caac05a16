"""``doctor`` for an ordinary user: what its user namespace has, and the one command that gives more.

Each check only looks; the user namespace itself is made and thrown away, since no switch tells all that
may forbid it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pwd import getpwuid
from typing import TYPE_CHECKING

from container_kit.cli.doctor import Finding

if TYPE_CHECKING:
    from container_kit.native.own_ids import IdMaps
    from container_kit.runtime.cgroups import Layout
    from container_kit.runtime.host import Host

__all__ = ["examine_cgroups", "examine_ids", "examine_user", "examine_way_out"]

_TUN = "/dev/net/tun"
_USEFUL = (("memory", "memory limits"), ("pids", "process limits"), ("cpu", "processor limits"))
_DELEGATE = (
    "mkdir -p /etc/systemd/system/user@.service.d && "
    "printf '[Service]\\nDelegate=cpu cpuset io memory pids\\n' "
    "> /etc/systemd/system/user@.service.d/delegate.conf && systemctl daemon-reload"
)


def examine_user(host: Host) -> Iterator[Finding]:
    """All that is different for a user without the rights of root."""
    from container_kit.errors import ContainerKitError
    from container_kit.native.own_ids import id_maps
    from container_kit.native.user_namespace import new_namespace

    maps = id_maps()
    try:
        new_namespace(maps).close()
    except ContainerKitError as error:
        yield Finding("rights", "missing", *_problem_and_remedy(str(error)))
        return
    yield Finding("rights", "ok", f"user {host.uid}: containers run in its user namespace")
    yield from examine_ids(maps, _name_of(host.uid))
    yield from examine_way_out()


def _problem_and_remedy(message: str) -> tuple[str, str]:
    problem, _, remedy = message.partition("; ")
    return problem, remedy.removeprefix("as root: ")


def _name_of(uid: int) -> str:
    try:
        return getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def examine_ids(maps: IdMaps, name: str) -> Iterator[Finding]:
    """How many ids its containers have."""
    from container_kit.native.own_ids import subordinate_remedy

    if not maps.lacking:
        yield Finding("subordinate ids", "ok", f"{maps.count - 1} beside its own")
        return
    fact = f"{maps.lacking}: files of images all belong to one id, and programs that change theirs fail"
    yield Finding("subordinate ids", "limited", fact, subordinate_remedy(name))


def examine_way_out() -> Iterator[Finding]:
    """Whether its networks lead outside."""
    from container_kit.network.guide import find_guides

    guides = find_guides()
    if not guides:
        fact = "neither pasta nor slirp4netns: its networks end at this host"
        yield Finding("way outside", "limited", fact, "apt install passt")
    elif not os.access(_TUN, os.R_OK | os.W_OK):
        fact = f"{_TUN} cannot be opened: its networks end at this host"
        remedy = f"chmod 666 {_TUN}" if os.path.exists(_TUN) else "modprobe tun"
        yield Finding("way outside", "limited", fact, remedy)
    else:
        yield Finding("way outside", "ok", f"by {' or '.join(guides)}")


def examine_cgroups(given: Layout) -> Iterator[Finding]:
    """What it may limit."""
    if given.v2 is None:
        fact = "none was given to this user: no limits, no pause, no figures"
        yield Finding("cgroups", "limited", fact, "systemd-run --user --scope -p Delegate=yes COMMAND")
        return
    found = " ".join(sorted(given.v2_controllers)) or "no controllers"
    yield Finding("cgroups", "ok", f"{given.v2} with {found}")
    for name, use in _USEFUL:
        if name not in given.v2_controllers:
            yield Finding("cgroups", "limited", f"no {name} controller: no {use}", _DELEGATE)
