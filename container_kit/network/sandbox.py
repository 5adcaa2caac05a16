"""One container's network while it runs: a namespace with interfaces that are up before the program is.

Order of making: ports and addresses are chosen and held, the caller is told what undoes the rest, and only
then anything else exists.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Self

from container_kit.errors import InvalidInput
from container_kit.native.namespaces import NetworkNamespace, new_network
from container_kit.native.user_namespace import enter_fd
from container_kit.network.egress import Wall, resolve
from container_kit.network.joining import Joining
from container_kit.network.keeper import MOST_SERVERS
from container_kit.network.ports import hold
from container_kit.network.shaping import shape
from container_kit.network.values import EndpointRequest, PortRequest, PublishedPort, Shaping, Undo

if TYPE_CHECKING:
    from container_kit.native.descriptors import Descriptor
    from container_kit.network.endpoint import Endpoint
    from container_kit.network.holder import Lifeline
    from container_kit.network.state import Networks

__all__ = ["NetworkSandbox"]

# Before any interface is there.  IPv6 is switched on for each interface that has an address of it; nobody's
# router advertisement is believed (CVE-2020-10749).
_SETTINGS = (
    ("net/ipv6/conf/default/disable_ipv6", "1"),
    ("net/ipv6/conf/default/accept_ra", "0"),
    ("net/ipv6/conf/all/accept_ra", "0"),
)

# A name that nobody has (RFC 6761): with it alone, no name of the outside can be asked for.
_NO_NAME = "invalid"


class NetworkSandbox:
    """The network of one container, from before its program runs to after its end.

    Attributes:
        namespace: The container's; held as long as this object is open.
        endpoints: Its places on networks, in the order asked for.
        ports: What is published.
        held: Descriptors that keep the published ports from others: whoever outlives the caller gets copies.
        hosts: Names and addresses for its ``/etc/hosts``: where its allow-list lets it connect to.
        dns: Addresses that answer for names of the networks; empty when the host's servers are to be asked.
        undo: What takes the container off all of it when nobody who knew it is left.
    """

    def __init__(self, networks: Networks, owner: str) -> None:
        self.networks, self.owner = networks, owner
        self.namespace = NetworkNamespace()
        self.ports: tuple[PublishedPort, ...] = ()
        self.held: tuple[Descriptor, ...] = ()
        self.hosts: tuple[tuple[str, str], ...] = ()
        self._lifeline: Lifeline | None = None
        self._joined: list[Joining] = []
        self._lock = threading.Lock()

    @classmethod
    def open(
        cls,
        networks: Networks,
        owner: str,
        requests: Sequence[EndpointRequest],
        *,
        names: Iterable[str],
        ports: Sequence[PortRequest] = (),
        egress: Sequence[str] | None = None,
        shaping: Shaping | None = None,
        dns: Sequence[str] = (),
        user_namespace: int | None = None,
        announce: Callable[[Undo], None],
    ) -> NetworkSandbox:
        """A network for a container.

        Args:
            owner: The container's id, 64 hex digits.
            requests: The networks to be on; none for a namespace with a loopback alone.
            names: By which others find it, beside the aliases: its name and its hostname.
            ports: What to publish on the host.
            egress: Where it may connect to, such as ``10.0.0.0/8`` or ``example.org:443``; None: anywhere.
            shaping: How bad its network shall be.
            dns: Servers that are asked for it; empty for those of its networks.
            user_namespace: Descriptor of the user namespace that the container has, if it has one.
            announce: Called once with what undoes it all, before any of that exists.

        Raises:
            NotFound: A network does not exist.
            Conflict: An address or a port is taken; says by whom.
            LimitExceeded: A network has no address left.
            PermissionMissing: The caller may not make networks.
        """
        sandbox = cls(networks, owner)
        try:
            sandbox._lifeline = networks.lifeline() if requests else None
            sandbox._prepare(requests, tuple(names))
            sandbox._publish(ports)
            for joining in sandbox._joined:
                joining.change(dns=tuple(dns[:MOST_SERVERS]))
            wall = None if egress is None else sandbox._wall(egress)
            announce(sandbox.undo)
            sandbox._establish(user_namespace, wall, shaping)
        except BaseException:
            sandbox.close()
            raise
        return sandbox

    def _prepare(self, requests: Sequence[EndpointRequest], names: Sequence[str]) -> None:
        has_gateway = False
        for request in requests:
            network = self.networks.get(request.network)
            if any(one.network.id == network.id for one in self._joined):
                raise InvalidInput(f"a container is on network {network.name!r} once: it was asked for twice")
            joining = Joining(
                self.networks,
                network,
                self.owner,
                request,
                names=names,
                others=self.endpoints,
                with_gateway=not has_gateway,
            )
            self._joined.append(joining)
            joining.decide()
            has_gateway = has_gateway or bool(joining.endpoint.gateway4 or joining.endpoint.gateway6)

    def _publish(self, ports: Sequence[PortRequest]) -> None:
        """Hold the ports, and let the first network that can publish them do so."""
        if not ports:
            return
        joining = next((one for one in self._joined if one.publishes), None)
        if joining is None:
            raise InvalidInput(
                "ports are published by a bridge network that is not internal, or by CNI plugins that can: "
                "add such a network, or drop them"
            )
        found = hold(ports, self.networks.site)
        self.held = tuple(one.socket for one in found)
        self.ports = tuple(one.port for one in found)
        joining.change(ports=self.ports)

    def _wall(self, egress: Sequence[str]) -> Wall:
        """Where the container may connect to; its name servers tell it these names alone."""
        subnets = [subnet.subnet for joining in self._joined for subnet in joining.network.subnets]
        wall = resolve(egress, members=self._members_named, servers=self.dns, subnets=subnets)
        self.hosts = wall.hosts
        for joining in self._joined:
            joining.change(resolve=wall.names or (_NO_NAME,))
        return wall

    def _members_named(self, name: str) -> list[str]:
        """The addresses of those on the container's networks that have this name there."""
        others = [one for joining in self._joined for one in joining.membership.endpoints()]
        return [address for one in others if name in one.names for address in one.addresses]

    def _establish(self, user_namespace: int | None, wall: Wall | None, shaping: Shaping | None) -> None:
        self.namespace = new_network(user_namespace or enter_fd() or None, _SETTINGS)
        if wall is not None:
            wall.build(self.namespace)
        for joining in self._joined:
            joining.join(self.namespace)
            if shaping is not None:
                shape(shaping, joining.endpoint, self.namespace, self.networks.site.host)
        if self._lifeline is not None:
            self._open_doors(self._lifeline)

    def _open_doors(self, lifeline: Lifeline) -> None:
        """Have the holder pass on what comes to the ports; its connection is held like them from now on."""
        from container_kit.network.holder import open_doors

        addresses = next((one.endpoint.addresses for one in self._joined if one.endpoint.ports), ())
        open_doors(lifeline, self.ports, self.held, addresses)
        self.held = (*self.held, lifeline.give_up())

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The container's places on networks, in the order asked for."""
        return tuple(joining.endpoint for joining in self._joined)

    @property
    def dns(self) -> tuple[str, ...]:
        """Addresses that answer for names of the networks; empty when the host's servers are to be asked."""
        found = (joining.network for joining in self._joined if joining.network.driver == "bridge")
        return tuple(subnet.gateway for network in found for subnet in network.subnets)

    @property
    def undo(self) -> Undo:
        """What takes the container off all of it when nobody who knew it is left."""
        whole = Undo()
        for joining in self._joined:
            whole += joining.undo
        # Who undoes it is not in the holder's namespace; there the kernel's part goes with its network.
        return Undo(whole.files) if self._lifeline is not None else whole

    def check(self) -> None:
        """Whether all of it is as it was made, as far as drivers can tell: CNI plugins can.

        Raises:
            StartFailed: It is not; in a plugin's words.
        """
        for joining in self._joined:
            joining.check(self.namespace)

    def let_go(self) -> None:
        """Close what this process holds of it; the container stays on its networks, another one holds it."""
        with self._lock:
            self._joined = []
            self._close_held()

    def _close_held(self) -> None:
        for socket in self.held:
            socket.close()
        self.held = ()
        if self._lifeline is not None:
            self._lifeline.connection.close()
        self.namespace.close()

    def close(self) -> None:
        """Take the container off its networks; what is in its namespace goes with that.  May be repeated.

        For after the container's end: its processes must not use the addresses any longer.
        """
        with self._lock:
            while self._joined:
                with contextlib.suppress(FileNotFoundError):
                    self._joined[-1].leave(None, self.namespace)
                self._joined.pop()
            self._close_held()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
