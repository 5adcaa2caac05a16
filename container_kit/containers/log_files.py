"""A container's log files as one growing sequence of whole records, whatever rotation does to their names."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable, Iterator

from container_kit.containers.log_history import receive_fds
from container_kit.containers.monitor_client import connect, send
from container_kit.containers.state_file import is_held
from container_kit.containers.watching import NO_WATCHES_LEFT, POLL_S
from container_kit.errors import KernelError, LimitExceeded, WrongState
from container_kit.native import interrupts
from container_kit.native.descriptors import Descriptor, new_watch, open_path
from container_kit.native.monitor import watch_file

__all__ = ["LogFiles"]


class LogFiles:
    """Descriptors of log files, oldest first, read by position; a context manager.

    While following, *connection* is the monitor's: it brings a descriptor for every new file.
    """

    def __init__(self, directory: str, fds: list[Descriptor], connection: socket.socket | None) -> None:
        self._directory, self._fds, self._connection = directory, fds, connection
        self._offsets: dict[int, int] = {}
        self._watch = Descriptor()
        self._watched = -1
        self._ended_well = False
        self._news = True

    @classmethod
    def open(cls, directory: str, *, follow: bool) -> LogFiles:
        """The log files there are now, and with *follow* those to come while a monitor runs."""
        try:
            connection = connect(directory)
        except WrongState:
            return cls(directory, _open_by_name(directory), None)
        files = cls(directory, [], connection)
        try:
            send(connection, b"l")
            while not files._take_message():
                pass
        except WrongState:
            files._end()
        except BaseException:
            files.close()
            raise
        if not follow:
            files._disconnect()
        files._fds = files._fds or _open_by_name(directory)  # the monitor was just leaving
        return files

    def __enter__(self) -> LogFiles:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back the descriptors."""
        self._disconnect()
        while self._fds:
            self._fds.pop().close()
        self._watch.close()

    def blocks(self, size: int, *, waits: bool = True) -> Iterator[bytes]:
        """Whole records, many at a time, without the last newline of each block.

        Where there would be something to wait for and *waits* is False, an empty block comes instead.
        """
        numbers = [held.fileno() for held in self._fds]
        sizes = {fd: os.fstat(fd).st_size for fd in numbers}  # where a reader that does not follow stops
        while self._fds:
            fd = self._fds[0].fileno()
            yield from self._read_file(fd, size, sizes.get(fd, 0), waits)
            self._fds.pop(0).close()

    def skip_until(self, stop: Callable[[bytes], bool], size: int) -> None:
        """Walk records backwards from the end; begin to read after the first for which *stop* is true."""
        for held in reversed(self._fds):
            offset = _find_backwards(held.fileno(), stop, size)
            if offset is not None:
                self._offsets[held.fileno()] = offset
                while self._fds[0] is not held:
                    self._fds.pop(0).close()
                return

    def interests(self) -> list[tuple[int, int]]:
        """The descriptors that are readable when there may be more, for `poll`."""
        found = [] if self._connection is None else [self._connection.fileno()]
        found += [] if self._watch.closed else [self._watch.fileno()]
        return [(fd, select.POLLIN) for fd in found]

    @property
    def needs_looking(self) -> bool:
        """Whether nothing tells of new records, since the kernel has no watches left."""
        return self._connection is not None and self._watch.closed

    def _read_file(self, fd: int, size: int, end: int, waits: bool) -> Iterator[bytes]:
        offset, rest = self._offsets.get(fd, 0), b""
        while True:
            limit = size if self._connection or self._ended_well else min(size, end - offset)
            data = os.pread(fd, limit, offset) if limit > 0 else b""
            offset += len(data)
            if data:
                block, newline, tail = data.rpartition(b"\n")
                if newline:
                    yield rest + block
                    rest = tail
                else:
                    rest += data
            elif not self._wait_for_more(fd, waits):
                self._watched = -1
                return
            elif not waits and not self._news:
                yield b""

    def _wait_for_more(self, fd: int, waits: bool) -> bool:
        """Wait until *fd* has grown; False when nothing will be added to it any more."""
        self._news = True
        if len(self._fds) > 1 or self._connection is None:
            return False
        if self._watched != fd:
            self._begin_watch(fd)
            return True  # what was written before the watch was set is yet to be read
        poller = select.poll()
        if not self._watch.closed:
            poller.register(self._watch, select.POLLIN)
        poller.register(self._connection, select.POLLIN)
        if interrupts.fd() >= 0:
            poller.register(interrupts.fd(), select.POLLIN)
        told = poller.poll((POLL_S * 1000 if self._watch.closed else None) if waits else 0)
        interrupts.check()
        self._news = bool(told)
        for ready, _ in told:
            if ready == self._connection.fileno():
                self._take_message()
                break
            os.read(self._watch.fileno(), 4096)
        return True

    def _begin_watch(self, fd: int) -> None:
        self._watch.close()
        self._watched = fd
        try:
            self._watch = new_watch()
        except OSError as error:
            if error.errno not in NO_WATCHES_LEFT:
                raise KernelError.of(error.errno or 0, "cannot watch a log file") from None
            return  # none is left: look now and then
        watch_file(self._watch.fileno(), fd)

    def _take_message(self) -> bool:
        """Take one message of the monitor; true when all present files are known."""
        assert self._connection is not None
        message, fds = receive_fds(self._connection)
        self._fds += fds
        if not message:
            self._end()
            return True
        if message[:1] == b"S":
            self._ended_well = True
        return message[:1] == b"f" and message[1] == 1

    def _end(self) -> None:
        self._disconnect()
        if not self._ended_well and is_held(self._directory):
            raise LimitExceeded(
                "cannot follow the log further: it was read too slowly and files of it are gone"
            )
        self._ended_well = True  # what remains in the files is complete

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _open_by_name(directory: str) -> list[Descriptor]:
    """The log files of a container without a monitor, oldest first."""
    numbers = [name[4:] for name in os.listdir(directory) if name.startswith("log.")]
    ordered = sorted(
        (int(number) for number in numbers if number.isascii() and number.isdigit()), reverse=True
    )
    names = [*(f"log.{number}" for number in ordered), "log"]
    fds = []
    for name in names:
        try:
            fds.append(open_path(os.path.join(directory, name), os.O_RDONLY | os.O_NOFOLLOW))
        except FileNotFoundError:
            continue
    return fds


def _find_backwards(fd: int, stop: Callable[[bytes], bool], size: int) -> int | None:
    """The offset after the last record of *fd* for which *stop* is true."""
    end = os.fstat(fd).st_size
    rest = b""
    while end > 0:
        start = max(0, end - size)
        data = os.pread(fd, end - start, start) + rest
        first = data.find(b"\n") + 1 if start else 0
        found = _last_stop(data, first, stop)
        if found is not None:
            return start + found
        rest, end = data[:first], start
    return None


def _last_stop(data: bytes, first: int, stop: Callable[[bytes], bool]) -> int | None:
    """The offset in *data* after the last record, of those from *first* on, for which *stop* is true."""
    offset = data.rfind(b"\n") + 1
    for record in reversed(data[first : max(first, offset - 1)].split(b"\n")):
        if stop(record):
            return offset
        offset -= len(record) + 1
    return None
