"""What is cancelled has ended when CancelledError comes, and nothing of it is left."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

import container_kit as ck
from container_kit import aio
from container_kit.containers.engine import Engine
from tests.aio.conftest import Running
from tests.containers.waiting import wait_for
from tests.registry.client.farm import Answer, servers

pytestmark = pytest.mark.root

PROJECT = Path(__file__).parents[2]
Condition = Callable[[], object]


async def cancelled(work: Coroutine[Any, Any, Any], when: Condition) -> float:
    """Begin *work*, cancel it once *when* holds, and wait for its CancelledError; how long that took."""
    task = asyncio.ensure_future(work)
    while not when():
        assert not task.done(), f"it ended too early: {task}"
        await asyncio.sleep(0.005)
    began = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return time.monotonic() - began


def processes(word: str) -> list[str]:
    """The processes whose command line has *word*."""
    found = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in found.splitlines() if word in line and "ps -eo" not in line]


def test_a_run(engine: Engine, running: Running) -> None:
    """Its program is dead and its directory gone by then, or with the janitor; no thread waits any more."""
    running(cancelled(aio.run("tools", ["sleep", "7171"], engine=engine), lambda: processes("sleep 7171")))
    assert processes("sleep 7171") == []


def test_twice_is_as_good_as_once(engine: Engine, running: Running) -> None:
    """Who is cancelled again while it clears away clears away nevertheless."""

    async def both() -> None:
        task = asyncio.ensure_future(aio.run("tools", ["sleep", "7172"], engine=engine))
        while not processes("sleep 7172"):
            await asyncio.sleep(0.005)
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task

    running(both())
    assert processes("sleep 7172") == []


def test_a_time_limit_of_asyncio(engine: Engine, running: Running) -> None:
    """``asyncio.timeout`` gives TimeoutError, and the program is gone."""

    async def limited() -> None:
        async with asyncio.timeout(0.5):
            await aio.run("tools", ["sleep", "7173"], engine=engine)

    with pytest.raises(TimeoutError):
        running(limited())
    assert processes("sleep 7173") == []


def test_a_start_that_came_too_late(engine: Engine, running: Running) -> None:
    """Wherever a start is cut off, no container is left."""

    async def cut_off(after: int) -> bool:
        task = asyncio.ensure_future(_started(engine))
        for _ in range(after):
            await asyncio.sleep(0.001)
        if not task.cancel():
            await (await task).close()
            return False
        with pytest.raises(asyncio.CancelledError):
            await task
        return True

    cuts = 0
    for after in range(40):
        cuts += running(cut_off(after))
        assert engine.infos(all=True) == []
    assert cuts > 3


async def _started(engine: Engine) -> aio.Container:
    return await aio.Container.start("tools", ["sleep", "60"], engine=engine)


@pytest.fixture
def container(engine: Engine) -> Any:
    with engine.start("tools", ["sh", "-c", "echo begun; sleep 60"]) as found:
        yield found


WAITS: dict[str, Callable[[aio.Container], Coroutine[Any, Any, Any]]] = {
    "wait": lambda one: one.wait(),
    "wait-removed": lambda one: one.wait(condition="removed"),
    "wait_for": lambda one: one.wait_for(ck.wait.file("/never"), timeout=None),
    "wait_for-exec": lambda one: one.wait_for(ck.wait.exec(["sleep", "7174"]), timeout=None),
    "exec": lambda one: one.exec(["sleep", "7174"]),
    "logs": lambda one: _last(one.logs(follow=True)),
    "events": lambda one: _last(one.events(follow=True)),
    "stats": lambda one: _last(one.stats_stream(30)),
}


async def _last(iterator: AsyncIterator[Any]) -> Any:
    last = None
    async for item in iterator:
        last = item
    return last


@pytest.mark.parametrize("wait", WAITS)
def test_waits(wait: str, container: ck.Container, running: Running) -> None:
    """Every wait ends at once, and the container goes on."""
    begun = time.monotonic()
    work = WAITS[wait](aio.Container(container))
    took = running(cancelled(work, lambda: time.monotonic() > begun + 0.3))
    assert took < 5 and processes("sleep 7174") == []
    assert container.status == "running" and container.exec(["true"]).exit_code == 0


def test_a_process_ends_with_its_block(container: ck.Container, running: Running) -> None:
    """Output comes as it is written; leaving the block kills."""

    async def first_line() -> bytes:
        command = ["sh", "-c", "echo line; exec sleep 7175"]
        async with aio.Container(container).popen(command, stdout=subprocess.PIPE) as process:
            async for piece in process.output():
                return piece
        raise AssertionError("it wrote nothing")

    assert running(first_line()) == b"line\n"
    wait_for(lambda: processes("sleep 7175") == [])


def test_a_log_that_nobody_reads_further(container: ck.Container, running: Running) -> None:
    """Breaking out of an iteration ends its thread."""

    async def first() -> str:
        lines = aio.Container(container).logs(follow=True)
        async for line in lines:
            return line.text
        raise AssertionError("there was no line")

    assert running(first()) == "begun"


def test_a_build(engine: Engine, running: Running) -> None:
    """What RUN has started is killed, in every stage."""
    dockerfile = b"FROM tools AS one\nRUN sleep 7176\nFROM tools\nRUN sleep 7177\nCOPY --from=one /etc /x\n"
    work = aio.Image.build({}, dockerfile=dockerfile, network="none", engine=engine)
    running(cancelled(work, lambda: processes("sleep 7176") and processes("sleep 7177")))
    assert processes("sleep 717") == []


@pytest.mark.tool("git")
def test_a_build_from_a_silent_git_server(engine: Engine, running: Running) -> None:
    """The program that fetches is killed."""
    release = threading.Event()
    with servers("127.0.0.1") as [server]:
        server.answers = lambda seen: Answer(404 if release.wait(30) else 500)
        work = aio.Image.build(f"http://{server.authority}/team/app.git", engine=engine)
        try:
            took = running(cancelled(work, lambda: server.seen))
        finally:
            release.set()
    assert took < 10 and processes(f"{server.authority}/team") == []


@pytest.mark.parametrize("how", ["pull", "run", "build"])
def test_a_silent_registry(how: str, engine: Engine, running: Running) -> None:
    """A server that takes a request and never answers holds nobody up."""
    release = threading.Event()
    with servers("127.0.0.1") as [server]:
        server.answers = lambda seen: Answer(404 if release.wait(30) else 500)
        name = f"{server.authority}/team/app:1"
        works: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {
            "pull": lambda: aio.Image.pull(name, engine=engine),
            "run": lambda: aio.run(name, ["true"], engine=engine),
            "build": lambda: aio.Image.build({}, dockerfile=f"FROM {name}\n".encode(), engine=engine),
        }
        try:
            took = running(cancelled(works[how](), lambda: server.seen))
        finally:
            release.set()
    assert took < 10


def test_ctrl_c(tmp_path: Path) -> None:
    """In a program of asyncio it cancels the main task, and nothing is left."""
    program = (
        "import asyncio\nfrom container_kit import aio\n"
        "async def main():\n"
        "    await aio.Image.from_host('sleep', tag='tools')\n"
        "    await aio.run('tools', ['sleep', '7178'])\n"
        "asyncio.run(main())\n"
    )
    root = str(tmp_path / "root")
    environment = {**os.environ, "CONTAINER_KIT_ROOT": root, "PYTHONPATH": str(PROJECT)}
    process = subprocess.Popen([sys.executable, "-c", program], env=environment, stderr=subprocess.PIPE)
    wait_for(lambda: processes("sleep 7178"))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert b"KeyboardInterrupt" in errors and process.returncode
    assert processes("sleep 7178") == [] and os.listdir(f"{root}/containers") == []


def test_many_at_once(engine: Engine, running: Running) -> None:
    """Runs do not wait for each other."""

    async def all_of_them() -> list[Any]:
        script = "while [ ! -e /never ]; do sleep 0.1; [ $((i=i+1)) -gt 3 ] && exit 0; done"
        return await asyncio.gather(
            *(aio.run("tools", ["sh", "-c", script], engine=engine) for _ in range(12))
        )

    began = time.monotonic()
    done = running(all_of_them())
    assert [one.exit_code for one in done] == [0] * 12
    assert time.monotonic() - began < 12 * 0.4, "they ran one after the other"
