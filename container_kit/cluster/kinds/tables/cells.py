"""What cells of many kinds have in common: ages, labels, selectors, names of containers and images."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from container_kit.cluster.meta import LabelSelector, Object, SelectorError, parse_time
from container_kit.cluster.meta.times import short_age

__all__ = [
    "NONE",
    "UNKNOWN",
    "UNSET",
    "Row",
    "age",
    "containers",
    "created_at",
    "images",
    "label_selector",
    "labels",
    "since",
    "spec_of",
    "status_of",
]

Row = Callable[[Object, str], list[Any]]

NONE, UNKNOWN, UNSET = "<none>", "<unknown>", "<unset>"


def spec_of(obj: Object) -> dict[str, Any]:
    """The spec, or an empty one."""
    return obj.get("spec") or {}


def status_of(obj: Object) -> dict[str, Any]:
    """The status, or an empty one."""
    return obj.get("status") or {}


def since(moment: str | None, now: str) -> str:
    """How long ago something was, as ``3m10s``; ``<unknown>`` for no time at all."""
    if not moment:
        return UNKNOWN
    return short_age((parse_time(now) - parse_time(moment)).total_seconds())


def age(obj: Object, now: str) -> str:
    """How old an object is."""
    return since(obj["metadata"].get("creationTimestamp"), now)


def created_at(obj: Object) -> str | None:
    """When an object was created, for columns of type ``date``."""
    moment: str | None = obj["metadata"].get("creationTimestamp")
    return moment


def labels(pairs: Mapping[str, str] | None) -> str:
    """``a=b,c=d``, by key; ``<none>`` for none."""
    return ",".join(f"{key}={pairs[key]}" for key in sorted(pairs)) if pairs else NONE


def label_selector(selector: Mapping[str, Any] | None) -> str:
    """A LabelSelector as kubectl would take it; ``<none>`` when it selects everything or is not there."""
    if not selector:
        return NONE
    try:
        return str(LabelSelector.from_spec(selector)) or NONE
    except SelectorError:
        return "<error>"


def _containers_of(template_spec: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    return template_spec.get("containers") or ()


def containers(pod_spec: Mapping[str, Any]) -> str:
    """The names of containers."""
    return ",".join(each.get("name", "") for each in _containers_of(pod_spec))


def images(pod_spec: Mapping[str, Any]) -> str:
    """The images of containers."""
    return ",".join(each.get("image", "") for each in _containers_of(pod_spec))
