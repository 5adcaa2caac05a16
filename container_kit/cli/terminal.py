"""Connects this program's standard streams to those of a container: raw mode, window size, detach keys.

One loop serves all: an attached container (`AttachedPeer`) and a terminal that is held here (`TerminalPeer`).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import signal
import struct
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from threading import Thread
from typing import TYPE_CHECKING, Any, Protocol

from container_kit.errors import ContainerKitError, InvalidInput, WrongState

if TYPE_CHECKING:
    from datetime import datetime

    from container_kit.containers import Attachment, Container

__all__ = [
    "AttachedPeer",
    "KeyDetector",
    "Patience",
    "Peer",
    "TerminalPeer",
    "attach_to",
    "follow_output",
    "parse_detach_keys",
    "relay",
]

_CHUNK = 32 * 1024
_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


class Peer(Protocol):
    """The other end of our streams."""

    def read(self) -> tuple[int, bytes] | None:
        """The descriptor (1 or 2) that some output is for, and the output; None at the end."""

    def write(self, data: bytes) -> None:
        """Pass input on."""

    def end_input(self) -> None:
        """There will be no more input."""

    def resize(self, rows: int, columns: int) -> None:
        """The size of our window is this now."""


class TerminalPeer:
    """The master side of a terminal that we hold ourselves; does not close it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def read(self) -> tuple[int, bytes] | None:
        """Output of the program; None when all its descriptors are closed."""
        try:
            data = os.read(self._fd, _CHUNK)
        except OSError as error:
            if error.errno == errno.EIO:  # how a terminal says that its other side is closed
                return None
            raise
        return (1, data) if data else None

    def write(self, data: bytes) -> None:
        """Type *data*."""
        with contextlib.suppress(OSError):
            os.write(self._fd, data)

    def end_input(self) -> None:
        """Type the end-of-file character."""
        self.write(b"\x04")

    def resize(self, rows: int, columns: int) -> None:
        """Tell the program the size of our window."""
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


class AttachedPeer:
    """The streams of a container that runs under its monitor."""

    def __init__(self, container: Container, attachment: Attachment) -> None:
        self._container, self._attachment = container, attachment

    def read(self) -> tuple[int, bytes] | None:
        """The next output."""
        chunk = self._attachment.read()
        return None if chunk is None else (2 if chunk[0] == "stderr" else 1, chunk[1])

    def write(self, data: bytes) -> None:
        """Pass input on; a container that has closed its input does not care."""
        with contextlib.suppress(OSError):
            self._attachment.write(data)

    def end_input(self) -> None:
        """Let the program read an end of file."""
        with contextlib.suppress(OSError):
            self._attachment.close_stdin()

    def resize(self, rows: int, columns: int) -> None:
        """Tell the program the size of our window; one that has just ended does not care."""
        with contextlib.suppress(ContainerKitError):
            self._container.resize(rows, columns)


def parse_detach_keys(text: str) -> bytes:
    """``ctrl-p,ctrl-q`` or plain letters, separated by commas, as the bytes that a terminal sends.

    Raises:
        InvalidInput: A key is neither.
    """
    keys = bytearray()
    for word in filter(None, text.split(",")):
        if len(word) == 1 and word.isascii():
            keys += word.encode()
        elif word.startswith("ctrl-") and len(word) == 6 and "@" <= word[5].upper() <= "_":
            keys.append(ord(word[5].upper()) - 64)
        else:
            raise InvalidInput(
                f"detach key {word!r} cannot be read: write letters or ctrl-letter, as ctrl-p,ctrl-q"
            )
    return bytes(keys)


def attach_to(
    container: Container,
    *,
    stdin: bool,
    detach_keys: str = "ctrl-p,ctrl-q",
    logs: bool = False,
    forward_signals: bool = True,
) -> int:
    """Relay our streams to a container until it ends, or the detach keys are typed.

    With *logs* what it wrote before comes first, even if it has ended meanwhile.

    Returns:
        Its exit code, or 0 after detaching.

    Raises:
        WrongState: It does not run, and *logs* was not given.
    """
    keys = parse_detach_keys(detach_keys)
    try:
        attachment = container.attach(stdin=stdin, logs=logs)
    except WrongState:
        if not logs:
            raise
        _show_logs(container)  # it was quicker than we were
        return int(container.wait())
    has_terminal = container.options.tty
    with contextlib.closing(attachment):
        ended = _Waiter(container)
        forward = _forward_to(container) if forward_signals and not has_terminal else contextlib.nullcontext()
        with forward, _raw_terminal(has_terminal and stdin):
            detached = relay(
                AttachedPeer(container, attachment), stdin=stdin, terminal=has_terminal, keys=keys
            )
        return 0 if detached else ended.exit_code()


class _Waiter(Thread):
    """Waits for the end of a container from the start on: once it has removed itself it cannot be asked."""

    def __init__(self, container: Container) -> None:
        super().__init__(daemon=True)
        self._container, self._code = container, 0
        self._error: ContainerKitError | None = None
        self.start()

    def run(self) -> None:
        """Wait; called by the thread."""
        try:
            self._code = self._container.wait()
        except ContainerKitError as error:
            self._error = error

    def exit_code(self) -> int:
        """The exit code, as soon as there is one."""
        self.join()
        if self._error is not None:
            raise self._error
        return self._code


def follow_output(container: Container, since: datetime | None) -> int:
    """Show what a container that has just been started writes from *since* on; its exit code at the end.

    By its log, which has the beginning too, and of which earlier lives of the container can be left out.
    """
    ended = _Waiter(container)
    with _forward_to(container):
        _show_logs(container, follow=True, since=since)
    return ended.exit_code()


def _show_logs(container: Container, **which: Any) -> None:
    for line in container.logs(**which):
        stream = sys.stderr if line.stream == "stderr" else sys.stdout
        stream.buffer.write(line.data + (b"\n" if line.complete else b""))
        stream.flush()


def relay(peer: Peer, *, stdin: bool, terminal: bool, keys: bytes = b"") -> bool:
    """Move bytes both ways until *peer* ends; True when the detach *keys* were typed instead."""
    typed = KeyDetector(keys) if terminal else None
    output = _Output(peer)
    poller = select.poll()
    poller.register(output.ended_fd, select.POLLIN)
    if stdin:
        poller.register(0, select.POLLIN)
    with _window_changes(peer) if terminal else contextlib.nullcontext():
        while True:
            ready = {fd for fd, _ in poller.poll()}
            if 0 in ready and not _pass_input(peer, poller, typed):
                return True
            if output.ended_fd in ready:
                output.finish()
                return False


class _Output(Thread):
    """Writes what the peer says, in a thread of its own: a peer may keep us waiting while keys are typed."""

    def __init__(self, peer: Peer) -> None:
        super().__init__(daemon=True)
        self._peer = peer
        self._error: BaseException | None = None
        self.ended_fd = os.eventfd(0, os.EFD_CLOEXEC)
        self.start()

    def run(self) -> None:
        """Read to the end; called by the thread."""
        try:
            while (chunk := self._peer.read()) is not None:
                _write_all(*chunk)
        except BaseException as error:
            self._error = error
        os.eventfd_write(self.ended_fd, 1)

    def finish(self) -> None:
        """After the end: raise what went wrong, if something did."""
        self.join()
        os.close(self.ended_fd)
        if self._error is not None:
            raise self._error


def _pass_input(peer: Peer, poller: select.poll, typed: KeyDetector | None) -> bool:
    data = os.read(0, _CHUNK)
    if not data:
        poller.unregister(0)
        peer.end_input()
        return True
    if typed is not None and typed.sees(data):
        return False
    peer.write(data)
    return True


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


class KeyDetector:
    """Recognises a sequence of keys in what is typed, one after the other."""

    def __init__(self, keys: bytes) -> None:
        self._keys, self._seen = keys, 0

    def sees(self, data: bytes) -> bool:
        """Whether the last key of the sequence is in *data*."""
        for byte in data:
            expected = self._keys[self._seen : self._seen + 1]
            self._seen = self._seen + 1 if expected and byte == expected[0] else 0
            if self._keys and self._seen == len(self._keys):
                return True
        return False


@contextlib.contextmanager
def _raw_terminal(wanted: bool) -> Iterator[None]:
    """Hand every key to the container as it is typed; our own terminal is put back at the end."""
    if not wanted or not os.isatty(0):
        yield
        return
    before = termios.tcgetattr(0)
    tty.setraw(0, termios.TCSADRAIN)  # what was typed already is not thrown away
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


@contextlib.contextmanager
def _window_changes(peer: Peer) -> Iterator[None]:
    def tell(*_: object) -> None:
        with contextlib.suppress(OSError):
            size = os.get_terminal_size(1)
            peer.resize(size.lines, size.columns)

    before = signal.signal(signal.SIGWINCH, tell)
    tell()
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)


class Patience:
    """Counts the requests to end that a program may ignore: docker's command line gives up at the third."""

    _MOST = 3

    def __init__(self) -> None:
        self._asked = 0

    def ends_with(self, number: int) -> bool:
        """Whether this signal is one too many; says so."""
        self._asked += number in (signal.SIGINT, signal.SIGTERM)
        if self._asked < self._MOST or number not in (signal.SIGINT, signal.SIGTERM):
            return False
        os.write(2, f"got {self._asked} SIGTERM/SIGINTs, forcefully exiting\n".encode())
        return True


@contextlib.contextmanager
def _forward_to(container: Container) -> Iterator[None]:
    """Signals that are sent to us are sent on to the container instead."""

    patience = Patience()

    def send(number: int, _: object) -> None:
        if patience.ends_with(number):
            raise SystemExit(1)  # as docker does: a container that is not ours alone goes on
        with contextlib.suppress(ContainerKitError):
            container.kill(number)

    with signals_to(send):
        yield


@contextlib.contextmanager
def signals_to(handler: Callable[[int, object], object]) -> Iterator[None]:
    """Give the signals that a user or a shell sends to *handler* until the block ends."""
    before = {number: signal.signal(number, handler) for number in _FORWARDED}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


@contextlib.contextmanager
def raw_terminal() -> Iterator[None]:
    """Hand every key to a program as it is typed, if we are on a terminal."""
    with _raw_terminal(True):
        yield
