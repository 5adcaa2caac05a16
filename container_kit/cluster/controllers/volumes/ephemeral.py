"""Claims of pods that bring their own: a volume of kind ``ephemeral`` lives as long as its pod.

Source: kubernetes.io, "Ephemeral Volumes" (generic ephemeral volumes).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from container_kit.cluster.controllers.framework import Manager, Mapper, keys_of
from container_kit.cluster.meta import (
    Key,
    Object,
    controller_of,
    is_deleting,
    key_of,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)

__all__ = ["EphemeralVolumes"]

_CLAIMS = "persistentvolumeclaims"


class EphemeralVolumes:
    """Makes the claims that pods describe; they go with their pods."""

    name = "ephemeral-volume-controller"
    component = "ephemeral_volume"

    def __init__(self, manager: Manager) -> None:
        self._client, self._events = manager.client_of(self.name), manager.recorder(self.component, self.name)
        self._pods, self._claims = manager.informer("pods"), manager.informer(_CLAIMS)

    def watches(self) -> Mapping[str, Mapper]:
        return {"pods": keys_of(_if_it_brings_volumes), _CLAIMS: keys_of(_pod_of)}

    def reconcile(self, key: Key) -> float | None:
        pod = self._pods.get(key.namespace, key.name)
        if pod is None or is_deleting(pod):
            return None
        for volume in _ephemeral(pod):
            self._ensure(pod, volume)
        return None

    def _ensure(self, pod: Object, volume: Object) -> None:
        name = f"{name_of(pod)}-{volume['name']}"
        claim = self._claims.get(namespace_of(pod), name)
        if claim is None:
            self._client.create(_claim(pod, name, volume["ephemeral"]["volumeClaimTemplate"]))
        elif (controller_of(claim) or {}).get("uid") != uid_of(pod):
            where = f"{namespace_of(pod)}/{name}"
            text = (
                f"PVC {where} was not created for pod {namespace_of(pod)}/{name_of(pod)} (pod is not owner)"
            )
            self._events.event(pod, "Warning", "ConflictingClaim", text)


def _claim(pod: Object, name: str, template: Object) -> Object:
    wanted = template.get("metadata") or {}
    kept = {field: wanted[field] for field in ("labels", "annotations") if wanted.get(field)}
    owner = owner_reference({"apiVersion": "v1", "kind": "Pod"} | pod)
    meta = {"name": name, "namespace": namespace_of(pod), "ownerReferences": [owner]}
    kind = {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
    return {**kind, "metadata": meta | kept, "spec": template["spec"]}


def _ephemeral(pod: Object) -> list[Object]:
    return [volume for volume in pod["spec"].get("volumes") or () if "ephemeral" in volume]


def _if_it_brings_volumes(pod: Object) -> Iterable[Key]:
    return (key_of("pods", pod),) if _ephemeral(pod) else ()


def _pod_of(claim: Object) -> Iterable[Key]:
    """A claim that somebody deletes is made again."""
    owner = controller_of(claim) or {}
    return (Key("pods", namespace_of(claim), owner["name"]),) if owner.get("kind") == "Pod" else ()
