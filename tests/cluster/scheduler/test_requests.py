"""What pods ask for."""

from __future__ import annotations

from typing import Any

from container_kit.cluster.scheduler.requests import DEFAULT_REQUESTS, pod_requests


def _container(cpu: str, **more: Any) -> dict[str, Any]:
    return {"name": "c", "resources": {"requests": {"cpu": cpu}}} | more


def test_containers_add_up_and_init_containers_do_not() -> None:
    """Init containers run one by one before the others: only the largest can need more than all of these."""
    spec = {"containers": [_container("300m"), _container("0.2")], "initContainers": [_container("400m")]}
    assert pod_requests(spec) == {"cpu": 500}

    assert pod_requests(spec | {"initContainers": [_container("2"), _container("1")]}) == {"cpu": 2000}


def test_a_sidecar_counts_beside_all_that_start_after_it() -> None:
    sidecar = _container("100m", restartPolicy="Always")
    spec = {"containers": [_container("300m")], "initContainers": [sidecar, _container("700m")]}

    assert pod_requests(spec) == {"cpu": 800}


def test_overhead_is_added_and_defaults_fill_in_what_is_not_named() -> None:
    spec = {"containers": [_container("1")], "overhead": {"cpu": "250m", "memory": "1Ki"}}

    assert pod_requests(spec) == {"cpu": 1250, "memory": 1024}
    assert pod_requests({"containers": [{"name": "c"}]}, DEFAULT_REQUESTS) == dict(DEFAULT_REQUESTS)
