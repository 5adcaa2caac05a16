"""Sizes and times in docker's words."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_kit.cli.humanise import (
    ago,
    binary_size,
    decimal_size,
    duration_words,
    parse_duration,
    parse_moment,
)
from container_kit.errors import InvalidInput


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0B"),
        (999, "999B"),
        (1000, "1kB"),
        (1_234_567, "1.23MB"),
        (77_812_345, "77.8MB"),
        (5 * 10**12, "5TB"),
    ],
)
def test_decimal_sizes(size: int, text: str) -> None:
    """Images and layers are counted in powers of 1000 with three digits."""
    assert decimal_size(size) == text


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0B"), (1536, "1.5KiB"), (1 << 20, "1MiB"), (7_654_321, "7.3MiB")]
)
def test_binary_sizes(size: int, text: str) -> None:
    """Memory is counted in powers of 1024 with four digits."""
    assert binary_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (150, "2 minutes"),
        (3700, "About an hour"),
        (7200, "2 hours"),
        (47 * 3600, "47 hours"),
        (3 * 86400, "3 days"),
        (21 * 86400, "3 weeks"),
        (100 * 86400, "3 months"),
        (800 * 86400, "2 years"),
    ],
)
def test_durations_have_dockers_words(seconds: float, words: str) -> None:
    """How long ago something was is said as docker says it."""
    assert duration_words(seconds) == words
    assert ago(1000 - seconds, 1000) == f"{words} ago"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10", 10), ("1.5", 1.5), ("1m30s", 90), ("250ms", 0.25), ("1h", 3600), ("2d", 172800)],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    """A plain number is seconds; units add up."""
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "x", "1x", "m1", "1m x", "--"])
def test_wrong_durations_are_refused(text: str) -> None:
    """What is no duration is told, with an example of one."""
    with pytest.raises(InvalidInput, match="1m30s"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1700000000", 1_700_000_000),
        ("1700000000.5", 1_700_000_000.5),
        ("2023-11-14T22:13:20Z", 1_700_000_000),
        ("2023-11-14T22:13:20.123456789Z", 1_700_000_000.123456),
        ("10m", 1_700_000_000 - 600),
    ],
)
def test_moments_are_read(text: str, moment: float) -> None:
    """--since takes a Unix time, a date with nanoseconds, or how long ago."""
    assert parse_moment(text, now_s=1_700_000_000) == pytest.approx(moment, abs=1e-6)


@given(st.text(max_size=30))
def test_any_text_is_a_moment_or_an_error(text: str) -> None:
    """No text makes the reader fail in any other way than with InvalidInput."""
    with contextlib.suppress(InvalidInput):
        parse_moment(text)
