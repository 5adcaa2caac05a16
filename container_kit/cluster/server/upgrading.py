"""A connection becomes a stream: which language the client offers, and who speaks it from then on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from container_kit.cluster.api.messages import Upgrade
from container_kit.cluster.server.budgets import Budgets
from container_kit.cluster.server.parsing import BadRequest, Head
from container_kit.cluster.server.port_forward import (
    CHANNEL_PROTOCOLS,
    STREAM_PROTOCOL,
    TUNNEL_PROTOCOL,
    ChannelForward,
    StreamForward,
)
from container_kit.cluster.server.remote_command import (
    SPDY_PROTOCOLS,
    WEBSOCKET_PROTOCOLS,
    SpdyCommand,
    WebSocketCommand,
)
from container_kit.cluster.server.responses import encode_head
from container_kit.cluster.server.streaming import Tunnel
from container_kit.cluster.server.websocket import accept
from container_kit.cluster.server.wire import Wire

__all__ = ["begin_upgrade"]

_SPDY: Final = "SPDY/3.1"


def begin_upgrade(
    wire: Wire, budgets: Budgets, head: Head, upgrade: Upgrade, done: Callable[[], None]
) -> Tunnel:
    """Agree to what the client offers, and begin.

    Args:
        done: Called when the stream has come to its end: the connection can be closed.

    Raises:
        BadRequest: The request is no upgrade, or to nothing that is known; nothing has been sent.
    """
    headers = head.request.headers
    wanted = headers.get("upgrade", "").lower() if head.is_upgrade else ""
    if wanted == "websocket":
        tunnel, answer = _over_websocket(wire, budgets, headers, upgrade, done)
    elif wanted == _SPDY.lower():
        tunnel, answer = _over_spdy(wire, budgets, headers, upgrade, done)
    else:
        raise BadRequest(400, f"Upgrade request required: {upgrade.kind} is a stream (WebSocket, or {_SPDY})")
    wire.write(answer)
    tunnel.begin()
    return tunnel


def _over_websocket(
    wire: Wire, budgets: Budgets, headers: Mapping[str, str], upgrade: Upgrade, done: Callable[[], None]
) -> tuple[Tunnel, bytes]:
    if upgrade.kind != "portforward":
        protocol, answer = accept(headers, WEBSOCKET_PROTOCOLS, "channel.k8s.io")
        return WebSocketCommand(wire, budgets, upgrade, protocol, done), answer
    protocol, answer = accept(headers, (TUNNEL_PROTOCOL, *CHANNEL_PROTOCOLS), CHANNEL_PROTOCOLS[0])
    if protocol == TUNNEL_PROTOCOL:
        return StreamForward(wire, budgets, upgrade, done, is_tunnelled=True), answer
    if not upgrade.ports:
        raise BadRequest(400, "query parameter 'ports' is required")
    return ChannelForward(wire, budgets, upgrade, done), answer


def _over_spdy(
    wire: Wire, budgets: Budgets, headers: Mapping[str, str], upgrade: Upgrade, done: Callable[[], None]
) -> tuple[Tunnel, bytes]:
    known = (STREAM_PROTOCOL,) if upgrade.kind == "portforward" else SPDY_PROTOCOLS
    offered = [one.strip() for one in headers.get("x-stream-protocol-version", "").split(",")]
    protocol = next((one for one in offered if one in known), None)
    if protocol is None:
        raise BadRequest(
            403, f"unable to upgrade: none of {', '.join(offered)} is known: {', '.join(known)} are"
        )
    answer = {"Connection": "Upgrade", "Upgrade": _SPDY, "X-Stream-Protocol-Version": protocol}
    if upgrade.kind == "portforward":
        tunnel: Tunnel = StreamForward(wire, budgets, upgrade, done, is_tunnelled=False)
    else:
        tunnel = SpdyCommand(wire, budgets, upgrade, protocol, done)
    return tunnel, encode_head(101, answer)
