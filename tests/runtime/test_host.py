"""Host facts: gathered once, and what a container may have of this process's limits."""

from __future__ import annotations

import os
import resource

import attrs
import pytest

from container_kit.runtime.host import Host

CAP_SYS_RESOURCE = 1 << 24


def test_the_facts_are_those_of_this_process() -> None:
    """Uid, machine, kernel and limits are what the system says."""
    host = Host.probe()
    assert host is Host.probe()
    assert host.machine == os.uname().machine and host.uid == os.geteuid()
    assert os.uname().release.startswith("{}.{}".format(*host.kernel))
    assert host.rlimits["RLIMIT_NOFILE"] == resource.getrlimit(resource.RLIMIT_NOFILE)
    assert host.capabilities & ~host.bounding == 0 or host.uid == 0


CLAMPS = [
    ((1024, 524_288), 20_000, (1024, 20_000)),
    ((100_000, 100_000), 20_000, (20_000, 20_000)),
    ((-1, -1), 20_000, (20_000, 20_000)),
    ((100, 200), 20_000, (100, 200)),
    ((-1, -1), -1, (-1, -1)),
    ((0, 0), 20_000, (0, 0)),
]


@pytest.mark.parametrize(("wanted", "hard", "expected"), CLAMPS)
def test_rlimits_are_clamped_to_what_this_process_may_give(
    wanted: tuple[int, int], hard: int, expected: tuple[int, int]
) -> None:
    """Without CAP_SYS_RESOURCE nothing above our own hard limit; with it, what was asked for."""
    host = attrs.evolve(Host.probe(), capabilities=0, rlimits={"RLIMIT_NOFILE": (10, hard)})
    assert host.clamp_rlimit("RLIMIT_NOFILE", *wanted) == expected
    strong = attrs.evolve(host, capabilities=CAP_SYS_RESOURCE)
    assert strong.clamp_rlimit("RLIMIT_NOFILE", *wanted) == wanted
