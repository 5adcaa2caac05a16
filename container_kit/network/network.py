"""Network: a face for the networks of a store root."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from container_kit._lazy import borrowed
from container_kit.errors import Conflict, NotFound, with_typed_errors
from container_kit.network.record import NetworkOptions, NetworkRecord

if TYPE_CHECKING:
    from container_kit.network.endpoint import Endpoint
    from container_kit.network.state import Networks

__all__ = ["HasNetworks", "Network"]


class HasNetworks(Protocol):
    """What knows the networks of a root: an Engine."""

    @property
    def networks(self) -> Networks: ...


class _Connectable(Protocol):
    """A Container, or its name."""

    @property
    def id(self) -> str: ...


@with_typed_errors
class Network:
    """A network that containers of one store root are on.

    In a ``with`` block it is removed at the end, when it was made by :meth:`create` here.
    Two are equal when they are the same network.

    """

    def __init__(self, networks: Networks, record: NetworkRecord, *, is_made: bool = False) -> None:
        self._networks, self._record, self._is_made = networks, record, is_made

    @classmethod
    def create(
        cls,
        name: str,
        *,
        driver: str = "bridge",
        subnets: Iterable[str] = (),
        gateways: Iterable[str] = (),
        ip_range: str | None = None,
        internal: bool = False,
        ipv6: bool = False,
        mtu: int | None = None,
        labels: Mapping[str, str] | None = None,
        options: Mapping[str, str] | None = None,
        dns: Iterable[str] = (),
        isolate: bool = True,
        engine: HasNetworks | None = None,
    ) -> Network:
        """A new network; nothing of it exists in the kernel before its first container.

        Args:
            name: Up to 128 letters, digits, ``_``, ``.`` and ``-``.
            driver: ``bridge``, ``macvlan``, ``cni``, or the name of a driver that is installed.
            subnets: Such as ``["10.1.2.0/24", "fd00:1::/64"]``; empty for free ones.
            gateways: The host's address in each subnet; empty for the first of each.
            ip_range: Part of a subnet from which addresses are given.
            internal: Whether it has no way out.
            ipv6: Whether it has IPv6 too, when *subnets* does not say.
            mtu: Largest packet in bytes; None for that of the host's way out.
            labels: Yours; nothing here reads them.
            options: For the driver.
            dns: Servers that names of the outside are asked of; empty for the host's.
            isolate: Whether containers of other networks are kept out.
            engine: Whose network it is; None for the default engine.

        Raises:
            NameInUse: There is a network of this name.
            Conflict: A subnet overlaps one that is in use; says by what.
            InvalidInput, UnsupportedFeature: There cannot be such a network.
        """
        wish = NetworkOptions(
            driver=driver,
            subnets=subnets,
            gateways=gateways,
            ip_range=ip_range,
            internal=internal,
            ipv6=ipv6,
            mtu=mtu,
            labels=labels or {},
            options=options or {},
            dns=dns,
            isolate=isolate,
        )
        networks = _networks_of(engine)
        return cls(networks, networks.create(name, wish), is_made=True)

    @classmethod
    def get(cls, name: str, *, engine: HasNetworks | None = None) -> Network:
        """The network with this name, id, or unique beginning of an id.

        Raises:
            NotFound: There is none; has the names that there are.
        """
        networks = _networks_of(engine)
        return cls(networks, networks.get(name))

    @classmethod
    def list(
        cls,
        *,
        labels: Mapping[str, str] | None = None,
        match: Callable[[NetworkRecord], bool] | None = None,
        engine: HasNetworks | None = None,
    ) -> list[Network]:
        """The networks by name, those that every root has among them.

        Args:
            labels: Only those that have all of these.
            match: Only those for which this returns True.
        """
        networks = _networks_of(engine)
        return [
            cls(networks, record)
            for record in networks.list()
            if (labels or {}).items() <= record.options.labels.items() and (match is None or match(record))
        ]

    @classmethod
    def prune(
        cls, *, match: Callable[[NetworkRecord], bool] | None = None, engine: HasNetworks | None = None
    ) -> Any:
        """Remove all networks that no container is on; returns their names."""
        return [record.name for record in _networks_of(engine).prune(match)]

    @property
    def record(self) -> NetworkRecord:
        """What it is: subnets that nobody gave may change while no container is on it."""
        with contextlib.suppress(NotFound):  # removed: what it was
            self._record = self._networks.get(self._record.id)
        return self._record

    @property
    def id(self) -> str:
        """64 hex digits."""
        return self._record.id

    @property
    def name(self) -> str:
        """As it was given."""
        return self._record.name

    @property
    def driver(self) -> str:
        """The driver's name."""
        return self.record.driver

    @property
    def subnets(self) -> tuple[str, ...]:
        """Its subnets, such as ``("10.89.1.0/24",)``."""
        return tuple(subnet.subnet for subnet in self.record.subnets)

    @property
    def gateways(self) -> tuple[str, ...]:
        """The host's address in each subnet."""
        return tuple(subnet.gateway for subnet in self.record.subnets)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The containers that are on it now, and where."""
        return tuple(self._networks.endpoints(self.id))

    def remove(self) -> None:
        """Remove it.

        Raises:
            Conflict: Containers are on it; says which.
            NotFound: It has been removed.
        """
        self._networks.remove(self.id)

    def inspect(self) -> dict[str, Any]:
        """What it is, in the form that ``docker network inspect`` has."""
        record = self.record
        return {
            "Name": record.name,
            "Id": record.id,
            "Created": _time(record.created_ns),
            "Scope": "local",
            "Driver": record.driver,
            "EnableIPv4": record.ipv4 is not None,
            "EnableIPv6": record.ipv6 is not None,
            "IPAM": {
                "Driver": "default",
                "Options": {},
                "Config": [
                    {
                        "Subnet": one.subnet,
                        **({"IPRange": one.ip_range} if one.ip_range else {}),
                        "Gateway": one.gateway,
                    }
                    for one in record.subnets
                ],
            },
            "Internal": record.options.internal,
            "Attachable": False,
            "Ingress": False,
            "ConfigFrom": {"Network": ""},
            "ConfigOnly": False,
            "Containers": {one.owner: _container(one) for one in self.endpoints},
            "Options": dict(record.options.options),
            "Labels": dict(record.options.labels),
        }

    def connect(
        self,
        container: _Connectable | str,
        *,
        aliases: Iterable[str] = (),
        ipv4: str | None = None,
        ipv6: str | None = None,
        mac: str | None = None,
    ) -> None:
        """Put a container on this network, which may be running.

        Args:
            aliases: Further names by which others on this network find it.
            ipv4, ipv6: The address to have; None for one that is free.
            mac: None for one made from the address.

        Raises:
            Conflict: It is on this network already, or the address is taken.
            WrongState: It has no network namespace of its own.
        """
        connect = borrowed("container_kit.containers.connecting:connect")
        connect(self, container, aliases=tuple(aliases), ipv4=ipv4, ipv6=ipv6, mac=mac)

    def disconnect(self, container: _Connectable | str, *, force: bool = False) -> None:
        """Take a container off this network, which may be running.

        Args:
            force: Also when the container is not known any more.

        Raises:
            NotFound: It is not on this network.
        """
        borrowed("container_kit.containers.connecting:disconnect")(self, container, force=force)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._is_made:
            return
        try:
            self.remove()
        except NotFound:
            return
        except Conflict:
            if kind is None:  # what went wrong first matters more
                raise

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Network) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"Network({self.name!r}, id={self.id[:12]!r})"


def _time(created_ns: int) -> str:
    moment = datetime.datetime.fromtimestamp(created_ns // 10**9, datetime.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{created_ns % 10**9:09d}Z"


def _container(endpoint: Endpoint) -> dict[str, str]:
    return {
        "Name": next(iter(endpoint.names), ""),
        "EndpointID": endpoint.link,
        "MacAddress": endpoint.mac,
        "IPv4Address": endpoint.ipv4,
        "IPv6Address": endpoint.ipv6,
    }


def _networks_of(engine: HasNetworks | None) -> Networks:
    if engine is not None:
        return engine.networks
    found: HasNetworks = borrowed("container_kit.containers.engine:Engine").default()
    return found.networks
