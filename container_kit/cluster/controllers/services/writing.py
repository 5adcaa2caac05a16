"""Slices on the server: which ones are ours, and writing what has changed."""

from __future__ import annotations

from collections.abc import Mapping

from container_kit.cluster.client import ApiNotFound, Client
from container_kit.cluster.controllers.framework import Informer
from container_kit.cluster.controllers.services.backends import LAST_CHANGE
from container_kit.cluster.controllers.services.slices import SliceChanges
from container_kit.cluster.meta import Key, Object, labels_of, name_of, namespace_of, owner_reference

__all__ = ["MANAGED_BY", "SERVICE_NAME", "SLICES", "carry_out", "own_slices"]

SLICES = "endpointslices.discovery.k8s.io"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
SERVICE_NAME = "kubernetes.io/service-name"


def own_slices(slices: Informer, key: Key, manager: str) -> list[Object]:
    """The slices of a service that *manager* looks after."""
    return [
        piece
        for piece in slices.in_namespace(key.namespace)
        if labels_of(piece).get(SERVICE_NAME) == key.name and labels_of(piece).get(MANAGED_BY) == manager
    ]


def carry_out(
    client: Client, changes: SliceChanges, owner: Object, labels: Mapping[str, str], notes: Mapping[str, str]
) -> None:
    """Make, change and delete slices.

    Args:
        owner: With whom slices go; it names them, too.
        labels: All labels of a slice.
        notes: Its annotations; the time of the last change is dropped if it is not among them.
    """
    for content in changes.create:
        meta: Object = {
            "generateName": f"{name_of(owner)}-",
            "namespace": namespace_of(owner),
            "labels": dict(labels),
            "ownerReferences": [owner_reference(owner)],
        }
        if notes:
            meta["annotations"] = dict(notes)
        client.create(
            {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": meta} | content
        )
    for piece in changes.update:
        client.update(piece | {"metadata": _noted(piece["metadata"], labels, notes)})
    for piece in changes.delete:
        try:
            client.delete(SLICES, name_of(piece), namespace_of(piece))
        except ApiNotFound:
            continue


def _noted(meta: Object, labels: Mapping[str, str], notes: Mapping[str, str]) -> Object:
    kept = {key: value for key, value in (meta.get("annotations") or {}).items() if key != LAST_CHANGE}
    made = meta | {"labels": dict(labels), "annotations": kept | dict(notes)}
    return (
        made if made["annotations"] else {key: value for key, value in made.items() if key != "annotations"}
    )
