"""What a container says of its networks: where it can be reached, and what is published of it.

The truth is in the endpoints' files, which are there as long as the container runs, whoever started it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs

from container_kit.containers.network_options import is_mode
from container_kit.containers.state_file import read_state
from container_kit.errors import InvalidInput, NotFound, WrongState, with_typed_errors

if TYPE_CHECKING:
    from container_kit.containers.engine import Engine
    from container_kit.network import Endpoint, PublishedPort

__all__ = ["Networked", "endpoints_of", "reachable_address", "rename_on_networks"]

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


@with_typed_errors
class Networked:
    """The network side of a :class:`Container`."""

    engine: Engine
    id: str

    @property
    def networks(self) -> Mapping[str, Endpoint]:
        """Its places on its networks, by the names of these, while it runs: addresses, interface, names."""
        return {endpoint.network_name: endpoint for endpoint in endpoints_of(self.engine, self.id)}

    @property
    def ports(self) -> tuple[PublishedPort, ...]:
        """What is published of it on this host, while it runs."""
        return tuple(port for endpoint in endpoints_of(self.engine, self.id) for port in endpoint.ports)

    def address(self, port: int, protocol: str = "tcp") -> tuple[str, int]:
        """Host and port by which this host reaches a *port* of the container: ``("127.0.0.1", 49153)``.

        Known as soon as the container has been started.  A port that is not published is reached at the
        container's own address.

        Raises:
            WrongState: It is not running, or has no network.
            NotFound: The port is not published, and the container has no address that this host knows.
        """
        record = self.engine.record(self.id)
        status = read_state(self.engine.catalogue.directory(self.id)).status
        if status not in ("running", "paused", "restarting"):
            raise WrongState(f"container {record.name} has no address: it is {status}, start it first")
        network = record.options.network
        if network == "host":
            return "127.0.0.1", port
        if network.startswith("container:"):
            other = self.engine.container(network.removeprefix("container:"))
            return other.address(port, protocol)
        if is_mode(network):
            raise WrongState(
                f"container {record.name} has no address: it was made without a network; "
                f"give network='bridge', or ports={{{port}: 0}} to publish the port"
            )
        return reachable_address(endpoints_of(self.engine, self.id), port, protocol)


def endpoints_of(engine: Engine, container_id: str) -> list[Endpoint]:
    """The container's places on its networks now, in the order of its interfaces."""
    if not engine.has_networks:
        return []
    return engine.networks.endpoints_of(container_id)


def rename_on_networks(engine: Engine, container_id: str, old: str, new: str) -> None:
    """Let others find a container that runs by its new name, and not by the old one."""
    from container_kit.network import Membership
    from container_kit.network.values import dns_name

    for endpoint in endpoints_of(engine, container_id):
        try:
            names = [name for name in endpoint.names if name != old.lower()]
            names.insert(0, dns_name(new))
        except InvalidInput:
            pass  # a name that nobody can ask for
        membership = Membership(engine.networks.site, engine.networks.get(endpoint.network))
        with membership.locked():
            membership.write(attrs.evolve(endpoint, names=tuple(names)))


def reachable_address(endpoints: list[Endpoint], port: int, protocol: str) -> tuple[str, int]:
    """Where a port of a container with these endpoints is reached from the host.

    Raises:
        NotFound: Nowhere.
    """
    for endpoint in endpoints:
        for one in endpoint.ports:
            if (one.container_port, one.protocol) == (port, protocol):
                return _EVERYWHERE.get(one.host_ip, one.host_ip), one.host_port
    for endpoint in endpoints:
        if endpoint.link and endpoint.addresses:
            return endpoint.addresses[0], port
    raise NotFound("published port", f"{port}/{protocol}", "publish it: ports={…: 0}")
