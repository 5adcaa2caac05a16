"""The plan's encoding, and that Python and C agree on it."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_kit.errors import InvalidInput, LimitExceeded
from container_kit.runtime.plan import MAX_PLAN_BYTES, Op, Plan, Step, texts

HEADER = Path(__file__).parents[2] / "_native" / "init" / "plan.h"

steps = st.builds(
    Step,
    st.sampled_from(Op),
    st.integers(0, 255),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**64 - 1),
    st.binary(max_size=50),
)


def decode(data: bytes) -> Plan:
    """What ckit-init reads: written from the header file, not from the encoder."""
    magic, size, count, slots, flags, _ = struct.unpack_from("<IIIIQQ", data)
    assert (magic, size) == (0x31504B43, len(data))
    at, found = 32, []
    for _ in range(count):
        op, slot, length, a, b = struct.unpack_from("<HHIQQ", data, at)
        found.append(Step(op, slot, a, b, data[at + 24 : at + 24 + length]))
        at += 24 + (length + 7) // 8 * 8
    assert at == size
    return Plan(tuple(found), flags, slots)


@given(st.lists(steps, max_size=20), st.integers(0, 2**64 - 1), st.integers(0, 9))
def test_what_is_encoded_can_be_read(wanted: list[Step], flags: int, slots: int) -> None:
    """Every plan survives its encoding, and every step begins at a multiple of eight bytes."""
    plan = Plan(tuple(wanted), flags, slots)

    assert decode(plan.encode()) == plan
    assert len(plan.encode()) % 8 == 0


def test_python_and_c_number_the_operations_alike() -> None:
    """The list in plan.h is the list in plan.py."""
    enumeration = re.search(r"enum plan_op \{(.*?)\};", HEADER.read_text(), re.S)
    assert enumeration
    words = re.sub(r"/\*.*?\*/", "", enumeration[1], flags=re.S)
    names = re.findall(r"\bOP_(\w+)", words)

    assert names == [*(op.name for op in Op), "COUNT"]


def test_a_nul_character_is_refused() -> None:
    """A text with a NUL would end early in C and mean something else there."""
    with pytest.raises(InvalidInput, match="NUL"):
        texts("fine", "bro\0ken")


def test_a_plan_has_a_budget() -> None:
    """A plan larger than ckit-init's buffer is refused before anything is started."""
    with pytest.raises(LimitExceeded, match="environment"):
        Plan((Step(Op.EXEC, payload=bytes(MAX_PLAN_BYTES)),)).encode()
