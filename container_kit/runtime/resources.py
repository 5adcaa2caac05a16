"""OCI ``linux.resources`` as `Limits` and device rules."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from container_kit.errors import UnsupportedFeature
from container_kit.oci.runtime_spec import BlockIO, Cpu, Memory, Resources, ThrottleDevice
from container_kit.runtime.devices import DEFAULT_RULES, DeviceRule, effective_rules
from container_kit.runtime.limits import UNLIMITED, Limits

__all__ = ["device_rules", "limits_of"]


def limits_of(resources: Resources) -> Limits:
    """The limits that an OCI configuration asks for; zeros mean "not given", as other runtimes read them.

    Raises:
        InvalidInput: A value is out of its range.
        UnsupportedFeature: It asks for realtime time, bursts, weights by device or a switched-off
            OOM killer, which this library does not set.
    """
    given = {
        **_memory(resources.memory or Memory()),
        **_cpu(resources.cpu or Cpu()),
        **_block_io(resources.block_io or BlockIO()),
        "hugetlb": {limit.page_size: limit.limit for limit in resources.hugepage_limits},
        "unified": resources.unified,
    }
    if resources.pids is not None and resources.pids.limit is not None:
        given["pids"] = resources.pids.limit if resources.pids.limit > 0 else UNLIMITED
    return Limits(**{name: value for name, value in given.items() if value is not None})


def _memory(memory: Memory) -> dict[str, Any]:
    if memory.disable_oom_killer:
        raise UnsupportedFeature("linux.resources.memory.disableOOMKiller is not supported: leave it out")
    return {
        "memory": memory.limit or None,
        "memory_swap": memory.swap or None,
        "memory_reservation": memory.reservation or None,
        "swappiness": memory.swappiness,
    }


def _cpu(cpu: Cpu) -> dict[str, Any]:
    for name in ("burst", "realtime_runtime", "realtime_period", "idle"):
        if getattr(cpu, name):
            raise UnsupportedFeature(f"linux.resources.cpu.{name} is not supported: leave it out")
    quota = cpu.quota or None
    return {
        "cpu_shares": cpu.shares or None,
        "cpu_quota_us": UNLIMITED if quota is not None and quota < 0 else quota,
        "cpu_period_us": cpu.period or None,
        "cpuset_cpus": cpu.cpus or None,
        "cpuset_mems": cpu.mems or None,
    }


def _block_io(block_io: BlockIO) -> dict[str, Any]:
    if block_io.leaf_weight or block_io.weight_device:
        raise UnsupportedFeature(
            "linux.resources.blockIO weights by device are not supported: leave them out"
        )
    return {
        "blkio_weight": block_io.weight or None,
        "device_read_bps": _rates(block_io.throttle_read_bps_device),
        "device_write_bps": _rates(block_io.throttle_write_bps_device),
        "device_read_iops": _rates(block_io.throttle_read_iops_device),
        "device_write_iops": _rates(block_io.throttle_write_iops_device),
    }


def _rates(devices: Iterable[ThrottleDevice]) -> dict[str, int]:
    return {f"{device.major}:{device.minor}": device.rate for device in devices}


def device_rules(resources: Resources) -> tuple[DeviceRule, ...]:
    """The device allow-list: what the configuration allows, and the nodes that every container has.

    Raises:
        InvalidInput: As `effective_rules`.
    """
    listed = effective_rules(resources.devices)
    missing = (rule for rule in DEFAULT_RULES if not any(other.covers(rule) for other in listed))
    return (*listed, *missing)
