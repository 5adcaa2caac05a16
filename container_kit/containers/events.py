"""The journal of a root directory: what happened to its containers, one JSON line each.

Written by every process that uses the root and by the monitors: each line is one write(2) to a file opened
with O_APPEND, so lines never mix.  Above 1 MiB the file becomes ``events.1`` and a new one begins; whoever
still holds the old file sees its size and opens the new one.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, BinaryIO

import attrs

from container_kit.native.descriptors import Descriptor, open_path

if TYPE_CHECKING:
    from container_kit.containers.watching import Watch

__all__ = ["ROTATE_BYTES", "Event", "Journal", "format_time", "parse_time"]

ROTATE_BYTES = 1 << 20


def format_time(ns: int) -> str:
    """RFC 3339 in UTC with nine digits of a second, from nanoseconds since the epoch."""
    seconds, rest = divmod(ns, 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:09d}Z"


def parse_time(text: str) -> datetime | None:
    """The moment that :func:`format_time` wrote, in microseconds; None for an empty text."""
    if not text:
        return None
    whole, _, digits = text.rstrip("Z").partition(".")
    moment = datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    return moment.replace(microsecond=int((digits + "000000")[:6]))


@attrs.frozen(kw_only=True)
class Event:
    """One thing that happened.

    Attributes:
        time: When, in UTC.
        type: What it happened to: ``container``.
        action: create, start, die, oom, kill, stop, pause, unpause, restart, rename, update, exec_start,
            ``health_status: healthy`` or unhealthy, attach, resize, commit, export, copy, destroy.
        id: Of the container.
        attributes: Details as text, such as ``name``, ``image`` and ``exit_code``.
    """

    time: datetime
    type: str
    action: str
    id: str
    attributes: Mapping[str, str] = attrs.field(factory=dict)

    @classmethod
    def parse(cls, line: bytes) -> Event | None:
        """The event of one line; None for a line that is damaged, as after a loss of power."""
        try:
            row = json.loads(line)
            moment = parse_time(row.pop("time"))
            assert moment is not None
            kind, action, identity = row.pop("type"), row.pop("action"), row.pop("id")
        except (ValueError, KeyError, AttributeError, AssertionError):
            return None
        return cls(time=moment, type=kind, action=action, id=identity, attributes=_texts(row))


def _texts(row: Mapping[str, Any]) -> dict[str, str]:
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in row.items()}


class Journal:
    """The event file of one root directory, written and read by any number of processes."""

    def __init__(self, root: str) -> None:
        self.path = os.path.join(root, "events")
        self._file = Descriptor()

    def write(self, action: str, container_id: str, attributes: Mapping[str, str]) -> None:
        """Append one event; a full disk loses the event, never the action that it tells of."""
        row = {"time": format_time(time.time_ns()), "type": "container", "action": action, "id": container_id}
        line = json.dumps({**row, **attributes}, separators=(",", ":")) + "\n"
        with contextlib.suppress(OSError):
            os.write(self._writable(), line.encode())

    def _writable(self) -> int:
        if self._file.closed:
            self._file = self._open()
        if os.fstat(self._file.fileno()).st_size >= ROTATE_BYTES:
            self._rotate()
        return self._file.fileno()

    def _open(self) -> Descriptor:
        return open_path(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def _rotate(self) -> None:
        """Put the full file aside, unless another process has just done so; then use the new one."""
        fcntl.flock(self._file, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if os.stat(self.path).st_ino == os.fstat(self._file.fileno()).st_ino:
                os.rename(self.path, self.path + ".1")
        self._file = self._open()

    def close(self) -> None:
        """Close the file; the next write opens it again."""
        self._file.close()

    def read(self, *, since: float | None = None, follow: bool = False) -> Iterator[Event]:
        """The events from *since* (seconds since the epoch; None means all), oldest first.

        With *follow* it goes on with new ones for as long as it is asked.
        """
        watch = _watch(os.path.dirname(self.path)) if follow else None
        try:
            for line in self._lines(watch):
                event = Event.parse(line)
                if event is not None and (since is None or event.time.timestamp() >= since):
                    yield event
        finally:
            if watch is not None:
                watch.close()

    def _lines(self, watch: Watch | None) -> Iterator[bytes]:
        with contextlib.suppress(FileNotFoundError), open(self.path + ".1", "rb") as older:
            yield from _whole_lines(older)
        self._open().close()
        file = open(self.path, "rb")  # noqa: SIM115  # replaced when the journal is rotated
        try:
            while True:
                rotated = os.stat(self.path).st_ino != os.fstat(file.fileno()).st_ino
                yield from _whole_lines(file)
                if rotated:
                    file.close()
                    file = open(self.path, "rb")  # noqa: SIM115
                elif watch is None:
                    return
                else:
                    watch.wait(1.0)
        finally:
            file.close()


def _whole_lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines that have been written to their end; the next call goes on after them."""
    for line in file:
        if not line.endswith(b"\n"):
            file.seek(-len(line), os.SEEK_CUR)
            return
        yield line


def _watch(directory: str) -> Watch:
    from container_kit.containers.watching import Watch

    return Watch(directory)
