"""Digests are whole, lower-case and the inverse of their text."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_kit.errors import InvalidInput
from container_kit.oci import Digest


@given(st.binary(max_size=200), st.sampled_from(["sha256", "sha512"]))
def test_text_and_value_are_inverse(data: bytes, algorithm: str) -> None:
    """Parsing what a digest prints gives the same digest, and it is the hash of the data."""
    digest = Digest.of(data, algorithm)

    assert Digest.parse(str(digest)) == digest
    assert digest.hex == hashlib.new(algorithm, data).hexdigest()
    assert digest.matches(data) and not digest.matches(data + b"x")


@pytest.mark.parametrize(
    "text",
    ["", "sha256", "sha256:", "sha256:" + "a" * 63, "sha256:" + "A" * 64, "md5:" + "a" * 32,
     "sha256:" + "a" * 63 + "\n", "sha256:" + "a" * 65, "sha256:../" + "a" * 61, "sha512:" + "a" * 64],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    """No digest exists that is not a whole hash: its hex can be used as a file name."""
    with pytest.raises(InvalidInput):
        Digest.parse(text)
