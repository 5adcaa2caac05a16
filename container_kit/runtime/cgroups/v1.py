"""cgroup v1: which files say what `Limits` says.

Decisions only: the values are worked out here and written by ``group``.

Source: Linux, Documentation/admin-guide/cgroup-v1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from container_kit.errors import UnsupportedFeature
from container_kit.runtime.devices import DeviceRule, device_number
from container_kit.runtime.limits import UNLIMITED, Limits

__all__ = [
    "Setting",
    "device_settings",
    "memory_and_swap",
    "needed",
    "settings",
]

# (controller, file, value)
Setting: TypeAlias = tuple[str, str, str]

_BLKIO_RATES = (
    ("device_read_bps", "blkio.throttle.read_bps_device"),
    ("device_write_bps", "blkio.throttle.write_bps_device"),
    ("device_read_iops", "blkio.throttle.read_iops_device"),
    ("device_write_iops", "blkio.throttle.write_iops_device"),
)


def needed(limits: Limits) -> set[str]:
    """The controllers without which *limits* cannot be set, beside the ones every container joins."""
    found = set()
    if limits.blkio_weight is not None or any(getattr(limits, name) for name, _ in _BLKIO_RATES):
        found.add("blkio")
    if limits.cpuset_cpus is not None or limits.cpuset_mems is not None:
        found.add("cpuset")
    if limits.hugetlb:
        found.add("hugetlb")
    return found


def settings(limits: Limits) -> list[Setting]:
    """What to write for *limits*, in an order that the kernel accepts for a new cgroup.

    Raises:
        UnsupportedFeature: A limit exists on cgroup v2 only.
    """
    if limits.memory_high is not None or limits.memory_oom_group or limits.unified:
        raise UnsupportedFeature(
            "memory_high, memory_oom_group and unified need cgroup v2, but this host has its memory "
            "controller on v1: leave them out, or boot with systemd.unified_cgroup_hierarchy=1"
        )
    return [
        *_memory(limits),
        *_cpu(limits),
        *_cpuset(limits),
        *_pids(limits),
        *_blkio(limits),
        *_hugetlb(limits),
    ]


def _memory(limits: Limits) -> list[Setting]:
    found = []
    if limits.memory is not None:
        found.append(("memory", "memory.limit_in_bytes", str(limits.memory)))
    total = memory_and_swap(limits)
    if total is not None:
        found.append(("memory", "memory.memsw.limit_in_bytes", str(total)))
    if limits.memory_reservation is not None:
        found.append(("memory", "memory.soft_limit_in_bytes", str(limits.memory_reservation)))
    if limits.swappiness is not None:
        found.append(("memory", "memory.swappiness", str(limits.swappiness)))
    return found


def memory_and_swap(limits: Limits) -> int | None:
    """The limit of both together: as given, or twice the memory as in Docker; None leaves it."""
    if limits.memory_swap is not None or limits.memory is None:
        return limits.memory_swap
    return UNLIMITED if limits.memory == UNLIMITED else 2 * limits.memory


def _cpu(limits: Limits) -> list[Setting]:
    quota, period = limits.quota_and_period_us
    found = []
    if limits.cpu_shares is not None:
        found.append(("cpu", "cpu.shares", str(limits.cpu_shares)))
    if period is not None:
        found.append(("cpu", "cpu.cfs_period_us", str(period)))
    if quota is not None:
        found.append(("cpu", "cpu.cfs_quota_us", str(quota)))
    return found


def _cpuset(limits: Limits) -> list[Setting]:
    pairs = (("cpuset.cpus", limits.cpuset_cpus), ("cpuset.mems", limits.cpuset_mems))
    return [("cpuset", file, value) for file, value in pairs if value is not None]


def _pids(limits: Limits) -> list[Setting]:
    if limits.pids is None:
        return []
    return [("pids", "pids.max", "max" if limits.pids == UNLIMITED else str(limits.pids))]


def _blkio(limits: Limits) -> list[Setting]:
    found = []
    if limits.blkio_weight is not None:
        found.append(("blkio", "blkio.bfq.weight", str(limits.blkio_weight)))
    for field, file in _BLKIO_RATES:
        rates: Mapping[str, int] = getattr(limits, field)
        found += [("blkio", file, f"{device_number(device)} {rate}") for device, rate in rates.items()]
    return found


def _hugetlb(limits: Limits) -> list[Setting]:
    return [("hugetlb", f"hugetlb.{page}.limit_in_bytes", str(size)) for page, size in limits.hugetlb.items()]


def device_settings(rules: tuple[DeviceRule, ...]) -> list[tuple[str, tuple[str, ...]]]:
    """(file, values) that leave exactly *rules* open: everything is denied first."""
    lines = tuple(str(rule) for rule in rules)
    if any(rule.type == "a" and rule.covers(DeviceRule("a")) for rule in rules):
        return [("devices.allow", ("a",))]
    return [("devices.deny", ("a",)), ("devices.allow", lines)] if lines else [("devices.deny", ("a",))]
