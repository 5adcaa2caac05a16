"""Connections: names are resolved and addresses dialled here, and whatever waits can be stopped.

Each socket is known until it is closed.  `Dialler.cancel` shuts all of them down, from any thread: whoever
waits for one, even in the middle of a TLS handshake, comes back at once.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Mapping
from typing import Any

import urllib3.connection

from container_kit.errors import TimedOut, Untrusted
from container_kit.registry.client.addresses import Reach, may_send, reach_of

__all__ = ["Dialler", "PlainConnection", "SecureConnection"]

_SEND_BLOCK = 256 * 1024


class Dialler:
    """Makes the sockets of one client."""

    def __init__(self) -> None:
        self._controls: set[socket.socket] = set()
        self._mutex = threading.Lock()
        self._pid = os.getpid()
        self.cancelled = threading.Event()

    def dial(self, host: str, port: int, timeout_s: float, sender: Reach | None) -> _Dialled:
        """A connected socket to the first address of *host* that answers.

        Args:
            sender: The reach of the server that named this host; None when the user did.

        Raises:
            Untrusted: That server may not send us to an address of this kind.
            OSError: No address could be reached; the last one's error, with all addresses in its text.
        """
        failure: OSError = OSError(f"{host} has no address")
        tried = []
        for family, address in self._resolve(host, port, timeout_s):
            reach = reach_of(address[0])
            if sender is not None and not may_send(sender, reach):
                raise Untrusted(f"a server sent us to {host} ({address[0]}), an address of this host's own")
            try:
                return _Dialled(self._connect(family, address, timeout_s), reach)
            except OSError as error:
                tried.append(str(address[0]))
                failure = error
        failure.addresses = ", ".join(tried)  # type: ignore[attr-defined]
        raise failure

    def shut_down(self, control: socket.socket) -> None:
        """End all waiting for the socket that *control* is a second descriptor of."""
        with self._mutex:
            if control in self._controls:
                _shut_down(control)

    def control_of(self, connected: socket.socket) -> socket.socket:
        """A second descriptor of a socket, for ending it: TLS takes the first one for itself."""
        control = connected.dup()
        with self._mutex:
            self._controls.add(control)
            if self.cancelled.is_set():
                _shut_down(control)
        return control

    def forget(self, control: socket.socket) -> None:
        """The socket is closed."""
        with self._mutex:
            self._controls.discard(control)
            control.close()

    def cancel(self) -> None:
        """End all waiting, now and from now on."""
        self.cancelled.set()
        with self._mutex:
            for control in self._controls:
                _shut_down(control)

    def pause(self, seconds: float) -> None:
        """Wait; raises TimedOut when cancelled."""
        self.cancelled.wait(seconds)
        self.check()

    def check(self) -> None:
        if self.cancelled.is_set():
            raise TimedOut("stopped by the caller")

    def _connect(self, family: int, address: Any, timeout_s: float) -> socket.socket:
        raw = socket.socket(family, socket.SOCK_STREAM)
        control: socket.socket | None = None
        try:
            raw.settimeout(timeout_s)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            control = self.control_of(raw)
            raw.connect(address)
        except BaseException:
            raw.close()
            raise
        finally:
            if control is not None:
                self.forget(control)
        return raw

    def _resolve(self, host: str, port: int, timeout_s: float) -> list[tuple[int, Any]]:
        """Numeric addresses; a name is looked up in a thread, because that cannot be stopped."""
        numeric = _look_up(host, port, socket.AI_NUMERICHOST)
        if numeric:
            return numeric
        found: list[Any] = []
        done = threading.Event()

        def look_up() -> None:
            try:
                found.append(_look_up(host, port, 0))
            except OSError as error:
                found.append(error)
            done.set()

        threading.Thread(target=look_up, name="container-kit-resolve", daemon=True).start()
        if not self._wait(done, timeout_s):
            raise socket.gaierror(socket.EAI_AGAIN, f"no answer within {timeout_s:g} s")
        if isinstance(found[0], OSError):
            raise found[0]
        return list(found[0])

    def _wait(self, done: threading.Event, timeout_s: float) -> bool:
        left = timeout_s
        while left > 0 and not done.wait(min(left, 0.1)):
            self.check()
            left -= 0.1
        return done.is_set()


class _Dialled:
    """A connected socket and what kind of address it has."""

    def __init__(self, connected: socket.socket, reach: Reach) -> None:
        self.socket, self.reach = connected, reach


def _look_up(host: str, port: int, flags: int) -> list[tuple[int, Any]]:
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    except socket.gaierror:
        if flags:
            return []
        raise
    return [(answer[0], answer[4]) for answer in answers]


def _shut_down(control: socket.socket) -> None:
    try:
        control.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # not connected yet, or not any more


class _Dials:
    """What both kinds of connection do differently from urllib3's: they dial with a `Dialler`."""

    dialler: Dialler
    sender: Reach | None = None
    reach: Reach = Reach.PUBLIC
    target_prefix: str = ""  # what a proxy wants before the path
    proxy_headers: Mapping[str, str] = {}
    _control: socket.socket | None = None

    def _new_conn(self) -> socket.socket:
        timeout: Any = self.timeout  # type: ignore[attr-defined]
        dialled = self.dialler.dial(self._dns_host, self.port, timeout, self.sender)  # type: ignore[attr-defined]
        self.reach = dialled.reach
        self._control = self.dialler.control_of(dialled.socket)
        return dialled.socket

    def shut_down(self) -> None:
        """End all waiting for this connection, from any thread."""
        if self._control is not None:
            self.dialler.shut_down(self._control)

    def close(self) -> None:
        control, self._control = self._control, None
        try:
            super().close()  # type: ignore[misc]
        finally:
            if control is not None:
                self.dialler.forget(control)


class PlainConnection(_Dials, urllib3.connection.HTTPConnection):
    """http, to a server or to a proxy."""

    def __init__(self, dialler: Dialler, host: str, port: int, **more: Any) -> None:
        super().__init__(host, port, blocksize=_SEND_BLOCK, **more)
        self.dialler = dialler


class SecureConnection(_Dials, urllib3.connection.HTTPSConnection):
    """https, to a server or through a proxy."""

    def __init__(self, dialler: Dialler, host: str, port: int, **more: Any) -> None:
        super().__init__(host, port, blocksize=_SEND_BLOCK, **more)
        self.dialler = dialler
