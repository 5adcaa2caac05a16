"""Carrying out one probe: over HTTP, TCP or gRPC from within the pod's network, or a command in a container.

Connections are made by sockets of the pod's own namespace, so no route or firewall is in between.
"""

from __future__ import annotations

import errno
import os
import select
import selectors
import socket
import subprocess
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeAlias

from container_kit.errors import ContainerKitError
from container_kit.pods.loop import Loop, Timer, Workers
from container_kit.pods.spec import Handler

if TYPE_CHECKING:
    import ssl

    from container_kit.containers.container import Container
    from container_kit.containers.shared_world import SharedWorld

__all__ = ["Asking", "Done", "execute", "request_of"]

_MOST_OUTPUT = 10 * 1024  # what is kept of a command's output; the rest is read and dropped
_LOOK_UP_S = 0.25
Done: TypeAlias = Callable[[bool, str], object]


class _Connecting:
    """A TCP connection, which is all that is asked for."""

    def __init__(self, connection: socket.socket, target: tuple[str, int]) -> None:
        self._connection, self._target = connection, target

    def step(self) -> str | None:
        """Whether it stands."""
        result = self._connection.connect_ex(self._target)
        if result in (errno.EINPROGRESS, errno.EALREADY, errno.EAGAIN):
            return None
        if result not in (0, errno.EISCONN):
            raise OSError(result, os.strerror(result))
        return "connected"

    def interest(self) -> tuple[int, int]:
        """The descriptor, and what to poll it for."""
        return self._connection.fileno(), select.POLLOUT

    def close(self) -> None:
        """Give it up."""
        self._connection.close()


class _Steps(Protocol):
    def step(self) -> object | None: ...
    def interest(self) -> tuple[int, int]: ...
    def close(self) -> None: ...


class Asking:
    """One look by a handler; tells `done` once whether all is well, and what was seen.

    Args:
        address: Where the pod is reached inside of its network.
    """

    def __init__(self, loop: Loop, workers: Workers, handler: Handler, timeout_s: float, done: Done) -> None:
        self._loop, self._workers = loop, workers
        self._handler, self._timeout_s, self._done = handler, timeout_s, done
        self._steps: _Steps | None = None
        self._timer: Timer | None = None
        self._fd = -1
        self._has_ended = False

    def begin(self, container: Container, shared: SharedWorld, address: str) -> None:
        """Ask; called by the loop's thread."""
        if self._handler.action == "exec":
            self._workers.submit(lambda: self._execute(container))
            return
        try:
            self._steps = self._connected(shared, self._handler.host or address)
        except (OSError, ContainerKitError) as error:
            self._end(False, str(error))
            return
        self._timer = self._loop.after(self._timeout_s, self._give_up)
        self._go_on()

    def _connected(self, shared: SharedWorld, host: str) -> _Steps:
        handler, family = self._handler, socket.AF_INET6 if ":" in host else socket.AF_INET
        connection = shared.socket(family, socket.SOCK_STREAM)
        connection.setblocking(False)
        target = host, handler.port
        if handler.action == "tcpSocket":
            return _Connecting(connection, target)
        if handler.action == "grpc":
            from container_kit.pods.grpc import HealthExchange

            return HealthExchange(connection, target, handler.service)
        from container_kit.wait.exchange import Exchange

        return Exchange(
            connection, target, request_of(handler, host), _tls() if handler.scheme == "HTTPS" else None
        )

    def _go_on(self) -> None:
        assert self._steps is not None
        try:
            answer = self._steps.step()
        except (OSError, ValueError) as error:
            self._end(False, self._failed(error))
            return
        if answer is not None:
            self._end(*self._judged(answer))
            return
        fd, wants = self._steps.interest()
        self._fd = fd
        events = selectors.EVENT_WRITE if wants & select.POLLOUT else selectors.EVENT_READ
        self._loop.watch(fd, events, self._go_on)

    def _judged(self, answer: object) -> tuple[bool, str]:
        status = getattr(answer, "status", None)
        if status is not None:
            return 200 <= status < 400, f"HTTP probe failed with statuscode: {status}"
        if self._handler.action == "grpc":
            return answer == "SERVING", f"service unhealthy (responded with {answer!r})"
        return True, ""

    def _failed(self, error: Exception) -> str:
        where = f"{self._handler.action} {self._handler.host or 'the pod'}:{self._handler.port}"
        words = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        return f"{where}: {words}"

    def _give_up(self) -> None:
        self._end(False, f"{self._handler.action}: no answer within {self._timeout_s:g} s")

    def _execute(self, container: Container) -> None:
        if self._has_ended:
            return  # while it waited for its turn
        try:
            code, output = execute(
                container, self._handler.command, self._timeout_s, is_wanted=lambda: not self._has_ended
            )
            words = output if code is not None else f"command timed out after {self._timeout_s:g} s"
        except ContainerKitError as error:
            code, words = 1, str(error)
        self._loop.post(lambda: self._end(code == 0, words))

    def _end(self, is_well: bool, words: str) -> None:
        if not self._has_ended:
            self.close()
            self._done(is_well, words)

    def close(self) -> None:
        """Ask no longer: nobody is told anything; may be repeated."""
        self._has_ended = True
        if self._timer is not None:
            self._timer.cancel()
        if self._steps is not None:
            self._loop.unwatch(self._fd)
            self._steps.close()
            self._steps = None


def request_of(handler: Handler, host: str) -> bytes:
    """The HTTP request that *handler* means."""
    names = {name.lower() for name, _ in handler.headers}
    lines = [f"GET {handler.path} HTTP/1.1"]
    lines += [] if "host" in names else [f"Host: {host}:{handler.port}"]
    lines += [] if "user-agent" in names else ["User-Agent: kube-probe/1.32"]
    lines += [] if "accept" in names else ["Accept: */*"]
    lines += [f"{name}: {value}" for name, value in handler.headers]
    clean = [line.translate(_NO_BREAKS) for line in lines]
    return "\r\n".join((*clean, "Connection: close", "", "")).encode("latin-1", "replace")


_NO_BREAKS = dict.fromkeys(map(ord, "\r\n\0"), None)


def _tls() -> ssl.SSLContext:
    """A context that believes every server, as the kubelet's."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def execute(
    container: Container,
    command: tuple[str, ...],
    timeout_s: float | None,
    *,
    is_wanted: Callable[[], bool] = lambda: True,
) -> tuple[int | None, str]:
    """Run *command* in the container; its exit code (None when it was killed for its time) and output.

    However much it writes, little is kept.

    Args:
        is_wanted: Asked from time to time; when nobody wants to know any more, it is killed.

    Raises:
        ContainerKitError: It could not be started.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    kept = bytearray()
    nothing, both = subprocess.DEVNULL, subprocess.STDOUT
    with container.popen(command, stdin=nothing, stdout=subprocess.PIPE, stderr=both, text=False) as process:
        assert process.stdout is not None
        output = process.stdout.fileno()
        poller = select.poll()
        poller.register(output, select.POLLIN)
        poller.register(process.fileno(), select.POLLIN)
        while process.poll() is None:
            left = None if deadline is None else deadline - time.monotonic()
            if (left is not None and left <= 0) or not is_wanted():
                return None, _text(kept)
            patience_s = _LOOK_UP_S if left is None else min(left, _LOOK_UP_S)
            ready = {fd for fd, _ in poller.poll(patience_s * 1000)}
            if output in ready and not _keep(kept, os.read(output, 1 << 16)):
                poller.unregister(output)
        _rest(output, kept)
        return process.returncode, _text(kept)


def _keep(kept: bytearray, piece: bytes) -> bool:
    kept += piece[: _MOST_OUTPUT - len(kept)]
    return bool(piece)


def _rest(output: int, kept: bytearray) -> None:
    """What it wrote last; nobody is waited for who has inherited its output."""
    os.set_blocking(output, False)
    try:
        while _keep(kept, piece := os.read(output, 1 << 16)) and piece and len(kept) < _MOST_OUTPUT:
            pass
    except BlockingIOError:
        pass


def _text(kept: bytearray) -> str:
    return kept.decode("utf-8", "replace").strip()
