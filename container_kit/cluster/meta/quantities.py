"""Quantities: ``100m``, ``1.5Gi``, ``2e3``; exact, as no amount of memory or money may be a float.

Source: apimachinery api/resource/quantity.go (grammar, canonical form, rounding up to nano).
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

__all__ = ["LONGEST_QUANTITY", "canonical_quantity", "format_quantity", "millis", "quantity", "whole"]

_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([KMGTPE]i)|([numkMGTPE])?|[eE]([+-]?\d+))")
_BINARY = {f"{letter}i": 10 * power for power, letter in enumerate("KMGTPE", 1)}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_DECIMAL_SUFFIX = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_BINARY_SUFFIX = {exponent: suffix for suffix, exponent in _BINARY.items()} | {0: ""}
_NANO = 10**9
_LIMIT = 2**63 - 1
LONGEST_QUANTITY = 256  # characters; nobody counts as far
_MAX_EXPONENT = 400  # what comes from outside must not make us compute with millions of digits
_FORM = "^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"


@lru_cache(4096)
def _parsed(text: str) -> tuple[Fraction, str]:
    """The value, rounded up to nano as the original does, and its notation: binary, decimal or exponent."""
    match = _QUANTITY.fullmatch(text) if len(text) <= LONGEST_QUANTITY else None
    if match is None:
        raise ValueError(f"quantities must match the regular expression '{_FORM}'")
    number, binary, decimal, exponent = match.groups()
    value = Fraction(number)
    if binary:
        value, notation = value * 2 ** _BINARY[binary], "binary"
    elif exponent:
        power = max(-_MAX_EXPONENT, min(int(exponent), _MAX_EXPONENT))
        value, notation = value * Fraction(10) ** power, "exponent"
    else:
        value, notation = value * Fraction(10) ** _DECIMAL[decimal or ""], "decimal"
    return _rounded(min(max(value, Fraction(-_LIMIT)), Fraction(_LIMIT))), notation


def _rounded(value: Fraction) -> Fraction:
    """Away from zero, to whole billionths."""
    nanos = value * _NANO
    if nanos.denominator == 1:
        return value
    return Fraction(
        -(-nanos.numerator // nanos.denominator) if value > 0 else nanos.numerator // nanos.denominator, _NANO
    )


def quantity(value: str | int | float) -> Fraction:
    """The exact amount that a quantity means.

    Raises:
        ValueError: It is none.
    """
    return _parsed(str(value))[0]


def millis(value: str | int | float) -> int:
    """In thousandths, rounded up: how processors are counted."""
    amount = quantity(value) * 1000
    return -(-amount.numerator // amount.denominator)


def whole(value: str | int | float) -> int:
    """In whole units, rounded up: how bytes are counted."""
    amount = quantity(value)
    return -(-amount.numerator // amount.denominator)


@lru_cache(4096)
def _canonical(text: str) -> str:
    return format_quantity(*_parsed(text))


def canonical_quantity(value: str | int | float) -> str:
    """The one way to write this amount in its notation: ``1000m`` is ``1``, ``1.5Gi`` is ``1536Mi``.

    What is no quantity comes back as it is; the check of types speaks about it.
    """
    try:
        return _canonical(str(value))
    except ValueError:
        return str(value)


def format_quantity(value: Fraction | int, notation: str = "decimal") -> str:
    """An amount as text, in ``decimal``, ``binary`` or ``exponent`` notation."""
    value = Fraction(value)
    if notation == "binary" and not -1024 < value < 1024:
        return _binary(-(-value.numerator // value.denominator))
    return _thousands(value, notation == "exponent")


def _binary(value: int) -> str:
    power = 0
    while value % 1024 == 0 and power < 60:
        value, power = value // 1024, power + 10
    return f"{value}{_BINARY_SUFFIX[power]}"


def _thousands(value: Fraction, with_exponent: bool) -> str:
    if not value:
        return "0"
    mantissa, power = _rounded(value) * _NANO, -9
    number = mantissa.numerator
    while number % 1000 == 0 and power < 18:
        number, power = number // 1000, power + 3
    if with_exponent:
        return f"{number}e{power}" if power else str(number)
    return f"{number}{_DECIMAL_SUFFIX[power]}"
