"""OCI resources as limits and device rules."""

from __future__ import annotations

from typing import Any

import pytest

from container_kit.errors import UnsupportedFeature
from container_kit.oci.runtime_spec import Spec
from container_kit.runtime.devices import DEFAULT_RULES, DeviceRule
from container_kit.runtime.limits import Limits
from container_kit.runtime.resources import device_rules, limits_of


def _resources(document: dict[str, Any]) -> Any:
    return Spec.parse({"ociVersion": "1.2.0", "linux": {"resources": document}}).linux.resources


def test_every_part_becomes_a_limit() -> None:
    """A configuration with all parts, as an engine writes it."""
    resources = _resources(
        {
            "memory": {"limit": 67108864, "swap": 134217728, "reservation": 33554432, "swappiness": 5},
            "cpu": {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0-1", "mems": "0"},
            "pids": {"limit": 32},
            "blockIO": {"weight": 500, "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1048576}]},
            "hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}],
            "unified": {"memory.low": "1"},
        }
    )
    assert limits_of(resources) == Limits(
        memory="64m", memory_swap="128m", memory_reservation="32m", swappiness=5, cpu_shares=512,
        cpu_quota_us=50000, cpu_period_us=100000, cpuset_cpus="0-1", cpuset_mems="0", pids=32,
        blkio_weight=500,
        device_read_bps={"8:0": "1m"}, hugetlb={"2MB": "4m"}, unified={"memory.low": "1"},
    )  # fmt: skip


def test_zeros_and_negatives_mean_what_engines_mean() -> None:
    """Zero is "not given", a negative number "no limit"."""
    nothing = {
        "memory": {"limit": 0},
        "cpu": {"shares": 0, "quota": 0, "period": 0, "cpus": ""},
        "blockIO": {},
    }
    assert limits_of(_resources(nothing)) == Limits()
    free = {"memory": {"limit": -1, "swap": -1}, "cpu": {"quota": -1}, "pids": {"limit": 0}}
    assert limits_of(_resources(free)) == Limits(memory=-1, memory_swap=-1, cpu_quota_us=-1, pids=-1)


@pytest.mark.parametrize(
    "document",
    [
        {"memory": {"disableOOMKiller": True}},
        {"cpu": {"burst": 1}},
        {"cpu": {"realtimeRuntime": 1}},
        {"cpu": {"idle": 1}},
        {"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "weight": 10}]}},
    ],
    ids=str,
)
def test_what_is_not_supported_is_refused(document: dict[str, Any]) -> None:
    """Never passed over in silence."""
    with pytest.raises(UnsupportedFeature):
        limits_of(_resources(document))


def test_the_usual_devices_are_always_allowed() -> None:
    """Also when the configuration denies everything, as every engine's does."""
    rules = device_rules(_resources({"devices": [{"allow": False, "access": "rwm"}]}))
    assert rules == DEFAULT_RULES
    more = [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"},
    ]
    assert device_rules(_resources({"devices": more})) == (DeviceRule("c", 10, 229, "rw"), *DEFAULT_RULES)
