"""Schedules: which points in time they mean."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from container_kit.cluster.controllers.cronjobs.schedule import parse_schedule

_moments = st.datetimes(datetime(2024, 1, 1), datetime(2028, 1, 1), timezones=st.just(UTC))


def _field(first: int, last: int) -> st.SearchStrategy[str]:
    number = st.integers(first, last)
    span = st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}")
    step = st.integers(1, last).map(lambda size: f"*/{size}")
    return st.one_of(st.just("*"), number.map(str), span, step)


_texts = st.tuples(_field(0, 59), _field(0, 23), _field(1, 28), _field(1, 12), _field(0, 6)).map(" ".join)


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "after", "expected"),
    [
        ("* * * * *", "2026-01-01T00:00:30", "2026-01-01T00:01:00"),
        ("*/15 * * * *", "2026-01-01T00:15:00", "2026-01-01T00:30:00"),
        ("5/20 * * * *", "2026-01-01T00:06:00", "2026-01-01T00:25:00"),
        ("0 9-17/4 * * mon-fri", "2026-01-02T17:00:00", "2026-01-05T09:00:00"),
        ("30 2 29 feb ?", "2026-01-01T00:00:00", "2028-02-29T02:30:00"),
        ("0 0 13 * FRI", "2026-01-03T00:00:00", "2026-01-09T00:00:00"),
        ("0 0 1,15 * *", "2026-01-02T00:00:00", "2026-01-15T00:00:00"),
        ("@hourly", "2026-01-01T00:00:00", "2026-01-01T01:00:00"),
        ("@weekly", "2026-01-01T00:00:00", "2026-01-04T00:00:00"),
        ("@yearly", "2026-01-01T00:00:00", "2027-01-01T00:00:00"),
        ("@every 1h30m", "2026-01-01T00:00:10", "2026-01-01T01:30:10"),
    ],
)
def test_the_language_of_cron(text: str, after: str, expected: str) -> None:
    """Lists, spans, steps, names and words mean what they mean to cron."""
    assert parse_schedule(text).after(_at(after)) == _at(expected)


@given(_texts, _moments)
@settings(max_examples=50)
def test_nothing_lies_between_a_moment_and_the_next_time(text: str, moment: datetime) -> None:
    """The next time after a moment is the last one that is not later than itself."""
    schedule = parse_schedule(text)
    found = schedule.after(moment)

    assert found is not None and found > moment
    assert schedule.until(found, moment) == found
    assert schedule.until(found - timedelta(seconds=1), moment) is None


@given(_texts, _moments, st.integers(0, 48))
@settings(max_examples=50)
def test_the_last_time_is_found_without_counting(text: str, since: datetime, hours: int) -> None:
    """Looking back from a moment finds what going forward from the beginning ends at."""
    schedule, moment = parse_schedule(text), since + timedelta(hours=hours)
    last, step = None, schedule.after(since)
    for _ in range(100):
        if step is None or step > moment:
            assert schedule.until(moment, since) == last
            break
        last, step = step, schedule.after(step)


def test_summer_time() -> None:
    """By the clocks of a place: what the clocks leave out does not happen, what they show is at its time."""
    daily = parse_schedule("30 2 * * *", ZoneInfo("Europe/Berlin"))

    assert daily.after(_at("2026-03-28T12:00:00")) == _at("2026-03-30T00:30:00")
    assert daily.after(_at("2026-01-01T12:00:00")) == _at("2026-01-02T01:30:00")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "* * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 7",
        "5-3 * * * *",
        "@noon",
    ],
)
def test_what_is_no_schedule_is_refused(text: str) -> None:
    """A schedule that means nothing is an error, not a Job at some other time."""
    with pytest.raises(ValueError, match=r"expected exactly|is no "):
        parse_schedule(text)
