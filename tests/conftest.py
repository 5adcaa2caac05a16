"""What every test has: marks that skip with a reason, and the census around it."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Callable, Iterator

import pytest

from tests.census import Census, others_leaks_since, own_leaks_since
from tests.own_network import enter_own_network, is_own_network

# Set by `make test` for root: a missing program or right is then a failure, not a reason to skip.
REQUIRE_ALL = os.environ.get("CK_REQUIRE_ALL") == "1"

if os.environ.get("CK_SANITIZED") == "thread":
    os.environ.pop("LD_PRELOAD", None)  # this process has the library; other programs cannot bear it

# Where allocations cannot be made to fail there is nothing in them to run.
_SANITIZED_ONLY = ["native/test_memory.py", "containers/test_memory.py"]
collect_ignore = [] if os.environ.get("CK_SANITIZED") == "address" else _SANITIZED_ONLY


def pytest_configure() -> None:
    """Before anything starts: nothing that a test does to a network reaches this machine's."""
    enter_own_network()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out trials unless asked for by mark; skip, with a reason, what this host cannot run."""
    if "trial" not in (config.getoption("markexpr") or ""):
        trials = [item for item in items if item.get_closest_marker("trial")]
        items[:] = [item for item in items if item not in trials]
        config.hook.pytest_deselected(items=trials)
    for item in items if not REQUIRE_ALL else ():
        if item.get_closest_marker("root") and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="needs root"))
        for mark in item.iter_markers("tool"):
            if shutil.which(mark.args[0]) is None:
                item.add_marker(pytest.mark.skip(reason=f"needs the program {mark.args[0]}"))


@pytest.fixture(scope="session")
def own_network() -> None:
    """For tests that change links, addresses or rules: the session's network is not this machine's."""
    if not is_own_network():
        pytest.skip("needs the right to make a network namespace")


@pytest.fixture(autouse=True, scope="module")
def young_objects() -> None:
    """What modules, tests and their libraries are made of stays: each test's census collects what is younger.

    Going through all of it for every test took most of the time of most of them.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def clean_census(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test that leaves a process, mount, link, cgroup, socket, loop device or open file behind.

    It is set up before a test's other function-scoped fixtures and so looks after they are gone.
    ``CK_CENSUS=off`` leaves it out, for a machine on which other containers come and go.
    """
    yield from _counted(own_leaks_since)


@pytest.fixture(autouse=True, scope="session")
def final_census() -> Iterator[None]:
    """Fails the run when PID 1 does not collect ended helpers of ours in the end, or keys are left."""
    yield from _counted(others_leaks_since)


def _counted(leaks_since: Callable[[Census], list[str]]) -> Iterator[None]:
    if os.environ.get("CK_CENSUS") == "off":
        yield
        return
    before = Census.take()
    yield
    if leaks := leaks_since(before):
        pytest.fail("left behind:\n  " + "\n  ".join(sorted(leaks)), pytrace=False)
