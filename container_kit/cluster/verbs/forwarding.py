"""Local ports that lead to ports of a pod.

Source: Kubernetes API, ``connect GET requests to portforward of Pod``; of ``v4.channel.k8s.io`` channel 0
carries the data of the first port and channel 1 its errors, and each begins with the port, little endian.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Any, Self

from container_kit.cluster.client.client import Client
from container_kit.cluster.client.transport import Stream
from container_kit.cluster.verbs.execution import open_stream
from container_kit.errors import ContainerKitError, KernelError

__all__ = ["PortForward"]

Object = dict[str, Any]
_PROTOCOLS = ("v4.channel.k8s.io",)
_DATA, _ERROR = 0, 1
_PIECE = 1 << 15


class PortForward:
    """A port of this machine that leads to one of a pod, until closed; a context manager.

    Attributes:
        address: ``(host, port)`` to connect to.
        errors: What went wrong with connections so far, the latest last.
    """

    def __init__(self, client: Client, pod: Object, port: int, *, host: str, local_port: int) -> None:
        self._client, self._pod, self._port = client, pod, port
        self.errors: list[str] = []
        self._lock = threading.Lock()
        self._open: set[_Connection] = set()
        self._is_closed = False
        try:
            self._listener = socket.create_server((host, local_port))
        except OSError as error:
            raise KernelError.of(error.errno or 0, f"{host}:{local_port} cannot be listened on") from error
        self.address: tuple[str, int] = self._listener.getsockname()[:2]
        self._thread = threading.Thread(target=self._accept, name=f"port-forward {port}", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The local one."""
        return self.address[1]

    def close(self) -> None:
        """Close the port and every connection through it."""
        self._is_closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            connection.close()
            connection.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _accept(self) -> None:
        while not self._is_closed:
            try:
                local, _ = self._listener.accept()
            except OSError:
                return
            connection = _Connection(self, local)
            with self._lock:
                self._open.add(connection)
            connection.start()

    def _stream(self) -> Stream:
        return open_stream(self._client, self._pod, "portforward", {"ports": str(self._port)}, _PROTOCOLS)

    def _ended(self, connection: _Connection, words: str) -> None:
        with self._lock:
            self._open.discard(connection)
            if words:
                self.errors.append(words)


class _Connection(threading.Thread):
    """One local connection and its stream, copied both ways."""

    def __init__(self, forward: PortForward, local: socket.socket) -> None:
        super().__init__(name="port-forward connection", daemon=True)
        self._forward, self._local = forward, local
        self._stream: Stream | None = None

    def run(self) -> None:
        words = ""
        try:
            self._stream = self._forward._stream()
            upward = threading.Thread(target=self._send, args=(self._stream,), daemon=True)
            upward.start()
            words = self._receive(self._stream)
            self.close()
            upward.join()
        except (ContainerKitError, OSError) as error:
            words = str(error)
        finally:
            self.close()
            self._local.close()
            self._forward._ended(self, words)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._local.shutdown(socket.SHUT_RDWR)
        if self._stream is not None:
            self._stream.close()

    def _send(self, stream: Stream) -> None:
        with contextlib.suppress(OSError, ContainerKitError):
            while data := self._local.recv(_PIECE):
                stream.send(_DATA, data)
            stream.close()

    def _receive(self, stream: Stream) -> str:
        """Until the end; returns what the server says went wrong."""
        has_begun = {_DATA: False, _ERROR: False}
        words = b""
        while (message := stream.receive()) is not None:
            channel, data = message
            if channel in has_begun and not has_begun[channel]:
                has_begun[channel], data = True, data[2:]  # the port
            if channel == _DATA and data:
                self._local.sendall(data)
            elif channel == _ERROR:
                words += data
        return words.decode(errors="replace")
