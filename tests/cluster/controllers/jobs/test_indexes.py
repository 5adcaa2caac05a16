"""Sets of completion indexes as text."""

from hypothesis import given
from hypothesis import strategies as st

from container_kit.cluster.controllers.jobs.indexes import format_indexes, parse_indexes


@given(st.sets(st.integers(0, 60)))
def test_reading_and_writing_are_inverse(indexes: set[int]) -> None:
    """What is written means the same when it is read."""
    assert parse_indexes(format_indexes(indexes)) == indexes


def test_runs_are_written_as_spans() -> None:
    """Three in a row are a span, two are not: as the original writes them."""
    assert format_indexes({0, 1, 2, 5, 7, 8}) == "0-2,5,7,8"


@given(st.sets(st.integers(0, 60)), st.integers(0, 60))
def test_indexes_that_are_no_more_are_left_out(indexes: set[int], completions: int) -> None:
    """A Job that was made smaller forgets the indexes that it has no more."""
    text = format_indexes(indexes)
    assert parse_indexes(text, completions) == {index for index in indexes if index < completions}
