"""Checks of volumes: one source each, and what each source needs.

Source: Kubernetes API reference, Volume and PersistentVolumeSpec.
"""

from collections.abc import Callable, Mapping
from typing import Any

from container_kit.cluster.kinds.validation.common import (
    Errors,
    choice,
    duplicate,
    path_without_backsteps,
    problems,
    required,
    required_fields,
)
from container_kit.cluster.meta import FieldError, quantity
from container_kit.cluster.meta.names import dns1123_label_problems

__all__ = ["check_volumes", "file_mode", "one_source", "persistent_sources", "pod_field"]

Node = dict[str, Any]
Source = Callable[[str, Node], Errors]

_HOST_PATH_TYPES = (
    "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket",
)  # fmt: skip
_MODE = "must be a number between 0 and 0777 (octal), both inclusive"

# Fields of a pod that its containers may ask for, as variables or as files.
_FIELDS = ("metadata.name", "metadata.namespace", "metadata.uid")
_FIELDS_OF_VARIABLES = (
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
_RESOURCES = tuple(
    f"{kind}.{name}" for kind in ("limits", "requests") for name in ("cpu", "ephemeral-storage", "memory")
)


def check_volumes(field: str, volumes: list[Node]) -> tuple[Errors, set[str]]:
    """The problems of the volumes of a pod, and the names of those that have none."""
    errors: Errors = []
    names: set[str] = set()
    sound: set[str] = set()
    for index, volume in enumerate(volumes):
        path = f"{field}[{index}]"
        name = volume.get("name") or ""
        found = one_source(path, volume, _SOURCES)
        if not name:
            found.append(FieldError.required(f"{path}.name"))
        else:
            found += problems(f"{path}.name", name, dns1123_label_problems)
            found += duplicate(f"{path}.name", name, names)
        errors += found
        sound |= set() if found else {name}
    return errors, sound


def one_source(path: str, volume: Node, sources: Mapping[str, Source]) -> Errors:
    """The problems of the source of a volume, of which there must be exactly one."""
    errors: Errors = []
    found = 0
    for key, check in sources.items():
        source = volume.get(key)
        if source is None:
            continue
        if found:
            errors.append(FieldError.forbidden(f"{path}.{key}", "may not specify more than 1 volume type"))
        else:
            errors += check(f"{path}.{key}", source)
        found += 1
    if not found:
        errors.append(FieldError.required(path, "must specify a volume type"))
    return errors


def _needs(*keys: str) -> Source:
    """A check that only wants some fields to be filled in."""
    return lambda path, source: required_fields(path, source, *keys)


def _empty_dir(path: str, source: Node) -> Errors:
    limit = source.get("sizeLimit")
    if limit is not None and quantity(limit) < 0:
        return [
            FieldError.forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")
        ]
    medium = source.get("medium") or ""
    if medium not in ("", "Memory") and not medium.startswith("HugePages"):
        return [FieldError.not_supported(f"{path}.medium", medium, ("", "Memory", "HugePages"))]
    return []


def _host_path(path: str, source: Node) -> Errors:
    if not source.get("path"):
        return [FieldError.required(f"{path}.path")]
    errors = path_without_backsteps(f"{path}.path", source["path"])
    return errors + choice(f"{path}.type", source.get("type") or "", _HOST_PATH_TYPES)


def file_mode(path: str, mode: int | None) -> Errors:
    """An error when permissions of files are no permissions."""
    if mode is None or 0 <= mode <= 0o777:
        return []
    return [FieldError.invalid(path, mode, _MODE)]


def _files(path: str, source: Node) -> Errors:
    """Permissions and the keys that become files."""
    errors = file_mode(f"{path}.defaultMode", source.get("defaultMode"))
    for index, item in enumerate(source.get("items") or ()):
        errors += _key_to_path(f"{path}.items[{index}]", item)
    return errors


def _key_to_path(path: str, item: Node) -> Errors:
    errors = required_fields(path, item, "key", "path")
    return (
        errors
        + _file_path(f"{path}.path", item.get("path") or "")
        + file_mode(f"{path}.mode", item.get("mode"))
    )


def _file_path(path: str, value: str) -> Errors:
    """A path below the volume."""
    if value.startswith("/"):
        return [FieldError.invalid(path, value, "must be a relative path")]
    errors = path_without_backsteps(path, value)
    if not errors and value.startswith(".."):
        errors.append(FieldError.invalid(path, value, "must not start with '..'"))
    return errors


def _secret(path: str, source: Node) -> Errors:
    return required(f"{path}.secretName", source.get("secretName")) + _files(path, source)


def _config_map(path: str, source: Node) -> Errors:
    return required(f"{path}.name", source.get("name")) + _files(path, source)


def _downward(path: str, source: Node) -> Errors:
    errors = file_mode(f"{path}.defaultMode", source.get("defaultMode"))
    for index, item in enumerate(source.get("items") or ()):
        errors += _downward_file(f"{path}.items[{index}]", item)
    return errors


def _downward_file(path: str, item: Node) -> Errors:
    errors = required(f"{path}.path", item.get("path")) + _file_path(f"{path}.path", item.get("path") or "")
    field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
    if field is not None and resource is not None:
        detail = "fieldRef and resourceFieldRef can not be specified simultaneously"
        errors.append(FieldError.invalid(path, "resource", detail))
    elif field is not None:
        errors += pod_field(f"{path}.fieldRef", field, files=True)
    elif resource is not None:
        errors += required(f"{path}.resourceFieldRef.containerName", resource.get("containerName"))
        errors += resource_field(f"{path}.resourceFieldRef", resource)
    else:
        errors.append(FieldError.required(path, "one of fieldRef and resourceFieldRef is required"))
    return errors + file_mode(f"{path}.mode", item.get("mode"))


def pod_field(path: str, reference: Node, *, files: bool) -> Errors:
    """The problems of a reference to a field of the pod; files may show all labels, variables the status."""
    value = reference.get("fieldPath") or ""
    errors = required(f"{path}.apiVersion", reference.get("apiVersion"))
    if not value:
        return [*errors, FieldError.required(f"{path}.fieldPath")]
    base, bracket, key = value.partition("['")
    if bracket:
        if base not in ("metadata.labels", "metadata.annotations") or not key.endswith("']"):
            problem = "error converting fieldPath: field label does not support subscript"
            errors.append(FieldError.invalid(f"{path}.fieldPath", value, problem))
        return errors
    known = (*_FIELDS, *_FIELDS_OF_VARIABLES, "metadata.labels", "metadata.annotations")
    if value not in known:
        problem = f"error converting fieldPath: field label not supported: {value}"
        return [*errors, FieldError.invalid(f"{path}.fieldPath", value, problem)]
    supported = (*_FIELDS, *(("metadata.labels", "metadata.annotations") if files else _FIELDS_OF_VARIABLES))
    return errors + choice(f"{path}.fieldPath", value, sorted(supported))


def resource_field(path: str, reference: Node) -> Errors:
    """The problems of a reference to an amount of a container."""
    resource = reference.get("resource") or ""
    if not resource:
        return [FieldError.required(f"{path}.resource")]
    if resource.partition(".")[2].startswith("hugepages-"):
        return []
    return choice(f"{path}.resource", resource, _RESOURCES)


def _projected(path: str, source: Node) -> Errors:
    errors = file_mode(f"{path}.defaultMode", source.get("defaultMode"))
    checks: dict[str, Source] = {
        "secret": lambda where, each: required(f"{where}.name", each.get("name")) + _files(where, each),
        "configMap": _config_map,
        "downwardAPI": _downward,
        "serviceAccountToken": _token,
        "clusterTrustBundle": _needs("path"),
    }
    for index, each in enumerate(source.get("sources") or ()):
        where = f"{path}.sources[{index}]"
        given = [key for key in checks if each.get(key) is not None]
        if len(given) > 1:
            detail = "may not specify more than 1 volume type per source"
            errors.append(FieldError.forbidden(f"{where}.{given[1]}", detail))
        errors += [error for key in given[:1] for error in checks[key](f"{where}.{key}", each[key])]
    return errors


def _token(path: str, source: Node) -> Errors:
    seconds = source.get("expirationSeconds")
    errors: Errors = []
    if seconds is not None and seconds < 600:
        errors.append(
            FieldError.invalid(
                f"{path}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes"
            )
        )
    return errors + required(f"{path}.path", source.get("path"))


def _nfs(path: str, source: Node) -> Errors:
    errors = required_fields(path, source, "server", "path")
    if source.get("path") and not source["path"].startswith("/"):
        errors.append(FieldError.invalid(f"{path}.path", source["path"], "must be an absolute path"))
    return errors


def _local(path: str, source: Node) -> Errors:
    return required(f"{path}.path", source.get("path")) or path_without_backsteps(
        f"{path}.path", source["path"]
    )


def _ephemeral(path: str, source: Node) -> Errors:
    template = source.get("volumeClaimTemplate")
    if template is None:
        return [FieldError.required(f"{path}.volumeClaimTemplate")]
    from container_kit.cluster.kinds.validation.storage import claim_spec

    return claim_spec(f"{path}.volumeClaimTemplate.spec", template.get("spec") or {})


_NETWORK_SOURCES: dict[str, Source] = {
    "gcePersistentDisk": _needs("pdName"),
    "awsElasticBlockStore": _needs("volumeID"),
    "nfs": _nfs,
    "iscsi": _needs("targetPortal", "iqn"),
    "glusterfs": _needs("endpoints", "path"),
    "flocker": lambda path, source: [],
    "rbd": _needs("monitors", "image"),
    "cinder": _needs("volumeID"),
    "cephfs": _needs("monitors"),
    "quobyte": _needs("registry", "volume"),
    "fc": lambda path, source: [],
    "flexVolume": _needs("driver"),
    "vsphereVolume": _needs("volumePath"),
    "photonPersistentDisk": _needs("pdID"),
    "portworxVolume": _needs("volumeID"),
    "azureFile": _needs("secretName", "shareName"),
    "azureDisk": _needs("diskName", "diskURI"),
    "storageos": lambda path, source: [],
    "scaleIO": _needs("gateway", "system", "volumeName"),
}
_SOURCES: dict[str, Source] = {
    "emptyDir": _empty_dir,
    "hostPath": _host_path,
    "gitRepo": _needs("repository"),
    "secret": _secret,
    **_NETWORK_SOURCES,
    "persistentVolumeClaim": _needs("claimName"),
    "configMap": _config_map,
    "downwardAPI": _downward,
    "projected": _projected,
    "csi": _needs("driver"),
    "ephemeral": _ephemeral,
    "image": lambda path, source: [],
}
# In the order of the original, which names the second source as the one too many.
persistent_sources: dict[str, Source] = {
    "hostPath": _host_path,
    **_NETWORK_SOURCES,
    "local": _local,
    "csi": _needs("driver", "volumeHandle"),
}
