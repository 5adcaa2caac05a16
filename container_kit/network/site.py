"""Where the networks of one store root are: their files, and the namespace that has their bridges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from container_kit._values import frozen
from container_kit.native.digests import Hasher
from container_kit.network.endpoint import Endpoint
from container_kit.network.record import NetworkRecord
from container_kit.network.values import EndpointRequest

if TYPE_CHECKING:
    from container_kit.native.namespaces import NetworkNamespace

__all__ = ["Member", "Site", "resolver_file"]


@frozen
class Site:
    """Where the networks of one root are.

    Args:
        root: Absolute path of the store's root.
        host: The namespace with bridges, routes to the outside and published ports: the caller's own, or
            for an ordinary user one that holds his networks.
        outside: Then, where ports are published, and relayed from.
    """

    root: str
    host: NetworkNamespace
    outside: NetworkNamespace | None = None

    @property
    def is_relayed(self) -> bool:
        """Whether published ports are passed on by a process, not by the packet filter."""
        return self.outside is not None

    @property
    def of_ports(self) -> NetworkNamespace:
        """The namespace that has the published ports."""
        return self.host if self.outside is None else self.outside

    @property
    def root_id(self) -> str:
        """Eight digits that no other root has."""
        return Hasher(self.root.encode()).hexdigest()[:8]

    def directory(self, network_id: str) -> str:
        """A network's directory: ``network.json``, ``lock``, ``endpoints/``, ``keeper.lock``, …"""
        return f"{self.root}/networks/{network_id}"

    def endpoint_file(self, network_id: str, owner: str) -> str:
        """The file that says that *owner* is on the network."""
        return f"{self.directory(network_id)}/endpoints/{owner}"


@frozen(kw_only=True)
class Member:
    """A container on its way onto a network, or off it.

    Args:
        endpoint: What has been decided: owner, names, interface, link, MAC, addresses.
        namespace: The container's; None when it has ended already.
    """

    site: Site
    network: NetworkRecord
    request: EndpointRequest
    endpoint: Endpoint
    namespace: NetworkNamespace | None = None


def resolver_file(root: str) -> str:
    """The file that names whom to ask for names of the outside, for an ordinary user's networks."""
    return f"{root}/networks/outside.conf"
