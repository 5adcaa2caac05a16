"""A network that is worse than it has to be: slower, with delays and losses, for one container.

- *rate*: a token bucket at both ends of the container's link, so for what it sends and for what it receives;
- *loss*: packets are dropped by the packet filter inside, where they come in and where they leave;
- *delay* and *jitter*: the scheduler ``netem``, which a kernel has or has not.

All of it belongs to the links, and goes with them.

Source: linux/pkt_sched.h, linux/rtnetlink.h; tc-tbf(8), tc-netem(8).
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

from container_kit.errors import KernelError, UnsupportedFeature
from container_kit.native.netfilter import tell
from container_kit.native.network import find_link
from container_kit.network import firewall_rules as nft
from container_kit.network.attributes import attribute, nested, text
from container_kit.network.endpoint import Endpoint
from container_kit.network.firewall_messages import Message, Table, batch
from container_kit.network.firewall_sockets import netfilter_socket
from container_kit.network.values import Shaping

if TYPE_CHECKING:
    from container_kit.native.namespaces import NetworkNamespace

__all__ = ["delay_message", "loss_messages", "rate_message", "shape"]

_HEADER = struct.Struct("=IHHII")
_SCHEDULER = struct.Struct("=BxxxiIII")  # struct tcmsg
_RATE = struct.Struct("=BBHhHI")  # struct tc_ratespec
_NETEM = struct.Struct("=6I")  # struct tc_netem_qopt
_NEW_SCHEDULER = 36
_REQUEST_REPLACE = 0x1 | 0x400 | 0x100
_ROOT = 0xFFFFFFFF
_ETHERNET = 1
_MOST_U32 = 0xFFFFFFFF
_LONGEST_FRAME = 1514
_BURST_S, _QUEUE_S = 0.01, 0.1
_QUEUE_PACKETS = 100_000


def shape(shaping: Shaping, endpoint: Endpoint, inside: NetworkNamespace, host: NetworkNamespace) -> None:
    """Make a container's link as bad as *shaping* says.

    Raises:
        UnsupportedFeature: This kernel cannot do it, or the network's driver leaves no end of the link to us.
    """
    if shaping.loss:
        with netfilter_socket(inside) as asked:
            _tell(asked, batch(loss_messages(shaping.loss, endpoint.interface)), "loss")
    inner = _index(inside, endpoint.interface)
    if shaping.delay_ms:
        _schedule(inside, delay_message(shaping, inner), "delay")
    elif shaping.rate is not None:
        _schedule(inside, rate_message(shaping.rate, inner), "rate")
    if shaping.rate is not None:
        if not endpoint.link:
            raise UnsupportedFeature(
                f"the rate of what is received cannot be limited on network {endpoint.network_name!r}: its "
                "driver leaves no link on the host; use a bridge network"
            )
        _schedule(host, rate_message(shaping.rate, _index(host, endpoint.link)), "rate")


def _schedule(namespace: NetworkNamespace, message: bytes, what: str) -> None:
    with namespace.routing() as asked:
        _tell(asked, message, what)


def _index(namespace: NetworkNamespace, name: str) -> int:
    link = find_link(namespace, name)
    if link is None:
        raise KernelError.of(errno.ENODEV, f"cannot shape the network: no interface {name!r}")
    return link.index


def _tell(asked: int, message: bytes, what: str) -> None:
    try:
        tell(asked, message, f"cannot give the network a {what}")
    except KernelError as error:
        if error.errno not in (errno.ENOENT, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT):
            raise
        raise UnsupportedFeature(f"the network cannot have a {what}: {_NEEDED[what]}") from None


_NEEDED = {
    "delay": "this kernel has no scheduler netem; modprobe sch_netem, or boot one with CONFIG_NET_SCH_NETEM",
    "rate": "this kernel has no scheduler tbf; modprobe sch_tbf, or boot one with CONFIG_NET_SCH_TBF",
    "loss": "that needs nftables with an egress hook, Linux 5.16 with CONFIG_NETFILTER_EGRESS and "
    "CONFIG_NFT_NUMGEN",
}


def rate_message(bits_per_second: int, index: int) -> bytes:
    """A token bucket as scheduler of the interface *index*: 10 ms worth at once, a queue of 100 ms."""
    rate = bits_per_second // 8
    burst = min(max(int(rate * _BURST_S), 2 * _LONGEST_FRAME), _MOST_U32)
    queue = min(max(int(rate * _QUEUE_S), 10 * _LONGEST_FRAME) + burst, _MOST_U32)
    own = _RATE.pack(0, _ETHERNET, 0, 0, 0, min(rate, _MOST_U32))
    parameters = own + bytes(_RATE.size) + struct.pack("=III", queue, 0, 0)
    options = [attribute(1, parameters), attribute(6, struct.pack("=I", burst))]
    if rate > _MOST_U32:
        options.append(attribute(4, struct.pack("=Q", rate)))
    return _scheduler(index, "tbf", nested(2, *options))


def delay_message(shaping: Shaping, index: int) -> bytes:
    """The scheduler ``netem`` of the interface *index*, with the rate that shall be sent at most."""
    parts = [
        attribute(10, struct.pack("=q", round(shaping.delay_ms * 1e6))),
        attribute(11, struct.pack("=q", round(shaping.jitter_ms * 1e6))),
    ]
    if shaping.rate is not None:
        rate = shaping.rate // 8
        parts.append(attribute(6, struct.pack("=IiIi", min(rate, _MOST_U32), 0, 0, 0)))
        if rate > _MOST_U32:
            parts.append(attribute(8, struct.pack("=Q", rate)))
    options = _NETEM.pack(0, _QUEUE_PACKETS, 0, 0, 0, 0) + b"".join(parts)
    return _scheduler(index, "netem", attribute(2, options))


def _scheduler(index: int, kind: str, options: bytes) -> bytes:
    body = _SCHEDULER.pack(0, index, 0, _ROOT, 0) + text(1, kind) + options
    return _HEADER.pack(_HEADER.size + len(body), _NEW_SCHEDULER, _REQUEST_REPLACE, 1, 0) + body


def loss_messages(share: float, interface: str) -> Iterator[Message]:
    """A table that loses *share* of the packets that come in by *interface*, and of those that leave."""
    table = Table("netdev", f"ckit_{interface}")
    yield table.new()
    for hook in ("ingress", "egress"):
        yield table.base_chain(hook, 0, device=interface)
        yield table.rule(hook, nft.drop_share(share))
