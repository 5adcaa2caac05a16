"""What this kernel can do for networks, tried in a namespace that nobody sees, and who else filters here.

For ``container-kit doctor``; nothing of the host is changed.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable, Iterator

from container_kit._values import frozen
from container_kit.errors import ContainerKitError, KernelError
from container_kit.native.namespaces import NetworkNamespace, new_network
from container_kit.native.netfilter import ask, tell
from container_kit.native.own_ids import needs_namespace
from container_kit.native.user_namespace import enter_fd
from container_kit.network import firewall, shaping
from container_kit.network.firewall_messages import NETFILTER, Table, batch
from container_kit.network.record import NetworkRecord, Subnet
from container_kit.network.values import Shaping

__all__ = ["FirewallFacts", "probe_firewall"]

_ANY_NETWORK = NetworkRecord(
    id="0" * 64,
    name="probe",
    subnets=(Subnet("192.0.2.0/24", "192.0.2.1"), Subnet("2001:db8::/64", "2001:db8::1")),
)
_LOOPBACK_INDEX = 1
_OWN = "ckit_"
_FAMILIES = {1: "inet", 2: "ip", 10: "ip6"}
_FORWARD, _DROP = 2, 0
_HEADER = struct.Struct("=IHHII")
_GET_CHAINS = 10 << 8 | 4
_REQUEST_DUMP = 0x301
_NEW_CHAIN = 10 << 8 | 3
_TABLE, _NAME, _HOOK, _POLICY = 1, 3, 4, 5


@frozen
class FirewallFacts:
    """What was found.

    Args:
        missing: Why networks cannot have a firewall; empty when they can.
        can_keep: Whether rules can be kept from being flushed at all (Linux 6.9).
        can_limit, can_lose, can_delay: What a network's shaping can be.
        dropping: Chains of others that drop forwarded packets unless told not to: ``inet filter forward``.
    """

    missing: str = ""
    can_keep: bool = False
    can_limit: bool = False
    can_lose: bool = False
    can_delay: bool = False
    dropping: tuple[str, ...] = ()


def probe_firewall() -> FirewallFacts:
    """Try it.

    Raises:
        PermissionMissing: This user cannot make a network namespace.
    """
    with contextlib.closing(new_network(enter_fd() or None)) as place:
        try:
            firewall.set_up(_ANY_NETWORK, place)
        except ContainerKitError as error:
            return FirewallFacts(missing=str(error))
        owned = Table("inet", "owned")
        lossy = list(shaping.loss_messages(0.5, "lo"))
        return FirewallFacts(
            can_keep=_works(place, NETFILTER, lambda: batch([owned.new(owned=True)])),
            can_limit=_works(place, 0, lambda: shaping.rate_message(1_000_000, _LOOPBACK_INDEX)),
            can_lose=_works(place, NETFILTER, lambda: batch(lossy)),
            can_delay=_works(place, 0, lambda: shaping.delay_message(Shaping(delay_ms=1), _LOOPBACK_INDEX)),
            # The filter of the host is not in the way of an ordinary user's networks, nor to be read.
            dropping=() if needs_namespace() else tuple(_dropping_chains()),
        )


def _works(place: NetworkNamespace, protocol: int, message: Callable[[], bytes]) -> bool:
    with place.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as asked:
        try:
            tell(asked.fileno(), message(), "")
        except KernelError:
            return False
        return True


def _dropping_chains() -> Iterator[str]:
    """Chains of this host at the hook *forward* whose policy is to drop."""
    question = _HEADER.pack(_HEADER.size + 4, _GET_CHAINS, _REQUEST_DUMP, 1, 0) + bytes(4)
    with NetworkNamespace.here().socket(socket.AF_NETLINK, socket.SOCK_RAW, NETFILTER) as asked:
        answer = ask(asked.fileno(), question, "cannot list the firewall's chains")
    while len(answer) >= _HEADER.size:
        size, kind, *_ = _HEADER.unpack_from(answer)
        if kind == _NEW_CHAIN:
            found = dict(_attributes(answer[_HEADER.size + 4 : size]))
            family = _FAMILIES.get(answer[_HEADER.size])
            table = _text(found.get(_TABLE, b""))
            if family and _drops(found) and not table.startswith(_OWN):
                yield f"{family} {table} {_text(found.get(_NAME, b''))}"
        answer = answer[(size + 3) & ~3 :]


def _drops(chain: dict[int, bytes]) -> bool:
    hook = dict(_attributes(chain.get(_HOOK, b"")))
    return _number(hook.get(1)) == _FORWARD and _number(chain.get(_POLICY)) == _DROP


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 4:
        size, kind = struct.unpack_from("=HH", data)
        if size < 4:
            return
        yield kind & 0x3FFF, data[4:size]
        data = data[(size + 3) & ~3 :]


def _number(value: bytes | None) -> int | None:
    return None if value is None else int.from_bytes(value, "big")


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode(errors="replace")
