"""What the containers of a pod need when there is no cluster: images, variables and volumes of this machine.

ConfigMaps and Secrets are looked up in what the caller gives: there is nobody else to ask.
"""

from __future__ import annotations

import base64
import contextlib
import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from container_kit.containers.mounts import Mount
from container_kit.containers.pod_places import PodPlaces
from container_kit.errors import ContainerKitError, InvalidInput, KernelError, NotFound
from container_kit.images import Image
from container_kit.native.descriptors import open_path
from container_kit.native.trees import mkdirs_beneath
from container_kit.pods.seam import NotReady, Object, Provision
from container_kit.pods.settings import expand, quantity

if TYPE_CHECKING:
    from container_kit.pods.pod import Pod

__all__ = ["LocalProvider"]

_MODE = 0o644
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")


class LocalProvider:
    """Provides from this machine.

    Args:
        objects: ConfigMaps and Secrets that containers refer to.
    """

    def __init__(self, objects: Iterable[Mapping[str, Any]] = ()) -> None:
        self._objects = {(one["kind"], one["metadata"]["name"]): one for one in objects}

    def __call__(self, pod: Pod, container: Object) -> Provision:
        """What *container* of *pod* needs now."""
        return Provision(
            image=self._image(pod, container),
            env=self._environment(pod, container),
            mounts=tuple(self._mounts(pod, container)),
        )

    # Images.

    def _image(self, pod: Pod, container: Object) -> Image:
        name = container.get("image") or ""
        policy = container.get("imagePullPolicy") or "IfNotPresent"  # also for "latest": it may be made here
        try:
            if policy == "Never":
                return Image.get(name, engine=pod.engine)
            return Image.pull(name, engine=pod.engine) if policy == "Always" else _present(pod, name)
        except NotFound as error:
            reason = "ErrImageNeverPull" if policy == "Never" else "ErrImagePull"
            raise NotReady(reason, str(error)) from None
        except InvalidInput as error:
            raise NotReady("InvalidImageName", str(error)) from None
        except ContainerKitError as error:
            raise NotReady("ErrImagePull", str(error)) from None

    # Variables.

    def _environment(self, pod: Pod, container: Object) -> dict[str, str]:
        found: dict[str, str] = {}
        for source in container.get("envFrom") or ():
            for key, value in self._all_of(source).items():
                found[f"{source.get('prefix') or ''}{key}"] = value
        for one in container.get("env") or ():
            text = self._value(pod, container, one, found)
            if text is not None:
                found[one["name"]] = text
        return found

    def _all_of(self, source: Object) -> dict[str, str]:
        kind = "ConfigMap" if source.get("configMapRef") else "Secret"
        reference = source.get("configMapRef") or source.get("secretRef") or {}
        return {key: data.decode() for key, data in self._data(kind, reference).items()}

    def _value(self, pod: Pod, container: Object, one: Object, known: Mapping[str, str]) -> str | None:
        source = one.get("valueFrom")
        if source is None:
            return expand(one.get("value") or "", known)
        if "fieldRef" in source:
            return field_of(pod, source["fieldRef"]["fieldPath"])
        if "resourceFieldRef" in source:
            return resource_of(container, source["resourceFieldRef"])
        kind = "ConfigMap" if "configMapKeyRef" in source else "Secret"
        reference = source.get("configMapKeyRef") or source.get("secretKeyRef") or {}
        data = self._data(kind, reference).get(reference.get("key", ""))
        if data is None and not reference.get("optional"):
            words = f"couldn't find key {reference.get('key')} in {kind} {reference.get('name')}"
            raise NotReady("CreateContainerConfigError", words)
        return None if data is None else data.decode()

    def _data(self, kind: str, reference: Object) -> dict[str, bytes]:
        name = reference.get("name") or ""
        found = self._objects.get((kind, name))
        if found is None:
            if reference.get("optional"):
                return {}
            raise NotReady("CreateContainerConfigError", f'{kind.lower()} "{name}" not found')
        plain = {key: str(value).encode() for key, value in (found.get("data") or {}).items()}
        if kind == "ConfigMap":
            coded = found.get("binaryData") or {}
        else:
            coded, plain = (
                found.get("data") or {},
                {k: v.encode() for k, v in (found.get("stringData") or {}).items()},
            )
        return plain | {key: base64.b64decode(value) for key, value in coded.items() if key not in plain}

    # Volumes.

    def _mounts(self, pod: Pod, container: Object) -> Iterator[Mount]:
        volumes = {one["name"]: one for one in pod.manifest["spec"].get("volumes") or ()}
        for one in container.get("volumeMounts") or ():
            volume = volumes.get(one["name"])
            if volume is None:
                raise NotReady("CreateContainerConfigError", f"volume {one['name']!r} is not in spec.volumes")
            yield self._mount(pod, volume, one)

    def _mount(self, pod: Pod, volume: Object, one: Object) -> Mount:
        target, read_only = one["mountPath"], bool(one.get("readOnly"))
        part = one.get("subPath") or ""
        claim = volume.get("persistentVolumeClaim")
        if claim is not None:
            read_only = read_only or bool(claim.get("readOnly"))
            return Mount.volume(claim["claimName"], target, read_only=read_only, subpath=part)
        if "image" in volume:
            return Mount.image(volume["image"].get("reference") or "", target, subpath=part)
        source = self._directory(pod, volume)
        if part and ".." in part.split("/"):
            raise NotReady("CreateContainerConfigError", f"subPath {part!r} must not contain '..'")
        if part and "hostPath" not in volume:
            _make_part(source, part)
        return Mount.bind(source, target, read_only=read_only or _is_projected(volume), subpath=part)

    def _directory(self, pod: Pod, volume: Object) -> str:
        """Where the contents of a volume lie on this machine."""
        if "hostPath" in volume:
            return _host_path(volume["hostPath"])
        if not _LABEL.match(volume["name"]):
            raise NotReady("CreateContainerConfigError", f"{volume['name']!r} cannot be a volume's name")
        folder = f"{PodPlaces(pod.engine.root, pod.id).directory}/volumes/{volume['name']}"
        os.makedirs(folder, mode=0o755, exist_ok=True)
        if "emptyDir" in volume:
            os.chmod(folder, 0o777)  # noqa: S103  (of the pod alone, whoever its containers run as)
            return folder
        for path, (data, mode) in self._files(pod, volume).items():
            _write_file(folder, path, data, mode)
        return folder

    def _files(self, pod: Pod, volume: Object) -> dict[str, tuple[bytes, int]]:
        for kind, field in (("ConfigMap", "configMap"), ("Secret", "secret")):
            if field in volume:
                return self._items(kind, volume[field], volume[field].get("defaultMode") or _MODE)
        if "downwardAPI" in volume:
            return _downward(pod, volume["downwardAPI"])
        if "projected" not in volume:
            known = (
                "emptyDir, hostPath, configMap, secret, downwardAPI, projected, image, persistentVolumeClaim"
            )
            raise NotReady(
                "CreateContainerConfigError",
                f"volume {volume['name']!r} is none of those known here: {known}",
            )
        found: dict[str, tuple[bytes, int]] = {}
        for source in volume["projected"].get("sources") or ():
            found |= self._files(pod, {"name": volume["name"], **source})
        return found

    def _items(self, kind: str, source: Object, mode: int) -> dict[str, tuple[bytes, int]]:
        name = source.get("secretName") or source.get("name") or ""
        data = self._data(kind, {**source, "name": name})
        items = source.get("items")
        if items is None:
            return {key: (value, mode) for key, value in data.items()}
        return {
            one["path"]: (data[one["key"]], one.get("mode") or mode) for one in items if one["key"] in data
        }


def _present(pod: Pod, name: str) -> Image:
    try:
        return Image.get(name, engine=pod.engine)
    except NotFound:
        return Image.pull(name, engine=pod.engine)


def field_of(pod: Pod, path: str) -> str:
    """The field of the pod that a ``fieldPath`` of the downward API means.

    Raises:
        NotReady: There is no such field.
    """
    metadata = pod.manifest["metadata"]
    plain = {
        "metadata.name": pod.name,
        "metadata.namespace": pod.namespace,
        "metadata.uid": pod.uid,
        "spec.nodeName": pod.manifest["spec"].get("nodeName") or os.uname().nodename,
        "spec.serviceAccountName": pod.manifest["spec"].get("serviceAccountName") or "default",
        "status.podIP": ",".join(pod.ips[:1]),
        "status.podIPs": ",".join(pod.ips),
        "status.hostIP": "127.0.0.1",
        "status.hostIPs": "127.0.0.1",
    }
    if path in plain:
        return plain[path]
    field, _, key = path.partition("[")
    table = metadata.get(field.removeprefix("metadata.")) or {}
    if field not in ("metadata.labels", "metadata.annotations"):
        raise NotReady("CreateContainerConfigError", f"there is no field {path!r} for the downward API")
    if not key:
        return "\n".join(f'{name}="{value}"' for name, value in sorted(table.items()))
    return str(table.get(key.rstrip("]").strip("'\""), ""))


def resource_of(container: Object, reference: Object) -> str:
    """The resource of a container that a ``resourceFieldRef`` means, in units of its divisor, rounded up."""
    section, _, name = reference["resource"].partition(".")
    value = ((container.get("resources") or {}).get(section) or {}).get(name, "0")
    divisor = reference.get("divisor") or "1"
    wanted = quantity(value) / (quantity(divisor) or 1)
    return str(int(wanted.to_integral_value(rounding="ROUND_CEILING")))


def _downward(pod: Pod, source: Object) -> dict[str, tuple[bytes, int]]:
    found = {}
    for one in source.get("items") or ():
        mode = one.get("mode") or source.get("defaultMode") or _MODE
        if "fieldRef" in one:
            text = field_of(pod, one["fieldRef"]["fieldPath"])
        else:
            reference = one["resourceFieldRef"]
            named = {c["name"]: c for c in pod.manifest["spec"]["containers"]}
            text = resource_of(named[reference["containerName"]], reference)
        found[one["path"]] = (text.encode(), mode)
    return found


def _is_projected(volume: Object) -> bool:
    return any(kind in volume for kind in ("configMap", "secret", "downwardAPI", "projected"))


def _host_path(source: Object) -> str:
    path, kind = source["path"], source.get("type") or ""
    if kind == "DirectoryOrCreate":
        os.makedirs(path, mode=0o755, exist_ok=True)
    elif kind == "FileOrCreate" and not os.path.exists(path):
        open_path(path, os.O_WRONLY | os.O_CREAT, 0o644).close()
    if not os.path.exists(path):
        raise NotReady("CreateContainerError", f"hostPath {path!r} is not on this machine")
    return str(path)


def _write_file(folder: str, path: str, data: bytes, mode: int) -> None:
    """A file of a volume, whose name may have directories in it but never leads out."""
    clean = posixpath.normpath(path)
    if clean.startswith(("/", "../")) or clean in (".", ".."):
        raise NotReady("CreateContainerConfigError", f"path {path!r} leads out of its volume")
    target = f"{folder}/{clean}"
    os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
    draft = f"{target}.new"
    with open_path(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600) as file:
        os.write(file.fileno(), data)
        os.fchmod(file.fileno(), mode)
    os.rename(draft, target)


def _make_part(folder: str, part: str) -> None:
    """Make the directory that a sub-path means, if there is nothing; links lead only into the volume."""
    with (
        contextlib.suppress(KernelError),  # a file, which can be mounted just as well
        open_path(folder, os.O_RDONLY | os.O_DIRECTORY) as root,
    ):
        os.close(mkdirs_beneath(root.fileno(), part))
