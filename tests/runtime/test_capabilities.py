"""Capabilities: names, numbers, and adding and dropping them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_kit.errors import InvalidInput
from container_kit.runtime import capabilities

SETS = st.frozensets(st.sampled_from(capabilities.ALL))


def test_numbers_are_the_kernels() -> None:
    """The first, some in between and the last have the numbers of linux/capability.h."""
    known = {
        "CAP_CHOWN": 0,
        "CAP_NET_RAW": 13,
        "CAP_SYS_ADMIN": 21,
        "CAP_MKNOD": 27,
        "CAP_CHECKPOINT_RESTORE": 40,
    }
    assert {name: capabilities.number(name) for name in known} == known
    assert len(capabilities.ALL) == 41


@pytest.mark.parametrize("name", ["net_raw", "NET_RAW", "cap_net_raw", "Cap_Net_Raw"])
def test_a_name_may_be_written_in_any_usual_way(name: str) -> None:
    """With or without the prefix, in any case, it is the same capability."""
    assert capabilities.parse(name) == "CAP_NET_RAW"


@pytest.mark.parametrize("name", ["", "ALL", "NET_RAW ", "CAP_", "NET RAW", "CAP_CAP_NET_RAW"])
def test_an_unknown_name_is_refused(name: str) -> None:
    """A capability that does not exist is an error, not a wish that is passed over."""
    with pytest.raises(InvalidInput, match="capability"):
        capabilities.parse(name)


@given(SETS)
def test_a_mask_and_its_names_are_inverse(names: frozenset[str]) -> None:
    """Names to bits and back gives the same set."""
    assert frozenset(capabilities.from_mask(capabilities.to_mask(names))) == names


@given(SETS, SETS, SETS)
def test_adjusting_adds_and_drops_as_docker_does(
    base: frozenset[str], add: frozenset[str], drop: frozenset[str]
) -> None:
    """By name: dropped first, then added; with ALL, the other list names the exceptions."""
    assert set(capabilities.adjust(base, add, drop)) == (base - drop) | add
    assert set(capabilities.adjust(base, add, {"ALL"})) == add
    assert set(capabilities.adjust(base, {"all"}, drop)) == set(capabilities.ALL) - drop
