"""How much a client may ask of the server before it has to be refused."""

from __future__ import annotations

from container_kit._values import frozen

__all__ = ["Budgets"]


@frozen(kw_only=True)
class Budgets:
    """Limits of one server; each is there because something without it has no end.

    Attributes:
        body_bytes: Of a request; the real server has the same limit.
        head_bytes: Of a request line and all headers together.
        headers: How many there may be.
        pipelined: Requests that wait for the answer to the one before.
        connections: At once; the one that has been idle for longest makes room.
        handshakes: Connections that have not finished their TLS handshake. Above it those that take more than
            a second have to go; four times as many are never kept.
        handshake_s, head_s, body_s: Time for a handshake, a request's head, and its body.
        idle_s: Time that a connection may have no request.
        threads: Requests that wait for others (webhooks, proxies); more are told to come back.
        watch_events: Events that wait for one slow watcher, before its watch is ended.
        stream_bytes: Bytes that wait in each direction of exec, attach, port-forward and logs.
    """

    body_bytes: int = 3 << 20
    head_bytes: int = 64 << 10
    headers: int = 200
    pipelined: int = 32
    connections: int = 4000
    handshakes: int = 256
    handshake_s: float = 10.0
    head_s: float = 30.0
    body_s: float = 60.0
    idle_s: float = 300.0
    threads: int = 256
    watch_events: int = 10_000
    stream_bytes: int = 1 << 20
