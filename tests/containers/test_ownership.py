"""An owner is dead exactly when its process is."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from container_kit.containers.engine import Engine
from container_kit.containers.ownership import OwnerToken, dead_owners


def test_a_token_lives_as_long_as_its_process(tmp_path: Path) -> None:
    """While the process lives the token is not dead; after SIGKILL it is; a closed one is gone."""
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:
        token = OwnerToken(str(tmp_path))
        os.write(tell, token.token.encode())
        signal.pause()
        os._exit(0)
    os.close(tell)
    os.read(ready, 100)
    os.close(ready)
    assert dead_owners(str(tmp_path)) == []
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert dead_owners(str(tmp_path)) == os.listdir(tmp_path) != []
    token = OwnerToken(str(tmp_path))
    assert token.token not in dead_owners(str(tmp_path))
    token.close()
    assert token.token not in os.listdir(tmp_path)


def test_a_forked_child_does_not_keep_its_parents_token_alive(tmp_path: Path) -> None:
    """A child that outlives its parent, having let go of the token, leaves it dead."""
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:
        token = OwnerToken(str(tmp_path))
        if os.fork() == 0:
            token.abandon()
            os.write(tell, str(os.getpid()).encode())
            signal.pause()
        os._exit(0)
    os.close(tell)
    os.waitpid(child, 0)
    grandchild = int(os.read(ready, 20))
    os.close(ready)
    try:
        assert len(dead_owners(str(tmp_path))) == 1
    finally:
        os.kill(grandchild, signal.SIGKILL)


@pytest.mark.root
def test_a_cgroup_without_a_container_is_swept(tmp_path: Path) -> None:
    """Whoever removed the container was killed before its cgroup went; the next open of the root goes on."""
    with Engine(tmp_path / "root") as engine:
        left = engine.cgroups.create("0" * 64)
        left.close()
    with Engine(tmp_path / "root") as engine:
        assert engine.cgroups.names() == []
