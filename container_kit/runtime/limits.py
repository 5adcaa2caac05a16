"""What a container may use: values with their units and ranges, before any kernel is asked.

How they become cgroup files is told in ``cgroups``; this module only refuses what no kernel takes.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any, TypeVar

import attrs

from container_kit.errors import InvalidInput, UnknownOption

__all__ = ["MINIMUM_MEMORY", "UNLIMITED", "Limits", "parse_size"]

UNLIMITED = -1

# A process with less is killed before its first instruction: the page tables and the kernel's own
# accounting take about that much.  The figure is also Docker's (moby, daemon/daemon_unix.go).
MINIMUM_MEMORY = 6 << 20

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([bkmgtp]?)(?:i?b)?", re.IGNORECASE | re.ASCII)
_CPU_LIST = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*", re.ASCII)
_UNIFIED_KEY = re.compile(r"[a-z0-9_]+(\.[A-Za-z0-9_]+)+", re.ASCII)
_LARGEST = (1 << 63) - 1
_T = TypeVar("_T")


def parse_size(text: str | int, field: str = "size") -> int:
    """Bytes from a number or from text such as ``"64m"``, ``"1.5g"``, ``"512"`` or ``"-1"``.

    Raises:
        InvalidInput: It is neither, or more than a signed 64-bit number holds; names *field*.
    """
    if isinstance(text, bool) or not isinstance(text, int | str):
        raise InvalidInput(f"{field} must be a number of bytes or text such as '64m', not {text!r}")
    if isinstance(text, int):
        size = text
    elif text.strip() == "-1":
        size = UNLIMITED
    else:
        match = _SIZE.fullmatch(text.strip())
        if match is None:
            raise InvalidInput(f"{field} must be a size such as '64m' or '1.5g', not {text!r}")
        number, unit = match.groups()
        factor = _UNITS[unit.lower()]
        size = int(float(number) * factor) if "." in number else int(number) * factor
    if size > _LARGEST:
        raise InvalidInput(f"{field} is {size}, more than the kernel can count: use -1 for no limit")
    return size


def _size(value: str | int | None) -> Any:
    """Bytes where *value* is a size; anything else stays, so that the validator can name the field."""
    try:
        return None if value is None else parse_size(value)
    except InvalidInput:
        return value


def _rates(value: Mapping[str, str | int]) -> Any:
    return {device: _size(rate) for device, rate in value.items()}


def _in_range(low: float, high: float, *, unlimited: bool = False) -> Any:
    def validate(limits: Limits, attribute: attrs.Attribute[Any], value: Any) -> None:
        if isinstance(value, str):
            parse_size(value, attribute.name)
        if value is None or (unlimited and value == UNLIMITED):
            return
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            besides = ", or -1 for no limit" if unlimited else ""
            raise InvalidInput(
                f"{attribute.name} must be a number from {low} to {high}{besides}, not {value!r}"
            )

    return validate


def _cpu_list(limits: Limits, attribute: attrs.Attribute[Any], value: str | None) -> None:
    if value is not None and not _CPU_LIST.fullmatch(value):
        raise InvalidInput(f"{attribute.name} must be a list such as '0-2,4', not {value!r}")


def _device_rates(limits: Limits, attribute: attrs.Attribute[Any], value: Mapping[str, int]) -> None:
    for device, rate in value.items():
        if not re.fullmatch(r"/[^\x00\n]*|\d+:\d+", device):
            raise InvalidInput(f"{attribute.name}: a device is a path or 'major:minor', not {device!r}")
        if parse_size(rate, f"{attribute.name}[{device!r}]") < 0:
            raise InvalidInput(f"{attribute.name}[{device!r}] must not be negative, but is {rate}")


def _unified(limits: Limits, attribute: attrs.Attribute[Any], value: Mapping[str, str]) -> None:
    for key, text in value.items():
        # "cgroup.*" files move processes and delegate; a limit has no business there.
        if not _UNIFIED_KEY.fullmatch(key) or key.startswith("cgroup."):
            raise InvalidInput(f"unified: {key!r} is not the name of a controller's file")
        if not isinstance(text, str) or "\n" in text or "\0" in text or len(text) > 4096:
            raise InvalidInput(f"unified[{key!r}] must be one line of text, not {text!r}")


_SIZE_RANGE = _in_range(MINIMUM_MEMORY, _LARGEST, unlimited=True)
_ANY_SIZE = _in_range(0, _LARGEST, unlimited=True)


_OTHER_WORDS = {
    "mem_limit": "memory",
    "memory_limit": "memory",
    "swap": "memory_swap",
    "memswap_limit": "memory_swap",
    "cpu": "cpus",
    "cpu_quota": "cpu_quota_us",
    "cpu_period": "cpu_period_us",
    "nano_cpus": "cpus",
    "pids_limit": "pids",
    "processes": "pids",
}


def _explains_unknown_fields(cls: type[_T]) -> type[_T]:
    """A misspelt field is an error of ours that has the nearest one."""
    initialise = cls.__init__
    known = {field.name for field in attrs.fields(cls)}  # type: ignore[arg-type]

    @functools.wraps(initialise)
    def checked(self: Any, *positional: Any, **given: Any) -> None:
        for name in given:
            if name not in known:
                import difflib

                near = difflib.get_close_matches(name, [*known, *_OTHER_WORDS], 1)
                raise UnknownOption(name, "Limits", _OTHER_WORDS.get(near[0], near[0]) if near else None)
        initialise(self, *positional, **given)

    setattr(cls, "__init__", checked)  # noqa: B010
    return cls


@_explains_unknown_fields
@attrs.frozen(kw_only=True, repr=False)
class Limits:
    """How much of the machine a container may use; None leaves a limit as it is.

    Sizes are bytes, or text such as ``"64m"`` (1024-based); -1 means no limit.

    Args:
        memory: Hard limit of memory, at least 6 MiB.
        memory_swap: Memory and swap together; None with *memory* means twice *memory*, as in Docker.
        memory_reservation: What is left to it when memory is short (soft limit, ``memory.low``).
        memory_high: Above it allocation is slowed down (cgroup v2 only).
        memory_oom_group: Kill the whole container when one process is out of memory; None means so on
            cgroup v2 (v1 cannot), False does not.
        swappiness: 0 to 100 (cgroup v1 only).
        cpus: Processors' worth of time, such as 0.5; excludes *cpu_quota_us*.
        cpu_shares: Weight against others, 2 to 262144 (1024 is usual); ``cpu.weight`` on v2.
        cpu_quota_us: Microseconds of processor time in a period, at least 1000.
        cpu_period_us: Length of a period, 1000 to 1000000 microseconds.
        cpuset_cpus: Processors to run on, such as ``"0-2,4"``.
        cpuset_mems: Memory nodes to allocate from, such as ``"0"``.
        pids: Processes and threads at once; None means what the profile says (2048 in the default).
        blkio_weight: 10 to 1000.
        device_read_bps, device_write_bps: Bytes a second by device path or ``"major:minor"``.
        device_read_iops, device_write_iops: Operations a second likewise.
        hugetlb: Bytes by page size, such as ``{"2MB": "64m"}``.
        unified: Raw cgroup v2 files, such as ``{"memory.low": "1048576"}``.
        shm_size: Size of ``/dev/shm``; None means 64 MiB.

    Raises:
        InvalidInput: A value is out of its range or contradicts another; names the field.

    Source: OCI runtime-spec, config-linux.md; Linux, admin-guide/cgroup-v2.rst and cgroup-v1.
    """

    memory: int | None = attrs.field(default=None, converter=_size, validator=_SIZE_RANGE)
    memory_swap: int | None = attrs.field(default=None, converter=_size, validator=_ANY_SIZE)
    memory_reservation: int | None = attrs.field(default=None, converter=_size, validator=_ANY_SIZE)
    memory_high: int | None = attrs.field(default=None, converter=_size, validator=_SIZE_RANGE)
    memory_oom_group: bool | None = None
    swappiness: int | None = attrs.field(default=None, validator=_in_range(0, 100))
    cpus: float | None = attrs.field(default=None, validator=_in_range(0.01, 1 << 20))
    cpu_shares: int | None = attrs.field(default=None, validator=_in_range(2, 262_144))
    cpu_quota_us: int | None = attrs.field(default=None, validator=_in_range(1000, 1 << 53, unlimited=True))
    cpu_period_us: int | None = attrs.field(default=None, validator=_in_range(1000, 1_000_000))
    cpuset_cpus: str | None = attrs.field(default=None, validator=_cpu_list)
    cpuset_mems: str | None = attrs.field(default=None, validator=_cpu_list)
    pids: int | None = attrs.field(default=None, validator=_in_range(1, 1 << 22, unlimited=True))
    blkio_weight: int | None = attrs.field(default=None, validator=_in_range(10, 1000))
    device_read_bps: Mapping[str, int] = attrs.field(factory=dict, converter=_rates, validator=_device_rates)
    device_write_bps: Mapping[str, int] = attrs.field(factory=dict, converter=_rates, validator=_device_rates)
    device_read_iops: Mapping[str, int] = attrs.field(factory=dict, converter=_rates, validator=_device_rates)
    device_write_iops: Mapping[str, int] = attrs.field(
        factory=dict, converter=_rates, validator=_device_rates
    )
    hugetlb: Mapping[str, int] = attrs.field(factory=dict, converter=_rates)
    unified: Mapping[str, str] = attrs.field(factory=dict, validator=_unified)
    shm_size: int | None = attrs.field(default=None, converter=_size, validator=_in_range(4096, _LARGEST))

    @hugetlb.validator
    def _known_page_sizes(self, _: object, value: Mapping[str, int]) -> None:
        for page, size in value.items():
            if not re.fullmatch(r"[1-9][0-9]{0,4}[KMG]B", page, re.ASCII):
                raise InvalidInput(f"hugetlb: a page size is written like '2MB', not {page!r}")
            if parse_size(size, f"hugetlb[{page!r}]") < 0:
                raise InvalidInput(f"hugetlb[{page!r}] must not be negative, but is {size}")

    def __attrs_post_init__(self) -> None:
        if self.cpus is not None and self.cpu_quota_us is not None:
            raise InvalidInput("cpus and cpu_quota_us say the same thing: give one of them")
        swap, memory = self.memory_swap, self.memory
        if swap is not None and swap != UNLIMITED:
            if memory is None or memory == UNLIMITED:
                raise InvalidInput("memory_swap counts memory and swap together: give memory too")
            if swap < memory:
                raise InvalidInput(f"memory_swap ({swap}) must not be below memory ({memory})")
        reservation = self.memory_reservation or UNLIMITED
        if memory is not None and memory != UNLIMITED and reservation > memory:
            raise InvalidInput(f"memory_reservation ({reservation}) must not exceed memory ({memory})")

    def __repr__(self) -> str:
        return "Limits({})".format(", ".join(f"{name}={value!r}" for name, value in self.given().items()))

    @property
    def quota_and_period_us(self) -> tuple[int | None, int | None]:
        """Processor time and the period it is for, with *cpus* worked out over 100 ms."""
        if self.cpus is None:
            return self.cpu_quota_us, self.cpu_period_us
        period = self.cpu_period_us or 100_000
        return max(1000, round(self.cpus * period)), period

    def updated_by(self, newer: Limits) -> Limits:
        """These limits with every field that *newer* sets in place of the old one."""
        given = newer.given()
        if "cpus" in given:
            given["cpu_quota_us"] = None
        elif "cpu_quota_us" in given:
            given["cpus"] = None
        if "memory" in given:
            # An old sum of memory and swap says nothing about the new memory.
            given.setdefault("memory_swap", None)
        return attrs.evolve(self, **given)

    def given(self) -> dict[str, Any]:
        """The fields that are set, by name: what a record on disk keeps."""
        return {
            field.name: value
            for field in attrs.fields(Limits)
            if (value := getattr(self, field.name)) is not None and value != {}
        }
