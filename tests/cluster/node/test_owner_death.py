"""What is left of a node whose process was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from container_kit.cluster.node.node_network import NodeNetwork
from container_kit.containers import Engine
from container_kit.native.namespaces import NetworkNamespace
from container_kit.native.network import find_link
from container_kit.network import Network
from tests.cluster.node.conftest import PATIENCE_S

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("own_network")]


def eventually(holds: Callable[[], bool]) -> bool:
    """Whether it comes to hold."""
    end = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def tables() -> str:
    """The names of all tables of the packet filter."""
    return subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout


@pytest.mark.tool("nft")
def test_a_killed_node_leaves_nothing(engine: Engine, tmp_path: Path) -> None:
    """Pods, secrets in memory, bridge and rules go with the process; its network with the next node."""
    words = [sys.executable, "-m", "tests.cluster.node.owner", engine.root, str(tmp_path), "3"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        memory = owner.stdout.readline().strip()
        networks = [one for one in Network.list(engine=engine) if one.name.startswith("node-")]
        assert os.path.isdir(memory) and len(networks) == 1
        link, host = networks[0].record.link, NetworkNamespace.here()
        assert find_link(host, link) is not None
        owner.send_signal(signal.SIGKILL)
    assert eventually(lambda: not os.path.exists(memory))
    assert eventually(lambda: os.listdir(os.path.join(engine.root, "containers")) == [])
    assert eventually(lambda: os.listdir(os.path.join(engine.root, "pods")) == [])
    assert eventually(lambda: find_link(host, link) is None)
    assert eventually(lambda: link.removeprefix("ck-") not in tables())
    after = NodeNetwork(engine, "other", None, "10.96.0.0/16", seed="x", owned=True)
    after.close(remove=True)
    assert [one.name for one in Network.list(engine=engine) if one.name.startswith("node-")] == []
