"""The figures of a cgroup v2: what its files tell, as the values of ``stats``.

Source: Linux, Documentation/admin-guide/cgroup-v2.rst.
"""

from __future__ import annotations

from container_kit.runtime.cgroups import files
from container_kit.runtime.cgroups.stats import (
    CpuStats,
    IoStats,
    MemoryStats,
    PidsStats,
    Pressure,
    parse_pressure,
)

__all__ = ["read_cpu", "read_hugetlb", "read_io", "read_memory", "read_pids", "read_pressure"]


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
