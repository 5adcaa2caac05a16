"""Threads, forks and other processes of a caller: nobody hangs, or believes to own what is not theirs."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from container_kit.containers.engine import Engine
from tests.containers.waiting import wait_for

pytestmark = pytest.mark.root


def _run_there(root: str) -> str:
    with Engine(root) as engine:
        out: str = engine.run("tools", ["sh", "-c", "echo from $HOSTNAME"], hostname="there").stdout
        with engine.start("tools", ["sleep", "60"]) as container:
            out += str(container.exec(["sh", "-c", "exit 5"]).exit_code)
    return out


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_every_kind_of_child_process_can_use_the_root(engine: Engine, method: str) -> None:
    """All three start methods of multiprocessing, while the parent has a container of its own."""
    with engine.start("tools", ["sleep", "60"]) as container:
        context = multiprocessing.get_context(method)
        with context.Pool(1) as pool:
            assert pool.apply(_run_there, (engine.root,)) == "from there\n5"
            pool.close()
            pool.join()
        assert container.status == "running"
    if method == "forkserver":
        from multiprocessing import forkserver

        forkserver._forkserver._stop()  # type: ignore[attr-defined]


def test_forks_among_busy_threads_do_not_hang(engine: Engine) -> None:
    """While threads run containers, forked children run theirs and end."""
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            engine.run("tools", ["true"])

    threads = [threading.Thread(target=busy) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for number in range(6):
            child = os.fork()
            if child == 0:
                signal.alarm(60)  # a child that hangs shall not stay
                code = 99
                try:
                    code = engine.run("tools", ["sh", "-c", f"exit {number}"]).exit_code
                    engine.close()
                finally:
                    os._exit(code)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == number
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_forked_child_that_just_ends_takes_nothing_along(engine: Engine) -> None:
    """Neither its exit nor its close of the engine ends a container of its parent."""
    with engine.start("tools", ["sleep", "60"]) as container:
        child = os.fork()
        if child == 0:
            try:
                engine.close()
            finally:
                os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert container.status == "running"
        assert container.exec(["true"]).exit_code == 0


def test_thirty_two_threads_live_whole_lives(engine: Engine) -> None:
    """Start, execute, read logs, stop and remove, all at once, without mixing anything up."""

    def life(number: int) -> tuple[str, str]:
        with engine.start("tools", ["sh", "-c", f"echo log{number}; exec sleep 60"]) as container:
            out = container.exec(["sh", "-c", f"echo exec{number}"]).stdout
            wait_for(lambda: list(container.logs()))
            (line,) = container.logs()
            container.stop(timeout=0)
        return out, line.text

    with ThreadPoolExecutor(32) as pool:
        assert list(pool.map(life, range(32))) == [(f"exec{n}\n", f"log{n}") for n in range(32)]


def test_a_stop_does_not_wait_for_who_forgot_a_program(engine: Engine) -> None:
    """A container ends although a program that popen started in it was never waited for; its code is kept."""
    container = engine.start("tools", ["sleep", "600"])
    forgotten = container.popen(["sleep", "600"])
    ended = container.popen(["sh", "-c", "exit 7"])
    wait_for(lambda: _has_ended(ended.pid))
    began = time.monotonic()
    container.stop(timeout=0)
    container.remove()
    assert time.monotonic() - began < 20
    assert (forgotten.wait(10), ended.wait(10)) == (137, 7)
    forgotten.close()
    ended.close()


def _has_ended(pid: int) -> bool:
    """Whether the process ended, collected or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_program_that_has_ended_can_still_be_talked_with(engine: Engine) -> None:
    """What it wrote, and its exit code, although its end has been collected already."""
    with engine.start("tools", ["sleep", "600"]) as container:
        with container.popen(["sh", "-c", "echo out; exit 3"], stdout=subprocess.PIPE) as process:
            wait_for(lambda: process.poll() == 3)
            assert process.communicate() == ("out\n", None)
            assert process.returncode == 3
        assert process.wait() == 3


def test_another_process_sees_the_truth(engine: Engine) -> None:
    """State, logs and exec work from a process that had no part in the start."""
    script = (
        "import sys, container_kit as ck\n"
        "c = ck.Engine(sys.argv[1]).container('seen')\n"
        "print(c.status, c.exec(['sh', '-c', 'echo $$']).exit_code, [line.text for line in c.logs()])\n"
    )
    with engine.start("tools", ["sh", "-c", "echo hello; sleep 60"], name="seen") as container:
        wait_for(lambda: list(container.logs()))
        root = str(Path(__file__).parents[2])
        done = subprocess.run(
            [sys.executable, "-c", script, engine.root],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": root},
        )
        assert done.stdout == "running 0 ['hello']\n", done.stderr
        assert container.status == "running"
