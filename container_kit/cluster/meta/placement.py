"""Which nodes a pod may be on: taints and tolerations, node selectors and node affinity.

Pure words, shared by all who place pods or drive them away: scheduler, DaemonSet controller, node lifecycle.

Source: API reference, ``Toleration``, ``Taint``, ``NodeSelector``; kubernetes.io, "Taints and Tolerations",
"Assigning Pods to Nodes".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

__all__ = ["matches_node_selector", "matches_term", "required_node_names", "tolerates", "untolerated"]

Object = dict[str, Any]

_HARD = ("NoSchedule", "NoExecute")


def tolerates(toleration: Object, taint: Object) -> bool:
    """Whether this toleration covers this taint; an empty key or effect covers any."""
    if toleration.get("effect") and toleration["effect"] != taint["effect"]:
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return True
    return bool(toleration.get("key")) and (toleration.get("value") or "") == (taint.get("value") or "")


def untolerated(
    taints: Iterable[Object], tolerations: Collection[Object], effects: Collection[str] = _HARD
) -> Object | None:
    """The first taint of one of these effects that none of the tolerations covers."""
    for taint in taints:
        if taint["effect"] in effects and not any(tolerates(toleration, taint) for toleration in tolerations):
            return taint
    return None


def matches_node_selector(spec: Object, name: str, labels: Mapping[str, str]) -> bool:
    """Whether ``nodeSelector`` and required node affinity of a pod's spec allow a node."""
    for key, value in (spec.get("nodeSelector") or {}).items():
        if labels.get(key) != value:
            return False
    required = required_terms(spec)
    return required is None or any(matches_term(term, name, labels) for term in required)


def required_terms(spec: Object) -> list[Object] | None:
    """The node selector terms one of which must hold; None when there is no such wish."""
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    return None if required is None else required.get("nodeSelectorTerms") or []


def required_node_names(spec: Object) -> set[str] | None:
    """The only nodes that a pod's affinity can mean, by name; None when it does not name them.

    An empty set says that the terms contradict one another.
    """
    names: set[str] = set()
    for term in required_terms(spec) or [{}]:
        wanted = [
            set(field["values"])
            for field in term.get("matchFields") or ()
            if field["key"] == "metadata.name" and field["operator"] == "In"
        ]
        if not wanted:
            return None
        names |= set.intersection(*wanted)
    return names


def matches_term(term: Object, name: str, labels: Mapping[str, str]) -> bool:
    """Whether a node fulfils all of one node selector term; an empty term is met by none."""
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    return all(_holds(wish, labels) for wish in expressions) and all(
        _holds(wish, {"metadata.name": name}) for wish in fields
    )


def _holds(wish: Object, labels: Mapping[str, str]) -> bool:
    operator, value = wish["operator"], labels.get(wish["key"])
    if operator == "In":
        return value is not None and value in wish["values"]
    if operator == "NotIn":
        return value is None or value not in wish["values"]
    if operator == "Exists":
        return value is not None
    if operator == "DoesNotExist":
        return value is None
    try:
        bound = int(wish["values"][0])
        return value is not None and (int(value) > bound if operator == "Gt" else int(value) < bound)
    except (ValueError, IndexError):
        return False
