"""Claims of a pod: whether their volumes can be had on a node, and binding those that wait for the choice.

Source: kubernetes.io, "Storage Classes" (volumeBindingMode), "Persistent Volumes", "Ephemeral Volumes".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from container_kit.cluster.meta import Object, annotations_of, controller_of, is_deleting, name_of, uid_of
from container_kit.cluster.meta.placement import matches_term
from container_kit.cluster.meta.volumes import (
    BIND_COMPLETED,
    NO_PROVISIONER,
    class_of,
    smallest_fitting,
    volume_allows_node,
)
from container_kit.cluster.scheduler.filters import Reason
from container_kit.cluster.scheduler.nodes import NodeInfo
from container_kit.cluster.scheduler.pods import PodInfo

__all__ = ["Choice", "PodClaims", "Storage", "claims_of", "is_bound"]

_TAKEN = Reason(
    "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode",
    "VolumeRestrictions",
)
_ELSEWHERE = Reason("node(s) had volume node affinity conflict", "VolumeBinding", True)
_NONE_LEFT = Reason("node(s) didn't find available persistent volumes to bind", "VolumeBinding", True)
_VOLUME_GONE = Reason(
    "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)", "VolumeBinding", True
)
_OTHER_ZONE = Reason("node(s) had no available volume zone", "VolumeZone", True)
_ZONES = (
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
)


class Storage(NamedTuple):
    """Where claims, volumes and classes are found."""

    claim: Callable[[str, str], Object | None]
    volume: Callable[[str], Object | None]
    volumes: Callable[[], list[Object]]
    storage_class: Callable[[str], Object | None]


class Choice(NamedTuple):
    """What to do for a claim that waited for its pod's node: take *volume*, or have one made (None)."""

    claim: Object
    volume: Object | None


class PodClaims(NamedTuple):
    """The claims of a pod: those with a volume, and those that get one when the node is known."""

    bound: list[Object]
    waiting: list[Object]
    exclusive: list[Object]

    def refusal(self, node: NodeInfo, storage: Storage) -> Reason | None:
        """Why the pod cannot have its volumes on this node."""
        for claim in self.exclusive:
            if any(name_of(claim) in _claim_names(other) for other in _neighbours(claim, node)):
                return _TAKEN
        for claim in self.bound:
            if (reason := _unreachable(claim, node, storage)) is not None:
                return reason
        return _NONE_LEFT if self.choices(node, storage) is None else None

    def choices(self, node: NodeInfo, storage: Storage) -> list[Choice] | None:
        """A volume on this node for each claim that waits; None if one of them can have none."""
        chosen: list[Choice] = []
        for claim in self.waiting:
            taken = {uid_of(choice.volume) for choice in chosen if choice.volume is not None}
            reachable = [
                volume
                for volume in storage.volumes()
                if uid_of(volume) not in taken and volume_allows_node(volume, node.name, dict(node.labels))
            ]
            volume = smallest_fitting(reachable, claim)
            if volume is None and not _can_be_made(claim, node, storage):
                return None
            chosen.append(Choice(claim, volume))
        return chosen


def _neighbours(claim: Object, node: NodeInfo) -> list[PodInfo]:
    namespace = claim["metadata"]["namespace"]
    return [pod for pod in node.pods.values() if pod.namespace == namespace]


def _unreachable(claim: Object, node: NodeInfo, storage: Storage) -> Reason | None:
    volume = storage.volume(claim["spec"]["volumeName"])
    if volume is None:
        return _VOLUME_GONE
    if not volume_allows_node(volume, node.name, dict(node.labels)):
        return _ELSEWHERE
    zones: Mapping[str, str] = volume["metadata"].get("labels") or {}
    for key in _ZONES:
        if key in zones and key in node.labels and node.labels[key] not in zones[key].split("__"):
            return _OTHER_ZONE
    return None


def _can_be_made(claim: Object, node: NodeInfo, storage: Storage) -> bool:
    """Whether the claim's class makes volumes, and for this node."""
    chosen = storage.storage_class(class_of(claim))
    if chosen is None or chosen.get("provisioner") in (None, "", NO_PROVISIONER):
        return False
    topologies = chosen.get("allowedTopologies")
    return not topologies or any(
        matches_term(
            {
                "matchExpressions": [
                    wish | {"operator": "In"} for wish in term.get("matchLabelExpressions") or ()
                ]
            },
            node.name,
            node.labels,
        )
        for term in topologies
    )


def claims_of(pod: PodInfo, storage: Storage) -> PodClaims | Reason | None:
    """The claims of a pod; a reason if they keep it from every node; None if it has none."""
    found = PodClaims([], [], [])
    for name, is_ephemeral in _claims(pod):
        claim = storage.claim(pod.namespace, name)
        if (reason := _unusable(pod, name, claim, is_ephemeral)) is not None:
            return reason
        assert claim is not None
        if is_bound(claim):
            found.bound.append(claim)
        elif _waits(claim, storage):
            found.waiting.append(claim)
        else:
            return Reason("pod has unbound immediate PersistentVolumeClaims", "VolumeBinding", True)
        if claim["spec"].get("accessModes") == ["ReadWriteOncePod"]:
            found.exclusive.append(claim)
    return found if any(found) else None


def _unusable(pod: PodInfo, name: str, claim: Object | None, is_ephemeral: bool) -> Reason | None:
    if claim is None:
        text = f'persistentvolumeclaim "{name}" not found'
        if is_ephemeral:
            text = f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"'
    elif claim.get("status", {}).get("phase") == "Lost":
        volume = claim["spec"].get("volumeName", "")
        text = f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{volume}"'
    elif is_deleting(claim):
        text = f'persistentvolumeclaim "{name}" is being deleted'
    elif is_ephemeral and (controller_of(claim) or {}).get("uid") != pod.uid:
        text = f'PVC "{pod.namespace}/{name}" was not created for pod "{pod}" (pod is not owner)'
    else:
        return None
    return Reason(text, "VolumeBinding", True)


def is_bound(claim: Object) -> bool:
    """Whether the claim has its volume, and both sides say so."""
    return bool(claim["spec"].get("volumeName")) and BIND_COMPLETED in annotations_of(claim)


def _waits(claim: Object, storage: Storage) -> bool:
    """Whether the claim gets its volume only when the node of its first pod is known."""
    chosen = storage.storage_class(class_of(claim)) if class_of(claim) else None
    return chosen is not None and chosen.get("volumeBindingMode") == "WaitForFirstConsumer"


def _claims(pod: PodInfo) -> Iterator[tuple[str, bool]]:
    for volume in pod.pod["spec"].get("volumes") or ():
        if "persistentVolumeClaim" in volume:
            yield volume["persistentVolumeClaim"]["claimName"], False
        elif "ephemeral" in volume:
            yield f"{pod.name}-{volume['name']}", True


def _claim_names(pod: PodInfo) -> set[str]:
    return {name for name, _ in _claims(pod)}
