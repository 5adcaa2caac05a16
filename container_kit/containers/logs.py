"""Reads a container's log files: a part of them, or on and on until the container ends.

The monitor writes ``log`` in the form of the Kubernetes CRI, one record a line:
``<RFC 3339 time with nine digits>Z stdout|stderr F|P <bytes>``, where P marks a piece of a line that goes on
in the stream's next record.  A full ``log`` becomes ``log.1``, that one ``log.2``, and so on; the last is
deleted.

While a monitor runs it hands out the files themselves as descriptors, and each new one as it is begun.  They
wait in the socket for as long as the reader needs, so rotation takes no line from a slow reader, and deletes
no file under it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple, cast

import attrs

from container_kit.containers.log_files import LogFiles
from container_kit.containers.watching import POLL_S
from container_kit.errors import InvalidInput

__all__ = ["LogLine", "LogReader", "read_logs"]

BLOCK = 64 * 1024
LONGEST_LINE = 1 << 20  # a longer line is given in pieces
HEADER = 40  # bytes before the text of a record
_STAMP = 30


class LogLine(NamedTuple):
    """One line of output.

    Attributes:
        timestamp: When its end was read, RFC 3339 with nanoseconds, UTC.
        stream: ``stdout`` or ``stderr``.
        data: Its bytes without the newline.
        complete: Whether a newline followed; False for the rest at the end and pieces of very long lines.
    """

    timestamp: str
    stream: str
    data: bytes
    complete: bool

    @property
    def text(self) -> str:
        """The line as text; bytes that are not UTF-8 become U+FFFD."""
        return self.data.decode("utf-8", "replace")

    def __str__(self) -> str:
        return self.text


@attrs.frozen
class _Filter:
    since: bytes
    until: bytes
    streams: frozenset[bytes]


def read_logs(
    directory: str,
    *,
    follow: bool = False,
    since: float | datetime | str | None = None,
    until: float | datetime | str | None = None,
    tail: int | None = None,
    stdout: bool = True,
    stderr: bool = True,
) -> Iterator[LogLine]:
    """The lines that the container in *directory* wrote, oldest first.

    Args:
        follow: Go on with new lines until the container has ended for good.
        since, until: Only lines of this time span: seconds since 1970, a datetime, or RFC 3339 text.
        tail: Only the last so many of the lines there are now.
        stdout, stderr: Which streams.

    Raises:
        InvalidInput: A time cannot be read, or *tail* is negative.
        LimitExceeded: This reader was so slow that files waiting for it had to be given up.
    """
    if tail is not None and tail < 0:
        raise InvalidInput(f"tail {tail!r}: give a number of lines, 0 or more, or None for all")
    chosen = _Filter(_stamp(since, b"0"), _stamp(until, b"9999"), _streams(stdout, stderr))
    return _lines(directory, follow, tail, chosen)


class LogReader:
    """The lines of a container as they come, for a caller that waits by itself; a context manager.

    Args:
        since: Only lines from this time on, as in `read_logs`.
        stdout, stderr: Which streams.
    """

    def __init__(
        self,
        directory: str,
        *,
        since: float | datetime | str | None = None,
        stdout: bool = True,
        stderr: bool = True,
    ) -> None:
        chosen = _Filter(_stamp(since, b"0"), b"9999", _streams(stdout, stderr))
        self._files = LogFiles.open(directory, follow=True)
        self._lines = _join(self._files.blocks(BLOCK, waits=False), chosen)

    def take(self) -> Iterator[LogLine]:
        """The lines that are there and were not taken yet.

        Raises:
            LimitExceeded: As in `read_logs`.
        """
        for line in self._lines:
            if line is None:
                return
            yield line

    def interests(self) -> list[tuple[int, int]]:
        """Descriptors, and what to poll them for, that tell when there may be more."""
        return self._files.interests()

    def patience_s(self) -> float | None:
        """Seconds after which to look again by ourselves; None where the kernel tells."""
        return POLL_S if self._files.needs_looking else None

    def close(self) -> None:
        """Give back the descriptors; may be repeated."""
        self._files.close()

    def __enter__(self) -> LogReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _streams(stdout: bool, stderr: bool) -> frozenset[bytes]:
    return frozenset(name for name, wanted in ((b"stdout", stdout), (b"stderr", stderr)) if wanted)


def _lines(directory: str, follow: bool, tail: int | None, chosen: _Filter) -> Iterator[LogLine]:
    with LogFiles.open(directory, follow=follow) as files:
        if tail is not None:
            _seek_tail(files, tail, chosen.streams)
        yield from cast("Iterator[LogLine]", _join(files.blocks(BLOCK), chosen))


def _join(blocks: Iterator[bytes], chosen: _Filter) -> Iterator[LogLine | None]:
    """Whole lines from *blocks* of whole records; None for an empty block: there is no more as yet."""
    pending: dict[bytes, list[bytes]] = {}
    stamp = b""
    for block in blocks:
        if not block:
            yield None
        for record in block.split(b"\n"):
            stream = record[31:37]
            stamp = record[:_STAMP]
            if stream not in chosen.streams or stamp < chosen.since:
                continue
            if stamp > chosen.until:
                return
            if record[38:39] == b"P":
                pieces = pending.setdefault(stream, [])
                pieces.append(record[HEADER:])
                if sum(map(len, pieces)) < LONGEST_LINE:
                    continue
                yield _line(stamp, stream, b"".join(pending.pop(stream)), False)
            elif stream in pending:
                yield _line(stamp, stream, b"".join(pending.pop(stream)) + record[HEADER:], True)
            else:
                yield _line(stamp, stream, record[HEADER:], True)
    for stream, pieces in pending.items():
        yield _line(stamp, stream, b"".join(pieces), False)


def _line(stamp: bytes, stream: bytes, data: bytes, complete: bool) -> LogLine:
    return LogLine(stamp.decode("ascii", "replace"), stream.decode("ascii"), data, complete)


def _seek_tail(files: LogFiles, count: int, streams: frozenset[bytes]) -> None:
    """Skip all but the last *count* lines of what is there now."""
    wanted = _Countdown(count, streams)
    files.skip_until(wanted, BLOCK)


@attrs.define
class _Countdown:
    """Walks records backwards; true for the first one that is not to be shown."""

    left: int
    streams: frozenset[bytes]
    at_end: bool = True

    def __call__(self, record: bytes) -> bool:
        if record[31:37] not in self.streams:
            return False
        if record[38:39] == b"F" or self.at_end:  # an unfinished last line counts as one
            if self.left == 0:
                return True
            self.left -= 1
        self.at_end = False
        return False


def _stamp(value: float | datetime | str | None, default: bytes) -> bytes:
    """The time in the form that log records sort by."""
    if value is None:
        return default
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        if isinstance(moment, (int, float)):
            moment = datetime.fromtimestamp(moment, UTC)
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, OverflowError, OSError):
        raise InvalidInput(
            f"time {value!r}: give seconds, a datetime, or text such as 2030-01-31T12:00:00Z"
        ) from None
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}000Z".encode()
