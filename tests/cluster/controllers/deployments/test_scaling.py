"""How large each ReplicaSet of a Deployment becomes."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from container_kit.cluster.controllers.deployments.scaling import (
    bounds_of,
    cut_old,
    in_proportion,
    new_size,
    replicas_of,
    total,
)

_limits = st.one_of(st.integers(0, 5), st.integers(0, 100).map(lambda percent: f"{percent}%"))
_sizes = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=4)


def _set(number: int, size: int, available: int, most: int = 0) -> dict[str, Any]:
    meta = {
        "name": f"d-{number}",
        "uid": str(number),
        "creationTimestamp": f"2026-01-01T00:00:0{number}Z",
        "annotations": {"deployment.kubernetes.io/max-replicas": str(most)},
    }
    status = {"replicas": size, "availableReplicas": min(size, available)}
    return {"metadata": meta, "spec": {"replicas": size}, "status": status}


def _deployment(replicas: int, surge: int | str, unavailable: int | str) -> dict[str, Any]:
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    strategy = {"type": "RollingUpdate", "rollingUpdate": rolling}
    return {"metadata": {"name": "d"}, "spec": {"replicas": replicas, "strategy": strategy}}


@given(st.integers(0, 10), _limits, _limits, _sizes)
def test_a_new_set_never_grows_beyond_the_surge(
    replicas: int, surge: int | str, unavailable: int | str, sizes: list[tuple[int, int]]
) -> None:
    """Growing stops at the wished number, and at the number of pods that may be there altogether."""
    deployment = _deployment(replicas, surge, unavailable)
    sets = [_set(number, *size) for number, size in enumerate(sizes)]
    size = new_size(deployment, sets, sets[-1])

    grown = size - replicas_of(sets[-1])
    assert size <= max(replicas, replicas_of(sets[-1]))
    assert grown <= 0 or total(sets) + grown <= bounds_of(deployment).most


@given(st.integers(1, 10), _limits, _limits, _sizes)
def test_cutting_leaves_enough_available(
    replicas: int, surge: int | str, unavailable: int | str, sizes: list[tuple[int, int]]
) -> None:
    """However sets shrink, no available pod goes that is needed; those about to go are not counted."""
    deployment = _deployment(replicas, surge, unavailable)
    sets = [_set(number, *size) for number, size in enumerate(sizes)]
    for each, (_, available) in zip(sets, sizes, strict=True):
        each["status"]["availableReplicas"] = available  # more than its size: it was made smaller just now
    *old, new = sets
    cuts = {each["metadata"]["uid"]: size for each, size in cut_old(deployment, old, new)}

    def lasting(after: dict[str, int]) -> int:
        each_size = ((each, after.get(each["metadata"]["uid"], replicas_of(each))) for each in sets)
        return sum(min(each["status"]["availableReplicas"], size) for each, size in each_size)

    assert all(0 <= cuts.get(each["metadata"]["uid"], 0) <= replicas_of(each) for each in old)
    assert lasting(cuts) >= min(lasting({}), bounds_of(deployment).least_available)


@given(st.integers(1, 10), _limits, _limits)
def test_there_is_always_a_way(replicas: int, surge: int | str, unavailable: int | str) -> None:
    """From any all-available old set a rollout comes to its end, whatever the limits are."""
    deployment = _deployment(replicas, surge, unavailable)
    old, new = _set(0, replicas, replicas), _set(1, 0, 0)
    for _ in range(4 * replicas + 4):
        new = _set(1, new_size(deployment, [old, new], new), 99)
        for _each, size in cut_old(deployment, [old], new):
            old = _set(0, size, size)

    assert (replicas_of(old), replicas_of(new)) == (0, replicas)


@given(st.integers(0, 20), st.integers(0, 5), _sizes)
def test_a_change_of_size_is_shared_exactly(replicas: int, surge: int, sizes: list[tuple[int, int]]) -> None:
    """In the middle of a rollout the sets together become as large as may be, each keeping its part."""
    before = sum(size for size, _ in sizes)
    deployment = _deployment(replicas, surge, 0)
    sets = [_set(number, size, 0, before) for number, (size, _) in enumerate(sizes) if size]
    shares = in_proportion(deployment, sets)

    assert all(size >= 0 for _, size in shares)
    if sets:
        assert sum(size for _, size in shares) == (replicas + surge if replicas else 0)
