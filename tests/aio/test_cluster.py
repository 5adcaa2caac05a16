"""`container_kit.aio.Cluster`: what is its own; that its verbs do the same is in tests/cluster."""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path

import pytest

from container_kit import Cluster as SyncCluster
from container_kit.aio import Cluster
from container_kit.cluster.verbs.rollouts import Rollout as SyncRollout
from container_kit.errors import TimedOut, WrongState
from tests.cluster.manifests import config_map


def test_it_has_every_verb() -> None:
    """Nothing of one face is missing in the other."""
    from container_kit.aio.cluster import Rollout

    for ours, theirs in ((Cluster, SyncCluster), (Rollout, SyncRollout)):
        verbs = {name for name, _ in inspect.getmembers(theirs) if not name.startswith("_")}
        assert verbs - {name for name, _ in inspect.getmembers(ours)} == set()


def test_a_life(tmp_path: Path) -> None:
    """It starts with its block, is used, and ends with it; before that it says that it is not there."""

    async def run() -> list[str]:
        cluster = Cluster(nodes=0, simulated_nodes=1)
        with pytest.raises(WrongState, match="not there yet"):
            cluster.sync.get("cm/x")
        async with cluster:
            await asyncio.gather(*(cluster.apply(config_map(f"m{number}")) for number in range(5)))
            found = await cluster.list("cm", labels="!none")
            await cluster.kubeconfig(tmp_path / "kubeconfig")
            async with Cluster.connect(tmp_path / "kubeconfig") as other:
                assert len(await other.list("cm")) == len(found)
            return sorted(one["metadata"]["name"] for one in found)

    assert asyncio.run(run()) == ["kube-root-ca.crt", "m0", "m1", "m2", "m3", "m4"]


def test_what_is_cancelled_ends_at_once() -> None:
    """Waits, watches and followed changes: the thread behind each is gone when CancelledError comes."""

    async def run() -> None:
        async with Cluster(nodes=0) as cluster:

            async def see() -> None:
                async for _ in cluster.watch("cm"):
                    pass

            for work in (cluster.wait("cm/never", "create", timeout=600), see()):
                task = asyncio.create_task(work)
                await asyncio.sleep(0.2)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await asyncio.wait_for(task, 60)
            with pytest.raises(TimedOut, match="it does not exist"):
                await cluster.wait("cm/never", "Ready", timeout=0.1)

    asyncio.run(run())
