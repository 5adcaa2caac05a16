"""Log files, read without a monitor."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from container_kit.containers.logs import read_logs
from container_kit.errors import InvalidInput


def stamp(second: int) -> str:
    return f"2030-01-31T12:00:{second:02d}.000000000Z"


def record(second: int, stream: str, tag: str, data: str) -> str:
    return f"{stamp(second)} {stream} {tag} {data}\n"


@pytest.fixture
def directory(tmp_path: Path) -> str:
    """Ten lines in three files: even seconds on stdout, odd ones on stderr."""
    lines = [record(n, "stderr" if n % 2 else "stdout", "F", f"line {n}") for n in range(10)]
    (tmp_path / "log.2").write_text("".join(lines[:3]))
    (tmp_path / "log.1").write_text("".join(lines[3:7]))
    (tmp_path / "log").write_text("".join(lines[7:]))
    (tmp_path / "log.old").write_text("not a log file of ours\n")
    return str(tmp_path)


def test_files_are_read_in_the_order_they_were_written(directory: str) -> None:
    """Rotation changes names, not the order of lines."""
    assert [line.text for line in read_logs(directory)] == [f"line {n}" for n in range(10)]


@pytest.mark.parametrize("count", range(12))
def test_tail_is_the_last_lines(directory: str, count: int) -> None:
    """Across files, and all of them when more are wanted than there are."""
    assert [line.text for line in read_logs(directory, tail=count)] == [
        f"line {n}" for n in range(max(0, 10 - count), 10)
    ]


def test_tail_counts_lines_of_the_chosen_stream(directory: str) -> None:
    """Three lines of stderr, whatever stdout wrote in between."""
    assert [line.text for line in read_logs(directory, tail=3, stdout=False)] == [
        "line 5",
        "line 7",
        "line 9",
    ]


def test_since_and_until_include_their_moments(directory: str) -> None:
    """Times are text, seconds or datetimes; the same span is meant."""
    span = [f"line {n}" for n in range(4, 7)]
    start, end = datetime(2030, 1, 31, 12, 0, 4, tzinfo=UTC), datetime(2030, 1, 31, 12, 0, 6, tzinfo=UTC)

    assert [line.text for line in read_logs(directory, since=stamp(4), until=stamp(6))] == span
    assert [line.text for line in read_logs(directory, since=start, until=end)] == span
    assert [
        line.text for line in read_logs(directory, since=start.timestamp(), until=end.timestamp())
    ] == span


def test_pieces_of_a_line_are_joined(tmp_path: Path) -> None:
    """Also when the other stream speaks in between, and when a file ends within the line."""
    (tmp_path / "log.1").write_text(record(1, "stdout", "P", "one ") + record(2, "stderr", "F", "other"))
    (tmp_path / "log").write_text(record(3, "stdout", "F", "line") + record(4, "stdout", "P", "rest"))

    lines = [(line.stream, line.data, line.complete) for line in read_logs(str(tmp_path))]
    assert lines == [("stderr", b"other", True), ("stdout", b"one line", True), ("stdout", b"rest", False)]


def test_a_record_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    """What a power failure left half-written is not taken for a line."""
    (tmp_path / "log").write_text(record(1, "stdout", "F", "whole") + stamp(2) + " stdo")

    assert [line.text for line in read_logs(str(tmp_path), follow=True)] == ["whole"]


def test_any_bytes_are_kept(tmp_path: Path) -> None:
    """Carriage returns, NULs and bytes that are not UTF-8 are part of the line."""
    data = bytes(set(range(256)) - {10})
    (tmp_path / "log").write_bytes(f"{stamp(1)} stdout F ".encode() + data + b"\n")

    assert [line.data for line in read_logs(str(tmp_path), tail=1)] == [data]


def test_no_log_is_no_lines(tmp_path: Path) -> None:
    """A container that was never started has written nothing."""
    assert list(read_logs(str(tmp_path))) == []


@pytest.mark.parametrize("bad", [{"tail": -1}, {"since": "yesterday"}, {"until": float("nan")}])
def test_what_cannot_be_meant_is_refused(directory: str, bad: dict[str, object]) -> None:
    """At once, not at the first line."""
    with pytest.raises(InvalidInput, match=r"tail|time"):
        read_logs(directory, **bad)  # type: ignore[arg-type]
