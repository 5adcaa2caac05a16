"""The figures of a cgroup v1: what its files tell, as the values of ``stats``.

Source: Linux, Documentation/admin-guide/cgroup-v1.
"""

from __future__ import annotations

from container_kit.runtime.cgroups import files
from container_kit.runtime.cgroups.stats import CpuStats, IoStats, MemoryStats, PidsStats

__all__ = ["read_cpu", "read_io", "read_memory", "read_pids"]

_NO_LIMIT = 1 << 62  # v1 rounds "no limit" down to whole pages: anything this large is one
_USER_HZ_NS = 10_000_000


def read_memory(directory: str) -> MemoryStats:
    """Use and limit of memory; *directory* is the cgroup in the memory hierarchy."""
    detail = files.numbers(files.read(directory, "memory.stat"))
    events = files.numbers(files.read_or_none(directory, "memory.oom_control"))
    usage = int(files.read(directory, "memory.usage_in_bytes"))
    limit = int(files.read(directory, "memory.limit_in_bytes"))
    return MemoryStats(
        usage=usage,
        limit=None if limit >= _NO_LIMIT else limit,
        peak=int(files.read(directory, "memory.max_usage_in_bytes")),
        anonymous=detail.get("total_rss", 0),
        page_cache=detail.get("total_cache", 0),
        inactive_file=detail.get("total_inactive_file", 0),
        swap=detail.get("total_swap", 0),
        limit_hits=int(files.read(directory, "memory.failcnt")),
        oom_kills=events.get("oom_kill", 0),
    )


def read_cpu(cpu: str | None, cpuacct: str | None) -> CpuStats:
    """Processor time; the arguments are the cgroup in the two hierarchies, None where not joined."""
    throttling = files.numbers(files.read(cpu, "cpu.stat")) if cpu else {}
    split = files.numbers(files.read(cpuacct, "cpuacct.stat")) if cpuacct else {}
    return CpuStats(
        usage_ns=int(files.read(cpuacct, "cpuacct.usage")) if cpuacct else 0,
        user_ns=split.get("user", 0) * _USER_HZ_NS,
        system_ns=split.get("system", 0) * _USER_HZ_NS,
        periods=throttling.get("nr_periods", 0),
        throttled_periods=throttling.get("nr_throttled", 0),
        throttled_ns=throttling.get("throttled_time", 0),
    )


def read_pids(directory: str) -> PidsStats:
    """Processes and threads now, and the most allowed."""
    limit = files.read(directory, "pids.max").strip()
    return PidsStats(int(files.read(directory, "pids.current")), None if limit == "max" else int(limit))


def read_io(directory: str) -> dict[str, IoStats]:
    """Bytes and operations by ``"major:minor"``; lines are ``8:0 Read 4096``."""
    found: dict[str, dict[str, int]] = {}
    sources = (("bytes", "blkio.throttle.io_service_bytes"), ("ops", "blkio.throttle.io_serviced"))
    for unit, file in sources:
        for line in (files.read_or_none(directory, file) or "").splitlines():
            device, _, rest = line.partition(" ")
            direction, _, amount = rest.partition(" ")
            if direction in ("Read", "Write"):
                found.setdefault(device, {})[f"{direction.lower()}_{unit}"] = int(amount)
    return {device: IoStats(**amounts) for device, amounts in found.items()}
