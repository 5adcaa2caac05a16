"""An SSH agent in a step: a socket of the step's own, behind which the caller's agent answers.

The agent's socket itself is not mounted: it belongs to another user as a rule, and lies in a directory of the
host.  Bytes are passed on unseen, for as long as the step runs.
"""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from container_kit.build.scratch import scratch_directory
from container_kit.errors import NotFound
from container_kit.native.user_namespace import within

if TYPE_CHECKING:
    from container_kit.store import Store

__all__ = ["forwarded_agent"]

_CHUNK = 1 << 16
_MOST_CONNECTIONS = 64  # each takes two descriptors of the caller


@contextmanager
def forwarded_agent(store: Store, agent: str, *, mode: int, owner: tuple[int, int]) -> Iterator[str]:
    """The path of a socket that leads to the socket *agent*, for the block.

    Raises:
        NotFound: Nothing listens at *agent*.
    """
    _connect(agent).close()
    with scratch_directory(store) as directory, socket.socket(socket.AF_UNIX) as listener:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # By descriptor: the name of a socket has at most 107 bytes.
            listener.bind(f"/proc/self/fd/{fd}/agent")
            within(os.chown, "agent", *owner, dir_fd=fd)
            within(os.chmod, "agent", mode, dir_fd=fd)
        finally:
            os.close(fd)
        listener.listen()
        forwarder = _Forwarder(listener, agent)
        try:
            yield f"{directory}/agent"
        finally:
            forwarder.close()


def _connect(agent: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(agent)
    except OSError as error:
        connection.close()
        raise NotFound(
            "SSH agent", agent, f"nothing answers there: {os.strerror(error.errno or 0)}"
        ) from None
    return connection


class _Forwarder:
    """A thread that serves all connections of one socket."""

    def __init__(self, listener: socket.socket, agent: str) -> None:
        self._listener, self._agent = listener, agent
        self._peers: dict[int, tuple[socket.socket, socket.socket]] = {}
        self._stop_read, self._stop_write = os.pipe2(os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._serve, name="container-kit-ssh", daemon=True)
        self._thread.start()

    def close(self) -> None:
        os.close(self._stop_write)
        self._thread.join()
        os.close(self._stop_read)

    def _serve(self) -> None:
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        poll.register(self._stop_read, select.POLLIN | select.POLLHUP)
        while True:
            ready = [fd for fd, _ in poll.poll()]
            if self._stop_read in ready:
                break
            for fd in ready:
                if fd == self._listener.fileno():
                    self._accept(poll)
                elif fd in self._peers:
                    self._pass_on(poll, fd)
        for one, _ in list(self._peers.values()):
            one.close()

    def _accept(self, poll: select.poll) -> None:
        client, _ = self._listener.accept()
        if len(self._peers) >= 2 * _MOST_CONNECTIONS:
            client.close()
            return
        try:
            server = _connect(self._agent)
        except NotFound:
            client.close()
            return
        for one, other in ((client, server), (server, client)):
            self._peers[one.fileno()] = (one, other)
            poll.register(one, select.POLLIN)

    def _pass_on(self, poll: select.poll, fd: int) -> None:
        one, other = self._peers[fd]
        with suppress(OSError):
            data = one.recv(_CHUNK)
            if data:
                other.sendall(data)
                return
        for end in (one, other):
            with suppress(KeyError):
                poll.unregister(end.fileno())
            self._peers.pop(end.fileno(), None)
            end.close()
