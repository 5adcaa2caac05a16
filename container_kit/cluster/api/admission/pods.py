"""What pods and nodes get on their way in: tolerations, a priority, a runtime class, a first taint.

Source: Kubernetes, "Admission Control": DefaultTolerationSeconds, Priority, RuntimeClass,
TaintNodesByCondition.
"""

from typing import Any

from container_kit.cluster.api.admission.refusal import refused
from container_kit.cluster.api.plugins import CREATE, UPDATE, Attributes, Plugin
from container_kit.cluster.meta import Object, canonical_quantity

__all__ = ["DefaultTolerationSeconds", "Priority", "RuntimeClass", "TaintNodesByCondition"]

NOT_READY, UNREACHABLE = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"
_TOLERATED_S = 300
_SYSTEM_PRIORITIES = {"system-cluster-critical": 2000000000, "system-node-critical": 2000001000}


def _is_pod(attributes: Attributes) -> bool:
    """Whether a pod itself is written, not a part of it."""
    resource = attributes.resource
    return resource.plural == "pods" and not resource.group and not attributes.subresource


class DefaultTolerationSeconds(Plugin):
    """Lets pods stay for five minutes on a node that is gone, unless they say otherwise."""

    name = "DefaultTolerationSeconds"

    def handles(self, attributes: Attributes) -> bool:
        return _is_pod(attributes) and attributes.operation in (CREATE, UPDATE)

    def admit(self, attributes: Attributes) -> None:
        assert attributes.obj is not None
        spec = attributes.obj["spec"]
        tolerations = spec.get("tolerations") or []
        missing = [
            key for key in (NOT_READY, UNREACHABLE) if not any(_tolerates(each, key) for each in tolerations)
        ]
        if missing:
            spec["tolerations"] = [*tolerations, *map(_for_five_minutes, missing)]


def _tolerates(toleration: dict[str, Any], key: str) -> bool:
    return toleration.get("key") in (None, "", key) and toleration.get("effect") in (None, "", "NoExecute")


def _for_five_minutes(key: str) -> dict[str, Any]:
    return {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _TOLERATED_S}


class Priority(Plugin):
    """Turns the name of a priority class into a number; keeps the default class unique."""

    name = "Priority"

    def handles(self, attributes: Attributes) -> bool:
        classes = attributes.resource.plural == "priorityclasses"
        return (classes or _is_pod(attributes)) and attributes.operation in (CREATE, UPDATE)

    def admit(self, attributes: Attributes) -> None:
        if not _is_pod(attributes):
            return
        assert attributes.obj is not None
        spec = attributes.obj["spec"]
        if attributes.operation == UPDATE:
            _keep_priority(spec, (attributes.old or {}).get("spec") or {})
            return
        name, value, policy = self._class_of(attributes, spec.get("priorityClassName") or "")
        given = spec.get("priority")
        if given is not None and given != value:
            problem = (
                f"the integer value of priority ({given}) must not be provided in pod spec; "
                f"priority admission controller computed {value} from the given PriorityClass name"
            )
            raise refused(attributes, problem)
        wanted = spec.get("preemptionPolicy")
        if wanted is not None and wanted != policy:
            problem = (
                f"the string value of PreemptionPolicy ({wanted}) must not be provided in pod spec; "
                f"priority admission controller computed {policy} from the given PriorityClass name"
            )
            raise refused(attributes, problem)
        spec["priority"], spec["preemptionPolicy"] = value, policy
        if name:
            spec["priorityClassName"] = name

    def validate(self, attributes: Attributes) -> None:
        obj = attributes.obj
        if _is_pod(attributes) or obj is None or not obj.get("globalDefault"):
            return
        for other in attributes.world.list("priorityclasses.scheduling.k8s.io"):
            name = other["metadata"]["name"]
            if other.get("globalDefault") and name != obj["metadata"].get("name"):
                problem = f"PriorityClass {name} is already marked as default. Only one default can exist"
                raise refused(attributes, problem)

    def _class_of(self, attributes: Attributes, name: str) -> tuple[str, int, str]:
        """Name, value and preemption policy of the class that is named, or of the default one."""
        if not name:
            return _default_class(attributes)
        found = attributes.world.get("priorityclasses.scheduling.k8s.io", "", name)
        if found is not None:
            return name, found.get("value", 0), found.get("preemptionPolicy") or "PreemptLowerPriority"
        if name in _SYSTEM_PRIORITIES:
            return name, _SYSTEM_PRIORITIES[name], "PreemptLowerPriority"
        raise refused(attributes, f"no PriorityClass with name {name} was found")


def _default_class(attributes: Attributes) -> tuple[str, int, str]:
    """The default class with the lowest value, should there be several; 0 when there is none."""
    classes = attributes.world.list("priorityclasses.scheduling.k8s.io")
    defaults = [each for each in classes if each.get("globalDefault")]
    if not defaults:
        return "", 0, "PreemptLowerPriority"
    lowest = min(defaults, key=lambda each: each.get("value", 0))
    policy = lowest.get("preemptionPolicy") or "PreemptLowerPriority"
    return lowest["metadata"]["name"], lowest.get("value", 0), policy


def _keep_priority(new: dict[str, Any], old: dict[str, Any]) -> None:
    for key in ("priority", "preemptionPolicy"):
        if new.get(key) is None and old.get(key) is not None:
            new[key] = old[key]


class RuntimeClass(Plugin):
    """Adds what the class of a pod's runtime costs, and where it can be had."""

    name = "RuntimeClass"

    def handles(self, attributes: Attributes) -> bool:
        return _is_pod(attributes) and attributes.operation == CREATE

    def admit(self, attributes: Attributes) -> None:
        assert attributes.obj is not None
        spec = attributes.obj["spec"]
        name = spec.get("runtimeClassName")
        if not name:
            if spec.get("overhead"):
                problem = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
                raise refused(attributes, problem)
            return
        found = attributes.world.get("runtimeclasses.node.k8s.io", "", name)
        if found is None:
            raise refused(attributes, f'pod rejected: RuntimeClass "{name}" not found')
        _add_overhead(attributes, spec, (found.get("overhead") or {}).get("podFixed") or {})
        _add_scheduling(attributes, spec, found.get("scheduling") or {})


def _add_overhead(attributes: Attributes, spec: Object, fixed: dict[str, str]) -> None:
    given = spec.get("overhead")
    if given and _canonical(given) != _canonical(fixed):
        problem = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"
        raise refused(attributes, problem)
    if fixed:
        spec["overhead"] = dict(fixed)


def _canonical(amounts: dict[str, str]) -> dict[str, str]:
    return {name: canonical_quantity(amount) for name, amount in amounts.items()}


def _add_scheduling(attributes: Attributes, spec: Object, scheduling: dict[str, Any]) -> None:
    selector = spec.get("nodeSelector") or {}
    for key, value in (scheduling.get("nodeSelector") or {}).items():
        if selector.get(key, value) != value:
            shown = f"conflict: {key}: {selector[key]} and {value}"
            raise refused(attributes, f"conflicting labels are set in pod and RuntimeClass: {shown}")
        selector = {**selector, key: value}
    if selector:
        spec["nodeSelector"] = selector
    known = spec.get("tolerations") or []
    new = [each for each in scheduling.get("tolerations") or () if each not in known]
    if new:
        spec["tolerations"] = [*known, *new]


class TaintNodesByCondition(Plugin):
    """A new node takes no pods until it has said that it is ready."""

    name = "TaintNodesByCondition"

    def handles(self, attributes: Attributes) -> bool:
        return (
            attributes.resource.plural == "nodes"
            and attributes.operation == CREATE
            and not attributes.subresource
        )

    def admit(self, attributes: Attributes) -> None:
        assert attributes.obj is not None
        taints = attributes.obj.setdefault("spec", {}).setdefault("taints", [])
        if not any(each.get("key") == NOT_READY and each.get("effect") == "NoSchedule" for each in taints):
            taints.append({"key": NOT_READY, "effect": "NoSchedule"})
