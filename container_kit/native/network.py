"""Links, addresses and routes of a network namespace, by netlink; see ``_native/net_links.c``.

Addresses are written as people write them: ``10.89.1.2/24``, and gateways without a prefix length.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator, Sequence
from typing import Any

from container_kit._values import frozen
from container_kit.errors import KernelError, NameInUse, PermissionMissing, UnsupportedFeature
from container_kit.native._binding import check, ffi, lib
from container_kit.native.namespaces import NetworkNamespace

__all__ = [
    "NETLINK_NETFILTER",
    "NETLINK_ROUTE",
    "Link",
    "Route",
    "add_macvlan",
    "add_pair",
    "add_vlan",
    "configure",
    "delete_link",
    "delete_message",
    "ensure_bridge",
    "find_link",
    "forget_neighbours",
    "routes",
    "set_default_route",
    "set_neighbours",
    "wait_settled",
]

NETLINK_ROUTE, NETLINK_NETFILTER = 0, 12
MACVLAN_MODES = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}
_WORDS = 128
_IFNAMSIZ = 16


@frozen
class Link:
    """A link as it is at this moment; the counters are its own, so *received* is what came to it."""

    index: int
    up: bool
    mtu: int
    mac: str
    name: str
    kind: str
    received_bytes: int
    received_packets: int
    received_errors: int
    received_dropped: int
    sent_bytes: int
    sent_packets: int
    sent_errors: int
    sent_dropped: int


@frozen
class Route:
    """A route of the main table: *target* such as ``10.1.0.0/16`` (``0.0.0.0/0`` is a default route)."""

    target: str
    link: int


def ensure_bridge(place: NetworkNamespace, name: str, *, mac: str, mtu: int, addresses: Sequence[str]) -> int:
    """A bridge that is up and has these addresses; its index.  May be repeated.

    Raises:
        NameInUse: There is a link of this name that is no bridge, or has another MAC address.
        PermissionMissing: The caller has no CAP_NET_ADMIN.
        KernelError: In the kernel's words.
    """
    text = ffi.new("char[]", name.encode())
    bridge = ffi.new("struct ck_net_bridge *")
    bridge.name, bridge.mtu = text, mtu
    bridge.mac = list(_mac(mac))
    for number, address in enumerate(addresses):
        _fill(bridge.addresses[number], address)
    try:
        _talk(place, lib.ck_net_bridge, bridge, doing=f"cannot make the bridge {name}")
    except KernelError as error:
        if error.errno == errno.EEXIST:
            raise NameInUse("network link", name, "somebody else") from None
        raise
    found = find_link(place, name)
    assert found is not None
    return found.index


def add_pair(
    place: NetworkNamespace,
    name: str,
    *,
    inner: str,
    inside: NetworkNamespace,
    bridge: int,
    mac: str,
    mtu: int,
    isolated: bool = False,
    hairpin: bool = False,
) -> None:
    """A pair of interfaces: *name* here, in the bridge with that index, up; *inner* inside, down.

    Args:
        isolated: Whether other members that are isolated, too, are out of reach.
        hairpin: Whether it may reach itself by an address that is translated to its own.

    Raises:
        KernelError: In the kernel's words; with EEXIST when one of the names is taken.
    """
    texts = ffi.new("char[]", name.encode()), ffi.new("char[]", inner.encode())
    pair = ffi.new("struct ck_net_pair *")
    pair.name, pair.inner = texts
    pair.bridge, pair.namespace, pair.mtu = bridge, inside.held.fileno(), mtu
    pair.isolated, pair.hairpin = isolated, hairpin
    pair.mac = list(_mac(mac))
    _talk(place, lib.ck_net_pair, pair, doing=f"cannot make the interface {inner}")


def add_macvlan(
    place: NetworkNamespace,
    parent: int,
    *,
    inner: str,
    inside: NetworkNamespace,
    mac: str,
    mtu: int,
    mode: str = "bridge",
) -> None:
    """An interface inside, with a MAC address of its own on the link with index *parent*."""
    text = ffi.new("char[]", inner.encode())
    made = ffi.new("struct ck_net_macvlan *")
    made.inner, made.parent, made.namespace, made.mtu = text, parent, inside.held.fileno(), mtu
    made.mac, made.mode = list(_mac(mac)), MACVLAN_MODES[mode]
    _talk(place, lib.ck_net_macvlan, made, doing=f"cannot make the interface {inner}")


def add_vlan(place: NetworkNamespace, name: str, parent: int, tag: int) -> None:
    """A link with an 802.1Q tag on the link with index *parent*; KernelError with EEXIST when it is there."""
    with place.routing() as route:
        words = ffi.new("char[]", _WORDS)
        result = lib.ck_net_vlan(route, name.encode(), parent, tag, words)
        _check(result, words, f"cannot make the link {name}")


def configure(
    inside: NetworkNamespace, name: str, *, addresses: Sequence[str], gateways: Sequence[str]
) -> None:
    """Give an interface its addresses (``10.89.1.2/24``) and default routes, and set it up."""
    text = ffi.new("char[]", name.encode())
    wish = ffi.new("struct ck_net_interface *")
    wish.name = text
    for number, address in enumerate(addresses):
        _fill(wish.addresses[number], address)
    for number, gateway in enumerate(gateways):
        _fill(wish.gateways[number], gateway)
    _talk(inside, lib.ck_net_configure, wish, doing=f"cannot give {name} its addresses")


def set_neighbours(place: NetworkNamespace, index: int, addresses: Sequence[str], mac: str) -> None:
    """Let the link with that index know where at most two addresses are, as if they had just answered.

    A host that knows as many neighbours as it may (``net.ipv4.neigh.default.gc_thresh3``) learns nothing by
    this: the first packet has to ask, as always.
    """
    with place.routing() as route:
        words = ffi.new("char[]", _WORDS)
        result = lib.ck_net_neighbours(route, index, _addresses(addresses), _mac(mac), words)
        if result != -errno.ENOBUFS:
            _check(result, words, "cannot tell a link of its neighbours")


def forget_neighbours(place: NetworkNamespace, index: int, addresses: Sequence[str]) -> None:
    """Take from the link with that index what it knows of at most two addresses; nothing is no error."""
    with place.routing() as route:
        words = ffi.new("char[]", _WORDS)
        result = lib.ck_net_neighbours(route, index, _addresses(addresses), ffi.NULL, words)
        if result not in (-errno.ENOENT, -errno.ENODATA, -errno.ENODEV):
            _check(result, words, "cannot let a link forget its neighbours")


def _addresses(addresses: Sequence[str]) -> Any:
    wish = ffi.new("struct ck_net_address[2]")
    for number, address in enumerate(addresses):
        _fill(wish[number], address)
    return wish


def wait_settled(place: NetworkNamespace, address: str, limit_s: float) -> bool:
    """Wait until packets to *address* are taken in as the namespace's own; whether they are.

    IPv4 needs no wait.  A new address of IPv6 is in force when a worker of the kernel's has had its turn.
    """
    wish = ffi.new("struct ck_net_address *")
    _fill(wish, address)
    with place.routing() as route:
        result = lib.ck_net_settled(route, wish, int(limit_s * 1000))
    return bool(check(result, f"cannot look up the way to {address}"))


def set_default_route(inside: NetworkNamespace, name: str, gateway: str) -> None:
    """Let what has no other way go by *gateway*, on the interface *name*."""
    address = ffi.new("struct ck_net_address *")
    _fill(address, gateway)
    with inside.routing() as route:
        words = ffi.new("char[]", _WORDS)
        result = lib.ck_net_default_route(route, name.encode(), address, words)
        _check(result, words, f"cannot set the default route by {gateway}")


def delete_link(place: NetworkNamespace, name: str) -> bool:
    """Remove a link; whether it was there."""
    with place.routing() as route:
        words = ffi.new("char[]", _WORDS)
        result = lib.ck_net_delete(route, name.encode(), words)
        if result != -errno.ENODEV:
            _check(result, words, f"cannot remove the link {name}")
    return bool(result == 0)


def delete_message(name: str) -> tuple[int, bytes]:
    """Protocol and bytes of the message that does the same, for somebody else to send."""
    data = ffi.new("char[256]")
    length = check(lib.ck_net_delete_message(name.encode(), data, len(data)), f"no link can be named {name}")
    return NETLINK_ROUTE, bytes(ffi.buffer(data, length))


def find_link(place: NetworkNamespace, name: str | int) -> Link | None:
    """The link of this name, or with this index; None when there is none."""
    link = ffi.new("struct ck_net_link *")
    wanted = (ffi.NULL, name) if isinstance(name, int) else (name.encode(), 0)
    with place.routing() as route:
        result = lib.ck_net_link(route, *wanted, link)
    if result == -errno.ENODEV:
        return None
    check(result, f"cannot look up the link {name}")
    return Link(
        link.index,
        bool(link.up),
        link.mtu,
        bytes(link.mac).hex(":"),
        bytes(ffi.string(link.name)).decode("utf-8", "replace"),
        bytes(ffi.string(link.kind)).decode("utf-8", "replace"),
        *(getattr(link, f"{way}_{what}") for way in ("received", "sent") for what in _COUNTERS),
    )


_COUNTERS = ("bytes", "packets", "errors", "dropped")


def routes(place: NetworkNamespace, family: int = socket.AF_INET) -> list[Route]:
    """The routes of the main table, in the kernel's order."""
    found = ffi.gc(ffi.new("struct ck_net_routes *"), lib.ck_net_routes_free)
    with place.routing() as route:
        check(lib.ck_net_routes(route, family, found), "cannot read the routes")
    return list(_routes(found, family))


def _routes(found: Any, family: int) -> Iterator[Route]:
    size = 4 if family == socket.AF_INET else 16
    for number in range(found.count):
        one = found.routes[number]
        address = socket.inet_ntop(family, bytes(one.target.bytes)[:size])
        yield Route(f"{address}/{one.target.prefix}", one.link)


def _fill(address: Any, text: str) -> None:
    """Write ``10.89.1.2/24`` or ``10.89.1.1`` into a C structure; an empty text leaves it empty."""
    if not text:
        return
    number, _, prefix = text.partition("/")
    address.family = socket.AF_INET6 if ":" in number else socket.AF_INET
    packed = socket.inet_pton(address.family, number)
    ffi.memmove(address.bytes, packed, len(packed))
    address.prefix = int(prefix) if prefix else 8 * len(packed)


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _talk(place: NetworkNamespace, function: Any, wish: Any, *, doing: str) -> None:
    words = ffi.new("char[]", _WORDS)
    with place.routing() as route:
        _check(function(route, wish, words), words, doing)


def _check(result: int, words: Any, doing: str) -> None:
    """As `check`, with the kernel's own words, which say more than an errno."""
    if result >= 0:
        return
    said = bytes(ffi.string(words)).decode("utf-8", "replace")
    why = f"{os.strerror(-result)}" + (f" ({said})" if said else "")
    if result == -errno.EPERM:
        raise PermissionMissing(
            -result, f"{doing}: {why}; networks need CAP_NET_ADMIN: run as root, or rootless"
        )
    if result == -errno.EOPNOTSUPP:
        raise UnsupportedFeature(f"{doing}: this kernel has no links of this kind ({why})")
    raise KernelError(-result, f"{doing}: {why}")
