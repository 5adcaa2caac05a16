"""The agent of a step: what the program in it can do to the caller."""

from __future__ import annotations

import contextlib
import os
import socket
from contextlib import ExitStack
from pathlib import Path

from container_kit.build.ssh import forwarded_agent
from container_kit.containers.engine import Engine


def test_a_step_cannot_use_up_the_callers_descriptors(engine: Engine, tmp_path: Path) -> None:
    """Connections beyond a number are closed at once; those before go on."""
    agent = tmp_path / "agent"
    before = len(os.listdir("/proc/self/fd"))
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(agent))
        listener.listen(200)
        path = stack.enter_context(forwarded_agent(engine.store, str(agent), mode=0o600, owner=(0, 0)))
        clients = []
        for _ in range(100):
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(path)
            client.settimeout(10)
            clients.append(client)
        assert [_read(client) for client in clients[64:]] == [b""] * 36
        # The first connection only looks whether somebody is there.
        for _ in range(65):
            connection = stack.enter_context(listener.accept()[0])
            with contextlib.suppress(BrokenPipeError):
                connection.sendall(b"yes")
        assert [_read(client) for client in clients[:64]] == [b"yes"] * 64
    assert len(os.listdir("/proc/self/fd")) <= before + 1


def _read(client: socket.socket) -> bytes:
    try:
        return client.recv(10)
    except ConnectionResetError:
        return b""
