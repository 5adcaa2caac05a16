"""Sweeping the networks of a root: what processes that were killed, or a loss of power, have left behind.

Everything here may be done by several processes at once, and is safe to be cut off at any point.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Container, Iterable
from typing import TYPE_CHECKING

from container_kit.errors import ContainerKitError, NotFound
from container_kit.network.activation import activate, deactivate
from container_kit.network.joining import Joining
from container_kit.network.keeper import has_keeper
from container_kit.network.membership import Membership

if TYPE_CHECKING:
    from container_kit.network.endpoint import Endpoint
    from container_kit.network.record import NetworkRecord
    from container_kit.network.state import Networks

__all__ = ["GONE_PREFIX", "sweep"]

# A network's directory on its way out.
GONE_PREFIX = "removed-"
_ID = re.compile("[0-9a-f]{64}")
# A directory has its name right after it is made; one without that is older was left by a crash.
_MAKING_S = 10.0


def sweep(networks: Networks, defined: Iterable[NetworkRecord], live_owners: Container[str]) -> None:
    """Clear away what belongs to nobody; see `Networks.sweep`."""
    _sweep_directories(f"{networks.site.root}/networks", {record.id for record in defined})
    for record in defined:
        membership = Membership(networks.site, record)
        with contextlib.suppress(NotFound), membership.locked():
            _sweep_network(networks, membership, live_owners)


def _sweep_directories(networks: str, finished: Container[str]) -> None:
    for name in os.listdir(networks) if os.path.isdir(networks) else ():
        path = f"{networks}/{name}"
        is_unfinished = _ID.fullmatch(name) and name not in finished and _age_s(path) > _MAKING_S
        if name.startswith(GONE_PREFIX) or is_unfinished:
            shutil.rmtree(path, ignore_errors=True)


def _age_s(path: str) -> float:
    with contextlib.suppress(FileNotFoundError):
        return abs(time.time() - os.stat(path).st_mtime)
    return 0.0


def _sweep_network(networks: Networks, membership: Membership, live_owners: Container[str]) -> None:
    """Those who are dead, and then the network itself, if nobody is on it or nobody looks after it."""
    for endpoint in membership.dead(live_owners):
        _take_off(networks, membership, endpoint)
    membership.sweep()
    if has_keeper(membership.directory):
        return  # which ends the network when it is time
    if membership.owners():
        activate(networks.site, membership.network)
    else:
        deactivate(networks.site, membership.network)


def _take_off(networks: Networks, membership: Membership, endpoint: Endpoint) -> None:
    """Take off a container that ended without doing so: first what is elsewhere, then its files."""
    with contextlib.suppress(ContainerKitError, OSError):
        Joining.of(networks, endpoint).leave(None)
    membership.release(endpoint.owner, ())
