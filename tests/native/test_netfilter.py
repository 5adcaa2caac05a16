"""What the kernel answers to messages of netlink: understood, or refused without harm."""

from __future__ import annotations

import errno
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_kit.errors import KernelError
from container_kit.native._binding import ffi, lib
from container_kit.native.namespaces import NetworkNamespace
from container_kit.native.netfilter import ask, tell

_HEADER = struct.Struct("=IHHII")
_ERROR, _NETFILTER, _ROUTE = 2, 12, 0


def _answer(error: int, about: int) -> bytes:
    """NLMSG_ERROR about the message with that number."""
    return (
        _HEADER.pack(36, _ERROR, 0, about, 0) + struct.pack("=i", -error) + _HEADER.pack(16, 9, 0, about, 0)
    )


def _first_error(answers: bytes) -> tuple[int, int]:
    about = ffi.new("unsigned int *")
    held = ffi.new("char[]", answers)  # of its own size, so that a sanitizer sees what is read behind it
    return lib.ck_netlink_first_error(held, len(answers), about), about[0]


def test_the_first_error_counts() -> None:
    """An acknowledgement is no error; of several errors the first tells what went wrong."""
    answers = _answer(0, 1) + _answer(errno.EBUSY, 2) + _answer(errno.EPERM, 3)

    assert _first_error(answers) == (-errno.EBUSY, 2)
    assert _first_error(_answer(0, 1)) == (0, 0)
    assert _first_error(b"") == (0, 0)


@given(st.integers(0, 108), st.binary(max_size=40))
def test_answers_that_are_cut_off_are_read_to_their_end(size: int, more: bytes) -> None:
    """Whatever comes, nothing behind it is read."""
    whole = _answer(0, 1) + _answer(0, 2) + _answer(errno.EPERM, 3)

    assert -4095 <= _first_error(whole[:size] + more)[0] <= 0


@given(st.binary(max_size=200))
def test_answers_of_anything_do_no_harm(data: bytes) -> None:
    """Lengths that lie are refused, and so are errors that are none."""
    assert -4095 <= _first_error(data)[0] <= 0
    assert _first_error(_answer(-7, 1))[0] == _first_error(_answer(1 << 20, 1))[0] == -errno.EBADMSG


@pytest.mark.root
def test_an_error_names_the_message_it_is_about() -> None:
    """So that one finds out which of a batch was refused."""
    unknown = _HEADER.pack(20, 10 << 8 | 1, 1, 7, 0) + bytes(4)  # NFT_MSG_GETTABLE without a name
    with (
        NetworkNamespace.here().socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER) as asked,
        pytest.raises(KernelError, match=r"cannot try \(message 7\)"),
    ):
        tell(asked.fileno(), unknown, "cannot try")


def test_a_long_answer_is_had_as_a_whole() -> None:
    """A dump comes in several pieces."""
    dump = _HEADER.pack(17 + 3, 18, 0x301, 1, 0) + bytes(4)  # RTM_GETLINK
    with NetworkNamespace.here().socket(socket.AF_NETLINK, socket.SOCK_RAW, _ROUTE) as asked:
        answer = ask(asked.fileno(), dump, "cannot list links")
    assert b"lo\0" in answer
