"""cgroups v1, v2 and their mixture behind one interface.

`Cgroups` makes and finds the cgroups of containers; a `Cgroup` limits, counts, freezes and kills one.
"""

from container_kit.runtime.cgroups.group import Cgroup
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
    "read_layout",
]
