"""Descriptors that are owned from the first moment: none is lost when a signal handler raises anywhere."""

from __future__ import annotations

import gc
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from container_kit.native import descriptors
from container_kit.native._binding import ffi
from container_kit.native.descriptors import Descriptor


class Interrupted(Exception):
    """Raised by the signal handler, wherever the call is."""


@pytest.fixture
def storm() -> Iterator[Callable[[Callable[[], object], int], int]]:
    """Cuts a call off so many times; gives how many more descriptors are open then."""

    def interrupt(*_: object) -> None:
        raise Interrupted

    def run(call: Callable[[], object], cuts: int) -> int:
        before = len(os.listdir("/proc/self/fd"))
        for number in range(cuts):
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.00005 + number % 97 * 1e-6)
                while True:
                    call()
            except Interrupted:
                pass
        gc.collect()
        return len(os.listdir("/proc/self/fd")) - before

    kept = signal.signal(signal.SIGALRM, interrupt)
    yield run
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, kept)


def _message() -> None:
    ours, theirs = descriptors.socket_pair()
    with ours, theirs:
        socket.send_fds(ours, [b"take"], [0, 1])
        descriptors.receive(theirs, 16, 2)


OPENERS: dict[str, Callable[[], object]] = {
    "open": lambda: descriptors.open_path("/", os.O_PATH),
    "open with a name": lambda: descriptors.open_path("/", os.O_PATH).close(),
    "memory": lambda: descriptors.memory_file("test"),
    "process": lambda: descriptors.open_process(os.getpid()),
    "pipe": lambda: descriptors.pipe(),
    "duplicate": lambda: descriptors.duplicate(0),
    "event": lambda: descriptors.new_event(1),
    "message": _message,
}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("name", OPENERS)
def test_no_cut_loses_a_descriptor(name: str, storm: Callable[[Callable[[], object], int], int]) -> None:
    """Three hundred handlers that raise somewhere in the call leave nothing open."""
    assert storm(OPENERS[name], 300) == 0


def test_a_bare_number_is_lost_by_a_cut(
    storm: Callable[[Callable[[], object], int], int], tmp_path: Path
) -> None:
    """The control: with numbers, the same storm loses some."""

    def bare() -> None:
        fd = os.open(tmp_path, os.O_PATH)
        os.close(fd)

    rounds = iter(range(50))
    while not (lost := storm(bare, 100)) and next(rounds, None) is not None:
        continue
    for fd in map(int, os.listdir("/proc/self/fd")):
        if os.path.exists(f"/proc/self/fd/{fd}") and os.path.samefile(f"/proc/self/fd/{fd}", tmp_path):
            os.close(fd)
    assert lost


def test_an_owner_closes_once(tmp_path: Path) -> None:
    """By hand, by a block or by being forgotten, and never again when the number is another file."""
    with descriptors.open_path(tmp_path, os.O_PATH) as held:
        number = held.fileno()
        held.close()
        other = descriptors.open_path(tmp_path, os.O_PATH)
        assert other.fileno() == number
    held.close()
    del held
    os.fstat(number)
    del other
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


def test_a_closed_owner_has_no_number() -> None:
    """An empty owner is an error where a number is asked for, and closes nothing."""
    held = Descriptor()
    assert held.closed
    with pytest.raises(ValueError, match="closed"):
        held.fileno()


def test_what_is_given_up_is_the_callers() -> None:
    """Neither the end of a block nor the end of the object closes it then."""
    with descriptors.duplicate(0) as held:
        number = held.give_up()
    del held
    os.close(number)


def test_a_number_in_c_memory_is_taken_over() -> None:
    """A start leaves its descriptors in a C structure: taking one leaves -1 there."""
    place = ffi.new("int *", os.dup(0))
    with descriptors.take(place) as held:
        assert place[0] == -1
        os.fstat(held.fileno())


def test_errors_are_those_of_os(tmp_path: Path) -> None:
    """Callers tell a missing file from a forbidden one as ever."""
    with pytest.raises(FileNotFoundError, match="nothing-here"):
        descriptors.open_path(tmp_path / "nothing-here", os.O_RDONLY)
    with pytest.raises(ProcessLookupError):
        descriptors.open_process(4_000_000)


def test_descriptors_beyond_the_room_are_closed() -> None:
    """A sender cannot fill the receiver's table."""
    ours, theirs = descriptors.socket_pair()
    before = len(os.listdir("/proc/self/fd"))
    with ours, theirs:
        socket.send_fds(ours, [b"many"], [0] * 20)
        data, held = descriptors.receive(theirs, 16, 1)
        assert data == b"many" and len(held) == 1
        assert len(os.listdir("/proc/self/fd")) == before + 1
