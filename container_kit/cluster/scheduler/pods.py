"""Pods as the scheduler sees them.

Thousands of pods come from few templates, so what a template means for placement is compiled once into a
`PodShape`, which its pods share; what is known of nodes is remembered by shape.  A `PodInfo` is one pod.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from container_kit._values import frozen
from container_kit.cluster.meta.labels import LabelSelector
from container_kit.cluster.meta.objects import controller_of, is_deleting, labels_of
from container_kit.cluster.meta.placement import required_node_names
from container_kit.cluster.scheduler.requests import DEFAULT_REQUESTS, Amounts, pod_requests

__all__ = ["HostPort", "PodInfo", "PodShape", "Shapes", "SpreadConstraint", "Term"]

Object = dict[str, Any]

_KNOWN_SHAPES = 1024
_ANY = "0.0.0.0"  # noqa: S104  # what a port that names no address is on; nothing is bound here
_PLACING = ("nodeSelector", "affinity", "tolerations", "topologySpreadConstraints", "overhead")
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_encode = msgspec.json.Encoder(order="sorted").encode


class HostPort(NamedTuple):
    """A port of the node that a container takes."""

    ip: str
    protocol: str
    port: int

    def collides(self, other: HostPort) -> bool:
        """Whether both cannot be on one node."""
        if (self.port, self.protocol) != (other.port, other.protocol):
            return False
        return self.ip == other.ip or _ANY in (self.ip, other.ip)


@frozen
class Term:
    """Pods that are meant by a pod affinity term, and the topology in which they count.

    Two terms that mean the same are equal, since they are compared by `key`.
    """

    key: bytes
    topology_key: str
    namespaces: frozenset[str]
    namespace_selector: LabelSelector | None
    selector: LabelSelector

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Term) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def matches(self, pod: PodInfo, namespace_labels: Callable[[str], Mapping[str, str]]) -> bool:
        """Whether *pod* is one of those that are meant."""
        return self._means(pod.namespace, namespace_labels) and self.selector.matches(pod.labels)

    def _means(self, namespace: str, namespace_labels: Callable[[str], Mapping[str, str]]) -> bool:
        if namespace in self.namespaces:
            return True
        selector = self.namespace_selector
        return selector is not None and selector.matches(namespace_labels(namespace))


@frozen
class SpreadConstraint:
    """How evenly pods that match *selector* (None: of the same controller) lie over the values of a node
    label.
    """

    topology_key: str
    max_skew: int
    selector: LabelSelector | None
    min_domains: int = 1
    honours_affinity: bool = True
    honours_taints: bool = False


class PodShape:
    """What the pods of one template have in common."""

    __slots__ = (
        "affinity",
        "anti_affinity",
        "host_ports",
        "images",
        "key",
        "node_names",
        "nonzero",
        "preferred",
        "preferred_nodes",
        "requests",
        "spec",
        "spread_hard",
        "spread_soft",
        "tolerations",
    )

    def __init__(self, key: bytes, pod: Object) -> None:
        spec, namespace = pod["spec"], pod["metadata"].get("namespace", "")
        affinity = spec.get("affinity") or {}
        friends, foes = affinity.get("podAffinity") or {}, affinity.get("podAntiAffinity") or {}
        self.key, self.spec = key, spec
        self.requests: Amounts = pod_requests(spec)
        self.nonzero: Amounts = pod_requests(spec, DEFAULT_REQUESTS)
        self.host_ports = tuple(_host_ports(spec))
        self.images = tuple(container.get("image", "") for container in spec["containers"])
        self.node_names = required_node_names(spec)
        self.tolerations: list[Object] = spec.get("tolerations") or []
        nodes = affinity.get("nodeAffinity") or {}
        self.preferred_nodes: list[tuple[int, Object]] = [
            (wish["weight"], wish["preference"]) for wish in nodes.get(_PREFERRED) or ()
        ]
        self.affinity = tuple(_term(term, namespace) for term in friends.get(_REQUIRED) or ())
        self.anti_affinity = tuple(_term(term, namespace) for term in foes.get(_REQUIRED) or ())
        self.preferred = tuple(_weighted(friends, namespace, 1) + _weighted(foes, namespace, -1))
        self.spread_hard, self.spread_soft = _spread(pod)


def _weighted(wishes: Object, namespace: str, sign: int) -> list[tuple[int, Term]]:
    return [
        (sign * wish["weight"], _term(wish["podAffinityTerm"], namespace))
        for wish in wishes.get(_PREFERRED) or ()
    ]


def _term(term: Object, namespace: str) -> Term:
    """A term that names no namespaces, by list or by selector, means those of the pod itself."""
    names, selector = term.get("namespaces") or (), term.get("namespaceSelector")
    return Term(
        key=_encode((namespace, term)),
        topology_key=term["topologyKey"],
        namespaces=frozenset(names) if names or selector is not None else frozenset((namespace,)),
        namespace_selector=None if selector is None else LabelSelector.from_spec(selector),
        selector=LabelSelector.from_spec(term.get("labelSelector")),
    )


def _spread(pod: Object) -> tuple[tuple[SpreadConstraint, ...], tuple[SpreadConstraint, ...]]:
    hard: list[SpreadConstraint] = []
    soft: list[SpreadConstraint] = []
    for wish in pod["spec"].get("topologySpreadConstraints") or ():
        (hard if wish["whenUnsatisfiable"] == "DoNotSchedule" else soft).append(
            _constraint(wish, labels_of(pod))
        )
    return tuple(hard), tuple(soft)


def _constraint(wish: Object, labels: Mapping[str, str]) -> SpreadConstraint:
    """``matchLabelKeys`` narrow the selector to the pod's own values of these labels."""
    selector = dict(wish.get("labelSelector") or {})
    own = {key: labels[key] for key in wish.get("matchLabelKeys") or () if key in labels}
    if own:
        selector["matchLabels"] = (selector.get("matchLabels") or {}) | own
    return SpreadConstraint(
        topology_key=wish["topologyKey"],
        max_skew=wish["maxSkew"],
        selector=LabelSelector.from_spec(selector if "labelSelector" in wish or own else None),
        min_domains=wish.get("minDomains") or 1,
        honours_affinity=wish.get("nodeAffinityPolicy", "Honor") == "Honor",
        honours_taints=wish.get("nodeTaintsPolicy", "Ignore") == "Honor",
    )


def _host_ports(spec: Object) -> list[HostPort]:
    sidecars = [item for item in spec.get("initContainers") or () if item.get("restartPolicy") == "Always"]
    return [
        HostPort(port.get("hostIP") or _ANY, port.get("protocol") or "TCP", port["hostPort"])
        for container in [*spec["containers"], *sidecars]
        for port in container.get("ports") or ()
        if port.get("hostPort")
    ]


class PodInfo:
    """One pod, as it was last seen."""

    __slots__ = (
        "controller_uid",
        "deleting",
        "labels",
        "name",
        "namespace",
        "node_name",
        "pod",
        "priority",
        "shape",
        "uid",
    )

    def __init__(self, pod: Object, shape: PodShape) -> None:
        meta = pod["metadata"]
        self.pod, self.shape = pod, shape
        self.uid: str = meta["uid"]
        self.name: str = meta["name"]
        self.namespace: str = meta.get("namespace", "")
        self.labels: Mapping[str, str] = meta.get("labels") or {}
        self.priority: int = pod["spec"].get("priority") or 0
        self.node_name: str = pod["spec"].get("nodeName") or ""
        self.controller_uid: str = (controller_of(pod) or {}).get("uid", "")
        self.deleting = is_deleting(pod)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def created(self) -> str:
        return self.pod["metadata"].get("creationTimestamp") or ""

    @property
    def started(self) -> str:
        """When it began to run, for the choice among victims; RFC 3339 sorts as text."""
        return (self.pod.get("status") or {}).get("startTime") or "9999"

    @property
    def nominated(self) -> str:
        """The node on which room is being made for it."""
        return (self.pod.get("status") or {}).get("nominatedNodeName") or ""


class Shapes:
    """The shapes of the pods seen lately."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, PodShape] = OrderedDict()

    def info(self, pod: Object) -> PodInfo:
        """*pod* with its shape, compiled if it is a new one."""
        key = _shape_key(pod)
        shape = self._known.get(key)
        if shape is None:
            shape = self._known[key] = PodShape(key, pod)
            if len(self._known) > _KNOWN_SHAPES:
                self._known.popitem(last=False)
        return PodInfo(pod, shape)


def _shape_key(pod: Object) -> bytes:
    """All that placement depends on and that pods of one template share."""
    spec, meta = pod["spec"], pod["metadata"]
    parts: list[Any] = [spec.get(field) for field in _PLACING]
    for kind in ("containers", "initContainers"):
        for item in spec.get(kind) or ():
            restart = item.get("restartPolicy")
            parts.append((kind, item.get("resources"), item.get("ports"), item.get("image"), restart))
    if spec.get("affinity") or spec.get("topologySpreadConstraints"):
        parts += (meta.get("namespace"), meta.get("labels"))
    return _encode(parts)
