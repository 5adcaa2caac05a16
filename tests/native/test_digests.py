"""SHA-256 in C gives what every other implementation gives, by either of its two ways."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_kit.errors import KernelError
from container_kit.native._binding import lib
from container_kit.native.digests import Hasher, sha256_fd, sha256_range


@pytest.fixture(params=["instructions", "portable"])
def either_way(request: pytest.FixtureRequest) -> Iterator[None]:
    lib.ck_sha256_force_portable(request.param == "portable")
    yield
    lib.ck_sha256_force_portable(False)


@given(pieces=st.lists(st.binary(max_size=300), max_size=8), portable=st.booleans())
def test_pieces_hash_like_the_whole(pieces: list[bytes], portable: bool) -> None:
    """However the bytes are cut, the digest is hashlib's; asking for it changes nothing."""
    lib.ck_sha256_force_portable(portable)
    ours = Hasher()
    for piece in pieces:
        ours.update(piece)
        ours.digest()
    lib.ck_sha256_force_portable(False)
    assert ours.hexdigest() == hashlib.sha256(b"".join(pieces)).hexdigest()


def test_every_length_around_the_padding(either_way: None) -> None:
    """Lengths where the padding needs one more block are right (FIPS 180-4, section 5.1.1)."""
    for length in range(200):
        data = bytes(range(256))[:length]
        assert Hasher(data).digest() == hashlib.sha256(data).digest()


def test_file_is_hashed_from_its_position(tmp_path: Path, either_way: None) -> None:
    """sha256_fd reads from where the descriptor stands, sha256_range from where it is told."""
    data = os.urandom(700_000)
    path = tmp_path / "data"
    path.write_bytes(data)
    with path.open("rb", buffering=0) as file:
        file.seek(1000)
        assert sha256_fd(file.fileno()) == hashlib.sha256(data[1000:]).digest()
        assert sha256_range(file.fileno(), 5, 600_000) == hashlib.sha256(data[5:600_005]).digest()
        assert file.tell() == len(data)


def test_a_short_file_is_told(tmp_path: Path) -> None:
    """A range past the end is ENODATA, never the digest of something shorter."""
    path = tmp_path / "data"
    path.write_bytes(b"four")
    with path.open("rb") as file, pytest.raises(KernelError) as caught:
        sha256_range(file.fileno(), 0, 5)
    assert caught.value.errno == errno.ENODATA


def test_a_directory_cannot_be_hashed(tmp_path: Path) -> None:
    """The errno of the failed read comes back as a KernelError."""
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(KernelError) as caught:
            sha256_fd(fd)
    finally:
        os.close(fd)
    assert caught.value.errno == errno.EISDIR
