"""HTTP over sockets that do not block: whole answers, however they come."""

from __future__ import annotations

import pytest

from container_kit.wait.exchange import Answer, parse_answer

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
TO_THE_END = b"HTTP/1.0 200 OK\r\n\r\nhello"


@pytest.mark.parametrize("data, status", [(LENGTH, 200), (CHUNKED, 503)], ids=["length", "chunked"])
def test_an_answer_is_whole_at_its_last_byte(data: bytes, status: int) -> None:
    """No beginning of its body is taken for an answer, and nobody waits for the connection's end."""
    for size in range(data.rindex(b"o") + 1):
        assert parse_answer(data[:size], False) is None
    assert parse_answer(data, False) == Answer(status, b"hello")


def test_an_answer_without_a_length_is_whole_at_the_end_of_its_connection() -> None:
    """As HTTP/1.0 has it."""
    assert parse_answer(TO_THE_END, False) is None
    assert parse_answer(TO_THE_END, True) == Answer(200, b"hello")


def test_an_answer_to_head_has_no_body() -> None:
    """Whatever length it tells of."""
    assert parse_answer(LENGTH[:-5], False, "HEAD") == Answer(200, b"")


@pytest.mark.parametrize(
    "data", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", LENGTH[:-1], b"\x15\x03\x01\x00\x02\x02\x46"]
)
def test_what_is_no_answer(data: bytes) -> None:
    """A connection that is closed with nothing, another protocol, or half an answer is said to be so."""
    with pytest.raises(ValueError, match=r"not HTTP|cut off"):
        parse_answer(data, True)
