"""metrics.k8s.io: what pods and nodes use at the moment, as their nodes tell.

Nodes count processor time since a container began; a rate is the difference of two counts.  The counts of
earlier questions are kept for that, and who asks first gets the average since the container began.

Source: metrics.k8s.io/v1beta1 (kubernetes/metrics); "Resource metrics pipeline".
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from container_kit.cluster.api.core import Call, Core
from container_kit.cluster.api.encoding import object_response
from container_kit.cluster.api.messages import Response
from container_kit.cluster.api.options import list_options
from container_kit.cluster.api.resources import Resource
from container_kit.cluster.api.tables import table
from container_kit.cluster.kinds.strategy import Strategy
from container_kit.cluster.meta.fields import FieldSelector
from container_kit.cluster.meta.labels import LabelSelector
from container_kit.cluster.meta.objects import Object, labels_of
from container_kit.cluster.meta.status import not_found
from container_kit.cluster.meta.times import format_time, parse_time

__all__ = ["USAGE", "usage_resources"]

_GROUP, _VERSION = "metrics.k8s.io", "v1beta1"
_SHORTEST_S = 1.0  # two counts that are nearer say nothing
_LONGEST_S = 60.0
_NANO = 1_000_000_000

_Where = tuple[str, str, str]


class _Count(NamedTuple):
    """Processor time of a container at a moment (seconds of the monotonic clock)."""

    at_s: float
    cpu_ns: int


class _Rates:
    """Counts of earlier questions: two of each container, so that one is always old enough."""

    def __init__(self) -> None:
        self._counts: dict[_Where, list[_Count]] = {}
        self._lock = threading.Lock()

    def of(self, where: _Where, count: _Count, began_s: float) -> tuple[int, float]:
        """Nanoseconds of processor time per second, and over how many seconds.

        Args:
            began_s: How long ago the container began.
        """
        with self._lock:
            known = [one for one in self._counts.get(where, ()) if count.at_s - one.at_s <= _LONGEST_S]
            base = next((one for one in reversed(known) if count.at_s - one.at_s >= _SHORTEST_S), None)
            if not known or count.at_s - known[-1].at_s >= _SHORTEST_S:
                self._counts[where] = [*known[-1:], count]
        if base is None or count.cpu_ns < base.cpu_ns:
            base = _Count(count.at_s - max(began_s, _SHORTEST_S), 0)
        window_s = count.at_s - base.at_s
        return int((count.cpu_ns - base.cpu_ns) / window_s), window_s

    def forget_all_but(self, present: set[_Where]) -> None:
        """Containers that are gone are not asked for again."""
        with self._lock:
            self._counts = {where: counts for where, counts in self._counts.items() if where in present}


class _Usage(NamedTuple):
    """What one container uses."""

    cpu_ns_per_s: int
    memory_bytes: int
    window_s: float

    def quantities(self) -> dict[str, str]:
        return {"cpu": f"{self.cpu_ns_per_s}n", "memory": f"{-(-self.memory_bytes // 1024)}Ki"}


_Pods = dict[tuple[str, str], dict[str, _Usage]]


def _measured(core: Core, rates: _Rates) -> dict[str, _Pods]:
    """By node and pod, what each container uses now."""
    found: dict[str, _Pods] = {}
    present: set[_Where] = set()
    for node, link in core.nodes.all().items():
        pods = found[node] = {}
        for each in link.stats()["pods"]:
            namespace, name = each["namespace"], each["name"]
            record = core.store.get("pods", namespace, name)
            ages = _ages_s(record.object, core) if record else {}
            for container in each["containers"]:
                where = (namespace, name, container["name"])
                present.add(where)
                count = _Count(core.clock.monotonic(), container["cpu_ns"])
                rate, window_s = rates.of(where, count, ages.get(container["name"], 0.0))
                usage = _Usage(rate, container["memory_bytes"], window_s)
                pods.setdefault((namespace, name), {})[container["name"]] = usage
    rates.forget_all_but(present)
    return found


def _ages_s(pod: Object, core: Core) -> dict[str, float]:
    """How long ago each container began."""
    now = core.clock.now()
    found = {}
    for status in (pod.get("status") or {}).get("containerStatuses") or ():
        started = ((status.get("state") or {}).get("running") or {}).get("startedAt")
        if started:
            found[status["name"]] = (now - parse_time(started)).total_seconds()
    return found


class _Answers:
    """The two resources over one store of counts."""

    def __init__(self) -> None:
        self._rates: dict[int, _Rates] = {}

    def _by_node(self, call: Call) -> dict[str, _Pods]:
        return _measured(call.core, self._rates.setdefault(id(call.core), _Rates()))

    def pods(self, call: Call) -> Iterator[Object]:
        """PodMetrics of the namespace, or of all."""
        wanted = call.route.namespace
        for pods in self._by_node(call).values():
            for (namespace, name), usage in pods.items():
                record = call.core.store.get("pods", namespace, name)
                if record is not None and wanted in ("", namespace):
                    yield _pod_metrics(call, record.object, usage)

    def nodes(self, call: Call) -> Iterator[Object]:
        """NodeMetrics: the sum of the pods."""
        for node, pods in self._by_node(call).items():
            record = call.core.store.get("nodes", "", node)
            if record is not None:
                every = [usage for containers in pods.values() for usage in containers.values()]
                total = _Usage(
                    sum(one.cpu_ns_per_s for one in every),
                    sum(one.memory_bytes for one in every),
                    max((one.window_s for one in every), default=_SHORTEST_S),
                )
                yield {
                    **_head(call, "NodeMetrics", record.object, total.window_s),
                    "usage": total.quantities(),
                }


def _head(call: Call, kind: str, obj: Object, window_s: float) -> Object:
    now = format_time(call.core.clock.now())
    metadata: dict[str, Any] = {"name": obj["metadata"]["name"], "creationTimestamp": now}
    if obj["metadata"].get("namespace"):
        metadata["namespace"] = obj["metadata"]["namespace"]
    if labels_of(obj):
        metadata["labels"] = labels_of(obj)
    head = {"kind": kind, "apiVersion": f"{_GROUP}/{_VERSION}", "metadata": metadata}
    return head | {"timestamp": now, "window": f"{window_s:.3f}s"}


def _pod_metrics(call: Call, pod: Object, usage: Mapping[str, _Usage]) -> Object:
    window_s = max(one.window_s for one in usage.values())
    containers = [{"name": name, "usage": one.quantities()} for name, one in usage.items()]
    return {**_head(call, "PodMetrics", pod, window_s), "containers": containers}


def _list(items: Callable[[Call], Iterator[Object]]) -> Callable[[Call], Response]:
    def answer(call: Call) -> Response:
        options = list_options(call.request)
        found = [item for item in items(call) if _is_chosen(item, options.labels, options.fields)]
        return _respond(call, found, is_list=True)

    return answer


def _get(items: Callable[[Call], Iterator[Object]]) -> Callable[[Call], Response]:
    def answer(call: Call) -> Response:
        for item in items(call):
            if item["metadata"]["name"] == call.route.name:
                return _respond(call, [item], is_list=False)
        raise not_found(call.resource.plural, call.route.name, _GROUP)

    return answer


def _is_chosen(item: Object, labels: LabelSelector, fields: FieldSelector) -> bool:
    metadata = item["metadata"]
    values = {"metadata.name": metadata["name"], "metadata.namespace": metadata.get("namespace", "")}
    return labels.matches(metadata.get("labels") or {}) and fields.matches(values)


def _respond(call: Call, items: list[Object], *, is_list: bool) -> Response:
    form = call.form
    if form.view == "table":
        return object_response(table(call.resource, items, {}, now=call.core.clock.stamp()), form)
    if not is_list:
        return object_response(items[0], form)
    head = {"kind": call.resource.list_kind, "apiVersion": call.resource.api_version, "metadata": {}}
    return object_response({**head, "items": items}, form)


_answers = _Answers()
USAGE: dict[str, dict[str, Callable[[Call], Response]]] = {
    f"pods.{_GROUP}": {"get": _get(_answers.pods), "list": _list(_answers.pods)},
    f"nodes.{_GROUP}": {"get": _get(_answers.nodes), "list": _list(_answers.nodes)},
}


def usage_resources() -> list[Resource]:
    """What a cluster serves whose nodes tell what they use."""
    return [
        Resource(
            group=_GROUP,
            version=_VERSION,
            plural=plural,
            singular="",
            kind=kind,
            namespaced=namespaced,
            verbs=("get", "list"),
            storage_group=_GROUP,
            storage_version=_VERSION,
            list_kind=f"{kind}List",
            strategy=Strategy(_GROUP, kind, namespaced=namespaced),
            shown=Strategy(_GROUP, kind, namespaced=namespaced),
        )
        for plural, kind, namespaced in (("nodes", "NodeMetrics", False), ("pods", "PodMetrics", True))
    ]
