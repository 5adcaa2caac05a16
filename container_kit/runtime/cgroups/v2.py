"""cgroup v2: which files say what `Limits` says, and what they tell in return.

Decisions only: the values are worked out here and written by ``group``.

Source: Linux, Documentation/admin-guide/cgroup-v2.rst.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from container_kit.errors import UnsupportedFeature
from container_kit.runtime.cgroups import files
from container_kit.runtime.cgroups.stats import (
    CpuStats,
    IoStats,
    MemoryStats,
    PidsStats,
    Pressure,
    device_number,
    parse_pressure,
)
from container_kit.runtime.limits import UNLIMITED, Limits

__all__ = [
    "Setting",
    "needed",
    "read_cpu",
    "read_hugetlb",
    "read_io",
    "read_memory",
    "read_pids",
    "read_pressure",
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


def read_memory(directory: str) -> MemoryStats:
    """Use and limit of memory of the cgroup *directory*."""
    detail = files.numbers(files.read(directory, "memory.stat"))
    events = files.numbers(files.read(directory, "memory.events"))
    limit = files.read(directory, "memory.max").strip()
    peak = files.read_or_none(directory, "memory.peak")  # since Linux 5.19
    return MemoryStats(
        usage=int(files.read(directory, "memory.current")),
        limit=None if limit == "max" else int(limit),
        peak=int(peak) if peak else None,
        anonymous=detail.get("anon", 0),
        page_cache=detail.get("file", 0),
        inactive_file=detail.get("inactive_file", 0),
        swap=int(files.read_or_none(directory, "memory.swap.current") or 0),
        limit_hits=events.get("max", 0),
        oom_kills=events.get("oom_kill", 0),
    )


def read_cpu(directory: str) -> CpuStats:
    """Processor time; v2 accounts for it even where the cpu controller is on v1 or switched off."""
    detail = files.numbers(files.read(directory, "cpu.stat"))
    return CpuStats(
        usage_ns=detail.get("usage_usec", 0) * 1000,
        user_ns=detail.get("user_usec", 0) * 1000,
        system_ns=detail.get("system_usec", 0) * 1000,
        periods=detail.get("nr_periods", 0),
        throttled_periods=detail.get("nr_throttled", 0),
        throttled_ns=detail.get("throttled_usec", 0) * 1000,
    )


def read_pids(directory: str) -> PidsStats:
    """Processes and threads now, and the most allowed."""
    limit = files.read(directory, "pids.max").strip()
    return PidsStats(int(files.read(directory, "pids.current")), None if limit == "max" else int(limit))


def read_io(directory: str) -> dict[str, IoStats]:
    """Bytes and operations by ``"major:minor"``; lines are ``8:0 rbytes=1 wbytes=2 rios=3 wios=4``."""
    found = {}
    for line in files.read(directory, "io.stat").splitlines():
        device, *pairs = line.split()
        amount = {
            key: int(value) for key, _, value in (pair.partition("=") for pair in pairs) if value.isdigit()
        }
        found[device] = IoStats(
            read_bytes=amount.get("rbytes", 0),
            write_bytes=amount.get("wbytes", 0),
            read_ops=amount.get("rios", 0),
            write_ops=amount.get("wios", 0),
        )
    return found


def read_hugetlb(directory: str) -> dict[str, int]:
    """Bytes in use by page size."""
    found = {}
    for name in files.names(directory):
        if name.startswith("hugetlb.") and name.endswith("B.current"):
            found[name.split(".")[1]] = int(files.read(directory, name))
    return found


def read_pressure(directory: str) -> dict[str, Pressure]:
    """Pressure by resource; empty where the kernel was built or booted without PSI."""
    found = {}
    for resource in ("cpu", "memory", "io"):
        text = files.read_or_none(directory, f"{resource}.pressure")
        if text is not None:
            found[resource] = parse_pressure(text)
    return found
