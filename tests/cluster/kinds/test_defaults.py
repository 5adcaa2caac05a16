"""Objects are completed and prepared as a real server does it."""

import copy
from typing import Any

from container_kit.cluster.kinds import Context, strategy_for
from container_kit.cluster.meta import Object
from tests.cluster.kinds.recorded import NOW, EmptyWorld, built_in, cases, differences, group_of

# What admission plugins add, and the server itself.
ADMITTED = (
    ".spec.serviceAccount", ".spec.tolerations", ".spec.priority", ".spec.preemptionPolicy",
    ".metadata.uid", ".metadata.resourceVersion", ".metadata.creationTimestamp", ".metadata.managedFields",
    ".metadata.finalizers", ".spec.taints",
)  # fmt: skip

CREATED = [
    case
    for case in cases("defaults")
    if case["status"] == 201 and "metadata" in case["request"]["body"] and built_in(case["request"]["body"])
]


def completed(case: dict[str, Any]) -> Object:
    """The object of a case as it would be stored, but for admission."""
    obj = copy.deepcopy(case["request"]["body"])
    if "/namespaces/" in case["request"]["path"]:
        obj["metadata"].setdefault("namespace", "defaults")
    obj["metadata"]["uid"] = "<uid-1>"
    strategy, context = strategy_for(group_of(obj), obj["kind"]), Context(NOW, EmptyWorld())
    strategy.default(obj)
    strategy.prepare_create(obj, context)
    strategy.default(obj)
    context.finish()
    return obj


def without_token(obj: Object) -> Object:
    """A pod without the volume of its service account."""
    obj = copy.deepcopy(obj)
    spec = obj.get("spec") or {}
    for holder, key in [(spec, "volumes")] + [
        (container, "volumeMounts")
        for name in ("containers", "initContainers")
        for container in (spec.get(name) or ())
        if isinstance(container, dict)
    ]:
        if isinstance(holder.get(key), list):
            holder[key] = [item for item in holder[key] if "kube-api-access" not in str(item.get("name"))]
            if not holder[key]:
                del holder[key]
    return obj


def test_objects_are_completed_as_recorded() -> None:
    """Small objects become what the recorded server stored, apart from what admission adds."""
    wrong = {}
    for case in CREATED:
        found = differences(completed(case), without_token(case["stored"]))
        wrong[case["id"]] = [path for path in found if not path.startswith(ADMITTED)]

    assert {case: paths for case, paths in wrong.items() if paths} == {}


def test_completing_twice_changes_nothing() -> None:
    """What is complete stays as it is: the server completes what it reads again and again."""
    for case in CREATED:
        obj = completed(case)
        again = copy.deepcopy(obj)
        strategy_for(group_of(obj), obj["kind"]).default(again)
        assert again == obj, case["id"]
