"""Drivers: how a network comes to be, and how a container gets onto it.

One interface, which other packages can add to: an entry point of the group ``container_kit.network_drivers``
names a class without arguments for its constructor.  Ours are ``bridge``, ``cni``, ``macvlan``, ``host`` and
``none``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from container_kit.errors import NotFound

if TYPE_CHECKING:
    from container_kit.network.endpoint import Endpoint
    from container_kit.network.record import NetworkOptions, NetworkRecord
    from container_kit.network.site import Member, Site
    from container_kit.network.values import Undo

__all__ = ["ENTRY_POINTS", "Driver", "driver", "driver_names"]

ENTRY_POINTS = "container_kit.network_drivers"
_OURS = {
    "bridge": "container_kit.network.drivers.bridge:Bridge",
    "cni": "container_kit.network.drivers.cni:Cni",
    "macvlan": "container_kit.network.drivers.macvlan:Macvlan",
    "host": "container_kit.network.drivers.null:Host",
    "none": "container_kit.network.drivers.null:Nothing",
}


@runtime_checkable
class Driver(Protocol):
    """How one kind of network is made.

    `set_up` and `tear_down` are called with the network's lock held, `attach` and `detach` without it.

    Attributes:
        gives_addresses: Whether the driver chooses the addresses of its containers, as CNI plugins do.
            Otherwise `attach` gets an endpoint that has them.

    A driver may have ``undoes_inside = True``: `detach` then gets the namespace also when the container has
    ended, which otherwise goes as it is, and faster.  It may have ``check(member)``, which raises
    StartFailed when something is not as `attach` left it, and ``publishes(network)``: whether `attach`
    publishes the endpoint's ports, which the caller holds.
    """

    gives_addresses: bool

    def validate(self, options: NetworkOptions, site: Site) -> None:
        """Raise InvalidInput, or UnsupportedFeature, when no network can be like this."""

    def set_up(self, network: NetworkRecord, site: Site) -> Undo:
        """Make what all containers of the network share; called for its first member, and may be repeated.

        Returns:
            What undoes it, for when nobody of ours is there any more.
        """

    def tear_down(self, network: NetworkRecord, site: Site) -> None:
        """Take that away again; may be repeated."""

    def attach(self, member: Member) -> Endpoint:
        """Put an interface into the member's namespace, up, with its addresses and routes.

        Returns:
            The endpoint with what the driver decided.
        """

    def detach(self, member: Member) -> None:
        """Take the interface away; may be repeated.

        A member without a namespace has ended already, and only what is outside of it is to do.
        """


def driver_names() -> list[str]:
    """The drivers that can be used here."""
    from importlib.metadata import entry_points

    return sorted({*_OURS, *(found.name for found in entry_points(group=ENTRY_POINTS))})


def driver(name: str) -> Driver:
    """The driver *name*.

    Raises:
        NotFound: There is none, or it cannot be loaded.
    """
    home = _OURS.get(name)
    if home is not None:
        module, _, made = home.partition(":")
        ours: Driver = getattr(import_module(module), made)()
        return ours
    from importlib.metadata import entry_points

    for found in entry_points(group=ENTRY_POINTS, name=name):
        try:
            others: Driver = found.load()()
        except Exception as error:  # it is somebody else's code
            raise NotFound("network driver", name, f"{found.value} cannot be loaded: {error}") from error
        return others
    raise NotFound("network driver", name, f"there are {', '.join(driver_names())}")
