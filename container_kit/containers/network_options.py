"""What a caller may say of a container's networks and published ports, in all the forms people know: pure.

The forms are those of docker's command line and of docker-py.  What comes out are the frozen words of
`container_kit.network`, which is imported only when there is something to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from container_kit.errors import InvalidInput

if TYPE_CHECKING:
    from container_kit.network.values import EndpointRequest, PortRequest, Shaping

__all__ = [
    "HOST_GATEWAY",
    "MODES",
    "as_egress",
    "as_endpoints",
    "as_hosts",
    "as_ports",
    "as_shaping",
    "check_address",
    "is_mode",
    "settle",
    "wishes_about",
]

MODES = ("none", "host")
DEFAULT_NETWORK = "bridge"
_OTHER_NAMES = {"default": DEFAULT_NETWORK, "private": DEFAULT_NETWORK}
_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")
HOST_GATEWAY = "host-gateway"


def is_mode(network: str) -> bool:
    """Whether *network* names no network but a way to do without one of one's own."""
    return network in MODES or network.startswith("container:")


# Networks.


def as_endpoints(value: Any) -> tuple[EndpointRequest, ...]:
    """The networks that *value* asks for: one or several, each a name, a Network or an EndpointRequest.

    A mapping gives what is special on each: ``{"shop": {"aliases": ["db"], "ipv4": "10.1.2.3"}}``.

    Raises:
        InvalidInput: It is something else.
    """
    if value in (None, (), [], {}):
        return ()
    if isinstance(value, Mapping):
        return tuple(_endpoint(name, **(special or {})) for name, special in value.items())
    if isinstance(value, list | tuple):
        return tuple(_endpoint(one) for one in value)
    return (_endpoint(value),)


def _endpoint(value: Any, **special: Any) -> EndpointRequest:
    from container_kit.network.values import EndpointRequest

    if isinstance(value, EndpointRequest):
        return value
    if isinstance(value, Mapping):  # as a record keeps it
        return EndpointRequest(**value)
    name = value if isinstance(value, str) else getattr(value, "name", None)
    if not isinstance(name, str):
        raise InvalidInput(f"network {value!r} is none: give a name, a Network, or a list of them")
    try:
        return EndpointRequest(network=_network_name(name), **special)
    except TypeError as error:
        raise InvalidInput(f"network {name!r}: {error}") from None


def _network_name(name: str) -> str:
    from container_kit.network.record import check_name

    if is_mode(name):
        raise InvalidInput(f"network {name!r} cannot be one of several: give it alone")
    name = _OTHER_NAMES.get(name, name)
    return name if re.fullmatch("[0-9a-f]{64}", name) else check_name(name)


def settle(
    network: str | tuple[EndpointRequest, ...],
    networks: tuple[EndpointRequest, ...],
    own: Mapping[str, Any],
    wishes: Iterable[str],
) -> tuple[str, tuple[EndpointRequest, ...]]:
    """What kind of network a container has, and which ones.

    Args:
        network: As it was given, empty for nothing.
        networks: Further ones.
        own: ``aliases``, ``ipv4``, ``ipv6`` and ``mac`` that were given for the first network.
        wishes: Names of the options that were given and need a network.

    Returns:
        ``none``, ``host``, ``container:NAME``, or the name of the first network; and all networks, the first
        one with what is its *own*.  The same comes out when that goes in again.

    Raises:
        InvalidInput: The wishes exclude each other; names them.
    """
    if network == "container:":
        raise InvalidInput("network 'container:' names no container: write container:NAME")
    first = () if isinstance(network, str) else network
    if isinstance(network, str) and is_mode(network):
        for wish in (*(["networks"] if networks else []), *wishes):
            raise InvalidInput(f"{wish} cannot be had with network={network!r}: leave one of them out")
        return network, ()
    if isinstance(network, str) and network and (not networks or networks[0].network != network):
        first = as_endpoints(network)
    asked = (*first, *networks)
    if not asked and not tuple(wishes):
        return "none", ()
    asked = asked or as_endpoints(DEFAULT_NETWORK)
    _check_apart(asked)
    return asked[0].network, (_with_own(asked[0], own), *asked[1:])


def _check_apart(asked: tuple[EndpointRequest, ...]) -> None:
    names = [one.network for one in asked]
    for name in names:
        if names.count(name) > 1:
            raise InvalidInput(f"network {name!r} is given twice: a container joins each network once")


def _with_own(request: EndpointRequest, own: Mapping[str, Any]) -> EndpointRequest:
    aliases = tuple(dict.fromkeys((*request.aliases, *own["aliases"])))
    given = {key: value for key, value in own.items() if value and key != "aliases"}
    return attrs.evolve(request, aliases=aliases, **given)


def wishes_about(options: Any) -> list[str]:
    """Which options that need a network were given."""
    names = ("ports", "publish_all", "aliases", "ip", "ip6", "mac", "shaping")
    found = [name for name in names if getattr(options, name)]
    return [*found, *(["egress"] if options.egress is not None else [])]


def as_egress(value: Iterable[str] | None) -> tuple[str, ...] | None:
    """Where a container may connect to; None for everywhere, empty for nowhere."""
    if value is None:
        return None
    return (value,) if isinstance(value, str) else tuple(str(word) for word in value)


def as_shaping(value: Any) -> Shaping | None:
    """A Shaping, or the mapping of its fields."""
    if value is None:
        return None
    from container_kit.network.values import Shaping

    if isinstance(value, Mapping):
        return Shaping(**value)
    if not isinstance(value, Shaping):
        raise InvalidInput(f"shaping {value!r} is none: write ck.Shaping(delay_ms=100)")
    return value


def as_hosts(value: Mapping[str, str] | Iterable[Any] | None) -> tuple[tuple[str, str], ...]:
    """Further lines of ``/etc/hosts``: ``{"name": "10.0.0.1"}`` or ``["name:10.0.0.1"]``, in order.

    ``host-gateway`` stands for the host as the container sees it.

    Raises:
        InvalidInput: A name or an address cannot be one.
    """
    if not value:
        return ()
    if isinstance(value, Mapping):
        pairs = [(str(name), str(address)) for name, address in value.items()]
    else:
        words = (value,) if isinstance(value, str) else value
        pairs = [_host(word) for word in words]
    for name, address in pairs:
        _check_host(name, address)
    return tuple(pairs)


def _host(word: Any) -> tuple[str, str]:
    if isinstance(word, tuple | list) and len(word) == 2:
        return str(word[0]), str(word[1])
    # An IPv6 address has colons of its own; docker takes `=` as well.
    name, _, address = str(word).replace("=", ":", 1).partition(":")
    return name, address.removeprefix("[").removesuffix("]")


def _check_host(name: str, address: str) -> None:
    if not name or any(character.isspace() or character in "#\0" for character in name):
        raise InvalidInput(f"extra_hosts: {name!r} cannot be a host's name")
    if address != HOST_GATEWAY:
        check_address(f"extra_hosts: {name}", address)


def check_address(what: str, text: str) -> None:
    """Refuse what is no IP address, said of *what*."""
    from ipaddress import ip_address

    try:
        ip_address(text)
    except ValueError:
        raise InvalidInput(f"{what}: {text!r} is no IP address such as 10.0.0.1 or fd00::1") from None


# Ports.


def as_ports(value: Any) -> tuple[PortRequest, ...]:
    """The ports that *value* asks to publish.

    Args:
        value: ``{8000: 0, "53/udp": ("0.0.0.0", 5353), 80: [8080, 8081]}`` by port inside, where 0 or None
            is a free port of the host; or words as after ``docker run -p``: ``"8080:80"``,
            ``"127.0.0.1:8000-8009:8000-8009/tcp"``, ``"80"``; or PortRequest values.

    Raises:
        InvalidInput: It is something else.
    """
    if value is None or (isinstance(value, list | tuple | dict) and not value):
        return ()
    if isinstance(value, Mapping):
        return tuple(_mapped(value))
    if isinstance(value, str | int) or not isinstance(value, Iterable):
        value = (value,)
    return tuple(_listed(one) for one in value)


def _listed(value: Any) -> PortRequest:
    from container_kit.network.values import PortRequest

    if isinstance(value, PortRequest):
        return value
    if isinstance(value, Mapping):  # as a record keeps it
        return PortRequest(**value)
    return _parse(str(value))


def _mapped(value: Mapping[Any, Any]) -> Iterator[PortRequest]:
    for inside, outside in value.items():
        several = outside if isinstance(outside, list) else [outside]
        for one in several:
            yield _parse(f"{_host_side(one)}:{inside}" if one else str(inside))


def _host_side(value: Any) -> str:
    """``8080``, ``"127.0.0.1:8080"``, ``("127.0.0.1", 8080)`` or ``("127.0.0.1",)``, as docker-py has it."""
    if isinstance(value, tuple):
        host = str(value[0])
        port = str(value[1]) if len(value) > 1 and value[1] else ""
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return str(value)


def _parse(text: str) -> PortRequest:
    """One port as after ``docker run -p``: ``[[ADDRESS:]HOST_PORT:]PORT[/PROTOCOL]``; ports may be ranges."""
    from container_kit.network.values import PortRequest

    sides, _, protocol = text.partition("/")
    host, _, inside = sides.rpartition(":")
    address, _, outside = host.rpartition(":")
    first, count = _range(text, inside)
    host_port, host_count = (0, count) if outside in ("", "0") else _range(text, outside)
    if host_count != count:
        raise InvalidInput(f"port {text!r}: the range of the host has {host_count} ports, the other {count}")
    given: Any = (protocol or "tcp").lower()
    return PortRequest(first, given, address.removeprefix("[").removesuffix("]"), host_port, count)


def _range(text: str, words: str) -> tuple[int, int]:
    """The first port and how many."""
    match = _PORT.fullmatch(words)
    first = int(match[1]) if match else 0
    last = int(match[2] or first) if match else 0
    if match is None or last < first:
        raise InvalidInput(
            f"port {text!r} is not written like 8080:80, 127.0.0.1:8080:80/tcp or 8000-8009:8000-8009"
        )
    return first, last - first + 1
