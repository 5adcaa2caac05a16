"""Binding claims to volumes, and what becomes of a volume whose claim is gone.

A binding is written in four steps, each of which may be the last before a crash: the volume names the claim,
says that it is bound, the claim names the volume, says that it is bound.  Whoever finds some of them done
does the rest.

Source: kubernetes.io, "Persistent Volumes" (Binding, Reclaiming), "Storage Classes".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from container_kit.cluster.controllers.framework import Manager, Mapper, keys_of
from container_kit.cluster.meta import Key, Object, annotations_of, is_deleting, key_of, name_of, uid_of
from container_kit.cluster.meta.volumes import (
    BIND_COMPLETED,
    BOUND_BY_CONTROLLER,
    NO_PROVISIONER,
    SELECTED_NODE,
    claim_reference,
    class_of,
    is_for_claim,
    mismatch,
    smallest_fitting,
)

__all__ = ["PROVISIONED_BY", "PROVISIONERS", "VolumeBinder"]

_CLAIMS, _VOLUMES, _CLASSES = "persistentvolumeclaims", "persistentvolumes", "storageclasses.storage.k8s.io"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
PROVISIONERS = ("volume.beta.kubernetes.io/storage-provisioner", "volume.kubernetes.io/storage-provisioner")
# Volumes are often made together, and a claim that waits is to get the smallest of them, not the first: it is
# looked at again when no new one has come for a second, or the first of them came 15 s ago.
_QUIET_S, _PATIENCE_S = 1.0, 15.0
_EXTERNAL = (
    "Waiting for a volume to be created either by the external provisioner '{}' or manually by the "
    "system administrator. If volume creation is delayed, please verify that the provisioner is running and "
    "correctly registered."
)


class VolumeBinder:
    """Brings claims and volumes together."""

    name = "persistent-volume-binder"
    component = "persistentvolume-controller"

    def __init__(self, manager: Manager) -> None:
        self._manager, self._client, self._clock = manager, manager.client_of(self.name), manager.clock
        self._events = manager.recorder(self.component, self.name)
        self._claims, self._volumes = manager.informer(_CLAIMS), manager.informer(_VOLUMES)
        self._classes = manager.informer(_CLASSES)
        self._hopes: dict[Key, tuple[float, float]] = {}  # when the first and the last new volume came

    def watches(self) -> Mapping[str, Mapper]:
        return {
            _CLAIMS: keys_of(lambda claim: [key_of(_CLAIMS, claim), *_volume_of(claim)]),
            _VOLUMES: self._of_volume,
            _CLASSES: lambda old, new: self._waiting_for(name_of(new or old or {})),
        }

    def _of_volume(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        volume = new or old or {}
        if new is not None and new["spec"].get("claimRef") is None:
            now_s = self._clock.monotonic()
            for key in self._waiting_for(class_of(new)):
                first_s, _ = self._hopes.get(key, (now_s, now_s))
                self._hopes[key] = first_s, now_s
                self._manager.enqueue(self, key, _QUIET_S)
        claims = {_claim_of(each) for each in (old, new) if each is not None}
        return [key_of(_VOLUMES, volume), *(key for key in claims if key is not None)]

    def _waiting_for(self, storage_class: str) -> list[Key]:
        return [
            key_of(_CLAIMS, claim)
            for claim in self._claims
            if class_of(claim) == storage_class and BIND_COMPLETED not in annotations_of(claim)
        ]

    def reconcile(self, key: Key) -> float | None:
        if key.resource == _VOLUMES:
            volume = self._volumes.get("", key.name)
            if volume is not None:
                self._sync_volume(volume)
            return None
        claim = self._claims.get(key.namespace, key.name)
        if claim is None:
            self._hopes.pop(key, None)
            return None
        return self._sync_claim(claim)

    def _left_s(self, key: Key) -> float:
        """How much longer a claim waits for more volumes."""
        if key not in self._hopes:
            return 0.0
        first_s, last_s = self._hopes[key]
        return min(last_s + _QUIET_S, first_s + _PATIENCE_S) - self._clock.monotonic()

    # Claims.

    def _sync_claim(self, claim: Object) -> float | None:
        if BIND_COMPLETED in annotations_of(claim):
            self._sync_bound(claim)
        elif is_deleting(claim):
            return None
        elif claim["spec"].get("volumeName"):
            self._sync_chosen(claim)
        else:
            return self._sync_open(claim)
        return None

    def _sync_bound(self, claim: Object) -> None:
        volume = self._volumes.get("", claim["spec"].get("volumeName") or "")
        if volume is None:
            text = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
            self._lose(claim, "ClaimLost", text)
        elif volume["spec"].get("claimRef") is None or is_for_claim(volume, claim):
            self._bind(volume, claim)
        else:
            text = "Two claims are bound to the same volume, this one is bound incorrectly"
            self._lose(claim, "ClaimMisbound", text)

    def _lose(self, claim: Object, reason: str, text: str) -> None:
        if (claim.get("status") or {}).get("phase") != "Lost":
            self._client.update_status({**claim, "status": {"phase": "Lost"}})
            self._say(claim, "Warning", reason, text)

    def _sync_chosen(self, claim: Object) -> None:
        """The user has named a volume."""
        name = claim["spec"]["volumeName"]
        volume = self._volumes.get("", name)
        if volume is None:
            return
        if volume["spec"].get("claimRef") is not None and not is_for_claim(volume, claim):
            self._say(
                claim, "Warning", "FailedBinding", f'volume "{name}" already bound to a different claim.'
            )
        elif problem := mismatch(volume, claim):
            text = f'Cannot bind to requested volume "{name}": {problem}'
            self._say(claim, "Warning", "VolumeMismatch", text)
        else:
            self._bind(volume, claim)

    def _sync_open(self, claim: Object) -> float | None:
        """Any volume that fits will do; if there is none, one may be made."""
        key = key_of(_CLAIMS, claim)
        waits = self._waits(claim)
        candidates = [volume for volume in self._volumes if not waits or is_for_claim(volume, claim)]
        volume = smallest_fitting(candidates, claim)
        if volume is not None:
            if not is_for_claim(volume, claim) and (left_s := self._left_s(key)) > 0:
                return left_s
            self._hopes.pop(key, None)
            self._bind(volume, claim)
        elif waits:
            text = "waiting for first consumer to be created before binding"
            self._say(claim, "Normal", "WaitForFirstConsumer", text)
        elif class_of(claim):
            self._provision(claim)
        else:
            text = "no persistent volumes available for this claim and no storage class is set"
            self._say(claim, "Normal", "FailedBinding", text)
        return None

    def _waits(self, claim: Object) -> bool:
        """Whether the scheduler has to choose a node first."""
        chosen = self._classes.get("", class_of(claim)) or {}
        is_late = chosen.get("volumeBindingMode") == "WaitForFirstConsumer"
        return is_late and SELECTED_NODE not in annotations_of(claim)

    def _provision(self, claim: Object) -> None:
        """Leave it to the provisioner of the class."""
        name = class_of(claim)
        chosen = self._classes.get("", name)
        if chosen is None:
            text = f'storageclass.storage.k8s.io "{name}" not found'
            self._say(claim, "Warning", "ProvisioningFailed", text)
            return
        provisioner: str = chosen["provisioner"]
        if provisioner == NO_PROVISIONER:
            return
        wanted = dict.fromkeys(PROVISIONERS, provisioner)
        if not wanted.items() <= annotations_of(claim).items():
            self._client.update(_annotated(claim, wanted))
        self._say(claim, "Normal", "ExternalProvisioning", _EXTERNAL.format(provisioner))

    # Both.

    def _bind(self, volume: Object, claim: Object) -> None:
        volume = self._promise(volume, claim)
        self._set_phase(volume, "Bound")
        named = {BIND_COMPLETED: "yes"}
        if not claim["spec"].get("volumeName"):
            named[BOUND_BY_CONTROLLER] = "yes"
        wanted = _annotated(claim, named)
        wanted["spec"] = claim["spec"] | {"volumeName": name_of(volume)}
        if wanted != claim:
            claim = self._client.update(wanted)
        status = (claim.get("status") or {}) | {
            "phase": "Bound",
            "accessModes": volume["spec"]["accessModes"],
            "capacity": volume["spec"]["capacity"],
        }
        if status != claim.get("status"):
            self._client.update_status({**claim, "status": status})

    def _promise(self, volume: Object, claim: Object) -> Object:
        """The volume names this claim, with its UID."""
        if (volume["spec"].get("claimRef") or {}).get("uid") == uid_of(claim):
            return volume
        is_ours = volume["spec"].get("claimRef") is None
        wanted = _annotated(volume, {BOUND_BY_CONTROLLER: "yes"} if is_ours else {})
        wanted["spec"] = volume["spec"] | {"claimRef": claim_reference(claim)}
        return self._client.update(wanted)

    def _set_phase(self, volume: Object, phase: str, message: str = "") -> Object:
        old = volume.get("status") or {}
        if old.get("phase") == phase and old.get("message", "") == message:
            return volume
        status = {"phase": phase} | ({"message": message} if message else {})
        status["lastPhaseTransitionTime"] = self._clock.stamp()
        return self._client.update_status({**volume, "status": status})

    # Volumes.

    def _sync_volume(self, volume: Object) -> None:
        reference = volume["spec"].get("claimRef")
        if reference is None or not reference.get("uid"):
            self._set_phase(volume, "Available")
            return
        claim = self._claims.get(reference["namespace"], reference["name"])
        if claim is None or uid_of(claim) != reference["uid"]:
            self._release(volume)
        elif claim["spec"].get("volumeName") == name_of(volume):
            self._set_phase(volume, "Bound")

    def _release(self, volume: Object) -> None:
        """Its claim is gone: what the reclaim policy says. Who made the volume deletes it, too."""
        if (volume.get("status") or {}).get("phase") == "Failed":
            return
        volume = self._set_phase(volume, "Released")
        policy = volume["spec"].get("persistentVolumeReclaimPolicy", "Retain")
        if policy == "Retain" or PROVISIONED_BY in annotations_of(volume) or is_deleting(volume):
            return
        text = _no_plugin(volume, policy)
        self._set_phase(volume, "Failed", text)
        self._say(
            volume, "Warning", "VolumeFailedDelete" if policy == "Delete" else "VolumeFailedRecycle", text
        )

    def _say(self, about: Object, kind: Literal["Normal", "Warning"], reason: str, text: str) -> None:
        what = {
            "apiVersion": "v1",
            "kind": "PersistentVolume" if "capacity" in about["spec"] else "PersistentVolumeClaim",
        }
        self._events.event(what | about, kind, reason, text)


def _no_plugin(volume: Object, policy: str) -> str:
    """Volumes that somebody made by hand are nobody's to delete."""
    path = (volume["spec"].get("hostPath") or {}).get("path")
    if path is not None and policy == "Delete":
        return f"host_path deleter only supports /tmp/.+ but received provided {path}"
    action = "deleter" if policy == "Delete" else "recycler"
    return f"error getting {action} volume plugin for volume {name_of(volume)!r}: no volume plugin matched"


def _annotated(obj: Object, notes: Mapping[str, str]) -> Object:
    merged = annotations_of(obj) | dict(notes)
    return {**obj, "metadata": obj["metadata"] | ({"annotations": merged} if merged else {})}


def _volume_of(claim: Object) -> list[Key]:
    name = claim["spec"].get("volumeName")
    return [Key(_VOLUMES, "", name)] if name else []


def _claim_of(volume: Object) -> Key | None:
    reference = volume["spec"].get("claimRef")
    return Key(_CLAIMS, reference["namespace"], reference["name"]) if reference else None
