"""A registry that is killed while someone pushes: what was acknowledged is there, and everything is whole."""

from __future__ import annotations

import http.client
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from container_kit.oci import Digest
from container_kit.registry.server import Registry
from container_kit.store import Store, failpoints
from tests.registry.server.conftest import Engine
from tests.registry.server.documents import Client, manifest
from tests.registry.server.served import check_whole, nothing_left_over, opened, served

KINDS = ["store", "directory"]
LAYERS = (b"first layer" * 1000, b"second layer" * 1000)


def push(address: str) -> list[str]:
    """Push an image; what was acknowledged before the server died."""
    client, done = Client(address), []
    try:
        for data in (*LAYERS, b"config"):
            digest = client.push_blob("app", data)
            done.append(f"blob {digest}")
        client.push_image("app", "v1", *LAYERS)
        done.append("image")
    except (OSError, http.client.HTTPException):
        return done
    return done


def check_after(kind: str, place: str, acknowledged: list[str]) -> None:
    with opened(kind, place) as storage:
        check_whole(storage, "app")
        for what in acknowledged:
            if what == "image":
                assert storage.find("tag", "app", "v1") is not None
            else:
                assert storage.find("blob", "app", what.removeprefix("blob ")) is not None
    with served(kind, place) as server:
        assert "image" in push(server.address)
    with opened(kind, place) as storage:
        check_whole(storage, "app")
        nothing_left_over(storage)


def steps_of_a_push(kind: str, place: str) -> list[str]:
    """Every step at which a push touches the disk, in order."""
    with Store.open(place) as store, failpoints.recorded() as steps:
        where = {"engine": Engine(store)} if kind == "store" else {"directory": f"{place}/registry"}
        with Registry.serve(**where) as registry:  # type: ignore[arg-type]
            del steps[:]
            assert "image" in push(registry.address)
            return list(steps)


@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_a_few_steps(kind: str, tmp_path: Path) -> None:
    """SIGKILL at one moment of each kind of step: what was acknowledged stays, the rest is garbage."""
    steps = steps_of_a_push(kind, str(tmp_path / "recorded"))
    for number, step in enumerate(
        sorted(set(steps) & {"blob.rename", "blob.sync-dir", "link.rename", "database.commit"})
    ):
        place = str(tmp_path / f"place{number}")
        with served(kind, place, f"{step}:2:kill") as server:
            acknowledged = push(server.address)
            assert server.process.wait(10) == -9
        check_after(kind, place, acknowledged)


@pytest.mark.trial
@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_every_step(kind: str, tmp_path: Path) -> None:
    """SIGKILL at each step of a push that touches the disk."""
    for number in range(1, len(steps_of_a_push(kind, str(tmp_path / "recorded"))) + 1):
        place = str(tmp_path / f"place{number}")
        with served(kind, place, f"*:{number}:kill") as server:
            acknowledged = push(server.address)
        check_after(kind, place, acknowledged)


@pytest.mark.trial
@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_random_moments(kind: str, tmp_path: Path) -> None:
    """SIGKILL 50 times while four clients push large blobs, always on the same storage."""
    place, seed = str(tmp_path / "place"), random.Random(7)
    for _ in range(50):
        with served(kind, place) as server:
            threads = [threading.Thread(target=push, args=(server.address,)) for _ in range(4)]
            for thread in threads:
                thread.start()
            time.sleep(seed.random() * 0.1)
            server.process.kill()
            for thread in threads:
                thread.join()
        with opened(kind, place) as storage:
            check_whole(storage, "app")
    check_after(kind, place, [])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
def test_a_disk_that_fails_once(kind: str, error: str, tmp_path: Path) -> None:
    """Whatever single step fails, the client hears of it, and the next push is whole."""
    steps = steps_of_a_push(kind, str(tmp_path / "recorded"))
    place = str(tmp_path / "place")
    with Store.open(tmp_path / "root") as store:
        where: dict[str, Any] = {"engine": Engine(store)} if kind == "store" else {"directory": place}
        with Registry.serve(**where) as registry:
            for step in sorted(set(steps)):
                with failpoints.injected(f"{step}:1:{error}"):
                    check_one_failure(Client(registry.address), step)
                assert "image" in push(registry.address)
        if kind == "store":
            assert store.fsck().clean
    with opened(kind, place if kind == "directory" else str(tmp_path / "root")) as storage:
        check_whole(storage, "app")
        nothing_left_over(storage)


def check_one_failure(client: Client, step: str) -> None:
    answers = []
    for _ in range(2):
        data = os.urandom(1000)
        answers.append(client("POST", "/v2/app/blobs/uploads/", data, digest=str(Digest.of(data))).status)
        config = os.urandom(10)
        if client("POST", "/v2/app/blobs/uploads/", config, digest=str(Digest.of(config))).status == 201:
            answers.append(client.push_manifest("app", "new", manifest(config)).status)
    assert sorted(answers)[-1] in (201, 500, 507), (step, answers)
    assert sum(status != 201 for status in answers) <= 1, (step, answers)


@pytest.mark.root
def test_a_full_disk(tmp_path: Path) -> None:
    """What does not fit is 507 with a clear sentence; the space comes back and what fits is served."""
    command = ["unshare", "--mount", sys.executable, "-m", "tests.registry.server.full_disk", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and not done.stdout, done.stdout + done.stderr
