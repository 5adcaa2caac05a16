"""What objects use of a ResourceQuota: shared by the quota controller, which counts, and admission, which
refuses.

Source: kubernetes.io, "Resource Quotas"; API reference, ``ResourceQuotaSpec``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any, NamedTuple

from container_kit.cluster.meta.quantities import format_quantity, quantity
from container_kit.cluster.meta.times import parse_time

__all__ = ["Amount", "Usage", "counted_resource", "is_in_scope", "total", "usage_of"]

Object = dict[str, Any]

_PODS, _SERVICES, _CLAIMS = "pods", "services", "persistentvolumeclaims"
_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_BY_CLASS = ".storageclass.storage.k8s.io/"
# Kinds that may be limited by their plain name as well as by ``count/...``.
_PLAIN = (_PODS, _SERVICES, _CLAIMS, "configmaps", "secrets", "replicationcontrollers", "resourcequotas")


class Amount(NamedTuple):
    """So much of something, and how people write it."""

    value: Fraction
    notation: str = "decimal"

    @classmethod
    def parse(cls, text: str | int) -> Amount:
        return cls(quantity(text), "binary" if str(text).endswith("i") else "decimal")

    def plus(self, other: Amount) -> Amount:
        """The sum, written as the first of the two that is not zero."""
        return Amount(self.value + other.value, (self if self.value else other).notation)

    def __str__(self) -> str:
        return format_quantity(self.value, self.notation)


Usage = Mapping[str, Amount]
_ONE = Amount(Fraction(1))
NOTHING = Amount(Fraction(0))


def counted_resource(name: str) -> str | None:
    """Objects of which resource a limit is about: ``count/deployments.apps`` is about ``deployments.apps``.

    None if the name is none of a limit.
    """
    if name.startswith("count/"):
        return name.removeprefix("count/")
    if name in _PLAIN:
        return name
    if name.startswith("services."):
        return _SERVICES
    if name == "requests.storage" or _BY_CLASS in name:
        return _CLAIMS
    if name in _COMPUTE or name.startswith(("requests.", "limits.", "hugepages-")):
        return _PODS
    return None


def usage_of(resource: str, obj: Object, now: datetime | None = None) -> dict[str, Amount]:
    """What one object uses, by the names that limits of it can have.

    Args:
        now: To leave out pods whose time to stop is over; all count if None.
    """
    usage = {f"count/{resource}": _ONE}
    if resource == _PODS and not _counts(obj, now):
        return usage
    if resource in _PLAIN:
        usage[resource] = _ONE
    more = _SPECIAL.get(resource)
    return usage | more(obj) if more is not None else usage


def _counts(pod: Object, now: datetime | None) -> bool:
    """Pods that have ended use nothing, nor do those that should long be gone."""
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return False
    meta = pod["metadata"]
    if now is None or not meta.get("deletionTimestamp"):
        return True
    return now < parse_time(meta["deletionTimestamp"]) + timedelta(
        seconds=meta.get("deletionGracePeriodSeconds") or 0
    )


def _pod_usage(pod: Object) -> dict[str, Amount]:
    usage: dict[str, Amount] = {}
    for name, amount in _peak(pod["spec"], "requests").items():
        usage[f"requests.{name}"] = amount
        if name in _COMPUTE or name.startswith("hugepages-"):
            usage[name] = amount
    for name, amount in _peak(pod["spec"], "limits").items():
        if name in _COMPUTE:
            usage[f"limits.{name}"] = amount
    return usage


def _peak(spec: Object, kind: str) -> dict[str, Amount]:
    """The most that a pod needs at any time: init containers run one by one, sidecars beside what comes
    later.
    """
    running = _sum(_resources(container, kind) for container in spec["containers"])
    sidecars: dict[str, Amount] = {}
    peak: dict[str, Amount] = {}
    for container in spec.get("initContainers") or ():
        sidecars_and_own = _sum((sidecars, _resources(container, kind)))
        if container.get("restartPolicy") == "Always":
            sidecars = sidecars_and_own
        peak = _largest(peak, sidecars_and_own)
    overhead = {name: Amount.parse(text) for name, text in (spec.get("overhead") or {}).items()}
    return _sum(
        (_largest(_sum((running, sidecars)), peak), overhead if kind == "requests" or running else {})
    )


def _resources(container: Object, kind: str) -> dict[str, Amount]:
    found = (container.get("resources") or {}).get(kind) or {}
    return {name: Amount.parse(text) for name, text in found.items()}


def _sum(usages: Iterable[Usage]) -> dict[str, Amount]:
    total: dict[str, Amount] = {}
    for usage in usages:
        for name, amount in usage.items():
            total[name] = total.get(name, NOTHING).plus(amount)
    return total


def _largest(one: Usage, other: Usage) -> dict[str, Amount]:
    return {
        name: max(one.get(name, NOTHING), other.get(name, NOTHING), key=lambda amount: amount.value)
        for name in {**one, **other}
    }


def _service_usage(service: Object) -> dict[str, Amount]:
    spec = service["spec"]
    ports, kind = len(spec.get("ports") or ()), spec.get("type", "ClusterIP")
    has_node_ports = kind == "NodePort" or (
        kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is not False
    )
    return {
        "services.nodeports": Amount(Fraction(ports if has_node_ports else 0)),
        "services.loadbalancers": Amount(Fraction(kind == "LoadBalancer")),
    }


def _claim_usage(claim: Object) -> dict[str, Amount]:
    spec = claim["spec"]
    size = Amount.parse(((spec.get("resources") or {}).get("requests") or {}).get("storage", "0"))
    usage = {"requests.storage": size}
    if chosen := spec.get("storageClassName"):
        usage[f"{chosen}{_BY_CLASS}requests.storage"] = size
        usage[f"{chosen}{_BY_CLASS}persistentvolumeclaims"] = _ONE
    return usage


_SPECIAL: dict[str, Callable[[Object], dict[str, Amount]]] = {
    _PODS: _pod_usage,
    _SERVICES: _service_usage,
    _CLAIMS: _claim_usage,
}


def total(
    hard: Iterable[str], objects: Callable[[str], Iterable[Object]], spec: Object, now: datetime
) -> dict[str, str]:
    """What all objects of a namespace use of each limit, as a quota's status says it.

    Args:
        hard: The names of the limits.
        objects: All objects of a resource in the namespace.
        spec: Of the quota, for its scopes.
    """
    names = list(hard)
    used = dict.fromkeys(names, NOTHING)
    for resource in {found for name in names if (found := counted_resource(name))}:
        for obj in objects(resource):
            if is_in_scope(spec, resource, obj):
                usage = usage_of(resource, obj, now)
                used |= {name: used[name].plus(usage[name]) for name in names if name in usage}
    return {name: str(amount) for name, amount in used.items()}


def is_in_scope(spec: Object, resource: str, obj: Object) -> bool:
    """Whether a quota's scopes mean an object; a quota with scopes means pods only."""
    wishes = [{"scopeName": name, "operator": "Exists"} for name in spec.get("scopes") or ()]
    wishes += (spec.get("scopeSelector") or {}).get("matchExpressions") or ()
    return all(resource == _PODS and _matches(wish, obj) for wish in wishes)


def _matches(wish: Object, pod: Object) -> bool:
    scope: str = wish["scopeName"]
    if scope == "PriorityClass":
        return _matches_priority(wish, pod["spec"].get("priorityClassName") or "")
    return _SCOPES[scope](pod) if scope in _SCOPES else False


def _matches_priority(wish: Object, name: str) -> bool:
    operator: str = wish["operator"]
    values: list[str] = wish.get("values") or []
    if operator == "In":
        return name in values
    if operator == "NotIn":
        return name not in values
    return bool(name) == (operator == "Exists")


def _is_best_effort(pod: Object) -> bool:
    containers = [*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or ())]
    return not any(
        name in ("cpu", "memory") and quantity(text)
        for container in containers
        for kind in ("requests", "limits")
        for name, text in ((container.get("resources") or {}).get(kind) or {}).items()
    )


def _crosses_namespaces(pod: Object) -> bool:
    affinity = pod["spec"].get("affinity") or {}
    for side in ("podAffinity", "podAntiAffinity"):
        wishes = affinity.get(side) or {}
        terms = list(wishes.get("requiredDuringSchedulingIgnoredDuringExecution") or ())
        preferred = wishes.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        terms += [wish["podAffinityTerm"] for wish in preferred]
        if any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in terms):
            return True
    return False


_SCOPES: dict[str, Callable[[Object], bool]] = {
    "Terminating": lambda pod: pod["spec"].get("activeDeadlineSeconds") is not None,
    "NotTerminating": lambda pod: pod["spec"].get("activeDeadlineSeconds") is None,
    "BestEffort": _is_best_effort,
    "NotBestEffort": lambda pod: not _is_best_effort(pod),
    "CrossNamespacePodAffinity": _crosses_namespaces,
}
