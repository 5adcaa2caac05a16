"""Logs that are followed: lines go out as they come, and whoever makes them learns when nobody reads."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from container_kit.cluster.api import LineBody, Request, Response
from container_kit.cluster.server.budgets import Budgets

_GET = b"GET /log HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Log:
    """A log that the test writes."""

    def __init__(self) -> None:
        self.lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.is_closed = threading.Event()

    def answer(self, _: Request) -> Response:
        return Response(200, {"Content-Type": "text/plain"}, LineBody(self._read(), self._close))

    def _read(self) -> Iterator[bytes]:
        while (line := self.lines.get()) is not None:
            if line == b"break":
                raise OSError("the disk is gone")
            yield line

    def _close(self) -> None:
        self.is_closed.set()
        self.lines.put(None)


def _chunk(client: Any) -> bytes:
    size = int(client.read_until(b"\r\n") or b"-1", 16)
    return bytes(client.read(size + 2)[:-2]) if size >= 0 else b"cut off"


def _join_readers() -> None:
    for thread in threading.enumerate():
        if thread.name == "ck-api-lines":
            thread.join(30)
            assert not thread.is_alive()


def test_lines_come_as_they_are_written(serve: Any, connect: Any) -> None:
    """Each piece arrives before the next is written; at the end the connection can be used again."""
    log = Log()
    server, _ = serve(log.answer)
    client = connect(server)
    client.send(_GET)
    assert b"Content-Type: text/plain\r\n" in client.read_until(b"\r\n\r\n")
    for line in (b"one\n", b"two\n"):
        log.lines.put(line)
        assert _chunk(client) == line
    log.lines.put(None)
    assert _chunk(client) == b""
    client.send(_GET)
    log.lines.put(None)
    assert client.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 OK\r\n")
    assert _chunk(client) == b""


def test_a_client_that_goes_ends_the_reading(serve: Any, connect: Any) -> None:
    """When the client has gone, the log is closed, and the thread that read it ends."""
    log = Log()
    server, _ = serve(log.answer)
    client = connect(server)
    client.send(_GET)
    log.lines.put(b"one\n")
    client.read_until(b"one\n")
    client.close()
    assert log.is_closed.wait(30)
    _join_readers()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_log_that_breaks_is_not_whole(serve: Any, connect: Any) -> None:
    """When reading fails, the answer ends without its end, so that the client knows."""
    log = Log()
    server, _ = serve(log.answer)
    client = connect(server)
    client.send(_GET)
    client.read_until(b"\r\n\r\n")
    log.lines.put(b"one\n")
    assert _chunk(client) == b"one\n"
    log.lines.put(b"break")
    assert _chunk(client) == b"cut off"
    _join_readers()


def test_a_slow_reader_holds_up_the_log_only(serve: Any, connect: Any) -> None:
    """What a client does not read is not read from the log, either, and nothing is lost."""
    pieces = 300
    made: list[int] = []

    def lines() -> Iterator[bytes]:
        for number in range(pieces):
            made.append(number)
            yield b"x" * 100_000

    server, _ = serve(lambda _: Response(200, {}, LineBody(lines())), budgets=Budgets(stream_bytes=200_000))
    client, other = connect(server), connect(server)
    client.send(_GET)
    other.send(_GET)
    other.read_until(b"\r\n\r\n")
    for _ in range(pieces):
        assert len(_chunk(other)) == 100_000
    assert len(made) < 2 * pieces  # the first client's log waits
    client.read_until(b"\r\n\r\n")
    for _ in range(pieces):
        assert len(_chunk(client)) == 100_000
    assert (_chunk(client), _chunk(other)) == (b"", b"")
    assert len(made) == 2 * pieces
