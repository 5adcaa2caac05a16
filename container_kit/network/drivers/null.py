"""The drivers ``host`` and ``none``: networks that every root has and that need nothing made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from container_kit.errors import InvalidInput
from container_kit.network.values import Undo

if TYPE_CHECKING:
    from container_kit.network.endpoint import Endpoint
    from container_kit.network.record import NetworkOptions, NetworkRecord
    from container_kit.network.site import Member, Site

__all__ = ["Host", "Nothing"]


class Nothing:
    """A namespace with a loopback and no way out."""

    gives_addresses = False
    name = "none"

    def validate(self, options: NetworkOptions, site: Site) -> None:
        """See `Driver`."""
        if options.subnets or options.ipv6 or options.gateways or options.dns:
            raise InvalidInput(f"a network of driver {self.name!r} has no subnets, gateways or DNS servers")

    def set_up(self, network: NetworkRecord, site: Site) -> Undo:
        """See `Driver`."""
        return Undo()

    def tear_down(self, network: NetworkRecord, site: Site) -> None:
        """See `Driver`."""

    def attach(self, member: Member) -> Endpoint:
        """See `Driver`."""
        return member.endpoint

    def detach(self, member: Member) -> None:
        """See `Driver`."""


class Host(Nothing):
    """The host's own network; whoever is on it has no namespace of its own, so nobody is attached."""

    name = "host"

    def attach(self, member: Member) -> Endpoint:
        """See `Driver`."""
        raise InvalidInput("a container with a network namespace of its own cannot join the network 'host'")
