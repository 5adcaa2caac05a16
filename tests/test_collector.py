"""The garbage collector is let alone for a moment, and is as it was afterwards."""

import gc
from collections.abc import Iterator

import pytest

from container_kit._collector import collection_paused


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    gc.enable()


def test_nothing_is_collected_in_the_block() -> None:
    """It is off inside and on outside, also after an error."""
    with pytest.raises(ValueError), collection_paused():
        assert not gc.isenabled()
        raise ValueError
    assert gc.isenabled()


def test_who_wants_no_collector_gets_none() -> None:
    """A program that has switched it off finds it off, and so does a block within a block."""
    with collection_paused():
        with collection_paused():
            pass
        assert not gc.isenabled()
    gc.disable()
    with collection_paused():
        pass
    assert not gc.isenabled()
