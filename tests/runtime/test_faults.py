"""Starts that fail half-way: whatever runs out, there is an error and nothing is left."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from container_kit.errors import ContainerKitError
from container_kit.native import process
from container_kit.runtime.compile import compile_exec, compile_plan
from container_kit.runtime.host import Host
from container_kit.runtime.launch import Launched, execute, launch
from tests.runtime.boxes import NAMESPACES, Box, spec

pytestmark = pytest.mark.root


@contextmanager
def most_descriptors(number: int) -> Iterator[None]:
    """No descriptor with this number or a higher one can be opened, here and in children."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def own_descriptors() -> set[str]:
    return {name for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")}


def children() -> list[str]:
    with open(f"/proc/self/task/{threading.get_native_id()}/children") as file:
        return file.read().split()


def sweep(start: Callable[[], Launched]) -> int:
    """Try *start* with ever more descriptors until it succeeds; returns how often it failed."""
    before, failures, family = own_descriptors(), 0, children()
    for most in range(3, 200):
        try:
            with most_descriptors(most):
                launched = start()
        except (ContainerKitError, OSError) as error:
            assert str(error)
            failures += 1
            assert own_descriptors() == before
            assert children() == family
            continue
        process.send_signal(launched.pidfd, 9)
        process.wait(launched.pidfd, 20)
        launched.close()
        return failures
    raise AssertionError("it never succeeded")


@pytest.mark.parametrize("terminal", [False, True])
def test_a_start_without_room_for_descriptors(box: Box, terminal: bool) -> None:
    """R05: at every step where a descriptor cannot be had, the start fails whole."""
    plan = compile_plan(
        spec("/bin/probe", "sleep", "60", process={"terminal": terminal}), box.overlay(), host=Host.probe()
    ).encode()
    work = box.folder / "work" / "work"

    def start() -> Launched:
        if work.exists():
            box.overlay()
        return launch(plan)

    assert sweep(start) > 3


def test_an_exec_without_room_for_descriptors(box: Box) -> None:
    """R05: neither is a process left running that was born but could not be handed over."""
    target = box.start(spec("/bin/probe", "sleep", "60"))
    wanted = spec("/bin/probe", "sleep", "60").process
    assert wanted is not None
    plan = compile_exec(wanted, NAMESPACES, host=Host.probe()).encode()
    known = children()

    def start() -> Launched:
        assert children() == known
        return execute(plan, target.pidfd)

    before, failures = own_descriptors(), 0
    for most in range(3, 200):
        try:
            with most_descriptors(most):
                launched = start()
            break
        except (ContainerKitError, OSError):
            failures += 1
            assert own_descriptors() == before
    process.send_signal(launched.pidfd, 9)
    process.wait(launched.pidfd, 20)
    launched.close()
    assert failures > 3


def test_a_launch_that_never_began_closes_nothing_of_the_caller(box: Box) -> None:
    """Giving up before anything was started leaves the caller's own streams alone."""
    process.Start().abandon()

    assert {"0", "1", "2"} <= own_descriptors()


def test_many_threads_start_at_once(box: Box) -> None:
    """R24: 16 threads start and end programs at the same time; each gets its own exit code."""
    target = box.start(spec("/bin/probe", "sleep", "60"))
    host = Host.probe()
    wrong: list[object] = []

    def work(number: int) -> None:
        wanted = spec("/bin/probe", "exit", str(number)).process
        assert wanted is not None
        for _ in range(5):
            launched = execute(compile_exec(wanted, NAMESPACES, host=host), target.pidfd)
            code = process.wait(launched.pidfd, 60)
            launched.close()
            if code != number:
                wrong.append((number, code))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


def test_a_forked_child_can_start_programs(box: Box) -> None:
    """R24: after os.fork the child starts programs of its own, and the parent goes on."""
    plan = compile_plan(spec("/bin/probe", "exit", "9"), box.overlay(), host=Host.probe()).encode()
    child = os.fork()
    if child == 0:
        try:
            launched = launch(plan)
            os._exit(process.wait(launched.pidfd, 20))
        except BaseException:
            os._exit(1)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 9
