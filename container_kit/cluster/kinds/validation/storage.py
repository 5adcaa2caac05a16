"""Checks of volumes that outlive pods: volumes, claims, classes, drivers.

Source: Kubernetes API reference, PersistentVolume, PersistentVolumeClaim, StorageClass.
"""

from typing import Any

from container_kit.cluster.kinds.go import go_resources
from container_kit.cluster.kinds.validation.common import Errors, choice, problems, required, selector
from container_kit.cluster.kinds.validation.resources import amount, resource_name
from container_kit.cluster.kinds.validation.scheduling import node_selector
from container_kit.cluster.kinds.validation.volumes import one_source, persistent_sources
from container_kit.cluster.meta import FieldError, Object, quantity
from container_kit.cluster.meta.names import dns1123_subdomain_problems, qualified_name_problems

__all__ = ["CHECKS", "UPDATES", "claim_spec"]

Node = dict[str, Any]
_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")


def _access_modes(field: str, modes: Any, detail: str = "") -> Errors:
    if not modes:
        return [FieldError.required(field, detail)]
    errors = [error for mode in modes for error in choice(field, mode, _MODES)]
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        errors.append(FieldError.forbidden(field, "may not use ReadWriteOncePod with other access modes"))
    return errors


def persistent_volume(obj: Object) -> Errors:
    spec = obj.get("spec") or {}
    errors = _access_modes("spec.accessModes", spec.get("accessModes"))
    capacity = spec.get("capacity") or {}
    if not capacity:
        errors.append(FieldError.required("spec.capacity"))
    if list(capacity) != ["storage"]:
        message = f'Unsupported value: {go_resources(capacity)}: supported values: "storage"'
        errors.append(FieldError("spec.capacity", "FieldValueNotSupported", message))
    for name, value in capacity.items():
        field = f"spec.capacity[{name}]"
        errors += resource_name(field, name) + amount(field, name, value)
    policy = spec.get("persistentVolumeReclaimPolicy")
    if policy:
        errors += choice("spec.persistentVolumeReclaimPolicy", policy, ("Delete", "Recycle", "Retain"))
    affinity = (spec.get("nodeAffinity") or {}).get("required")
    if affinity is not None:
        errors += node_selector("spec.nodeAffinity.required", affinity)
    errors += one_source("spec", spec, persistent_sources)
    if spec.get("local") is not None and affinity is None:
        errors.append(FieldError.required("spec.nodeAffinity", "Local volume requires node affinity"))
    if (spec.get("hostPath") or {}).get("path") == "/" and policy == "Recycle":
        detail = "may not be 'recycle' for a hostPath mount of '/'"
        errors.append(FieldError.forbidden("spec.persistentVolumeReclaimPolicy", detail))
    return errors + _class_and_mode("spec", spec)


def _class_and_mode(path: str, spec: Node) -> Errors:
    errors: Errors = []
    if spec.get("storageClassName"):
        errors += problems(f"{path}.storageClassName", spec["storageClassName"], dns1123_subdomain_problems)
    if spec.get("volumeMode") is not None:
        errors += choice(f"{path}.volumeMode", spec["volumeMode"], ("Block", "Filesystem"))
    return errors


def claim(obj: Object) -> Errors:
    return claim_spec("spec", obj.get("spec") or {})


def claim_spec(path: str, spec: Node) -> Errors:
    """The problems of what a claim, or a template of one, asks for."""
    errors = _access_modes(
        f"{path}.accessModes", spec.get("accessModes"), "at least 1 access mode is required"
    )
    errors += selector(f"{path}.selector", spec.get("selector"))
    requests = (spec.get("resources") or {}).get("requests") or {}
    field = f"{path}.resources[storage]"
    if "storage" not in requests:
        errors.append(FieldError.required(field))
    elif quantity(requests["storage"]) <= 0:
        errors.append(FieldError.invalid(field, str(requests["storage"]), "must be greater than zero"))
    return errors + _class_and_mode(path, spec)


_MAY_GROW = ("resources", "volumeAttributesClassName")


def claim_update(new: Object, old: Object) -> Errors:
    fresh, stale = dict(new["spec"]), dict(old["spec"])
    errors: Errors = []
    if not stale.get("volumeName"):
        stale["volumeName"] = fresh.get("volumeName")  # a claim is bound once
    if stale.get("storageClassName") is None:
        stale["storageClassName"] = fresh.get("storageClassName")  # the default class, set afterwards
    fixed = [
        {key: value for key, value in each.items() if key not in _MAY_GROW and value}
        for each in (fresh, stale)
    ]
    if fixed[0] != fixed[1]:
        detail = (
            "spec is immutable after creation except resources.requests and volumeAttributesClassName "
            "for bound claims\n"
        )
        errors.append(FieldError.forbidden("spec", detail))
    before, now = (_size(each) for each in (old, new))
    if now < before:
        detail = "field can not be less than previous value"
        errors.append(FieldError.forbidden("spec.resources.requests.storage", detail))
    return errors


def _size(obj: Object) -> Any:
    return quantity(((obj["spec"].get("resources") or {}).get("requests") or {}).get("storage", 0))


def volume_update(new: Object, old: Object) -> Errors:
    source = next((key for key in persistent_sources if old["spec"].get(key) is not None), None)
    errors: Errors = []
    if source and new["spec"].get(source) != old["spec"].get(source):
        detail = "spec.persistentvolumesource is immutable after creation\n"
        errors.append(FieldError.forbidden("spec.persistentvolumesource", detail))
    if new["spec"].get("volumeMode") != old["spec"].get("volumeMode"):
        shown = new["spec"].get("volumeMode")
        errors.append(FieldError.invalid("spec.volumeMode", shown, "field is immutable"))
    return errors


def storage_class(obj: Object) -> Errors:
    provisioner = obj.get("provisioner") or ""
    errors = (
        problems("provisioner", provisioner.lower(), qualified_name_problems)
        if provisioner
        else [FieldError.required("provisioner")]
    )
    for key in obj.get("parameters") or {}:
        if not key:
            errors.append(FieldError.invalid("parameters", key, "field can not be empty."))
    if obj.get("reclaimPolicy"):
        errors += choice("reclaimPolicy", obj["reclaimPolicy"], ("Delete", "Retain"))
    modes = ("Immediate", "WaitForFirstConsumer")
    return errors + choice("volumeBindingMode", obj.get("volumeBindingMode"), modes)


def storage_class_update(new: Object, old: Object) -> Errors:
    errors: Errors = []
    for key in ("parameters", "provisioner", "reclaimPolicy"):
        if (new.get(key) or None) != (old.get(key) or None):
            detail = f"updates to {key} are forbidden."
            errors.append(FieldError.forbidden(key, detail))
    if new.get("volumeBindingMode") != old.get("volumeBindingMode"):
        errors.append(
            FieldError.invalid("volumeBindingMode", new.get("volumeBindingMode"), "field is immutable")
        )
    return errors


def attachment(obj: Object) -> Errors:
    spec = obj.get("spec") or {}
    errors = required("spec.attacher", spec.get("attacher")) + required("spec.nodeName", spec.get("nodeName"))
    source = spec.get("source") or {}
    given = [key for key in ("inlineVolumeSpec", "persistentVolumeName") if source.get(key) is not None]
    if not given:
        detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
        errors.append(FieldError.required("spec.source", detail))
    return errors


def csi_node(obj: Object) -> Errors:
    errors: Errors = []
    for index, driver in enumerate((obj.get("spec") or {}).get("drivers") or ()):
        for key in ("name", "nodeID"):
            errors += required(f"spec.drivers[{index}].{key}", driver.get(key))
    return errors


CHECKS = {
    ("", "PersistentVolume"): persistent_volume,
    ("", "PersistentVolumeClaim"): claim,
    ("storage.k8s.io", "StorageClass"): storage_class,
    ("storage.k8s.io", "VolumeAttachment"): attachment,
    ("storage.k8s.io", "CSINode"): csi_node,
}
UPDATES = {
    ("", "PersistentVolume"): volume_update,
    ("", "PersistentVolumeClaim"): claim_update,
    ("storage.k8s.io", "StorageClass"): storage_class_update,
}
