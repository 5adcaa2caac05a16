"""R23: each public call, cut off by a signal handler at any moment: nothing is left open, and all works on.

The census around each test counts descriptors too.
"""

from __future__ import annotations

import contextlib
import io
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from container_kit.containers.container import Container
from container_kit.containers.engine import Engine
from container_kit.errors import ContainerKitError
from container_kit.images import Image
from container_kit.runtime.limits import Limits
from tests.containers.test_interrupts import cut_off, interrupts
from tests.containers.waiting import wait_for

__all__ = ["interrupts"]  # a fixture

pytestmark = pytest.mark.root

QUICK, LONG = 4, 150
ROUNDS = [pytest.param(QUICK, id="quick"), pytest.param(LONG, id="long", marks=pytest.mark.trial)]
Call = Callable[[Container, Path], object]


def _tools(container: Container) -> Image:
    return Image.get("tools", engine=container.engine)


def _communicate(container: Container, _: Path) -> None:
    with container.popen(["cat"], stdin=-1, stdout=-1) as process:
        process.communicate("x" * 1000)


def _attach(container: Container, _: Path) -> None:
    with container.attach(logs=True, lossless=False):
        pass


def _whole_life(container: Container, _: Path) -> None:
    with container.engine.start("tools", ["sleep", "60"], name="other") as other:
        other.stop(timeout=0)


def _copy_out(container: Container, _: Path) -> None:
    container.copy_out("/etc", io.BytesIO())


CALLS: dict[str, Call] = {
    "run": lambda c, _: c.engine.run("tools", ["true"]),
    "run with input": lambda c, _: c.engine.run("tools", ["cat"], input="x" * 100_000),
    "whole life": _whole_life,
    "exec": lambda c, _: c.exec(["true"], input="x"),
    "popen": lambda c, _: c.popen(["true"], stdout=-1, stderr=-1).close(),
    "communicate": _communicate,
    "attach": _attach,
    "logs": lambda c, _: list(c.logs(tail=5)),
    "events": lambda c, _: list(c.events()),
    "stats": lambda c, _: c.stats(),
    "top": lambda c, _: c.top(),
    "inspect": lambda c, _: c.inspect(),
    "pause": lambda c, _: (c.pause(), c.resume()),
    "kill": lambda c, _: c.kill("CONT"),
    "update": lambda c, _: c.update(limits=Limits(pids=100)),
    "rename": lambda c, _: (c.rename("one"), c.rename("two")),
    "diff": lambda c, _: c.diff(),
    "commit": lambda c, _: c.commit("made"),
    "export": lambda c, folder: c.export(folder / "all.tar"),
    "copy in": lambda c, folder: c.copy_in(folder / "file", "/tmp"),
    "copy out": lambda c, folder: c.copy_out("/etc", folder / f"out{random.random()}"),
    "copy out as tar": _copy_out,
    "fs": lambda c, _: (c.fs.write_text("/f", "x"), c.fs.read_text("/f"), c.fs.iterdir("/"), c.fs.stat("/f")),
    "fs directories": lambda c, _: (c.fs.mkdir("/d/e", parents=True, exist_ok=True), c.fs.rmtree("/d")),
    "image look-up": lambda c, _: (
        Image.get("tools", engine=c.engine).history(),
        Image.list(engine=c.engine),
    ),
    "image save": lambda c, folder: _tools(c).save(folder / "saved.tar"),
    "image load": lambda c, folder: Image.load(folder / "tools.tar", engine=c.engine),
    "image from a directory": lambda c, folder: Image.from_rootfs(str(folder / "root"), engine=c.engine),
    "fsck": lambda c, _: c.engine.store.fsck(),
    "prune": lambda c, _: c.engine.store.prune(),
}


@pytest.fixture
def folder(engine: Engine, tmp_path: Path) -> Path:
    """What the calls read, and where they write."""
    made = tmp_path / "work"
    (made / "root" / "bin").mkdir(parents=True)
    (made / "root" / "bin" / "tool").write_bytes(b"x" * 100_000)
    (made / "file").write_text("x")
    Image.get("tools", engine=engine).save(made / "tools.tar")
    return made


@pytest.fixture
def container(engine: Engine) -> Iterator[Container]:
    with engine.start("tools", ["sh", "-c", "echo hello; exec sleep 600"]) as made:
        yield made


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_is_cut_off_leaves_nothing(
    container: Container, folder: Path, name: str, rounds: int
) -> None:
    """At random moments of the call; afterwards the same call succeeds, and so does an exec."""
    call = CALLS[name]
    began = time.monotonic()
    call(container, folder)
    longest = (time.monotonic() - began) * 1.2 + 0.0005
    chance = random.Random(f"{name} {rounds}")
    for _ in range(rounds):
        cut_off(lambda: call(container, folder), chance.uniform(0.0001, longest))
        with contextlib.suppress(ContainerKitError):
            container.resume()
        for other in container.engine.containers(all=True):
            if other != container:
                other.remove(force=True)
    wait_for(lambda: _succeeds(call, container, folder))
    assert container.exec(["true"]).exit_code == 0
    container.engine.settle()


def _succeeds(call: Call, container: Container, folder: Path) -> bool:
    """A name or a directory may be given back a moment later, by the janitor."""
    try:
        call(container, folder)
    except ContainerKitError:
        return False
    return True
