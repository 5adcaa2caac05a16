"""Which persistent volume a claim may have: shared by the binder and the scheduler, which binds claims that
wait.

Source: kubernetes.io, "Persistent Volumes" (Binding); API reference, ``PersistentVolumeClaimSpec``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from container_kit.cluster.meta.labels import EVERYTHING, LabelSelector
from container_kit.cluster.meta.objects import is_deleting, labels_of, name_of, namespace_of, uid_of
from container_kit.cluster.meta.placement import matches_term
from container_kit.cluster.meta.quantities import quantity

__all__ = [
    "BIND_COMPLETED",
    "BOUND_BY_CONTROLLER",
    "NO_PROVISIONER",
    "SELECTED_NODE",
    "claim_reference",
    "class_of",
    "fits_claim",
    "is_for_claim",
    "mismatch",
    "smallest_fitting",
    "volume_allows_node",
]

Object = dict[str, Any]

BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
NO_PROVISIONER = "kubernetes.io/no-provisioner"
_OLD_CLASS = "volume.beta.kubernetes.io/storage-class"


def class_of(obj: Object) -> str:
    """The storage class of a claim or of a volume; empty for none."""
    notes = obj["metadata"].get("annotations") or {}
    return notes.get(_OLD_CLASS) or obj["spec"].get("storageClassName") or ""


def is_for_claim(volume: Object, claim: Object) -> bool:
    """Whether the volume is promised to this very claim: by name, and by UID once it is bound."""
    reference = volume["spec"].get("claimRef") or {}
    if (reference.get("namespace"), reference.get("name")) != (namespace_of(claim), name_of(claim)):
        return False
    return not reference.get("uid") or reference["uid"] == uid_of(claim)


def claim_reference(claim: Object) -> Object:
    """What a volume that is bound to *claim* says of it."""
    meta = claim["metadata"]
    return {
        "kind": "PersistentVolumeClaim",
        "namespace": meta["namespace"],
        "name": meta["name"],
        "uid": meta["uid"],
        "apiVersion": "v1",
        "resourceVersion": meta.get("resourceVersion", ""),
    }


def mismatch(volume: Object, claim: Object) -> str:
    """What the volume lacks that the claim asks for, in Kubernetes' words; empty if nothing."""
    have, wish = volume["spec"], claim["spec"]
    asked = ((wish.get("resources") or {}).get("requests") or {}).get("storage", "0")
    if quantity((have.get("capacity") or {}).get("storage", "0")) < quantity(asked):
        return "requested PV is too small"
    if class_of(volume) != class_of(claim):
        return "storageClassName does not match"
    if have.get("volumeMode", "Filesystem") != wish.get("volumeMode", "Filesystem"):
        return "incompatible volumeMode"
    if not set(wish.get("accessModes") or ()) <= set(have.get("accessModes") or ()):
        return "incompatible accessMode"
    return ""


def fits_claim(volume: Object, claim: Object) -> bool:
    """Whether the claim may have the volume without having named it."""
    return not mismatch(volume, claim) and _selector(claim["spec"]).matches(labels_of(volume))


def _selector(wish: Object) -> LabelSelector:
    """A claim without a selector does not mind the labels."""
    return LabelSelector.from_spec(wish["selector"]) if wish.get("selector") is not None else EVERYTHING


def volume_allows_node(volume: Object, name: str, labels: dict[str, str]) -> bool:
    """Whether pods on this node can reach the volume."""
    required = (volume["spec"].get("nodeAffinity") or {}).get("required")
    if required is None:
        return True
    return any(matches_term(term, name, labels) for term in required.get("nodeSelectorTerms") or ())


def smallest_fitting(volumes: Iterable[Object], claim: Object) -> Object | None:
    """The volume for a claim: one that is promised to it, or the smallest free one that fits."""
    free: list[Object] = []
    for volume in volumes:
        if is_deleting(volume) or not fits_claim(volume, claim):
            continue
        if is_for_claim(volume, claim):
            return volume
        if volume["spec"].get("claimRef") is None:
            free.append(volume)
    return min(
        free,
        key=lambda volume: (quantity(volume["spec"]["capacity"]["storage"]), name_of(volume)),
        default=None,
    )
