"""Checks of volumes: one source each, and what each source needs.

Source: Kubernetes API reference, Volume and PersistentVolumeSpec.
"""

from collections.abc import Callable, Mapping
from typing import Any

from container_kit.cluster.kinds.go import invalid_as
from container_kit.cluster.kinds.validation.common import (
    Errors,
    between,
    choice,
    descending_path,
    path_without_backsteps,
    problems,
    required,
    required_fields,
)
from container_kit.cluster.kinds.validation.pod_fields import pod_field, resource_field
from container_kit.cluster.meta import FieldError, quantity
from container_kit.cluster.meta.names import dns1123_label_problems, dns1123_subdomain_problems

__all__ = ["check_volumes", "one_source", "persistent_sources"]

Node = dict[str, Any]
Source = Callable[[str, Node], Errors]

_HOST_PATH_TYPES = (
    "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket",
)  # fmt: skip
_MODE = "must be a number between 0 and 0777 (octal), both inclusive"


def check_volumes(field: str, volumes: list[Node], pod: str = "") -> tuple[Errors, dict[str, Node]]:
    """The problems of the volumes of a pod, and by their names those that have none.

    Args:
        field: Where the volumes are.
        volumes: The volumes, with their defaults.
        pod: The name of the pod, if it is known; claims of ephemeral volumes begin with it.
    """
    errors: Errors = []
    sound: dict[str, Node] = {}
    made = {f"{pod}-{each.get('name')}" for each in volumes if pod and each.get("ephemeral") is not None}
    for index, volume in enumerate(volumes):
        path = f"{field}[{index}]"
        name = volume.get("name") or ""
        found = one_source(path, volume, _SOURCES)
        found += (
            problems(f"{path}.name", name, dns1123_label_problems) if name else required(f"{path}.name", name)
        )
        if name in sound:
            found.append(FieldError.duplicate(f"{path}.name", name))
        errors += found
        if not found:
            sound[name] = volume
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if claim in made:
            detail = "must not reference a PVC that gets created for an ephemeral volume"
            errors.append(FieldError.invalid(f"{path}.persistentVolumeClaim.claimName", claim, detail))
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
            errors += check(f"{path}.{_PLACES.get(key, key)}", source)
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
    """A path below the volume, which must not look like one of ours."""
    errors = descending_path(path, value)
    if value.startswith("..") and not value.startswith("../"):
        errors.append(FieldError.invalid(path, value, "must not start with '..'"))
    return errors


def _secret(path: str, source: Node) -> Errors:
    return required(f"{path}.secretName", source.get("secretName")) + _files(path, source)


def _config_map(path: str, source: Node) -> Errors:
    return required(f"{path}.name", source.get("name")) + _files(path, source)


def _downward(path: str, source: Node) -> Errors:
    """Fields of the pod as files; as in the original the path of an error does not say of which item."""
    errors = file_mode(f"{path}.defaultMode", source.get("defaultMode"))
    return errors + [error for item in source.get("items") or () for error in _downward_file(path, item)]


def _downward_file(path: str, item: Node) -> Errors:
    errors = required(f"{path}.path", item.get("path")) + _file_path(f"{path}.path", item.get("path") or "")
    field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
    if field is not None:
        errors += pod_field(f"{path}.fieldRef", field, files=True)
        if resource is not None:
            detail = "fieldRef and resourceFieldRef can not be specified simultaneously"
            errors.append(FieldError.invalid(path, "resource", detail))
    elif resource is not None:
        errors += resource_field(f"{path}.resourceFieldRef", resource, files=True)
    else:
        errors.append(FieldError.required(path, "one of fieldRef and resourceFieldRef is required"))
    return errors + file_mode(f"{path}.mode", item.get("mode"))


def _projected(path: str, source: Node) -> Errors:
    errors = file_mode(f"{path}.defaultMode", source.get("defaultMode"))
    paths: set[str] = set()
    for index, each in enumerate(source.get("sources") or ()):
        where = f"{path}.sources[{index}]"
        given = [key for key in _PROJECTIONS if each.get(key) is not None]
        for key in given:
            errors += _PROJECTIONS[key](path, f"{where}.{key}", each[key])
            errors += _conflicts(path, each[key], key, paths)
        if len(given) > 1:
            detail = "may not specify more than 1 volume type per source"
            errors.append(FieldError.forbidden(where, detail))
    return errors


def _conflicts(path: str, source: Node, key: str, seen: set[str]) -> Errors:
    """Two sources that want the same file."""
    files = [source] if key == "clusterTrustBundle" else source.get("items") or ()
    errors: Errors = []
    for file in files:
        name = file.get("path") or ""
        if name and name in seen:
            shown = source.get("name") or "" if key in ("secret", "configMap") else name
            errors.append(FieldError.invalid(path, shown, "conflicting duplicate paths"))
        seen.add(name)
    return errors


def _projected_keys(volume: str, path: str, source: Node) -> Errors:
    return required(f"{path}.name", source.get("name")) + _files(path, source)


def _token(volume: str, path: str, source: Node) -> Errors:
    """A token of the pod's service account; errors about its file lie at the volume, as in the original."""
    seconds, field = source.get("expirationSeconds"), f"{path}.expirationSeconds"
    errors: Errors = []
    if seconds is not None and seconds < 600:
        errors.append(FieldError.invalid(field, seconds, "may not specify a duration less than 10 minutes"))
    if seconds is not None and seconds > 1 << 32:
        detail = "may not specify a duration larger than 2^32 seconds"
        errors.append(FieldError.invalid(field, seconds, detail))
    file = source.get("path") or ""
    return errors + (_file_path(f"{volume}.path", file) if file else required(f"{volume}.path", file))


def _trust_bundle(volume: str, path: str, source: Node) -> Errors:
    name, signer = source.get("name"), source.get("signerName")
    errors: Errors = []
    if name is None and signer is None:
        errors.append(FieldError.required(path, "either name or signerName must be specified"))
    elif name is not None and signer is not None:
        detail = "only one of name and signerName may be used"
        errors.append(invalid_as(path, "core.ClusterTrustBundleProjection{...}", detail))
    file = source.get("path") or ""
    return errors + required(f"{path}.path", file) + _file_path(f"{path}.path", file)


_PROJECTIONS: dict[str, Callable[[str, str, Node], Errors]] = {
    "secret": _projected_keys,
    "configMap": _projected_keys,
    "downwardAPI": lambda volume, path, source: _downward(path, source),
    "serviceAccountToken": _token,
    "clusterTrustBundle": _trust_bundle,
}


def _nfs(path: str, source: Node) -> Errors:
    errors = required_fields(path, source, "server", "path")
    if not (source.get("path") or "").startswith("/"):
        errors.append(
            FieldError.invalid(f"{path}.path", source.get("path") or "", "must be an absolute path")
        )
    return errors


def _local(path: str, source: Node) -> Errors:
    return required(f"{path}.path", source.get("path")) or path_without_backsteps(
        f"{path}.path", source["path"]
    )


def _git(path: str, source: Node) -> Errors:
    errors = required_fields(path, source, "repository")
    return errors + descending_path(f"{path}.directory", source.get("directory") or "")


def _disk(key: str) -> Source:
    """A disk of a cloud, by its name, and a partition of it."""

    def check(path: str, source: Node) -> Errors:
        partition = source.get("partition") or 0
        return required_fields(path, source, key) + between(f"{path}.partition", partition, 0, 255)

    return check


def _driver(path: str, source: Node) -> Errors:
    """The name of a driver of volumes."""
    name, field = source.get("driver") or "", f"{path}.driver"
    errors = required(field, name)
    if len(name) > _MAX_DRIVER:
        errors.append(FieldError.too_long(field, _MAX_DRIVER))
    wrong = dns1123_subdomain_problems(name.lower())
    return errors + [FieldError.invalid(field, name, problem) for problem in wrong]


def _csi(path: str, source: Node) -> Errors:
    errors, secret = _driver(path, source), source.get("nodePublishSecretRef")
    if secret is None:
        return errors
    name = secret.get("name") or ""
    if not name:
        return [*errors, FieldError.required(f"{path}.nodePublishSecretRef.name")]
    return errors + problems(f"{path}.name", name, dns1123_subdomain_problems)


def _persistent_csi(path: str, source: Node) -> Errors:
    errors = _driver(path, source) + required(f"{path}.volumeHandle", source.get("volumeHandle"))
    for kind in ("controllerPublish", "controllerExpand", "nodePublish", "nodeExpand"):
        reference, where = source.get(f"{kind}SecretRef"), f"{path}.{kind}SecretRef"
        if reference is not None:
            for key, rule in (("name", dns1123_subdomain_problems), ("namespace", dns1123_label_problems)):
                value = reference.get(key) or ""
                wrong = problems(f"{where}.{key}", value, rule)
                errors += wrong if value else [FieldError.required(f"{where}.{key}")]
    return errors


_MAX_DRIVER = 63


def _ephemeral(path: str, source: Node) -> Errors:
    template = source.get("volumeClaimTemplate")
    if template is None:
        return [FieldError.required(f"{path}.volumeClaimTemplate")]
    from container_kit.cluster.kinds.validation.storage import claim_template

    return claim_template(f"{path}.volumeClaimTemplate", template)


_DISKS: dict[str, Source] = {
    "gcePersistentDisk": _disk("pdName"),
    "awsElasticBlockStore": _disk("volumeID"),
}
_FAR_SOURCES: dict[str, Source] = {
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
    "azureFile": _needs("secretName", "shareName"),
    "vsphereVolume": _needs("volumePath"),
    "photonPersistentDisk": _needs("pdID"),
    "portworxVolume": _needs("volumeID"),
    "azureDisk": _needs("diskName", "diskURI"),
    "storageos": _needs("volumeName"),
    "scaleIO": _needs("gateway", "system", "volumeName"),
}


def _ordered(names: str, **own: Source) -> dict[str, Source]:
    """Sources in the order of the original, which names the second one as the one too many."""
    known = _DISKS | _FAR_SOURCES | own
    return {name: known[name] for name in names.split()}


_SOURCES = _ordered(
    "emptyDir hostPath gitRepo gcePersistentDisk awsElasticBlockStore secret nfs iscsi glusterfs flocker "
    "persistentVolumeClaim rbd cinder cephfs quobyte downwardAPI fc flexVolume configMap azureFile "
    "vsphereVolume photonPersistentDisk portworxVolume azureDisk storageos projected scaleIO csi ephemeral "
    "image",
    emptyDir=_empty_dir,
    hostPath=_host_path,
    gitRepo=_git,
    secret=_secret,
    persistentVolumeClaim=_needs("claimName"),
    configMap=_config_map,
    downwardAPI=_downward,
    projected=_projected,
    csi=_csi,
    ephemeral=_ephemeral,
    image=lambda path, source: [],
)
persistent_sources = _ordered(
    "hostPath gcePersistentDisk awsElasticBlockStore glusterfs flocker nfs rbd quobyte cephfs iscsi cinder "
    "fc flexVolume azureFile vsphereVolume photonPersistentDisk portworxVolume azureDisk scaleIO local "
    "storageos csi",
    hostPath=_host_path,
    local=_local,
    csi=_persistent_csi,
)
# Where errors of some sources are said to be, which the original calls by other names.
_PLACES = {"gcePersistentDisk": "persistentDisk"}
