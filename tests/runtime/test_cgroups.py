"""Cgroups: one suite for v1, v2 and their mixture on a model of the kernel, and for the real kernel."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from container_kit.errors import Conflict, InvalidInput, NameInUse, NotFound, UnsupportedFeature
from container_kit.runtime.cgroups import Cgroup, Cgroups, Layout, files, tree, v1, v2
from container_kit.runtime.cgroups.layout import read_layout
from container_kit.runtime.cgroups.stats import parse_pressure
from container_kit.runtime.devices import ALLOW_ALL, DEFAULT_RULES, DeviceRule
from container_kit.runtime.host import Host
from container_kit.runtime.limits import Limits
from tests.runtime.fake_cgroups import PRESSURE, FakeKernel

EVERY_V1 = ("pids", "devices", "memory", "cpu", "cpuacct", "cpuset", "freezer", "blkio")
EVERY_V2 = ("pids", "memory", "cpu", "cpuset", "io", "hugetlb")
MACHINES = {"v1": (EVERY_V1, None), "v2": ((), EVERY_V2), "hybrid": (EVERY_V1, ("hugetlb",))}
REAL = pytest.param("real", marks=pytest.mark.root)
PARENT = f"container-kit-test-{os.getpid()}"


def _use(monkeypatch: pytest.MonkeyPatch, kernel: FakeKernel) -> None:
    for module in (files, tree):
        monkeypatch.setattr(module, "os", kernel)
    # The model has no BPF; the real kernel's device filter has tests of its own.
    monkeypatch.setattr("container_kit.native.policy.replace_device_filter", lambda fd, program: None)


@pytest.fixture(params=["v1", "v2", "hybrid"])
def kernel(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeKernel:
    """A model of each kind of machine."""
    model = FakeKernel(tmp_path, *MACHINES[request.param])
    _use(monkeypatch, model)
    return model


@pytest.fixture(params=["v1", "v2", "hybrid", REAL])
def cgroups(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Cgroups]:
    """A parent on each kind of machine, and on this one."""
    if request.param == "real":
        made = Cgroups(Host.probe().cgroups, PARENT)
    else:
        model = FakeKernel(tmp_path, *MACHINES[request.param])
        _use(monkeypatch, model)
        made = Cgroups(model.layout, PARENT)
    yield made
    for name in made.names():
        made.open(name).kill()
        made.open(name).remove()
    made.remove_parent()


LIMITS = Limits(memory="64m", memory_swap="64m", cpus=0.5, cpu_shares=512, pids=32)


def test_a_cgroup_has_its_limits_from_the_start(cgroups: Cgroups) -> None:
    """Before any process is in it, every limit holds."""
    group = cgroups.create("c1", LIMITS)
    stats = group.stats()
    assert stats.memory is not None and stats.memory.limit == 64 << 20
    assert stats.pids is not None and stats.pids.limit == 32
    assert group.pids() == [] and all(os.path.isdir(path) for path in group.paths)


def test_limits_can_be_changed(cgroups: Cgroups) -> None:
    """Up and down again, each alone, the others staying as they are."""
    group = cgroups.create("c1", LIMITS)
    for memory in ("128m", "32m"):
        group.update(Limits(memory=memory))
        group.update(Limits(pids=5))
        stats = group.stats()
        assert stats.memory is not None and stats.memory.limit == Limits(memory=memory).memory
        assert stats.pids is not None and stats.pids.limit == 5
    group.update(Limits(memory=-1, pids=-1))
    stats = group.stats()
    assert stats.memory is not None and stats.memory.limit is None
    assert stats.pids is not None and stats.pids.limit is None


def test_a_cgroup_freezes_and_thaws(cgroups: Cgroups) -> None:
    """And tells which of the two it is, also to someone who opened it later."""
    group = cgroups.create("c1")
    group.freeze()
    assert group.is_frozen() and cgroups.open("c1").is_frozen()
    group.thaw()
    assert not cgroups.open("c1").is_frozen()


def test_removal_leaves_nothing(cgroups: Cgroups) -> None:
    """Every directory goes, cgroups made inside it too, and once more is no error."""
    group = cgroups.create("c1", LIMITS)
    for path in group.paths:
        files.make_directory(f"{path}/inner", parents_below=path)
    assert cgroups.names() == ["c1"] and group.exists()
    group.remove()
    group.remove()
    assert cgroups.names() == [] and not group.exists()
    cgroups.remove_parent()
    cgroups.remove_parent()


def test_an_empty_leftover_is_replaced(cgroups: Cgroups) -> None:
    """A cgroup that something dead left behind does not stop the next start, nor keep old limits."""
    cgroups.create("c1", Limits(pids=7))
    group = cgroups.create("c1", Limits(memory="64m"))
    stats = group.stats()
    assert stats.pids is not None and stats.pids.limit is None


def test_a_failure_leaves_nothing(cgroups: Cgroups) -> None:
    """A limit that cannot be set takes back what was made before it."""
    with pytest.raises((UnsupportedFeature, NotFound)):
        cgroups.create("c1", Limits(pids=5, hugetlb={"3MB": "6m"}, device_read_bps={"/dev/missing": 1}))
    assert cgroups.names() == []


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\nb", "a\0b", "x" * 256])
def test_a_name_that_leads_elsewhere_is_refused(cgroups: Cgroups, name: str) -> None:
    """A cgroup's name is one component of a path."""
    with pytest.raises(InvalidInput):
        cgroups.create(name)
    with pytest.raises(InvalidInput):
        Cgroups(cgroups.layout, f"parent/{name}/x" if "/" not in name else "a/../b")


def test_a_busy_cgroup_is_in_use(kernel: FakeKernel) -> None:
    """One with processes in it is neither replaced nor removed."""
    cgroups = Cgroups(kernel.layout, "parent")
    group = cgroups.create("c1")
    for path in group.paths:
        Path(path, "cgroup.procs").write_text("1\n")
    with pytest.raises(NameInUse):
        cgroups.create("c1")
    with pytest.raises(Conflict, match="kill its processes"):
        group.remove(timeout_s=0.01)
    assert not group.try_remove()
    assert group.pids() == [1]
    for path in group.paths:
        Path(path, "cgroup.procs").write_text("")
    group.remove()


def test_a_parent_that_vanishes_is_made_again(kernel: FakeKernel) -> None:
    """Another process that removes its last container does not fail this one's start."""
    cgroups = Cgroups(kernel.layout, "parent/deeper")
    roots = [*([kernel.layout.v2] if kernel.layout.v2 else []), *kernel.layout.v1.values()]
    kernel.vanish = [f"{root}/parent/deeper/c1" for root in roots]
    group = cgroups.create("c1", LIMITS)
    assert group.exists()
    assert [path for path in kernel.vanish if path in group.paths] == []


def test_a_parent_made_anew_hands_its_controllers_down(cgroups: Cgroups) -> None:
    """When others removed the empty parent, the next cgroup below it has every limit again."""
    for name in ("c1", "c2"):
        group = cgroups.create(name, LIMITS)
        stats = group.stats()
        assert stats.pids is not None and stats.pids.limit == 32
        group.remove()
        cgroups.remove_parent()


def test_statistics_mean_the_same_on_every_version(kernel: FakeKernel) -> None:
    """The same figures in the files of either version give the same values."""
    group = Cgroups(kernel.layout, "parent").create("c1", Limits(memory="64m", blkio_weight=500))
    stats = group.stats()
    memory, cpu = stats.memory, stats.cpu
    assert memory is not None and cpu is not None
    assert (memory.usage, memory.peak, memory.anonymous, memory.page_cache) == (4096, 8192, 50, 100)
    assert (memory.working_set, memory.swap, memory.limit_hits, memory.oom_kills) == (4000, 7, 3, 2)
    assert (cpu.usage_ns, cpu.user_ns, cpu.system_ns) == (7_000_000, 10_000_000, 20_000_000)
    assert group.oom_kills() == 2
    io = stats.io["8:0"]
    assert (io.read_bytes, io.write_bytes, io.read_ops, io.write_ops) == (4096, 512, 2, 1)
    assert list(stats.pressure) == (["cpu"] if kernel.layout.v2 else [])


def test_pressure_is_read_where_there_is_some() -> None:
    """The averages and totals of both lines."""
    pressure = parse_pressure(PRESSURE)
    assert (pressure.some_avg10, pressure.some_total_us, pressure.full_avg10) == (1.5, 1234, 0.5)


def _written(kernel: FakeKernel, limits: Limits) -> dict[str, str]:
    Cgroups(kernel.layout, "p").create("c", limits, ALLOW_ALL)
    return {path: text for path, text in kernel.written if "subtree_control" not in path}


def test_v1_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The words of the OCI specification for v1, file by file."""
    kernel = FakeKernel(tmp_path, EVERY_V1, None)
    _use(monkeypatch, kernel)
    limits = Limits(
        memory="64m", memory_reservation="32m", swappiness=10, cpus=0.5, cpu_shares=512, pids=7,
        cpuset_cpus="0-1", cpuset_mems="0", blkio_weight=500, device_read_bps={"8:0": "1m"},
    )  # fmt: skip
    expected = {
        "devices/p/c/devices.allow": "a",
        "memory/p/c/memory.limit_in_bytes": "67108864",
        "memory/p/c/memory.memsw.limit_in_bytes": "134217728",
        "memory/p/c/memory.soft_limit_in_bytes": "33554432",
        "memory/p/c/memory.swappiness": "10",
        "cpu/p/c/cpu.cfs_period_us": "100000",
        "cpu/p/c/cpu.cfs_quota_us": "50000",
        "cpu/p/c/cpu.shares": "512",
        "pids/p/c/pids.max": "7",
        "cpuset/p/cpuset.cpus": "0-3",
        "cpuset/p/cpuset.mems": "0",
        "cpuset/p/c/cpuset.cpus": "0-1",
        "cpuset/p/c/cpuset.mems": "0",
        "blkio/p/c/blkio.bfq.weight": "500",
        "blkio/p/c/blkio.throttle.read_bps_device": "8:0 1048576",
    }
    assert _written(kernel, limits) == expected


def test_v2_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same limits in v2's words: swap counted apart, weights in their own scale."""
    kernel = FakeKernel(tmp_path, (), EVERY_V2)
    _use(monkeypatch, kernel)
    limits = Limits(
        memory="64m", memory_swap="96m", memory_reservation="32m", memory_high="48m", cpus=0.5,
        cpu_shares=1024, pids=-1, cpuset_cpus="0-1", blkio_weight=500, device_read_bps={"8:0": "1m"},
        device_write_iops={"8:0": 0}, hugetlb={"2MB": "4m"}, unified={"memory.high": "1000000"},
    )  # fmt: skip
    expected = {
        "memory.max": "67108864", "memory.swap.max": "33554432", "memory.low": "33554432",
        "memory.high": "1000000", "memory.oom.group": "1", "cpu.max": "50000 100000", "cpu.weight": "39",
        "pids.max": "max", "cpuset.cpus": "0-1", "io.weight": "default 4950", "io.max": "8:0 wiops=max",
        "hugetlb.2MB.max": "4194304",
    }  # fmt: skip
    assert _written(kernel, limits) == {f"unified/p/c/{file}": text for file, text in expected.items()}
    assert ("unified/p/c/io.max", "8:0 rbps=1048576") in kernel.written


@pytest.mark.parametrize(("shares", "weight"), [(2, 1), (1024, 39), (262_144, 10_000)])
def test_shares_become_weights(shares: int, weight: int) -> None:
    """The ends of one scale are the ends of the other."""
    assert v2.weight_of_shares(shares) == weight


def test_a_limit_of_the_other_version_is_refused() -> None:
    """It says so, instead of leaving it out."""
    for limits in (
        Limits(memory_high="64m"),
        Limits(memory_oom_group=True),
        Limits(unified={"memory.low": "1"}),
    ):
        with pytest.raises(UnsupportedFeature, match="cgroup v2"):
            v1.settings(limits)
    with pytest.raises(UnsupportedFeature, match="swappiness"):
        v2.settings(Limits(swappiness=1))


@pytest.mark.parametrize(
    "limits", [LIMITS, Limits(pids=5), Limits(hugetlb={"2MB": 1}), Limits(blkio_weight=10)]
)
def test_a_controller_that_is_nowhere_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: Limits
) -> None:
    """A limit that cannot be set is never silently left out."""
    kernel = FakeKernel(tmp_path, ("devices",), ())
    _use(monkeypatch, kernel)
    cgroups = Cgroups(kernel.layout, "p")
    with pytest.raises(UnsupportedFeature, match="controller"):
        cgroups.create("c", limits)
    assert cgroups.names() == []


def test_no_hierarchy_at_all_is_an_error() -> None:
    """With the command that would mount one."""
    with pytest.raises(UnsupportedFeature, match="mount -t cgroup2"):
        Cgroups(Layout())


def test_inner_processes_are_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """v2 hands no controllers down where processes sit; the error says what to do."""
    kernel = FakeKernel(tmp_path, (), EVERY_V2)
    _use(monkeypatch, kernel)
    kernel.mkdir(f"{kernel.layout.v2}/p")
    Path(str(kernel.layout.v2), "p", "cgroup.procs").write_text("1\n")
    with pytest.raises(UnsupportedFeature, match="move them"):
        Cgroups(kernel.layout, "p").create("c", LIMITS)


MOUNTINFO = """\
22 1 0:20 / /proc rw - proc proc rw
24 23 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
25 24 0:23 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
26 24 0:24 / /sys/fs/cgroup/a\\040b rw shared:9 - cgroup cgroup rw,memory
27 24 0:25 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd
28 24 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate
"""


@pytest.mark.parametrize(
    ("lines", "kind"),
    [(slice(0, 6), "hybrid"), (slice(0, 5), "v1"), (slice(5, 6), "v2"), (slice(0, 2), "none")],
)
def test_the_layout_is_read_from_mountinfo(tmp_path: Path, lines: slice, kind: str) -> None:
    """Controllers mounted together share a root, escaped paths are undone, systemd's own is left out."""
    file = tmp_path / "mountinfo"
    file.write_text("".join(MOUNTINFO.splitlines(keepends=True)[lines]))
    layout = read_layout(str(file))
    assert layout.kind == kind
    if "v1" in (kind, layout.owner_of("memory")):
        assert layout.v1 == {
            "cpu": "/sys/fs/cgroup/cpu,cpuacct",
            "cpuacct": "/sys/fs/cgroup/cpu,cpuacct",
            "memory": "/sys/fs/cgroup/a b",
        }


# -- on the real kernel


def _enter(group: Cgroup) -> str:
    joined = [*group.tasks_files, *([f"{group.v2}/cgroup.procs"] if group.v2 else [])]
    return "".join(f"echo $$ > {path}; " for path in joined)


def _run_in(group: Cgroup, script: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script whose shell has joined *group* as ckit-init does, through ``tasks``."""
    return subprocess.run(["sh", "-c", _enter(group) + script], capture_output=True, text=True, timeout=30)


@pytest.fixture(params=["all hierarchies", "v1 alone"])
def real(request: pytest.FixtureRequest) -> Iterator[Cgroups]:
    """A parent on this machine, also as if it had no v2 hierarchy."""
    layout = Host.probe().cgroups
    if request.param == "v1 alone":
        if not {"freezer", "pids", "memory", "devices"} <= set(layout.v1):
            pytest.skip("no cgroup v1 hierarchies here")
        layout = Layout(None, layout.v1)
    made = Cgroups(layout, PARENT)
    yield made
    for name in made.names():
        made.open(name).kill()
        made.open(name).remove()
    made.remove_parent()


@pytest.mark.root
def test_processes_are_counted_and_killed(real: Cgroups) -> None:
    """All of them, children included, whatever they ignore."""
    group = real.create("c1")
    script = f"{_enter(group)} trap '' TERM INT; sleep 60 & sleep 60 & echo ready; wait"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        assert len(group.pids()) == 3 and process.pid in group.pids()
        group.freeze()
        group.kill()
        assert process.wait(10) == -9
    group.remove()


@pytest.mark.root
def test_the_pids_limit_stops_a_fork_bomb(real: Cgroups) -> None:
    """R17: the limit holds, and the control without it forks freely."""
    script = "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 1 & done; kill %1 2>/dev/null; echo started; kill 0"
    limited = _run_in(real.create("c1", Limits(pids=4)), f"({script}) 2>&1; true")
    free = _run_in(real.create("c2"), "for i in 1 2 3 4 5 6 7 8 9 10; do true & done; wait; echo started")
    assert "fork" in limited.stdout.lower() or "resource" in limited.stdout.lower()
    assert "started" in free.stdout


@pytest.mark.root
def test_the_memory_limit_kills_and_is_counted(real: Cgroups) -> None:
    """A process above the limit is killed, and `oom_kills` tells that this was why."""
    group = real.create("c1", Limits(memory="16m", memory_swap="16m"))
    result = _run_in(group, "exec tail /dev/zero")
    assert result.returncode in (-9, 137)
    assert group.oom_kills() >= 1  # v2 counts the kill of the group too


OPEN_DEVICES = """
for n in {nodes}; do
  (: < $n) 2>&- && echo $n
done
"""


@pytest.mark.root
@pytest.mark.parametrize("version", ["own", "v2"])
def test_the_device_list_is_exact(real: Cgroups, tmp_path: Path, version: str) -> None:
    """S09: root in the cgroup opens what is listed and nothing else; the control opens all.

    With ``v2`` the filter is a BPF program even where devices have a v1 hierarchy.
    """
    layout = real.layout if version == "own" else Layout(real.layout.v2)
    if layout.v2 is None and version == "v2":
        pytest.skip("no cgroup v2 hierarchy here")
    cgroups = Cgroups(layout, PARENT)
    nodes = {"null": (1, 3), "zero": (1, 5), "mem": (1, 1), "kmsg": (1, 11), "urandom": (1, 9)}
    for name, number in nodes.items():
        os.mknod(tmp_path / name, 0o20600, os.makedev(*number))
    script = OPEN_DEVICES.format(nodes=" ".join(str(tmp_path / name) for name in nodes))
    script += f"mknod {tmp_path}/made b 8 0 2>&- && echo made; true"

    def opened(name: str, rules: tuple[DeviceRule, ...]) -> set[str]:
        group = cgroups.create(name, devices=rules)
        found = {os.path.basename(line) for line in _run_in(group, script).stdout.split()}
        (tmp_path / "made").unlink(missing_ok=True)
        group.remove()
        return found

    assert opened("c1", DEFAULT_RULES) == {"null", "zero", "urandom"}
    assert opened("c2", ()) == set()
    assert opened("c3", (DeviceRule("c", 1, 11, "r"),)) == {"kmsg"}
    assert opened("c4", (DeviceRule("c", 1, 11, "w"),)) == set()
    assert opened("c5", (DeviceRule("b", 8, -1, "m"),)) == {"made"}
    assert opened("c6", ALLOW_ALL) >= {"null", "zero", "kmsg", "urandom", "made"}


@pytest.mark.root
def test_a_device_filter_is_replaced_not_added(real: Cgroups) -> None:
    """An update of the list leaves one program, so that a list can also become longer."""
    from container_kit.native.policy import device_filter_count

    if real.layout.v2 is None:
        pytest.skip("no cgroup v2 hierarchy here")
    group = Cgroups(Layout(real.layout.v2), PARENT).create("c1", devices=DEFAULT_RULES)
    group.allow_devices(ALLOW_ALL)
    group.allow_devices(DEFAULT_RULES)
    assert device_filter_count(group.v2_fd) == 1
    group.close()


@pytest.mark.root
def test_many_makers_and_removers_share_a_parent(real: Cgroups) -> None:
    """Threads that make, remove and remove the parent at once never fail each other."""
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            cgroups = Cgroups(real.layout, PARENT)
            for turn in range(20):
                cgroups.create(f"c{number}-{turn}", Limits(pids=5)).remove()
                cgroups.remove_parent()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
