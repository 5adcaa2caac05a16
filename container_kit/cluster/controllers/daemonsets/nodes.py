"""Which nodes a DaemonSet has pods on, and what the pod for a node looks like.

Source: Kubernetes documentation, "DaemonSet" (how daemon pods are scheduled, taints and tolerations).
"""

from __future__ import annotations

from typing import Any

from container_kit._values import frozen
from container_kit.cluster.controllers.pods import node_of, pod_from_template
from container_kit.cluster.meta import Object, annotations_of, labels_of, name_of
from container_kit.cluster.meta.placement import matches_node_selector, required_node_names, untolerated

__all__ = ["HASH_LABEL", "Fit", "fit_of", "is_updated", "new_pod", "target_of"]

HASH_LABEL = "controller-revision-hash"
_GENERATION_LABEL = "pod-template-generation"
_GENERATION = "deprecated.daemonset.template.generation"

# What no daemon pod minds: it is there to look after the node when the node is unwell.
_TOLERATED = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)
_TOLERATED_ON_HOST_NETWORK = ("node.kubernetes.io/network-unavailable", "NoSchedule")


@frozen
class Fit:
    """What a node is to a DaemonSet.

    Attributes:
        runs: It should have a pod.
        keeps: It may keep the pod that it has.
    """

    runs: bool
    keeps: bool


def fit_of(wish: Object, node: Object) -> Fit:
    """Whether a node should have a pod of *wish*. One with a new NoSchedule taint keeps its pod."""
    spec = wish["spec"]["template"]["spec"]
    given = spec.get("nodeName") or ""
    if given not in ("", name_of(node)) or not matches_node_selector(spec, name_of(node), labels_of(node)):
        return Fit(False, False)
    taints = node.get("spec", {}).get("taints") or []
    tolerations = _tolerations(spec)
    if untolerated(taints, tolerations) is None:
        return Fit(True, True)
    return Fit(False, untolerated(taints, tolerations, ("NoExecute",)) is None)


def target_of(pod: Object) -> str:
    """The node that a pod is on, or is meant for."""
    return node_of(pod) or next(iter(required_node_names(pod["spec"]) or ()), "")


def is_updated(wish: Object, pod: Object, digest: str) -> bool:
    """Whether a pod has the template of now, by its hash or by the number of the template."""
    labels, number = labels_of(pod), annotations_of(wish).get(_GENERATION)
    return bool(digest and labels.get(HASH_LABEL) == digest) or (
        number is not None and labels.get(_GENERATION_LABEL) == number
    )


def new_pod(wish: Object, node_name: str, digest: str) -> Object:
    """The pod for one node; the scheduler brings it there, and nowhere else."""
    pod = pod_from_template(wish["spec"]["template"], wish)
    labels = {**labels_of(pod), HASH_LABEL: digest}
    if number := annotations_of(wish).get(_GENERATION):
        labels[_GENERATION_LABEL] = number
    pod["metadata"]["labels"] = labels
    pod["spec"] = {
        **pod["spec"],
        "tolerations": _tolerations(pod["spec"]),
        "affinity": _affinity(pod["spec"].get("affinity") or {}, node_name),
    }
    return pod


def _tolerations(spec: Object) -> list[Object]:
    given = list(spec.get("tolerations") or ())
    wanted = [*_TOLERATED, *((_TOLERATED_ON_HOST_NETWORK,) if spec.get("hostNetwork") else ())]
    added = [{"key": key, "operator": "Exists", "effect": effect} for key, effect in wanted]
    return [*(each for each in given if each not in added), *added]


def _affinity(given: Object, node_name: str) -> Object:
    """Required to be this node, whatever the template says about nodes."""
    field: dict[str, Any] = {"key": "metadata.name", "operator": "In", "values": [node_name]}
    required = {"nodeSelectorTerms": [{"matchFields": [field]}]}
    node = {**(given.get("nodeAffinity") or {}), "requiredDuringSchedulingIgnoredDuringExecution": required}
    return {**given, "nodeAffinity": node}
