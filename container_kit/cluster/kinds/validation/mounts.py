"""Checks of how containers use the volumes of their pod: as folders, or as devices.

Source: Kubernetes API reference, VolumeMount, VolumeDevice.
"""

from collections.abc import Mapping
from typing import Any

from container_kit.cluster.kinds.validation.common import (
    Errors,
    choice,
    descending_path,
    path_without_backsteps,
    required,
)
from container_kit.cluster.meta import FieldError

__all__ = ["Volumes", "check_devices", "check_mounts"]

Node = dict[str, Any]
Volumes = Mapping[str, Node]  # the volumes of a pod that have no problem, by name


def check_mounts(field: str, mounts: Any, devices: Any, volumes: Volumes, container: Node) -> Errors:
    """The problems of the mounts of a container."""
    errors: Errors = []
    paths: set[str] = set()
    device_paths = {each.get("name"): each.get("devicePath") for each in devices}
    for index, mount in enumerate(mounts):
        path = f"{field}[{index}]"
        name, target = mount.get("name") or "", mount.get("mountPath") or ""
        errors += required(f"{path}.name", name)
        if name not in volumes:
            errors.append(FieldError.not_found(f"{path}.name", name))
        errors += required(f"{path}.mountPath", target)
        if target in paths:
            errors.append(FieldError.invalid(f"{path}.mountPath", target, "must be unique"))
        paths.add(target)
        if name in device_paths:
            errors.append(FieldError.invalid(f"{path}.name", name, "must not already exist in volumeDevices"))
        if target in device_paths.values():
            detail = "must not already exist as a path in volumeDevices"
            errors.append(FieldError.invalid(f"{path}.mountPath", target, detail))
        errors += _sub_paths(field, path, mount, volumes.get(name) or {})
        errors += _propagation(field, mount, container) + _recursive(f"{field}.recursiveReadOnly", mount)
    return errors


def _sub_paths(field: str, path: str, mount: Node, volume: Node) -> Errors:
    """Parts of volumes; as in the original the path of an error does not say of which mount."""
    plain, expanded = mount.get("subPath"), mount.get("subPathExpr")
    errors: Errors = []
    for key, value in (("subPath", plain), ("subPathExpr", expanded)):
        if value and volume.get("image") is not None:
            errors.append(FieldError.invalid(f"{path}.{key}", value, "not allowed in image volume sources"))
    if plain:
        errors += descending_path(f"{field}.subPath", plain)
    if expanded and plain:
        detail = "subPathExpr and subPath are mutually exclusive"
        errors.append(FieldError.invalid(f"{path}.subPathExpr", expanded, detail))
    return errors + (descending_path(f"{field}.subPathExpr", expanded) if expanded else [])


def _propagation(field: str, mount: Node, container: Node) -> Errors:
    mode, where = mount.get("mountPropagation"), f"{field}.mountPropagation"
    if mode is None:
        return []
    if mode == "Bidirectional" and not (container.get("securityContext") or {}).get("privileged"):
        detail = "Bidirectional mount propagation is available only to privileged containers"
        return [FieldError.forbidden(where, detail)]
    return choice(where, mode, ("Bidirectional", "HostToContainer", "None"))


def _recursive(field: str, mount: Node) -> Errors:
    wanted = mount.get("recursiveReadOnly")
    if wanted not in ("Enabled", "IfPossible"):
        known = ("Disabled", "Enabled", "IfPossible")
        return [] if wanted is None else choice(field, wanted, known)
    errors: Errors = []
    if not mount.get("readOnly"):
        errors.append(FieldError.forbidden(field, "may only be specified when readOnly is true"))
    if mount.get("mountPropagation") not in (None, "None"):
        detail = "may only be specified when mountPropagation is None or not specified"
        errors.append(FieldError.forbidden(field, detail))
    return errors


def check_devices(field: str, devices: Any, mounts: Any, volumes: Volumes) -> Errors:
    """The problems of the block devices of a container."""
    errors: Errors = []
    names: set[str] = set()
    paths: set[str] = set()
    for index, device in enumerate(devices):
        where = f"{field}[{index}]"
        errors += _device(where, device, volumes, names, paths)
        for key, word in (("name", "name"), ("devicePath", "mountPath")):
            value = device.get(key) or ""
            if value in {each.get(word) for each in mounts}:
                what = "in volumeMounts" if key == "name" else "as a path in volumeMounts"
                errors.append(FieldError.invalid(f"{where}.{key}", value, f"must not already exist {what}"))
        names |= {device.get("name") or ""} - {""}
    return errors


def _device(where: str, device: Node, volumes: Volumes, names: set[str], paths: set[str]) -> Errors:
    name, path = device.get("name") or "", device.get("devicePath") or ""
    volume = volumes.get(name)
    errors = required(f"{where}.name", name)
    if name in names:
        errors.append(FieldError.invalid(f"{where}.name", name, "must be unique"))
    if volume is None:
        errors.append(FieldError.not_found(f"{where}.name", name))
    elif volume.get("persistentVolumeClaim") is None and volume.get("ephemeral") is None:
        detail = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
        errors.append(FieldError.invalid(f"{where}.name", name, detail))
    errors += required(f"{where}.devicePath", path)
    if path in paths:
        errors.append(FieldError.invalid(f"{where}.devicePath", path, "must be unique"))
    if path_without_backsteps(where, path):
        detail = "can not contain backsteps ('..')"
        errors.append(FieldError.invalid(f"{where}.devicePath", path, detail))
    else:
        paths.add(path)
    return errors
