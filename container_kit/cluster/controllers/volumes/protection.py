"""Claims that pods use, and volumes that are bound, are not deleted before they are free.

Admission gives them a finalizer; these controllers take it away in time.

Source: kubernetes.io, "Persistent Volumes" (Storage Object in Use Protection).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from container_kit.cluster.client import Client
from container_kit.cluster.controllers.framework import Manager, Mapper, keys_of
from container_kit.cluster.meta import Key, Object, is_deleting, key_of, name_of, namespace_of

__all__ = ["ClaimProtection", "VolumeProtection"]

_CLAIMS, _VOLUMES = "persistentvolumeclaims", "persistentvolumes"
_CLAIM_IN_USE, _VOLUME_IN_USE = "kubernetes.io/pvc-protection", "kubernetes.io/pv-protection"


class ClaimProtection:
    """Lets claims go when no pod on a node uses them any more."""

    name = "pvc-protection-controller"

    def __init__(self, manager: Manager) -> None:
        self._client = manager.client_of(self.name)
        self._claims, self._pods = manager.informer(_CLAIMS), manager.informer("pods")

    def watches(self) -> Mapping[str, Mapper]:
        return {_CLAIMS: keys_of(lambda claim: (key_of(_CLAIMS, claim),)), "pods": keys_of(_claims_of)}

    def reconcile(self, key: Key) -> float | None:
        claim = self._claims.get(key.namespace, key.name)
        if claim is None or not is_deleting(claim):
            return None
        if not any(
            key in _claims_of(pod) for pod in self._pods.in_namespace(key.namespace) if _uses_node(pod)
        ):
            _let_go(self._client, _CLAIMS, claim, _CLAIM_IN_USE)
        return None


class VolumeProtection:
    """Lets volumes go that are bound to no claim."""

    name = "pv-protection-controller"

    def __init__(self, manager: Manager) -> None:
        self._client, self._volumes = manager.client_of(self.name), manager.informer(_VOLUMES)

    def watches(self) -> Mapping[str, Mapper]:
        return {_VOLUMES: keys_of(lambda volume: (key_of(_VOLUMES, volume),))}

    def reconcile(self, key: Key) -> float | None:
        volume = self._volumes.get("", key.name)
        if (
            volume is not None
            and is_deleting(volume)
            and (volume.get("status") or {}).get("phase") != "Bound"
        ):
            _let_go(self._client, _VOLUMES, volume, _VOLUME_IN_USE)
        return None


def _let_go(client: Client, resource: str, obj: Object, finalizer: str) -> None:
    finalizers = obj["metadata"].get("finalizers") or []
    if finalizer in finalizers:
        left = [each for each in finalizers if each != finalizer]
        meta = {"finalizers": left or None, "resourceVersion": obj["metadata"]["resourceVersion"]}
        client.patch(resource, name_of(obj), {"metadata": meta}, namespace_of(obj), kind="merge")


def _uses_node(pod: Object) -> bool:
    """Pods without a node, and those that have ended, hold no volume."""
    ended = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return bool(pod["spec"].get("nodeName")) and not ended


def _claims_of(pod: Object) -> Iterable[Key]:
    return tuple(Key(_CLAIMS, namespace_of(pod), name) for name in _claim_names(pod))


def _claim_names(pod: Object) -> Iterator[str]:
    for volume in pod["spec"].get("volumes") or ():
        if "persistentVolumeClaim" in volume:
            yield volume["persistentVolumeClaim"]["claimName"]
        elif "ephemeral" in volume:
            yield f"{name_of(pod)}-{volume['name']}"
