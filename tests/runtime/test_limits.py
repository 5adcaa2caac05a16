"""Limits: sizes, ranges, contradictions, and how a newer set replaces an older one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_kit.errors import InvalidInput
from container_kit.runtime.limits import MINIMUM_MEMORY, UNLIMITED, Limits, parse_size

SIZES = [
    ("0", 0), ("512", 512), ("1b", 1), ("64k", 65536), ("64K", 65536), ("64kb", 65536), ("64KiB", 65536),
    ("64m", 64 << 20), ("1.5g", 3 << 29), (" 2 G ", 2 << 30), ("1t", 1 << 40), ("-1", UNLIMITED), (7, 7),
]  # fmt: skip


@pytest.mark.parametrize(("text", "size"), SIZES)
def test_sizes_are_read_as_docker_reads_them(text: str | int, size: int) -> None:
    """A size is a number, or text with a 1024-based unit in any case."""
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "m", "64x", "-2", "0x10", "1e3", "\uff11", "64m\n64m", 1.5, None, True, "9e9g"]
)
def test_what_is_no_size_is_refused(text: Any) -> None:
    """Anything else names the field that it was given for."""
    with pytest.raises(InvalidInput, match="memory"):
        parse_size(text, "memory")


@given(st.integers(0, 1 << 40), st.sampled_from("kmg"))
def test_a_size_with_a_unit_is_that_many_units(number: int, unit: str) -> None:
    """Whole numbers are never rounded, however large, and what no kernel counts is refused."""
    size = number << {"k": 10, "m": 20, "g": 30}[unit]
    if size < 1 << 63:
        assert parse_size(f"{number}{unit}") == size
    else:
        with pytest.raises(InvalidInput):
            parse_size(f"{number}{unit}")


OUT_OF_RANGE = [
    {"memory": MINIMUM_MEMORY - 1}, {"memory": "5m"}, {"memory": 0}, {"memory": True}, {"memory": "much"},
    {"memory_high": "1m"}, {"memory_reservation": -2}, {"swappiness": 101}, {"swappiness": -1},
    {"cpus": 0}, {"cpus": 0.001}, {"cpus": -1}, {"cpus": float("nan")}, {"cpu_shares": 1},
    {"cpu_shares": 262_145}, {"cpu_quota_us": 999}, {"cpu_period_us": 999}, {"cpu_period_us": 1_000_001},
    {"cpuset_cpus": "all"}, {"cpuset_cpus": "0-"}, {"cpuset_mems": "0\n"}, {"pids": 0}, {"pids": -2},
    {"blkio_weight": 9}, {"blkio_weight": 1001}, {"device_read_bps": {"vda": "1m"}},
    {"device_write_iops": {"/dev/vda": -1}}, {"device_read_bps": {"8:0\n8:1": 1}}, {"hugetlb": {"2M": 1}},
    {"hugetlb": {"../2MB": 1}}, {"unified": {"cgroup.procs": "1"}}, {"unified": {"memory.max": "1\n2"}},
    {"unified": {"../memory.max": "1"}}, {"unified": {"memory/max": "1"}}, {"unified": {"memory.max": "\0"}},
    {"shm_size": 1}, {"shm_size": -1},
]  # fmt: skip


@pytest.mark.parametrize("arguments", OUT_OF_RANGE, ids=str)
def test_a_value_out_of_its_range_is_refused_by_name(arguments: dict[str, Any]) -> None:
    """What no kernel takes never becomes a `Limits`, and the message names the field."""
    with pytest.raises(InvalidInput, match=next(iter(arguments))):
        Limits(**arguments)


CONTRADICTIONS = [
    ({"cpus": 1, "cpu_quota_us": 1000}, "same thing"),
    ({"memory_swap": "1g"}, "give memory too"),
    ({"memory": "64m", "memory_swap": "32m"}, "below memory"),
    ({"memory": "64m", "memory_reservation": "65m"}, "exceed memory"),
]


@pytest.mark.parametrize(("arguments", "words"), CONTRADICTIONS)
def test_limits_that_contradict_each_other_are_refused(arguments: dict[str, Any], words: str) -> None:
    """Two fields that cannot both hold say so when the value is made, not when a container starts."""
    with pytest.raises(InvalidInput, match=words):
        Limits(**arguments)


@given(st.floats(0.01, 512))
def test_cpus_become_a_quota_over_a_period(cpus: float) -> None:
    """Half a processor is half of each period, and never less than the kernel's millisecond."""
    quota, period = Limits(cpus=cpus).quota_and_period_us
    assert quota is not None and period is not None
    assert quota == max(1000, round(cpus * period))


def test_newer_limits_replace_only_what_they_set() -> None:
    """An update leaves the other limits alone, and cpus and cpu_quota_us replace each other."""
    old = Limits(memory="64m", memory_swap="64m", cpus=0.5, pids=10)
    assert old.updated_by(Limits(pids=20)) == Limits(memory="64m", memory_swap="64m", cpus=0.5, pids=20)
    assert old.updated_by(Limits(cpu_quota_us=2000)).quota_and_period_us == (2000, None)
    assert old.updated_by(Limits(memory="1g")).memory_swap is None


def test_given_limits_make_the_same_value_again() -> None:
    """A record of the fields that were set is enough to restore the limits."""
    limits = Limits(memory="64m", cpus=0.5, device_read_bps={"8:0": "1m"}, unified={"memory.low": "1"})
    assert Limits(**limits.given()) == limits
    assert Limits().given() == {}
    assert repr(limits) == (
        "Limits(memory=67108864, cpus=0.5, device_read_bps={'8:0': 1048576}, unified={'memory.low': '1'})"
    )
