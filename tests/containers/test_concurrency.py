"""R24: threads, forks, processes of every start method, subinterpreters: nothing hangs or is mixed up."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import forkserver
from pathlib import Path

import pytest

from container_kit.containers.engine import Engine
from tests.containers.waiting import wait_for

pytestmark = pytest.mark.root

THREADS = 32
ROUNDS = [pytest.param(2, id="few"), pytest.param(40, id="many", marks=pytest.mark.trial)]
WAIT_S = 120


def _one_of_each(engine: Engine, number: int) -> None:
    """A run, and a container with an exec, that are told apart by *number*."""
    done = engine.run("tools", ["sh", "-c", f"cat; echo {number}; exit {number % 256}"], input=f"{number}\n")
    assert (done.exit_code, done.stdout) == (number % 256, f"{number}\n{number}\n")
    with engine.start("tools", ["sleep", "600"], name=f"thread{number}-{os.getpid()}") as container:
        assert container.exec(["sh", "-c", f"echo {number} >&2; exit {number % 7}"]).exit_code == number % 7
        assert container.fs.exists("/etc/passwd")
        assert container.stop(timeout=0) == 137


def _in_child(work: Callable[[], None]) -> Callable[[], int]:
    """Fork a child that does *work*; returns what waits for it and gives its exit code."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            os.write(2, repr(error).encode())
            os._exit(1)
    return lambda: os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("rounds", ROUNDS)
def test_many_threads_share_an_engine(engine: Engine, rounds: int) -> None:
    """32 threads run, start, execute and stop at once; each gets its own answers."""
    with ThreadPoolExecutor(THREADS) as pool:
        for number in range(rounds):
            list(pool.map(lambda n: _one_of_each(engine, n), range(number, number + THREADS)))
    engine.settle()
    assert engine.cgroups.names() == [] and os.listdir(engine.catalogue.containers) == []


@pytest.mark.parametrize("rounds", ROUNDS)
def test_forks_in_the_middle_of_it(engine: Engine, rounds: int) -> None:
    """A child forked while threads are in their calls works with the same engine, and owns nothing."""
    stop, failures = threading.Event(), []

    def work() -> None:
        try:
            while not stop.is_set():
                engine.run("tools", ["true"])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    with engine.start("tools", ["sleep", "600"]) as container:
        for thread in threads:
            thread.start()
        try:
            for number in range(rounds * 3):
                assert _in_child(lambda number=number: _forked(engine, container.id, number))() == 0  # type: ignore[misc]
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert failures == [] and container.status == "running"


def _forked(engine: Engine, parents: str, number: int) -> None:
    assert not engine.owns(parents)
    assert engine.container(parents).exec(["true"]).exit_code == 0
    _one_of_each(engine, number)
    engine.close()


def _work_of_a_process(root: str, number: int) -> None:
    with Engine(root) as engine:
        _one_of_each(engine, number)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_of_every_start_method(engine: Engine, method: str) -> None:
    """Workers of multiprocessing, however they are started, run containers below the same root."""
    context = multiprocessing.get_context(method)
    workers = [context.Process(target=_work_of_a_process, args=(engine.root, n)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(WAIT_S)
        assert worker.exitcode == 0
        worker.close()
    forkserver._forkserver._stop()  # type: ignore[attr-defined]  # outlives its workers by design
    assert os.listdir(engine.catalogue.containers) == []


IN_SUBINTERPRETER = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
import sys
code = '''
import sys
from container_kit.containers.engine import Engine
with Engine(sys.argv[1]) as engine:
    assert engine.run("tools", ["sh", "-c", "exit 5"]).exit_code == 5
'''
one = interpreters.create()
try:
    failed = interpreters.run_string(one, f"import sys; sys.argv = {sys.argv!r}\\n" + code)
except interpreters.RunFailedError as error:  # 3.12; 3.13 returns it
    failed = error
print("works" if failed is None else getattr(failed, "formatted", failed))
interpreters.destroy(one)
from container_kit.containers.engine import Engine
with Engine(sys.argv[1]) as engine:
    print(engine.run("tools", ["sh", "-c", "exit 6"]).exit_code)
"""


def _subinterpreters_work() -> bool:
    script = IN_SUBINTERPRETER.partition("code = ")[0] + (
        "one = interpreters.create()\ninterpreters.run_string(one, 'import hashlib, json')\n"
        "interpreters.destroy(one)\n"
    )
    return subprocess.run([sys.executable, "-c", script], capture_output=True, check=False).returncode == 0


def test_a_subinterpreter_works_or_is_refused(engine: Engine) -> None:
    """Where the extension cannot be loaded a second time, the error says so, and the program goes on."""
    if not _subinterpreters_work():
        pytest.skip("this Python crashes when a subinterpreter imports hashlib and json (as 3.12.1 does)")
    command = [sys.executable, "-c", IN_SUBINTERPRETER, engine.root]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=WAIT_S)

    assert done.returncode == 0, done.stderr
    said, _, code = done.stdout.strip().rpartition("\n")
    assert code == "6"
    assert said == "works" or "subinterpreter" in said


def test_a_caller_that_ends_in_the_middle_of_threads(engine: Engine) -> None:
    """An interpreter that is finalised while daemon threads are in calls neither hangs nor crashes."""
    script = (
        "import sys, threading, time\n"
        "from container_kit.containers.engine import Engine\n"
        "engine = Engine(sys.argv[1])\n"
        "def work():\n"
        "    while True:\n"
        "        engine.run('tools', ['true'])\n"
        "for _ in range(8):\n"
        "    threading.Thread(target=work, daemon=True).start()\n"
        "time.sleep(0.5)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, engine.root], timeout=WAIT_S, check=False)

    assert done.returncode in (0, 1)
    wait_for(lambda: os.listdir(Path(engine.root, "containers")) == [])
