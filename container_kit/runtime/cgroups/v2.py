"""cgroup v2: which files say what `Limits` says.

Decisions only: the values are worked out here and written by ``group``.

Source: Linux, Documentation/admin-guide/cgroup-v2.rst.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from container_kit.errors import UnsupportedFeature
from container_kit.runtime.devices import device_number
from container_kit.runtime.limits import UNLIMITED, Limits

__all__ = [
    "Setting",
    "needed",
    "settings",
    "weight_of_shares",
]

# (controller, file, value)
Setting: TypeAlias = tuple[str, str, str]

_IO_KEYS = (
    ("device_read_bps", "rbps"),
    ("device_write_bps", "wbps"),
    ("device_read_iops", "riops"),
    ("device_write_iops", "wiops"),
)


def needed(limits: Limits) -> set[str]:
    """The controllers without which *limits* cannot be set, beside the ones every container has."""
    return {controller for controller, _, _ in _optional(limits)}


def settings(limits: Limits) -> list[Setting]:
    """What to write for *limits*.

    Raises:
        UnsupportedFeature: A limit exists on cgroup v1 only.
    """
    if limits.swappiness is not None:
        raise UnsupportedFeature(
            "swappiness is a limit of cgroup v1, but this host has its memory controller on v2"
        )
    return [*_memory(limits), *_cpu(limits), *_pids(limits), *_optional(limits)]


def _optional(limits: Limits) -> list[Setting]:
    return [*_cpuset(limits), *_io(limits), *_hugetlb(limits), *_unified(limits)]


def _memory(limits: Limits) -> list[Setting]:
    found = []
    if limits.memory is not None:
        found.append(("memory", "memory.max", _bytes(limits.memory)))
    swap = _swap_only(limits)
    if swap is not None:
        found.append(("memory", "memory.swap.max", _bytes(swap)))
    if limits.memory_reservation is not None:
        # "No limit" of what is protected is no protection, not protection of everything.
        found.append(("memory", "memory.low", str(max(0, limits.memory_reservation))))
    if limits.memory_high is not None:
        found.append(("memory", "memory.high", _bytes(limits.memory_high)))
    if limits.memory_oom_group is not None:
        found.append(("memory", "memory.oom.group", str(int(limits.memory_oom_group))))
    return found


def _swap_only(limits: Limits) -> int | None:
    """Swap without memory: v2 counts them apart, `Limits` and v1 together."""
    memory, swap = limits.memory, limits.memory_swap
    if swap is None:
        return memory
    return UNLIMITED if swap == UNLIMITED or memory is None else swap - memory


def _bytes(value: int) -> str:
    return "max" if value == UNLIMITED else str(value)


def weight_of_shares(shares: int) -> int:
    """``cpu.weight`` (1 to 10000) in proportion to v1's shares (2 to 262144)."""
    return 1 + (shares - 2) * 9999 // 262_142


def _cpu(limits: Limits) -> list[Setting]:
    quota, period = limits.quota_and_period_us
    found = []
    if limits.cpu_shares is not None:
        found.append(("cpu", "cpu.weight", str(weight_of_shares(limits.cpu_shares))))
    if quota is not None or period is not None:
        time = "max" if quota in (None, UNLIMITED) else str(quota)
        found.append(("cpu", "cpu.max", f"{time} {period or 100_000}"))
    return found


def _cpuset(limits: Limits) -> list[Setting]:
    pairs = (("cpuset.cpus", limits.cpuset_cpus), ("cpuset.mems", limits.cpuset_mems))
    return [("cpuset", file, value) for file, value in pairs if value is not None]


def _pids(limits: Limits) -> list[Setting]:
    return [] if limits.pids is None else [("pids", "pids.max", _bytes(limits.pids))]


def _io(limits: Limits) -> list[Setting]:
    found = []
    if limits.blkio_weight is not None:
        found.append(("io", "io.weight", f"default {1 + (limits.blkio_weight - 10) * 9999 // 990}"))
    for field, key in _IO_KEYS:
        rates: Mapping[str, int] = getattr(limits, field)
        for device, rate in rates.items():
            # Docker's 0 takes a limit away; the kernel's word for that is "max".
            found.append(("io", "io.max", f"{device_number(device)} {key}={rate or 'max'}"))
    return found


def _hugetlb(limits: Limits) -> list[Setting]:
    return [("hugetlb", f"hugetlb.{page}.max", str(size)) for page, size in limits.hugetlb.items()]


def _unified(limits: Limits) -> list[Setting]:
    return [(file.partition(".")[0], file, value) for file, value in limits.unified.items()]
