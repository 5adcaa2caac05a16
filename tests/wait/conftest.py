"""An engine whose image has a Python, for servers of all kinds."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator

import pytest

from container_kit.containers.container import Container
from container_kit.containers.engine import Engine
from container_kit.images import Image
from container_kit.native.process import init_fd
from tests.own_network import is_own_network

Serve = Callable[..., Container]


def warm_up(engine: Engine, image: str) -> None:
    """What an engine opens with its first container and its first network is no leak of the first test."""
    with engine.start(
        image, ["sleep", "60"], entrypoint=[], network="bridge" if is_own_network() else "none"
    ):
        pass
    engine.run(image, ["true"], entrypoint=[])
    engine.settle()


@pytest.fixture(scope="session")
def python_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Has the images ``python`` and ``tools``; its containers are removed after each test."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    root = tmp_path_factory.mktemp("wait") / "root"
    init_fd()
    with Engine(root) as engine:
        Image.from_python(tag="python", engine=engine)
        Image.from_host(
            "sh", "sleep", "cat", "echo", "true", "false", "mkdir", "mv", tag="tools", engine=engine
        )
        warm_up(engine, "tools")
        yield engine
    shutil.rmtree(root)


@pytest.fixture
def serve(python_engine: Engine) -> Iterator[Serve]:
    """Start a container that runs a Python program, or with ``shell=`` a line of a shell."""
    started: list[Container] = []

    def start(program: str = "", *, shell: str = "", **options: object) -> Container:
        image, command = (
            ("tools", ["sh", "-c", shell]) if shell else ("python", ["python3", "-u", "-c", program])
        )
        container = python_engine.start(image, command, **options)  # type: ignore[arg-type]
        started.append(container)
        return container

    yield start
    for container in started:
        container.close()
    python_engine.settle()
