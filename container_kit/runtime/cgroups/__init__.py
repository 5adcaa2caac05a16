"""cgroups v1, v2 and their mixture behind one interface.

`Cgroups` makes and finds the cgroups of containers; a `Cgroup` limits, counts, freezes and kills one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from container_kit._lazy import resolver

if TYPE_CHECKING:
    from container_kit.runtime.cgroups.group import Cgroup, possible_limits
    from container_kit.runtime.cgroups.layout import Layout, read_layout
    from container_kit.runtime.cgroups.stats import (
        CgroupStats,
        CpuStats,
        IoStats,
        MemoryStats,
        PidsStats,
        Pressure,
    )
    from container_kit.runtime.cgroups.tree import DEFAULT_PARENT, Cgroups

# Where each public name lives; most programs need but one or two of these modules.
_HOME = {
    "Cgroup": ".group",
    "CgroupStats": ".stats",
    "Cgroups": ".tree",
    "CpuStats": ".stats",
    "DEFAULT_PARENT": ".tree",
    "IoStats": ".stats",
    "Layout": ".layout",
    "MemoryStats": ".stats",
    "PidsStats": ".stats",
    "Pressure": ".stats",
    "possible_limits": ".group",
    "read_layout": ".layout",
}

__all__ = [
    "DEFAULT_PARENT",
    "Cgroup",
    "CgroupStats",
    "Cgroups",
    "CpuStats",
    "IoStats",
    "Layout",
    "MemoryStats",
    "PidsStats",
    "Pressure",
    "possible_limits",
    "read_layout",
]

__getattr__ = resolver(__name__, _HOME)
