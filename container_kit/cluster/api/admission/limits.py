"""Limit ranges: what containers get when they say nothing, and how much they may say.

Source: Kubernetes, "Limit Ranges".
"""

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from container_kit.cluster.api.admission.refusal import refused
from container_kit.cluster.api.plugins import CREATE, UPDATE, Attributes, Plugin
from container_kit.cluster.meta import Object, format_quantity, quantity

__all__ = ["LimitRanger"]

ANNOTATION = "kubernetes.io/limit-ranger"
Amounts = dict[str, Any]


class LimitRanger(Plugin):
    """Fills in and checks the resources of pods, and checks the size of claims."""

    name = "LimitRanger"

    def handles(self, attributes: Attributes) -> bool:
        resource = attributes.resource
        counted = not resource.group and resource.plural in ("pods", "persistentvolumeclaims")
        if not counted or attributes.subresource or attributes.operation not in (CREATE, UPDATE):
            return False
        return attributes.operation == CREATE or resource.plural != "pods"

    def admit(self, attributes: Attributes) -> None:
        if attributes.resource.plural != "pods":
            return
        assert attributes.obj is not None
        for limit_range in attributes.world.list("limitranges", attributes.namespace):
            _fill_in(attributes.obj, _items(limit_range, "Container"))

    def validate(self, attributes: Attributes) -> None:
        assert attributes.obj is not None
        problems = _pod_problems if attributes.resource.plural == "pods" else _claim_problems
        for limit_range in attributes.world.list("limitranges", attributes.namespace):
            found = list(dict.fromkeys(problems(attributes.obj, limit_range)))
            if found:
                raise refused(attributes, found[0] if len(found) == 1 else f"[{', '.join(found)}]")


def _items(limit_range: Object, kind: str) -> list[Amounts]:
    limits = (limit_range.get("spec") or {}).get("limits") or ()
    return [item for item in limits if item.get("type") == kind]


def _fill_in(pod: Object, items: list[Amounts]) -> None:
    """Give containers the defaults, and say so in an annotation."""
    limits: Amounts = {}
    requests: Amounts = {}
    for item in items:
        limits = {**(item.get("default") or {}), **limits}
        requests = {**(item.get("defaultRequest") or {}), **requests}
    notes: list[str] = []
    for kind, word in (("containers", "container"), ("initContainers", "init container")):
        for container in pod["spec"].get(kind) or ():
            notes += _fill_in_container(container, requests, limits, word)
    if notes:
        annotations = pod["metadata"].setdefault("annotations", {})
        annotations[ANNOTATION] = "LimitRanger plugin set: " + "; ".join(notes)


def _fill_in_container(container: Amounts, requests: Amounts, limits: Amounts, word: str) -> Iterable[str]:
    resources = container.setdefault("resources", {})
    for key, defaults in (("requests", requests), ("limits", limits)):
        given = resources.get(key) or {}
        missing = {name: amount for name, amount in defaults.items() if name not in given}
        if missing:
            resources[key] = {**given, **missing}
            yield f"{', '.join(sorted(missing))} {key[:-1]} for {word} {container['name']}"


def _pod_problems(pod: Object, limit_range: Object) -> Iterable[str]:
    """What breaks a limit; per container first, then for the pod as a whole."""
    for item in (limit_range.get("spec") or {}).get("limits") or ():
        if item.get("type") == "Container":
            for container in (*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or ())):
                resources = container.get("resources") or {}
                yield from _problems(item, resources.get("requests") or {}, resources.get("limits") or {})
        elif item.get("type") == "Pod":
            yield from _problems(item, _of_pod(pod, "requests"), _of_pod(pod, "limits"))


def _claim_problems(claim: Object, limit_range: Object) -> Iterable[str]:
    requests = (claim["spec"].get("resources") or {}).get("requests") or {}
    for item in _items(limit_range, "PersistentVolumeClaim"):
        for name, least in (item.get("min") or {}).items():
            yield from _too_little(item["type"], name, least, requests.get(name), "request")
        for name, most in (item.get("max") or {}).items():
            yield from _too_much(item["type"], name, most, requests.get(name), "request")


def _problems(item: Amounts, requests: Amounts, limits: Amounts) -> Iterable[str]:
    """At most one problem for each bound: the first that is found."""
    kind = item["type"]
    for name, least in (item.get("min") or {}).items():
        found = [*_too_little(kind, name, least, requests.get(name), "request")]
        if name in limits:
            found += _too_little(kind, name, least, limits[name], "limit")
        yield from found[:1]
    for name, most in (item.get("max") or {}).items():
        found = [*_too_much(kind, name, most, limits.get(name), "limit")]
        if name in requests:
            found += _too_much(kind, name, most, requests[name], "request")
        yield from found[:1]
    for name, ratio in (item.get("maxLimitRequestRatio") or {}).items():
        yield from _too_far_apart(kind, name, ratio, requests.get(name), limits.get(name))


def _too_little(kind: str, name: str, least: Any, given: Any, what: str) -> Iterable[str]:
    if given is None:
        yield f"minimum {name} usage per {kind} is {least}.  No {what} is specified"
    elif quantity(given) < quantity(least):
        yield f"minimum {name} usage per {kind} is {least}, but {what} is {given}"


def _too_much(kind: str, name: str, most: Any, given: Any, what: str) -> Iterable[str]:
    if given is None:
        yield f"maximum {name} usage per {kind} is {most}.  No {what} is specified"
    elif quantity(given) > quantity(most):
        yield f"maximum {name} usage per {kind} is {most}, but {what} is {given}"


def _too_far_apart(kind: str, name: str, ratio: Any, request: Any, limit: Any) -> Iterable[str]:
    start = f"{name} max limit to request ratio per {kind} is {ratio}"
    if request is None or not quantity(request):
        yield f"{start}, but no request is specified or request is 0"
    elif limit is None or not quantity(limit):
        yield f"{start}, but no limit is specified or limit is 0"
    elif quantity(limit) / quantity(request) > quantity(ratio):
        yield f"{start}, but provided ratio is {float(quantity(limit) / quantity(request)):f}"


def _of_pod(pod: Object, key: str) -> Amounts:
    """What a pod needs in all: containers together, or an init container if that needs more."""
    total: dict[str, Fraction] = {}
    for container in pod["spec"]["containers"]:
        for name, amount in ((container.get("resources") or {}).get(key) or {}).items():
            total[name] = total.get(name, Fraction(0)) + quantity(amount)
    for container in pod["spec"].get("initContainers") or ():
        for name, amount in ((container.get("resources") or {}).get(key) or {}).items():
            total[name] = max(total.get(name, Fraction(0)), quantity(amount))
    return {name: format_quantity(amount) for name, amount in total.items()}
