"""What is stored all the same, but with a warning."""

from typing import Any

import pytest

from container_kit.cluster.kinds import strategy_for
from container_kit.cluster.meta import Object
from tests.cluster.kinds.recorded import cases, group_of


def warnings(obj: Object, old: Object | None = None) -> list[str]:
    strategy = strategy_for(group_of(obj), obj["kind"])
    strategy.default(obj)
    return strategy.warnings(obj, old)


def test_warnings_are_those_recorded() -> None:
    """Objects that a real server warned about bring the same warnings, and the others none."""
    for case in cases("defaults"):
        obj = case["request"]["body"]
        if case["status"] == 201 and "example.com" not in obj["apiVersion"] and "metadata" in obj:
            expected = [
                text.removeprefix('299 - "')[:-1].replace('\\"', '"') for text in case.get("warnings") or ()
            ]
            assert warnings(obj) == expected, case["id"]


def pod(container: dict[str, Any] | None = None, name: str = "p", **spec: Any) -> Object:
    containers = [{"name": "c", "image": "i", **(container or {})}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": containers, **spec},
    }


@pytest.mark.parametrize(
    ("obj", "warning"),
    [
        (pod({"env": [{"name": "A"}, {"name": "A"}]}), "env[1]: hides previous definition"),
        (pod({"ports": [{"containerPort": 1}, {"containerPort": 1}]}), "ports[1]: duplicate port definition"),
        (pod({"resources": {"requests": {"memory": "100m"}}}), 'fractional byte value "100m"'),
        (pod(nodeSelector={"beta.kubernetes.io/os": "linux"}), 'use "kubernetes.io/os" instead'),
        (pod(imagePullSecrets=[{"name": "a"}, {"name": "a"}]), 'duplicate name "a"'),
        (pod(hostAliases=[{"ip": "1.1.1.1"}, {"ip": "1.1.1.1"}]), 'duplicate ip "1.1.1.1"'),
        (pod(name="a.b"), "a DNS label is recommended: [must not contain dots]"),
    ],
)
def test_a_pod_with_a_warning(obj: Object, warning: str) -> None:
    """Each oddity brings one warning, at creation; a change elsewhere does not repeat it."""
    found = warnings(obj)
    assert len(found) == 1 and warning in found[0]
    assert warnings(obj, obj) == []
