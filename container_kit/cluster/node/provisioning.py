"""What a container of a node's pod starts with: its image, its variables, its mounts.

Asked anew before every start, so that a restarted container has what ConfigMaps, Secrets and services say
then.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from typing import Protocol

from container_kit._values import frozen
from container_kit.cluster.meta import Object
from container_kit.cluster.node.environment import container_environment, service_variables
from container_kit.cluster.node.errors import ConfigMissing
from container_kit.cluster.node.image_source import ImageSource, Tell
from container_kit.cluster.node.lookup import ClientLookup
from container_kit.cluster.node.projection import PROJECTED
from container_kit.containers.mounts import Mount
from container_kit.errors import ContainerKitError, KernelError
from container_kit.native.trees import mkdirs_beneath, open_beneath
from container_kit.pods.seam import NotReady, Provision
from container_kit.pods.settings import expand

__all__ = ["Provisioner", "mounts_of"]

_PROPAGATION = {"HostToContainer": "rslave", "Bidirectional": "rshared"}


class HasVolumes(Protocol):
    """A pod of this node: as the API has it, its addresses put in, and where its volumes are."""

    @property
    def manifest(self) -> Object: ...

    @property
    def volumes(self) -> Mapping[str, str]: ...


@frozen
class Provisioner:
    """Provides for the containers of one node.

    Args:
        lookup: Finds objects of the API.
        images: Gives images.
        capacity: Of the node.
    """

    lookup: ClientLookup
    images: ImageSource
    capacity: Mapping[str, str]

    def provide(self, pod: HasVolumes, container: Object, tell: Tell) -> Provision:
        """All that one start of *container* needs.

        Raises:
            NotReady: Something of it cannot be had now.
        """
        image = self.images.get(pod.manifest, container, tell)
        try:
            env = self._environment(pod.manifest, container)
            mounts = mounts_of(pod.manifest, container, pod.volumes, env)
        except ConfigMissing as error:
            tell("Warning", "Failed", f"Error: {error}")
            raise NotReady(error.reason, str(error)) from error
        return Provision(image=image, env=env, mounts=mounts)

    def _environment(self, manifest: Object, container: Object) -> dict[str, str]:
        namespace, spec = manifest["metadata"]["namespace"], manifest["spec"]
        services = service_variables(
            self.lookup.services(namespace), namespace, enabled=spec.get("enableServiceLinks", True)
        )
        return container_environment(
            manifest, container, self.lookup, services=services, capacity=self.capacity
        )


def mounts_of(
    manifest: Object, container: Object, volumes: Mapping[str, str], env: Mapping[str, str]
) -> tuple[Mount, ...]:
    """The mounts of a container.

    Args:
        volumes: Paths of this machine by the name of the volume; those of images are not among them.
        env: For ``subPathExpr``.

    Raises:
        ConfigMissing: A volume is not there, or a sub-path leads out of it.
    """
    kinds = {one["name"]: one for one in manifest["spec"].get("volumes") or ()}
    return tuple(_mount(one, kinds, volumes, env) for one in container.get("volumeMounts") or ())


def _mount(
    wish: Object, kinds: Mapping[str, Object], volumes: Mapping[str, str], env: Mapping[str, str]
) -> Mount:
    name = wish["name"]
    volume, subpath = kinds.get(name), _subpath(wish, env)
    try:
        if volume is not None and volume.get("image") is not None:
            source = volume["image"]["reference"]
            return Mount(
                target=wish["mountPath"], source=source, type="image", read_only=True, subpath=subpath
            )
        if volume is None or name not in volumes:
            raise ConfigMissing(f"volume {name!r} of the container is not there")
        path = volumes[name]
        is_projected = any(volume.get(kind) is not None for kind in PROJECTED)
        if subpath and not is_projected:
            _make_subpath(path, subpath)
        return Mount(
            target=wish["mountPath"],
            source=path,
            read_only=bool(wish.get("readOnly")) or is_projected,
            propagation=_PROPAGATION.get(wish.get("mountPropagation") or "", "rprivate"),
            recursive="readonly" if wish.get("recursiveReadOnly") == "Enabled" else "writable",
            subpath=subpath,
        )
    except ConfigMissing:
        raise
    except ContainerKitError as error:
        raise ConfigMissing(f'failed to prepare subPath for volumeMount "{name}": {error}') from error


def _subpath(wish: Object, env: Mapping[str, str]) -> str:
    """What of the volume is meant, without slashes at its ends."""
    text = expand(wish.get("subPathExpr") or "", env) or wish.get("subPath") or ""
    return text.rstrip("/")


def _make_subpath(path: str, subpath: str) -> None:
    """Make what is missing of a sub-path, inside of the volume whatever its links say (CVE-2021-25741).

    What is made is as open as the volume, since it is for the same users.
    """
    if not os.path.isdir(path):
        return
    root = os.open(path, os.O_PATH | os.O_DIRECTORY)
    try:
        mode, parts = stat.S_IMODE(os.fstat(root).st_mode), subpath.split("/")
        for count in range(1, len(parts) + 1):
            _make_directory(root, "/".join(parts[:count]), mode)
    finally:
        os.close(root)


def _make_directory(root: int, path: str, mode: int) -> None:
    try:
        os.close(open_beneath(root, path, os.O_PATH))
    except KernelError as error:
        if error.errno != errno.ENOENT:
            raise
        made = mkdirs_beneath(root, path)
        try:
            os.chmod(f"/proc/self/fd/{made}", mode)
        finally:
            os.close(made)
