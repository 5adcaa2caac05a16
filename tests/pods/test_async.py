"""Pods for coroutines: the same life, and nothing left when a coroutine is cancelled."""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from container_kit import aio
from container_kit.containers.engine import Engine
from container_kit.pods import Pod
from tests.pods.conftest import PATIENCE_S, pod_of, sh


def test_a_pod_in_a_coroutine(engine: Engine) -> None:
    """Started, waited for, executed in, read and removed at the end of the block."""

    async def live() -> tuple[str, str, list[str]]:
        manifest = pod_of({"command": sh("echo up; exec sleep 1000")})
        async with aio.Pod.start(manifest, engine=engine, network="none") as pod:
            status = await pod.wait(timeout=PATIENCE_S)
            said = (await pod.exec("busybox hostname")).stdout
            async for line in pod.logs(follow=True):
                return status["phase"], said, [line.text]
        return "", "", []

    assert asyncio.run(live()) == ("Running", "web\n", ["up"])
    assert Pod.list(engine=engine) == []


@pytest.mark.parametrize("seed", range(8))
def test_a_cancelled_start_leaves_nothing(engine: Engine, seed: int) -> None:
    """R23: whenever the coroutine that starts a pod is cancelled, it ends soon and nothing is left."""

    async def live() -> None:
        starting = asyncio.ensure_future(_started(engine))
        await asyncio.sleep(random.Random(seed).uniform(0, 0.03))
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting

    asyncio.run(live())
    assert Pod.list(engine=engine) == []


async def _started(engine: Engine) -> None:
    async with aio.Pod.start(pod_of({}, {}), engine=engine) as pod:
        await pod.wait()
        await asyncio.sleep(60)


def test_a_cancelled_wait_ends_at_once(engine: Engine) -> None:
    """Who waits for a pod that will never be ready, and is cancelled, is not held up; the pod goes on."""
    never = {"readinessProbe": {"exec": {"command": sh("exit 1")}}}

    async def live() -> float:
        async with aio.Pod.start(pod_of(never), engine=engine, network="none") as pod:
            began = time.monotonic()
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(pod.wait(), 0.3)
            assert pod.status()["phase"] in ("Pending", "Running")
            return time.monotonic() - began

    assert asyncio.run(live()) < PATIENCE_S
