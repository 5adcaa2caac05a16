"""A caller's ends of a running program's streams."""

from __future__ import annotations

import hashlib
import select
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from container_kit.containers.logs import read_logs
from container_kit.containers.monitor_client import attach_bits
from container_kit.containers.monitor_config import LogOptions
from container_kit.errors import KernelError
from tests.containers.conftest import Supervise

MEGABYTE = 1 << 20


def test_both_ways_at_once_without_loss(supervise: Supervise) -> None:
    """Eight megabytes in and eight out: nothing is lost and nobody waits for ever."""
    data = hashlib.shake_128(b"x").digest(8 * MEGABYTE)
    handle = supervise("cat", stdin_open=True)
    with handle.client.attach(stdin=True) as attached:
        feeder = threading.Thread(target=lambda: (attached.write(data), attached.close_stdin()))
        feeder.start()
        received = b"".join(chunk for _, chunk in attached)
        feeder.join()

    assert hashlib.sha256(received).digest() == hashlib.sha256(data).digest()
    assert attached.dropped == 0
    assert handle.client.wait().exit_code == 0


def test_streams_stay_apart(supervise: Supervise) -> None:
    """What was written to stderr arrives as stderr; who did not ask for it does not get it."""
    handle = supervise("sh", "-c", "read line; echo out; echo err >&2", stdin_open=True)
    with handle.client.attach(stdin=True) as both, handle.client.attach(stderr=False) as one:
        both.write(b"go\n")

        assert sorted(both) == [("stderr", b"err\n"), ("stdout", b"out\n")]
        assert list(one) == [("stdout", b"out\n")]


def test_the_program_waits_for_a_lossless_reader(supervise: Supervise) -> None:
    """Although it writes far more than any buffer holds before the caller reads at all."""
    handle = supervise("sh", "-c", "read line; head -c 3000000 /dev/zero", stdin_open=True)
    with handle.client.attach(stdin=True) as attached:
        attached.write(b"go\n")
        with handle.client.attach() as other:
            with ThreadPoolExecutor() as threads:
                totals = threads.map(lambda reader: sum(len(chunk) for _, chunk in reader), (attached, other))
            assert list(totals) == [3000000, 3000000]


def test_a_stalled_reader_that_may_lose_blocks_nobody(supervise: Supervise) -> None:
    """The program ends although that reader never read; afterwards it knows how much it missed."""
    handle = supervise("sh", "-c", "read line; head -c 3000000 /dev/zero; echo end >&2", stdin_open=True)
    with handle.client.attach(stdin=True, stdout=False) as control:
        stalled = handle.client.attach(lossless=False, stderr=False)
        control.write(b"go\n")
        assert list(control) == [("stderr", b"end\n")]

    with stalled:
        received = sum(len(chunk) for _, chunk in stalled)
    assert 0 < received < 3000000


def test_a_stalled_lossless_reader_does_not_hold_up_the_end(supervise: Supervise) -> None:
    """The record is written at once; what was still in the pipe is kept for the reader."""
    handle = supervise("sh", "-c", "head -c 500000 /dev/zero & sleep 600", stdin_open=True)
    with handle.client.attach() as stalled:
        handle.client.stop(timeout_s=0)
        assert handle.client.status().exit_code == 137
        assert all(stream == "stdout" for stream, _ in stalled)


def test_closing_stdin_is_an_end_of_file(supervise: Supervise) -> None:
    """After all that was written."""
    handle = supervise("cat", stdin_open=True)
    with handle.client.attach(stdin=True) as attached:
        attached.write(b"last words")
        attached.close_stdin()
        assert list(attached) == [("stdout", b"last words")]


def test_stdin_stays_open_for_the_next_caller(supervise: Supervise) -> None:
    """Detaching ends nothing; with stdin_once it is the end of the input."""
    handle = supervise("cat", stdin_open=True)
    handle.client.attach(stdin=True).close()
    with handle.client.attach(stdin=True) as attached:
        attached.write(b"still here\n")
        assert attached.read() == ("stdout", b"still here\n")
    handle.client.stop(signal=signal.SIGKILL, timeout_s=0)

    once = supervise("cat", name="c2", stdin_open=True, stdin_once=True)
    once.client.attach(stdin=True).close()
    assert once.client.wait().exit_code == 0


def test_without_an_open_stdin_the_program_reads_nothing(supervise: Supervise) -> None:
    """Its stdin is /dev/null, and what a caller writes goes nowhere."""
    handle = supervise("sh", "-c", "cat; sleep 60")
    with handle.client.attach(stdin=True) as attached:
        attached.write(b"x")

    assert handle.client.status().status == "running"


def test_a_program_without_a_terminal_cannot_be_resized(supervise: Supervise) -> None:
    """The error says what is missing."""
    handle = supervise("sleep", "60")
    with pytest.raises(KernelError, match="resize"):
        handle.client.resize(24, 80)


def test_many_callers_at_once(supervise: Supervise) -> None:
    """Eighty of them hear of every change, and one more gets the output."""
    handle = supervise("sh", "-c", "read line; echo out", stdin_open=True)
    subscribers = [handle.client.subscribe() for _ in range(80)]
    assert {next(states).status for states in subscribers} == {"running"}

    with handle.client.attach(stdin=True) as attached:
        attached.write(b"\n")
        assert list(attached) == [("stdout", b"out\n")]
    assert {[state.status for state in states][-1] for states in subscribers} == {"exited"}


def test_what_was_logged_before_comes_first(supervise: Supervise) -> None:
    """Without a gap or a repetition, over rotated files, and the descriptor is readable from the start."""
    options = LogOptions(max_size=64 * 1024, max_files=100)
    command = "seq 20000; printf unfinished >&2; read go; seq 20001 40000"
    handle = supervise("sh", "-c", command, stdin_open=True, log=options)
    for line in read_logs(handle.client.directory, follow=True):
        if line.text == "20000":
            break
    with handle.client.attach(stdin=True, logs=True) as attached:
        assert select.select([attached], [], [], 0)[0]
        attached.write(b"go\n")
        received = list(attached)

    assert b"".join(data for stream, data in received if stream == "stdout").split() == [
        str(number).encode() for number in range(1, 40001)
    ]
    assert b"".join(data for stream, data in received if stream == "stderr") == b"unfinished"


def test_the_starter_can_be_attached_from_the_first_byte(supervise: Supervise) -> None:
    """Even a program that ends at once and is removed with its log is heard to the end."""
    wants = attach_bits(stdin=True, stdout=True, stderr=True, lossless=True)
    handle = supervise("sh", "-c", "cat; echo err >&2", stdin_open=True, auto_remove=True, attach=wants)
    assert handle.attachment is not None
    handle.attachment.write(b"input")
    handle.attachment.close_stdin()

    assert sorted(handle.attachment) == [("stderr", b"err\n"), ("stdout", b"input")]
