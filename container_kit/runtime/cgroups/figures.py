"""A cgroup's figures, each from the hierarchy that has its controller."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from container_kit.runtime.cgroups import v1_stats, v2_stats
from container_kit.runtime.cgroups.group import Cgroup
from container_kit.runtime.cgroups.stats import CgroupStats, CpuStats, IoStats, MemoryStats, PidsStats

__all__ = ["read_stats"]


def read_stats(group: Cgroup) -> CgroupStats:
    """What *group* uses now; parts whose controller is nowhere are None or empty.

    Raises:
        NotFound: The cgroup is gone.
    """
    hugetlb = _on_v2(group, "hugetlb")
    return CgroupStats(
        memory=_memory(group),
        cpu=_cpu(group),
        pids=_pids(group),
        io=_io(group),
        hugetlb=v2_stats.read_hugetlb(hugetlb) if hugetlb else {},
        pressure=v2_stats.read_pressure(group.v2) if group.v2 else {},
    )


def _on_v2(group: Cgroup, controller: str) -> str | None:
    """The v2 directory, when *controller* is there and not in a v1 hierarchy of the container."""
    if controller in group.v1 or controller not in group.layout.v2_controllers:
        return None
    return group.v2


def _memory(group: Cgroup) -> MemoryStats | None:
    if "memory" in group.v1:
        return v1_stats.read_memory(group.v1["memory"])
    directory = _on_v2(group, "memory")
    return v2_stats.read_memory(directory) if directory else None


def _cpu(group: Cgroup) -> CpuStats | None:
    """Time from v2 wherever there is one: it accounts for it also when the cpu controller is on v1."""
    on_v1 = v1_stats.read_cpu(group.v1.get("cpu"), group.v1.get("cpuacct"))
    if group.v2 is None:
        return on_v1 if "cpuacct" in group.v1 else None
    time_used = v2_stats.read_cpu(group.v2)
    if "cpu" not in group.v1:
        return time_used
    return attrs.evolve(
        on_v1, usage_ns=time_used.usage_ns, user_ns=time_used.user_ns, system_ns=time_used.system_ns
    )


def _pids(group: Cgroup) -> PidsStats | None:
    if "pids" in group.v1:
        return v1_stats.read_pids(group.v1["pids"])
    directory = _on_v2(group, "pids")
    return v2_stats.read_pids(directory) if directory else None


def _io(group: Cgroup) -> Mapping[str, IoStats]:
    if "blkio" in group.v1:
        return v1_stats.read_io(group.v1["blkio"])
    directory = _on_v2(group, "io")
    return v2_stats.read_io(directory) if directory else {}
