"""An engine with a few programs, and the two faces that one suite is run with."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

import container_kit as ck
from container_kit.containers.engine import Engine
from container_kit.native.process import init_fd
from tests.aio.faces import AsyncFace, Face, SyncFace
from tests.containers.waiting import wait_for

Running = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(scope="session")
def session_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    root = tmp_path_factory.mktemp("aio") / "root"
    init_fd()
    with Engine(root) as engine:
        ck.Image.from_host("sh", "cat", "sleep", "true", "touch", "ls", tag="tools", engine=engine)
        engine.run("tools", ["true"])  # what an engine opens once is open before files are counted
        engine.settle()
        engine.cgroups.remove_parent()
        yield engine
    shutil.rmtree(root)


@pytest.fixture
def engine(session_engine: Engine) -> Iterator[Engine]:
    """Everything of a test is gone when it ends: no container, and no thread of ours."""
    yield session_engine
    session_engine.settle()
    session_engine.cgroups.remove_parent()  # the engine keeps it otherwise until it is closed
    assert os.listdir(session_engine.catalogue.containers) == []
    wait_for(lambda: not [one for one in threading.enumerate() if one.name == "container-kit-aio"])


@pytest.fixture
def running() -> Iterator[Running]:
    """Runs coroutines, one after the other, in one event loop."""
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.fixture(params=["sync", "async"])
def face(request: pytest.FixtureRequest, engine: Engine, running: Running) -> Face:
    """The library as programs use it: by blocking calls, or by awaiting."""
    return SyncFace(engine) if request.param == "sync" else AsyncFace(engine, running)
