"""An endpoint: one container's place on one network, as a file that C can read too.

Lines of ``key value``.  A line with a key that is not known here is passed over, so that a later version may
add some; keys that may come several times are ``name``, ``port``, ``dns`` and ``resolve``.
"""

from __future__ import annotations

from container_kit._values import frozen
from container_kit.errors import CorruptData
from container_kit.network.values import PublishedPort

__all__ = ["Endpoint"]

_SINGLE = ("interface", "link", "mac", "ipv4", "ipv6", "gateway4", "gateway6")


@frozen(kw_only=True)
class Endpoint:
    """One container's place on one network.

    Args:
        owner: Whose it is: 64 hex digits.
        network: Id of the network; network_name: its name.
        interface: Name inside the container, such as ``eth0``.
        link: Name of the other end on the host; empty when there is none.
        mac: ``02:42:0a:59:01:02``; empty when the driver gives none.
        ipv4, ipv6: Address with prefix length, such as ``10.89.1.2/24``; empty when there is none.
        gateway4, gateway6: Where the default route leads; empty when there is none.
        names: By which others on the network find it, lower case.
        ports: What is published of it on the host.
        dns: Servers that are asked of names of the outside for it; empty for the network's.  At most three.
        resolve: Names of the outside that it may ask for; None for all, because its names can carry anything
            out, also where nothing else gets through.

    Empty strings stand for what is not there, because that is how the file leaves it out.
    """

    owner: str
    network: str
    network_name: str = ""
    interface: str = ""
    link: str = ""
    mac: str = ""
    ipv4: str = ""
    ipv6: str = ""
    gateway4: str = ""
    gateway6: str = ""
    names: tuple[str, ...] = ()
    ports: tuple[PublishedPort, ...] = ()
    dns: tuple[str, ...] = ()
    resolve: tuple[str, ...] | None = None

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses without their prefix lengths, IPv4 first."""
        return tuple(text.partition("/")[0] for text in (self.ipv4, self.ipv6) if text)

    def to_text(self) -> str:
        """The file's content."""
        lines = [f"{key} {value}" for key in _SINGLE if (value := getattr(self, key))]
        lines += [f"name {name}" for name in self.names]
        lines += [f"port {port}" for port in self.ports]
        lines += [f"dns {server}" for server in self.dns]
        if self.resolve is not None:
            lines += [f"resolve {name}" for name in self.resolve or ("",)]
        return "".join(f"{line}\n" for line in lines)

    @classmethod
    def from_text(cls, text: str, *, owner: str, network: str, network_name: str = "") -> Endpoint:
        """The inverse of :meth:`to_text`.

        Raises:
            CorruptData: A line cannot be understood.
        """
        single: dict[str, str] = {}
        several: dict[str, list[str]] = {"name": [], "port": [], "dns": [], "resolve": []}
        for line in text.splitlines():
            key, _, value = line.partition(" ")
            if key in _SINGLE:
                single[key] = value
            elif key in several:
                several[key].append(value)
        return cls(
            owner=owner,
            network=network,
            network_name=network_name,
            names=tuple(several["name"]),
            ports=tuple(_port(text, owner) for text in several["port"]),
            dns=tuple(several["dns"]),
            resolve=tuple(name for name in several["resolve"] if name) if several["resolve"] else None,
            **single,
        )


def _port(text: str, owner: str) -> PublishedPort:
    try:
        return PublishedPort.parse(text)
    except ValueError as error:
        raise CorruptData(f"the endpoint of {owner[:12]} has a port {text!r} ({error}): stop it") from None
