"""The flags that limit what a container uses, shared by ``run``, ``create`` and ``update``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from container_kit.errors import InvalidInput

if TYPE_CHECKING:
    from container_kit.runtime.limits import Limits

__all__ = ["limit_options", "limits_from"]

F = TypeVar("F", bound=Callable[..., Any])

# flag -> (field of Limits, click settings)
_FLAGS: dict[tuple[str, ...], tuple[str, dict[str, Any]]] = {
    ("-m", "--memory"): ("memory", {"metavar": "SIZE", "help": "Memory limit, such as 64m."}),
    ("--memory-swap",): (
        "memory_swap",
        {"metavar": "SIZE", "help": "Memory and swap together; -1 is no limit."},
    ),
    ("--memory-reservation",): ("memory_reservation", {"metavar": "SIZE", "help": "Soft memory limit."}),
    ("--memory-swappiness",): ("swappiness", {"type": int, "help": "0 to 100."}),
    ("--cpus",): ("cpus", {"type": float, "help": "Processors' worth of time, such as 0.5."}),
    ("-c", "--cpu-shares"): ("cpu_shares", {"type": int, "help": "Weight against other containers (1024)."}),
    ("--cpu-period",): ("cpu_period_us", {"type": int, "help": "Length of a period in microseconds."}),
    ("--cpu-quota",): ("cpu_quota_us", {"type": int, "help": "Processor time per period in microseconds."}),
    ("--cpuset-cpus",): ("cpuset_cpus", {"metavar": "LIST", "help": "Processors to run on, such as 0-2,4."}),
    ("--cpuset-mems",): ("cpuset_mems", {"metavar": "LIST", "help": "Memory nodes to use."}),
    ("--pids-limit",): ("pids", {"type": int, "help": "Processes and threads at once; -1 is no limit."}),
    ("--blkio-weight",): ("blkio_weight", {"type": int, "help": "Weight of disk traffic, 10 to 1000."}),
    ("--device-read-bps",): ("device_read_bps", {"metavar": "DEVICE:RATE", "multiple": True}),
    ("--device-write-bps",): ("device_write_bps", {"metavar": "DEVICE:RATE", "multiple": True}),
    ("--device-read-iops",): ("device_read_iops", {"metavar": "DEVICE:RATE", "multiple": True}),
    ("--device-write-iops",): ("device_write_iops", {"metavar": "DEVICE:RATE", "multiple": True}),
}


def limit_options(function: F) -> F:
    """Declares the flags on a command; their values go to `limits_from`."""
    for names, (field, settings) in reversed(_FLAGS.items()):
        function = click.option(*names, f"limit_{field}", **settings)(function)
    return function


def limits_from(flags: Mapping[str, Any]) -> Limits | None:
    """The limits that were asked for, or None when there are none.

    Raises:
        InvalidInput: A value is out of its range; names the field.
    """
    given: dict[str, Any] = {}
    for field, settings in _FLAGS.values():
        value = flags[f"limit_{field}"]
        if settings.get("multiple"):
            value = _rates(field, value) or None
        if value is not None:
            given[field] = value
    if not given:
        return None
    from container_kit.runtime.limits import Limits

    return Limits(**given)


def _rates(field: str, words: Iterable[str]) -> dict[str, str]:
    found = {}
    for word in words:
        device, colon, rate = word.rpartition(":")
        if not colon:
            raise InvalidInput(f"--{field.replace('_', '-')} {word!r} cannot be read: write DEVICE:RATE")
        found[device] = rate
    return found
