"""Compression for registries: equal bytes give equal bytes, however they arrive."""

from __future__ import annotations

import gzip
import os
import threading
from pathlib import Path

import pytest

from container_kit.errors import TimedOut
from container_kit.native.layers import Cancellation, deflate_file
from container_kit.oci import Digest


@pytest.mark.parametrize("size", [0, 1, 256 * 1024, 1_000_003])
def test_a_pipe_and_a_file_give_the_same_gzip(tmp_path: Path, size: int) -> None:
    """What comes out does not depend on the pieces in which it comes in; gunzip gives it back."""
    data = (b"some text, some more text " * 60_000)[: size // 2] + os.urandom(size - size // 2)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(data)
    read_fd, write_fd = os.pipe()

    def feed() -> None:
        for start in range(0, size, 7001):
            os.write(write_fd, data[start : start + 7001])
        os.close(write_fd)

    feeder = threading.Thread(target=feed)
    feeder.start()
    with source.open("rb") as file, target.open("wb") as out, open(os.devnull, "wb") as nowhere:
        from_file = deflate_file(file.fileno(), out.fileno())
        from_pipe = deflate_file(read_fd, nowhere.fileno())
    feeder.join()
    os.close(read_fd)

    assert from_file == from_pipe
    assert gzip.decompress(target.read_bytes()) == data
    assert Digest.of(target.read_bytes()) == Digest.parse(from_file.digest)
    assert (from_file.size, from_file.plain_size) == (target.stat().st_size, size)


def test_a_silent_pipe_does_not_hold_up_who_cancels() -> None:
    """Cancelling ends it although no byte ever came."""
    read_fd, write_fd = os.pipe()
    cancellation = Cancellation()
    timer = threading.Timer(0.1, cancellation.cancel)
    timer.start()
    try:
        with open(os.devnull, "wb") as nowhere, pytest.raises(TimedOut):
            deflate_file(read_fd, nowhere.fileno(), cancellation)
    finally:
        timer.join()
        os.close(read_fd)
        os.close(write_fd)
