"""Answers for the names of a cluster over UDP and TCP, and asks this machine's servers for all others.

It has no thread of its own: its owner polls it.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import struct
import time
from collections.abc import Callable
from typing import NamedTuple

from container_kit.cluster.node.dns_message import (
    FORMAT_ERROR,
    NAME_ERROR,
    SERVER_FAILURE,
    Question,
    answer,
    failure,
    parse_question,
)
from container_kit.cluster.node.dns_names import ClusterNames
from container_kit.native.namespaces import NetworkNamespace

__all__ = ["DnsServer", "host_servers"]

_LOOPBACK = "127.0.0.1"
_PORT = 53
_LONGEST = 65535
_MOST_ASKED = 256
_MOST_CONNECTIONS = 64
_PATIENCE_S = 5.0


class _Asked(NamedTuple):
    """A question that another server was asked, whose answer goes to *client*."""

    until: float
    question: Question
    client: tuple[str, int]


class DnsServer:
    """One server on loopback; services lead there.

    Args:
        selector: Polled by the owner; what is registered has a callable as its data.
        others: Addresses of servers for names that are not the cluster's; the first is asked.
        place: Where it listens. Others are asked from this process' own network, whichever that is.

    Attributes:
        port: On 127.0.0.1 of *place*, the same for UDP and TCP.
    """

    def __init__(
        self,
        names: ClusterNames,
        selector: selectors.BaseSelector,
        others: list[str],
        place: NetworkNamespace,
    ) -> None:
        self._names, self._selector, self._others = names, selector, others
        self._asked: dict[socket.socket, _Asked] = {}
        self._talking: dict[socket.socket, tuple[float, bytearray]] = {}
        self._udp, self._tcp = _bound_pair(place)
        self.port: int = self._udp.getsockname()[1]
        self._watch(self._udp, self._on_datagram)
        self._watch(self._tcp, self._on_connection)

    def close(self) -> None:
        """Stop answering; may be repeated."""
        for one in (*self._asked, *self._talking, self._udp, self._tcp):
            self._drop(one)
        self._asked, self._talking = {}, {}

    def patience_s(self) -> float | None:
        """Seconds until something has taken too long; None while nothing is under way."""
        ends = [one.until for one in self._asked.values()] + [until for until, _ in self._talking.values()]
        return max(0.0, min(ends) - time.monotonic()) if ends else None

    def expire(self) -> None:
        """Give up what has taken too long."""
        now = time.monotonic()
        for one, asked in [pair for pair in self._asked.items() if pair[1].until <= now]:
            self._reply(asked.client, answer(asked.question, [], SERVER_FAILURE))
            self._finish(one)
        for one in [one for one, (until, _) in self._talking.items() if until <= now]:
            self._hang_up(one)

    def _watch(self, one: socket.socket, do: Callable[[], None]) -> None:
        one.setblocking(False)
        self._selector.register(one, selectors.EVENT_READ, do)

    def _drop(self, one: socket.socket) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(one)
        one.close()

    def _reply(self, client: tuple[str, int], message: bytes) -> None:
        with contextlib.suppress(OSError):
            self._udp.sendto(message, client)

    def _on_datagram(self) -> None:
        with contextlib.suppress(OSError):
            message, client = self._udp.recvfrom(_LONGEST)
            try:
                question = parse_question(message)
            except ValueError:
                self._reply(client, failure(message, FORMAT_ERROR))
                return
            found = self._answer(question)
            if found is None:
                self._ask_others(message, question, client)
            else:
                self._reply(client, found)

    def _answer(self, question: Question, *, limit: int = 0) -> bytes | None:
        """What the cluster says; None for what others have to be asked."""
        ours = self._names.is_ours(question.name)
        records = (
            self._names.records(question.name, question.kind) if ours or _is_reverse(question.name) else None
        )
        if records is None and not ours:
            return None
        code = NAME_ERROR if records is None else 0
        return answer(question, records or [], code, limit=limit)

    def _ask_others(self, message: bytes, question: Question, client: tuple[str, int]) -> None:
        if not self._others or len(self._asked) >= _MOST_ASKED:
            self._reply(client, answer(question, [], SERVER_FAILURE))
            return
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._asked[one] = _Asked(time.monotonic() + _PATIENCE_S, question, client)
        self._watch(one, lambda: self._on_answer(one))
        with contextlib.suppress(OSError):
            one.connect((self._others[0], _PORT))
            one.send(message)

    def _on_answer(self, one: socket.socket) -> None:
        asked = self._asked[one]
        try:
            message = one.recv(_LONGEST)
        except OSError:
            message = answer(asked.question, [], SERVER_FAILURE)
        self._reply(asked.client, message)
        self._finish(one)

    def _finish(self, one: socket.socket) -> None:
        self._asked.pop(one, None)
        self._drop(one)

    def _on_connection(self) -> None:
        with contextlib.suppress(OSError):
            one, _ = self._tcp.accept()
            if len(self._talking) >= _MOST_CONNECTIONS:
                one.close()
                return
            self._talking[one] = (time.monotonic() + _PATIENCE_S, bytearray())
            self._watch(one, lambda: self._on_bytes(one))

    def _on_bytes(self, one: socket.socket) -> None:
        """Questions over TCP have their length before them; this machine's servers are not asked for them."""
        try:
            data = one.recv(_LONGEST)
        except OSError:
            data = b""
        received = self._talking[one][1]
        received += data
        if not data:
            self._hang_up(one)
            return
        while len(received) >= 2 and len(received) >= 2 + (size := struct.unpack_from(">H", received)[0]):
            message = bytes(received[2 : 2 + size])
            del received[: 2 + size]
            reply = self._reply_to(message)
            try:
                one.sendall(struct.pack(">H", len(reply)) + reply)
            except OSError:
                self._hang_up(one)
                return

    def _reply_to(self, message: bytes) -> bytes:
        try:
            question = parse_question(message)
        except ValueError:
            return failure(message, FORMAT_ERROR)
        return self._answer(question, limit=_LONGEST) or answer(question, [], SERVER_FAILURE)

    def _hang_up(self, one: socket.socket) -> None:
        self._talking.pop(one, None)
        self._drop(one)


def _is_reverse(name: str) -> bool:
    return name.endswith(".in-addr.arpa")


def _bound_pair(place: NetworkNamespace) -> tuple[socket.socket, socket.socket]:
    """A UDP and a TCP socket on one free port."""
    while True:
        udp = place.open_socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind((_LOOPBACK, 0))
        tcp = place.open_socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            tcp.bind(udp.getsockname())
            tcp.listen()
        except OSError:
            udp.close()
            tcp.close()
            continue
        return udp, tcp


def host_servers(path: str = "/etc/resolv.conf") -> list[str]:
    """The name servers that this machine asks; those that only reach over IPv6 are left out."""
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8", errors="replace") as file:
        words = [line.split() for line in file]
    return [two[1] for two in words if len(two) >= 2 and two[0] == "nameserver" and ":" not in two[1]]
