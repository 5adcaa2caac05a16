"""Volumes that are directories of this machine, made when a claim asks for one and removed after it.

To the cluster this is a provisioner like any other: the binder marks claims for it, it makes volumes, the
binder binds them.  All nodes of the cluster are on this machine, so that a volume can be reached from each.

Source: kubernetes.io, "Dynamic Volume Provisioning", "Storage Classes" (reclaim policy).
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from container_kit.cluster.client import ApiExists
from container_kit.cluster.controllers.framework import Manager, Mapper, keys_of
from container_kit.cluster.controllers.volumes.binder import PROVISIONED_BY, PROVISIONERS
from container_kit.cluster.meta import Key, Object, annotations_of, is_deleting, key_of, name_of, uid_of
from container_kit.cluster.meta.volumes import BIND_COMPLETED, claim_reference, class_of

__all__ = ["LOCAL_PROVISIONER", "LocalProvisioner"]

LOCAL_PROVISIONER = "container-kit/local"
_CLAIMS, _VOLUMES, _CLASSES = "persistentvolumeclaims", "persistentvolumes", "storageclasses.storage.k8s.io"


class LocalProvisioner:
    """Makes the volumes of classes whose provisioner is ``container-kit/local``.

    Args:
        directory: Below it each volume has a directory of its own, open to every user as pods have many.
    """

    name = "persistent-volume-provisioner"

    def __init__(self, manager: Manager, directory: str) -> None:
        self._client, self._directory = manager.client_of(self.name), directory
        self._events = manager.recorder(LOCAL_PROVISIONER, self.name)
        self._claims, self._volumes = manager.informer(_CLAIMS), manager.informer(_VOLUMES)
        self._classes = manager.informer(_CLASSES)

    def watches(self) -> Mapping[str, Mapper]:
        return {
            _CLAIMS: keys_of(lambda claim: (key_of(_CLAIMS, claim),)),
            _VOLUMES: keys_of(lambda volume: (key_of(_VOLUMES, volume),)),
            _CLASSES: lambda old, new: (),  # only to have seen them
        }

    def reconcile(self, key: Key) -> float | None:
        if key.resource == _VOLUMES:
            self._remove(self._volumes.get("", key.name))
            return None
        claim = self._claims.get(key.namespace, key.name)
        if claim is not None and _is_ours(claim):
            self._make(claim)
        return None

    def _make(self, claim: Object) -> None:
        """A directory, and a volume that is promised to the claim. Both may be there from an earlier try."""
        name = f"pvc-{uid_of(claim)}"
        chosen = self._classes.get("", class_of(claim))
        if chosen is None or self._volumes.get("", name) is not None:
            return
        path = os.path.join(self._directory, name)
        os.makedirs(path, exist_ok=True)
        os.chmod(path, 0o777)  # noqa: S103  # as every volume, before fsGroup narrows it
        try:
            self._client.create(_volume(name, path, claim, chosen))
        except ApiExists:
            return
        about = {"apiVersion": "v1", "kind": "PersistentVolumeClaim"} | claim
        text = f"Successfully provisioned volume {name}"
        self._events.event(about, "Normal", "ProvisioningSucceeded", text)

    def _remove(self, volume: Object | None) -> None:
        """Directory first: a volume that is gone could not tell any more what is to be removed."""
        if volume is None or annotations_of(volume).get(PROVISIONED_BY) != LOCAL_PROVISIONER:
            return
        is_released = (volume.get("status") or {}).get("phase") == "Released"
        if (
            not is_released
            or volume["spec"]["persistentVolumeReclaimPolicy"] != "Delete"
            or is_deleting(volume)
        ):
            return
        from container_kit.native.trees import discard_tree  # only who has nodes makes volumes

        discard_tree(os.path.join(self._directory, name_of(volume)))
        self._client.delete(_VOLUMES, name_of(volume), uid=uid_of(volume))


def _is_ours(claim: Object) -> bool:
    notes = annotations_of(claim)
    return (
        notes.get(PROVISIONERS[1]) == LOCAL_PROVISIONER
        and BIND_COMPLETED not in notes
        and not is_deleting(claim)
    )


def _volume(name: str, path: str, claim: Object, chosen: Object) -> Object:
    spec = claim["spec"]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {PROVISIONED_BY: LOCAL_PROVISIONER}},
        "spec": {
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": spec["accessModes"],
            "claimRef": claim_reference(claim),
            "hostPath": {"path": path, "type": "DirectoryOrCreate"},
            "persistentVolumeReclaimPolicy": chosen.get("reclaimPolicy", "Delete"),
            "storageClassName": class_of(claim),
            "volumeMode": spec.get("volumeMode", "Filesystem"),
        },
    }
