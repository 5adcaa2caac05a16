"""The packet filter of bridge networks: told what to do, by netlink, in one transaction for each change.

What the rules are stands in :mod:`~container_kit.network.firewall_bridge`; this tells the kernel.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from container_kit.errors import InvalidInput, KernelError, PermissionMissing, UnsupportedFeature
from container_kit.native.netfilter import tell
from container_kit.network.conntrack import forget_flows
from container_kit.network.endpoint import Endpoint
from container_kit.network.firewall_bridge import BridgeFilter
from container_kit.network.firewall_messages import NETFILTER, Table, batch, questions
from container_kit.network.firewall_sockets import netfilter_socket
from container_kit.network.record import NetworkRecord
from container_kit.network.values import Undo

if TYPE_CHECKING:
    from container_kit.native.namespaces import NetworkNamespace

__all__ = [
    "admission_undo",
    "admit",
    "expel",
    "lead_to",
    "ownership",
    "restoration",
    "restoration_of",
    "set_up",
    "set_up_undo",
    "tear_down",
]

_MISSING = (errno.EOPNOTSUPP, errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT)
# How long what a dead container left may be in the way: its guardian is about to take it away.
_PATIENCE_S = 1.0
_PAUSE_S = 0.01


def set_up(network: NetworkRecord, host: NetworkNamespace) -> Undo:
    """Make the network's tables in the namespace that has its bridge; what is there stays.

    Raises:
        PermissionMissing: This process may not.
        UnsupportedFeature: The kernel has no nftables, or not all that is needed of it.
    """
    rules = BridgeFilter(network)
    doing = f"cannot make the firewall of network {network.name!r}"
    with _netfilter(host) as asked:
        if not _exist(asked, rules.tables):
            _make_all(asked, rules, doing)
    return set_up_undo(network)


def _exist(asked: int, tables: Sequence[Table]) -> bool:
    try:
        tell(asked, questions(table.get() for table in tables), "")
    except KernelError as error:
        if error.errno == errno.ENOENT:
            return False
        raise _explained(error, "cannot ask the firewall") from None
    return True


def _make_all(asked: int, rules: BridgeFilter, doing: str) -> None:
    """Make the tables that are missing."""
    for table, messages in zip(rules.tables, rules.make(), strict=True):
        try:
            tell(asked, batch(messages), doing)
        except KernelError as error:
            # What the keeper has for its own may not even be looked at in a batch.
            if error.errno != errno.EEXIST and not (error.errno == errno.EPERM and _exist(asked, [table])):
                raise _explained(error, doing) from None


def set_up_undo(network: NetworkRecord) -> Undo:
    """What takes the tables away, each by a message of its own."""
    return Undo(messages=tuple((NETFILTER, batch([table.delete()])) for table in _all_tables(network)))


def _all_tables(network: NetworkRecord) -> Sequence[Table]:
    """Those that are the network's, and that of services, which others make."""
    rules = BridgeFilter(network)
    return (*rules.tables, rules.services) if rules.has_services else rules.tables


def tear_down(network: NetworkRecord, host: NetworkNamespace) -> None:
    """Take the network's tables away; may be repeated."""
    with _netfilter(host) as asked, suppress(UnsupportedFeature, PermissionMissing):
        for table in _all_tables(network):
            # To ask is cheap; a batch that finds nothing waits for a grace period all the same.
            if _exist(asked, [table]):
                _tell_anyway(asked, batch([table.delete()]))


def admit(network: NetworkRecord, endpoint: Endpoint, host: NetworkNamespace) -> None:
    """Let a container be what its endpoint says, and publish its ports, which its caller holds.

    Raises:
        InvalidInput: The network cannot publish what is asked for; says why.
        KernelError: The kernel refused.
    """
    _check(network, endpoint)
    lead_to(network, endpoint, host)


def lead_to(network: NetworkRecord, endpoint: Endpoint, host: NetworkNamespace) -> None:
    """As `admit`, also for what the host itself has on the network, which an internal one may reach."""
    rules = BridgeFilter(network)
    messages = batch(rules.admit(endpoint))
    doing = f"cannot let {endpoint.owner[:12]} through the firewall of network {network.name!r}"
    with _netfilter(host) as asked:
        _tell_until_free(asked, messages, doing, rules, endpoint)
        for message in forget_flows(endpoint.ports):
            _tell_anyway(asked, message)


def _tell_until_free(
    asked: int, messages: bytes, doing: str, rules: BridgeFilter, endpoint: Endpoint
) -> None:
    """Send *messages*, and again while something is in the way: ours alone, as the ports are held."""
    end = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return tell(asked, messages, doing)
        except KernelError as error:
            if error.errno not in (errno.EBUSY, errno.EEXIST, errno.ENOENT):
                raise _explained(error, doing) from None
            now = time.monotonic()
            if now > end + _PATIENCE_S:
                raise
            if error.errno == errno.ENOENT:  # somebody flushed all tables a moment ago
                _make_all(asked, rules, doing)
            elif now > end:
                for one in rules.expel_singly(endpoint):
                    _tell_anyway(asked, batch([one]))
        time.sleep(_PAUSE_S)


def expel(network: NetworkRecord, endpoint: Endpoint, host: NetworkNamespace) -> None:
    """The way back; may be repeated."""
    _carry_out(admission_undo(network, endpoint), host)


def admission_undo(network: NetworkRecord, endpoint: Endpoint) -> Undo:
    """What undoes `admit`, to be known before it is done."""
    batches = [batch(BridgeFilter(network).expel(endpoint)), *forget_flows(endpoint.ports)]
    return Undo(messages=tuple((NETFILTER, one) for one in batches))


def _check(network: NetworkRecord, endpoint: Endpoint) -> None:
    for port in endpoint.ports:
        if network.options.internal:
            raise InvalidInput(
                f"port {port.container_port}/{port.protocol} cannot be published: network {network.name!r} "
                "is internal; put the container on another network too"
            )
        if ":" in port.host_ip and not endpoint.ipv6:
            raise InvalidInput(
                f"port {port.container_port}/{port.protocol} cannot be published at {port.host_ip}: network "
                f"{network.name!r} has no IPv6; create it with ipv6=True"
            )


# For whoever brings rules back that others flushed


def restoration(network: NetworkRecord) -> bytes:
    """Batches, one behind the other, that bring back those of the network's tables that are missing."""
    return b"".join(batch(messages) for messages in BridgeFilter(network).make())


def ownership(network: NetworkRecord) -> bytes:
    """A batch that makes the walls anew, as the sender's own: others' flushing leaves them alone."""
    rules = BridgeFilter(network)
    return batch([rules.walls.delete(), *rules.make_walls(owned=True)])


def restoration_of(network: NetworkRecord, endpoint: Endpoint) -> bytes:
    """A batch that lets *endpoint* in again."""
    return batch(BridgeFilter(network).admit(endpoint))


def _carry_out(undo: Undo, host: NetworkNamespace) -> None:
    with _netfilter(host) as asked:
        for _, message in undo.messages:
            _tell_anyway(asked, message)


def _tell_anyway(asked: int, message: bytes) -> None:
    """There may be nothing left to undo; what is the keeper's own, it takes away itself."""
    with suppress(KernelError):
        tell(asked, message, "")


@contextmanager
def _netfilter(host: NetworkNamespace) -> Iterator[int]:
    try:
        with netfilter_socket(host, again=True) as asked:
            yield asked
    except KernelError as error:
        raise _explained(error, "cannot reach the firewall") from None


def _explained(error: KernelError, doing: str) -> Exception:
    if error.errno == errno.EPERM:
        return PermissionMissing(errno.EPERM, f"{doing}: that needs CAP_NET_ADMIN; run as root, or rootless")
    if error.errno in _MISSING:
        return UnsupportedFeature(
            f"{doing}: this kernel has no nftables for it; modprobe nf_tables, or boot one with "
            "CONFIG_NF_TABLES_INET, CONFIG_NF_TABLES_BRIDGE, CONFIG_NFT_NAT, CONFIG_NFT_MASQ, "
            "CONFIG_NFT_FIB_INET and CONFIG_NFT_REJECT_INET"
        )
    return error
