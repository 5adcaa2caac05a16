"""Which cgroups a process without rights over the machine uses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from container_kit.errors import UnsupportedFeature
from container_kit.runtime.cgroups import Cgroups, Layout, possible_limits
from container_kit.runtime.cgroups.layout import delegated_layout
from container_kit.runtime.limits import Limits


def cgroup(path: Path, controllers: str = "") -> None:
    """A directory that looks like a cgroup which this user may write to."""
    path.mkdir(parents=True)
    (path / "cgroup.procs").write_text("")
    (path / "cgroup.subtree_control").write_text("")
    (path / "cgroup.controllers").write_text(controllers)


def layout_of(tmp_path: Path, own: str, **fields: object) -> Layout:
    (tmp_path / "own").write_text(f"4:memory:/x\n0::{own}\n")
    layout = Layout(v2=str(tmp_path / "v2"), v2_controllers=frozenset({"memory", "pids"}), **fields)  # type: ignore[arg-type]
    return delegated_layout(layout, str(tmp_path / "own"))


def test_the_highest_cgroup_that_was_given_is_used(tmp_path: Path) -> None:
    """Processes move only within what was delegated, so all of it is, and nothing above."""
    (tmp_path / "v2/slice").mkdir(parents=True)
    cgroup(tmp_path / "v2/slice/user", "memory pids")
    cgroup(tmp_path / "v2/slice/user/app/scope")
    cgroup(tmp_path / "v2/slice/user/app-of-others")
    for name in ("cgroup.procs", "cgroup.subtree_control"):
        (tmp_path / "v2/slice/user/app" / name).write_text("")
    found = layout_of(tmp_path, "/slice/user/app/scope")
    assert found.v2 == str(tmp_path / "v2/slice/user")
    assert found.v2_controllers == {"memory", "pids"}
    assert found.is_delegated and not found.v1


def test_who_was_given_none_has_none(tmp_path: Path) -> None:
    """A cgroup that is root's is not used, and controllers of v1 are nobody's but root's."""
    (tmp_path / "v2/session").mkdir(parents=True)
    found = layout_of(tmp_path, "/session", v1={"memory": str(tmp_path / "v1")})
    assert (found.v2, found.kind, found.controllers) == (None, "none", frozenset())


def test_containers_without_a_cgroup_can_be_had_and_limited_ones_not() -> None:
    """What needs no cgroup works; a limit is refused in words, and only what can be set of a profile's is."""
    none = Layout(is_delegated=True)
    group = Cgroups(none, "ours").create("one")
    assert (group.paths, group.pids(), group.oom_kills()) == ((), [], 0)
    group.kill()
    assert group.try_remove()
    with pytest.raises(UnsupportedFeature, match="systemd-run --user"):
        Cgroups(none, "ours").create("two", Limits(memory="64m"))
    assert possible_limits(Limits(pids=5, memory="64m"), none) == Limits()
    some = Layout(v2=os.sep, v2_controllers=frozenset({"pids"}), is_delegated=True)
    assert possible_limits(Limits(pids=5, memory="64m"), some) == Limits(pids=5)
