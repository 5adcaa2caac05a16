"""What a container uses of the machine, as values that are the same for cgroup v1 and v2."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

__all__ = [
    "CgroupStats",
    "CpuStats",
    "IoStats",
    "MemoryStats",
    "PidsStats",
    "Pressure",
    "parse_pressure",
]


@attrs.frozen(kw_only=True)
class MemoryStats:
    """Memory in bytes; *limit* None means no limit, *limit_hits* how often it was reached."""

    usage: int = 0
    limit: int | None = None
    peak: int | None = None
    anonymous: int = 0
    page_cache: int = 0
    inactive_file: int = 0
    swap: int = 0
    limit_hits: int = 0
    oom_kills: int = 0

    @property
    def working_set(self) -> int:
        """Use without the page cache that can be dropped: what ``docker stats`` calls usage."""
        return max(0, self.usage - self.inactive_file)


@attrs.frozen(kw_only=True)
class CpuStats:
    """Processor time in nanoseconds since the container began; throttling by its quota."""

    usage_ns: int = 0
    user_ns: int = 0
    system_ns: int = 0
    periods: int = 0
    throttled_periods: int = 0
    throttled_ns: int = 0


@attrs.frozen
class PidsStats:
    """Processes and threads; *limit* None means no limit."""

    current: int = 0
    limit: int | None = None


@attrs.frozen(kw_only=True)
class IoStats:
    """What was read from and written to one device."""

    read_bytes: int = 0
    write_bytes: int = 0
    read_ops: int = 0
    write_ops: int = 0


@attrs.frozen
class Pressure:
    """Share of time (percent) that some, or all, processes waited for a resource; totals in microseconds.

    Source: Linux, Documentation/accounting/psi.rst.
    """

    some_avg10: float = 0.0
    some_avg60: float = 0.0
    some_total_us: int = 0
    full_avg10: float = 0.0
    full_avg60: float = 0.0
    full_total_us: int = 0


@attrs.frozen(kw_only=True)
class CgroupStats:
    """A moment's figures; what the host does not account for is None or empty.

    Args:
        io: By device, ``"major:minor"``.
        hugetlb: Bytes in use by page size.
        pressure: By resource (``"cpu"``, ``"memory"``, ``"io"``); empty without PSI.
    """

    memory: MemoryStats | None = None
    cpu: CpuStats | None = None
    pids: PidsStats | None = None
    io: Mapping[str, IoStats] = attrs.field(factory=dict)
    hugetlb: Mapping[str, int] = attrs.field(factory=dict)
    pressure: Mapping[str, Pressure] = attrs.field(factory=dict)


def parse_pressure(text: str) -> Pressure:
    """A pressure file: lines such as ``some avg10=0.00 avg60=0.00 avg300=0.00 total=0``."""
    values: dict[str, float] = {}
    for line in text.splitlines():
        kind, *pairs = line.split()
        for pair in pairs:
            key, _, value = pair.partition("=")
            values[f"{kind}_{key}"] = float(value)
    return Pressure(
        values.get("some_avg10", 0.0),
        values.get("some_avg60", 0.0),
        int(values.get("some_total", 0)),
        values.get("full_avg10", 0.0),
        values.get("full_avg60", 0.0),
        int(values.get("full_total", 0)),
    )
