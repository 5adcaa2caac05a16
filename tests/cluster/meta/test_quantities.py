"""Quantities: exact values, and one way to write each."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_kit.cluster.meta import canonical_quantity, millis, quantity, whole

SUFFIXES = st.sampled_from(["", "m", "u", "n", "k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti", "e3", "E-2"])
NUMBERS = st.decimals(min_value=-100_000, max_value=100_000, places=3).map(str)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("1000m", "1"),
        ("0.5", "500m"),
        ("1.5Gi", "1536Mi"),
        ("1024", "1024"),
        ("1000", "1k"),
        ("1e3", "1e3"),
        ("12e6", "12e6"),
        ("0.5Ki", "512"),
        ("1024Ki", "1Mi"),
        ("0", "0"),
        ("0Mi", "0"),
        ("0.1n", "1n"),
        ("-1.5", "-1500m"),
        ("no quantity", "no quantity"),
    ],
)
def test_canonical_forms(text: str, canonical: str) -> None:
    """Each amount has one form in its notation, as the API server stores it."""
    assert canonical_quantity(text) == canonical


@given(NUMBERS, SUFFIXES)
def test_the_canonical_form_is_the_same_amount_and_final(number: str, suffix: str) -> None:
    """Writing an amount differently changes nothing of it (a fraction of a byte is rounded up)."""
    text = number + suffix
    canonical = canonical_quantity(text)
    assert canonical_quantity(canonical) == canonical
    difference = abs(quantity(canonical) - quantity(text))
    assert difference < 1 if suffix.endswith("i") else difference == 0


@given(st.integers(-(10**6), 10**6))
def test_processors_and_bytes_are_rounded_up(thousandths: int) -> None:
    """Nobody gets less than was asked for."""
    assert millis(f"{thousandths}m") == thousandths
    assert whole(f"{thousandths}m") == -(-thousandths // 1000)
    assert quantity(f"{thousandths}m") == Fraction(thousandths, 1000)


@given(st.text(max_size=20))
def test_no_text_makes_trouble(text: str) -> None:
    """Whatever a client sends is a quantity or a ValueError, and quickly."""
    try:
        quantity(text)
    except ValueError:
        assert canonical_quantity(text) == text


def test_huge_exponents_are_cut() -> None:
    """A short text cannot make the server compute with a billion digits."""
    assert quantity("1e999999999") == quantity("1e40") == 2**63 - 1
