"""Checks of volumes that outlive pods: volumes, claims, classes, drivers.

Source: Kubernetes API reference, PersistentVolume, PersistentVolumeClaim, StorageClass.
"""

import copy
import posixpath
from typing import Any

from container_kit.cluster.kinds.go import go_resources, invalid_as, unsupported_as
from container_kit.cluster.kinds.metadata import check_annotations, check_labels, immutable
from container_kit.cluster.kinds.validation.common import (
    Errors,
    choice,
    duplicate,
    problems,
    required,
    required_fields,
    selector,
)
from container_kit.cluster.kinds.validation.scheduling import node_selector
from container_kit.cluster.kinds.validation.volumes import one_source, persistent_sources
from container_kit.cluster.meta import FieldError, Object, quantity
from container_kit.cluster.meta.names import (
    dns1123_label_problems,
    dns1123_subdomain_problems,
    qualified_name_problems,
)

__all__ = ["CHECKS", "UPDATES", "claim_template"]

Node = dict[str, Any]
_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")


def _access_modes(field: str, modes: Any) -> Errors:
    errors = [error for mode in modes for error in choice(field, mode, _MODES)]
    if "ReadWriteOncePod" in modes and len({*modes} & {*_MODES}) > 1:
        errors.append(FieldError.forbidden(field, "may not use ReadWriteOncePod with other access modes"))
    return errors


def persistent_volume(obj: Object) -> Errors:
    spec = obj.get("spec") or {}
    modes, capacity = spec.get("accessModes") or (), spec.get("capacity") or {}
    errors = required("spec.accessModes", modes) + _access_modes("spec.accessModes", modes)
    errors += _capacity("spec.capacity", capacity)
    policy = spec.get("persistentVolumeReclaimPolicy")
    if policy:
        errors += choice("spec.persistentVolumeReclaimPolicy", policy, ("Delete", "Recycle", "Retain"))
    affinity = spec.get("nodeAffinity")
    if affinity is not None and affinity.get("required") is None:
        detail = "must specify required node constraints"
        errors.append(FieldError.required("spec.nodeAffinity.required", detail))
    elif affinity is not None:
        errors += node_selector("spec.nodeAffinity.required", affinity["required"])
    errors += one_source("spec", spec, persistent_sources)
    if spec.get("local") is not None and affinity is None:
        errors.append(FieldError.required("spec.nodeAffinity", "Local volume requires node affinity"))
    path = (spec.get("hostPath") or {}).get("path")
    if path and posixpath.normpath(path) in ("/", "//") and policy == "Recycle":
        detail = "may not be 'recycle' for a hostPath mount of '/'"
        errors.append(FieldError.forbidden("spec.persistentVolumeReclaimPolicy", detail))
    return errors + _class_and_mode("spec", spec)


def _capacity(field: str, capacity: Node) -> Errors:
    errors = required(field, capacity)
    if list(capacity) != ["storage"]:
        errors.append(unsupported_as(field, go_resources(capacity), ("storage",)))
    for name, value in capacity.items():
        where, found = f"{field}[{name}]", quantity(value)
        if found < 0:
            errors.append(FieldError.invalid(where, int(found), "must be a valid resource quantity"))
        if found <= 0:
            errors.append(FieldError.invalid(where, str(value), "must be greater than zero"))
    return errors


def _class_and_mode(path: str, spec: Node) -> Errors:
    errors: Errors = []
    if spec.get("storageClassName"):
        errors += problems(f"{path}.storageClassName", spec["storageClassName"], dns1123_subdomain_problems)
    if spec.get("volumeMode") is not None:
        errors += choice(f"{path}.volumeMode", spec["volumeMode"], ("Block", "Filesystem"))
    return errors


def claim(obj: Object) -> Errors:
    return claim_spec("spec", obj.get("spec") or {})


def claim_template(path: str, template: Node) -> Errors:
    """The problems of what claims of pods are to be; only labels and annotations may be said beside it."""
    metadata = template.get("metadata") or {}
    errors = check_annotations(metadata.get("annotations"), f"{path}.metadata.annotations")
    errors += check_labels(metadata.get("labels"), f"{path}.metadata.labels")
    for key, value in metadata.items():
        if key not in ("annotations", "labels") and value:
            errors.append(FieldError.forbidden(f"{path}.metadata.{key}", "cannot be set"))
    return errors + claim_spec(f"{path}.spec", template.get("spec") or {})


def claim_spec(path: str, spec: Node) -> Errors:
    """The problems of what a claim, or a template of one, asks for."""
    modes = spec.get("accessModes") or ()
    errors = required(f"{path}.accessModes", modes, "at least 1 access mode is required")
    errors += selector(f"{path}.selector", spec.get("selector"))
    errors += _access_modes(f"{path}.accessModes", modes)
    requests = (spec.get("resources") or {}).get("requests") or {}
    field = f"{path}.resources[storage]"
    if "storage" not in requests:
        errors.append(FieldError.required(field))
    elif quantity(requests["storage"]) <= 0:
        errors.append(FieldError.invalid(field, str(requests["storage"]), "must be greater than zero"))
    return errors + _class_and_mode(path, spec) + _data_sources(path, spec)


def _data_sources(path: str, spec: Node) -> Errors:
    """What a new volume is filled with."""
    plain, rich = spec.get("dataSource"), spec.get("dataSourceRef")
    errors: Errors = []
    for key, source in (("dataSource", plain), ("dataSourceRef", rich)):
        if source is not None:
            errors += _data_source(f"{path}.{key}", source)
    if plain is not None and rich is not None:
        if rich.get("namespace"):
            detail = "may not be specified when dataSourceRef.namespace is specified"
            errors.append(invalid_as(path, f"{path}.dataSource", detail))
        elif any(plain.get(key) != rich.get(key) for key in ("apiGroup", "kind", "name")):
            errors.append(invalid_as(path, f"{path}.dataSource", "must match dataSourceRef"))
    return errors


def _data_source(path: str, source: Node) -> Errors:
    errors = required_fields(path, source, "name", "kind")
    kind, group = source.get("kind") or "", source.get("apiGroup") or ""
    if group:
        errors += problems(f"{path}.apiGroup", group, dns1123_subdomain_problems)
    elif kind != "PersistentVolumeClaim":
        detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        errors.append(FieldError.invalid(path, kind, detail))
    if source.get("namespace"):
        errors += problems(f"{path}.namespace", source["namespace"], dns1123_label_problems)
    return errors


_FIXED = (
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound "
    "claims\n"
)


def claim_update(new: Object, old: Object) -> Errors:
    fresh, stale = copy.deepcopy(new["spec"]), copy.deepcopy(old["spec"])
    errors: Errors = []
    if not stale.get("volumeName"):
        stale["volumeName"] = fresh.get("volumeName")  # a claim is bound once
    if stale.get("storageClassName") is None:
        stale["storageClassName"] = fresh.get("storageClassName")  # the default class, set afterwards
    if (new.get("status") or {}).get("phase") == "Bound":
        for spec in (fresh, stale):  # what is bound may grow
            ((spec.get("resources") or {}).get("requests") or {}).pop("storage", None)
            spec.pop("volumeAttributesClassName", None)
    if _without_nothing(fresh) != _without_nothing(stale):
        errors.append(FieldError.forbidden("spec", _FIXED))
    if _size(new) < _size(old):
        field, status = "spec.resources.requests.storage", (old.get("status") or {}).get("capacity") or {}
        if _size(new) <= quantity(status.get("storage", 0)):
            errors.append(FieldError.forbidden(field, "field can not be less than status.capacity"))
    return errors + immutable("volumeMode", new["spec"].get("volumeMode"), old["spec"].get("volumeMode"))


def _without_nothing(spec: Node) -> Node:
    return {key: value for key, value in spec.items() if value not in (None, "", {}, [])}


def _size(obj: Object) -> Any:
    return quantity(((obj["spec"].get("resources") or {}).get("requests") or {}).get("storage", 0))


def volume_update(new: Object, old: Object) -> Errors:
    fresh, stale = (
        {key: each["spec"][key] for key in persistent_sources if each["spec"].get(key) is not None}
        for each in (new, old)
    )
    errors: Errors = []
    if fresh != stale:
        detail = "spec.persistentvolumesource is immutable after creation\n"
        errors.append(FieldError.forbidden("spec.persistentvolumesource", detail))
    errors += immutable("volumeMode", new["spec"].get("volumeMode"), old["spec"].get("volumeMode"))
    if old["spec"].get("nodeAffinity") is not None:
        errors += _kept_affinity(new["spec"].get("nodeAffinity"), old["spec"]["nodeAffinity"])
    return errors


def _kept_affinity(new: Node | None, old: Node) -> Errors:
    if new == old:
        return []
    shown = "core.VolumeNodeAffinity{...}" if new else '"null"'
    return [
        invalid_as("nodeAffinity", shown, "field is immutable, except for updating from beta label to GA")
    ]


def storage_class(obj: Object) -> Errors:
    provisioner = obj.get("provisioner") or ""
    errors = (
        problems("provisioner", provisioner.lower(), qualified_name_problems)
        if provisioner
        else [FieldError.required("provisioner")]
    )
    parameters = obj.get("parameters") or {}
    for key in parameters:
        if not key:
            errors.append(FieldError.invalid("parameters", key, "field can not be empty."))
    if sum(len(key) + len(value) for key, value in parameters.items()) > _MAX_PARAMETERS_BYTES:
        errors.append(FieldError.too_long("parameters", _MAX_PARAMETERS_BYTES))
    if obj.get("reclaimPolicy"):
        errors += choice("reclaimPolicy", obj["reclaimPolicy"], ("Delete", "Retain"))
    modes = ("Immediate", "WaitForFirstConsumer")
    errors += choice("volumeBindingMode", obj.get("volumeBindingMode"), modes)
    for index, term in enumerate(obj.get("allowedTopologies") or ()):
        errors += _topology(f"allowedTopologies[{index}].matchLabelExpressions", term)
    return errors


_MAX_PARAMETERS_BYTES = 256 * 1024


def _topology(field: str, term: Node) -> Errors:
    errors: Errors = []
    keys: set[str] = set()
    for index, requirement in enumerate(term.get("matchLabelExpressions") or ()):
        path, values = f"{field}[{index}]", requirement.get("values") or ()
        errors += required(f"{path}.values", values)
        seen: set[str] = set()
        for at, value in enumerate(values):
            errors += duplicate(f"{path}.values[{at}]", value, seen)
        key = requirement.get("key") or ""
        errors += problems(f"{path}.key", key, qualified_name_problems) + duplicate(f"{path}.key", key, keys)
    return errors


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
