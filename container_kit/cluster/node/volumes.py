"""The volumes of a pod as paths of this machine: made before its containers, kept up to date, taken away.

A pod's own volumes lie below its directory; what is secret or asked to be in memory lies below a directory of
memory.  A claim leads to the path of its persistent volume, an image to its files.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from container_kit._values import frozen
from container_kit.cluster.node.errors import VolumeNotReady
from container_kit.cluster.node.payload_writer import write_payload
from container_kit.cluster.node.projection import PROJECTED, Projector
from container_kit.native.descriptors import open_path
from container_kit.native.trees import discard_tree
from container_kit.native.walking import everything_below

__all__ = ["Claims", "Volumes", "memory_of", "pods_of"]

Object = dict[str, Any]

_MEMORY = "/dev/shm"  # noqa: S108  the directory is for its owner alone
_IN_MEMORY = ("secret", "projected")
_ANYBODY = 0o777
_FOR_GROUP, _FOLDER_FOR_GROUP = 0o660, 0o2110
# What each type of a hostPath has to be: how the kubelet calls it, and its test.
_HOST_PATH_TYPES: dict[str, tuple[str, Callable[[int], bool]]] = {
    "Directory": ("a directory", stat.S_ISDIR),
    "DirectoryOrCreate": ("a directory", stat.S_ISDIR),
    "File": ("a file", stat.S_ISREG),
    "FileOrCreate": ("a file", stat.S_ISREG),
    "Socket": ("a socket file", stat.S_ISSOCK),
    "CharDevice": ("a character device", stat.S_ISCHR),
    "BlockDevice": ("a block device", stat.S_ISBLK),
}
_MADE_WITH = {"DirectoryOrCreate": 0o755, "FileOrCreate": 0o644}


class Claims(Protocol):
    """Finds the persistent volume that a claim is bound to."""

    def volume_of(self, namespace: str, claim: str) -> Object:
        """The PersistentVolume; raises VolumeNotReady while there is none."""


def pods_of(directory: str) -> str:
    """Where the node with this directory has its pods: a folder for each, by its uid."""
    return os.path.join(directory, "pods")


def memory_of(directory: str) -> str:
    """The directory in memory of the node with this directory: where there is none, one on the disk."""
    if not os.path.isdir(_MEMORY):
        return os.path.join(directory, "memory")
    found = os.stat(directory)
    return os.path.join(_MEMORY, f"container-kit-{found.st_dev:x}-{found.st_ino:x}")


@frozen
class Volumes:
    """Makes the volumes of the pods of one node.

    Args:
        directory: Of the node, for this user alone: ``<directory>/<uid>/volumes/<name>``.
        memory: The same in memory.
        projector: Makes the files of those that come from the API.
        claims: Finds persistent volumes.
    """

    directory: str
    memory: str
    projector: Projector
    claims: Claims

    def claim(self, uid: str) -> None:
        """The pod with this uid is going to be this node's, which others have to know after a crash."""
        os.makedirs(os.path.join(self.directory, uid), mode=0o700, exist_ok=True)

    def knows(self, uid: str) -> bool:
        """Whether the pod with this uid is this node's, and not one of another cluster's on this machine."""
        return os.path.isdir(os.path.join(self.directory, uid))

    def prepare(self, pod: Object) -> dict[str, str]:
        """Paths of the volumes of *pod* by name, made where they are missing; may be repeated.

        Volumes of images are not among them.

        Raises:
            VolumeNotReady: One cannot be made yet; names it.
        """
        found = {}
        for volume in pod["spec"].get("volumes") or ():
            if volume.get("image") is None:
                try:
                    found[volume["name"]] = self._path(pod, volume)
                except VolumeNotReady as error:
                    name = volume["name"]
                    raise VolumeNotReady(f'MountVolume.SetUp failed for volume "{name}" : {error}') from error
        return found

    def refresh(self, pod: Object) -> bool:
        """Bring what comes from the API up to date; returns whether any file changed.

        What cannot be had now stays as it is.
        """
        changed = False
        for volume in pod["spec"].get("volumes") or ():
            if _kind(volume) in PROJECTED:
                try:
                    changed |= self._write(pod, volume, self._own_path(pod, volume))
                except VolumeNotReady:
                    continue
        return changed

    def remove(self, uid: str) -> None:
        """Take away all that the pod with this uid has here; may be repeated."""
        for place in (self.directory, self.memory):
            discard_tree(os.path.join(place, uid))

    def used_bytes(self, pod: Object) -> Mapping[str, int]:
        """What each emptyDir of *pod* takes."""
        found = {}
        for volume in pod["spec"].get("volumes") or ():
            if volume.get("emptyDir") is not None:
                found[volume["name"]] = _size(self._own_path(pod, volume))
        return found

    def _own_path(self, pod: Object, volume: Object) -> str:
        in_memory = _kind(volume) in _IN_MEMORY or (volume.get("emptyDir") or {}).get("medium") == "Memory"
        place = self.memory if in_memory else self.directory
        return os.path.join(place, pod["metadata"]["uid"], "volumes", volume["name"])

    def _path(self, pod: Object, volume: Object) -> str:
        kind = _kind(volume)
        if kind == "emptyDir":
            return self._empty(pod, self._own_path(pod, volume))
        if kind in PROJECTED:
            path = self._own_path(pod, volume)
            self._write(pod, volume, path)
            return path
        if kind == "hostPath":
            return _host_path(volume["hostPath"])
        if kind in ("persistentVolumeClaim", "ephemeral"):
            return self._claimed(pod, volume)
        raise VolumeNotReady(f"this node has no volumes of type {kind!r}")

    def _empty(self, pod: Object, path: str) -> str:
        if not os.path.isdir(path):
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            os.mkdir(path)
            os.chmod(path, _ANYBODY)
            _give_to_group(path, _group(pod))
        return path

    def _write(self, pod: Object, volume: Object, path: str) -> bool:
        payload = self.projector.payload(pod, volume)
        os.makedirs(path, mode=0o755, exist_ok=True)
        return write_payload(path, payload, group=_group(pod))

    def _claimed(self, pod: Object, volume: Object) -> str:
        own = f"{pod['metadata']['name']}-{volume['name']}"
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName") or own
        persistent = self.claims.volume_of(pod["metadata"]["namespace"], claim)
        spec = persistent["spec"]
        if spec.get("hostPath"):
            path = _host_path({"type": "DirectoryOrCreate", **spec["hostPath"]})
        elif spec.get("local"):
            path = _host_path({"type": "Directory", "path": spec["local"]["path"]})
        else:
            name = persistent["metadata"]["name"]
            raise VolumeNotReady(f"persistent volume {name!r} is of no type that this node has")
        _give_to_group(path, _group(pod))
        return path


def _kind(volume: Object) -> str:
    return next((kind for kind in volume if kind != "name" and volume[kind] is not None), "emptyDir")


def _group(pod: Object) -> int | None:
    group: int | None = (pod["spec"].get("securityContext") or {}).get("fsGroup")
    return group


def _give_to_group(path: str, group: int | None) -> None:
    """Let *group* write the directory, and what is made in it."""
    if group is not None:
        os.chown(path, -1, group)
        os.chmod(path, stat.S_IMODE(os.stat(path).st_mode) | _FOR_GROUP | _FOLDER_FOR_GROUP)


def _host_path(source: Object) -> str:
    path, kind = str(source["path"]), source.get("type") or ""
    if ".." in path.split("/"):
        raise VolumeNotReady(f"hostPath {path!r} has '..' in it")
    if kind in _MADE_WITH and not os.path.lexists(path):
        _make(path, kind)
    if kind:
        words, fits = _HOST_PATH_TYPES[kind]
        if not os.path.exists(path) or not fits(os.stat(path).st_mode):
            raise VolumeNotReady(f"hostPath type check failed: {path} is not {words}")
    elif not os.path.exists(path):
        os.makedirs(path, mode=_MADE_WITH["DirectoryOrCreate"], exist_ok=True)  # as other runtimes do
    return os.path.realpath(path)


def _make(path: str, kind: str) -> None:
    if kind == "DirectoryOrCreate":
        os.makedirs(path, mode=_MADE_WITH[kind], exist_ok=True)
    else:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _MADE_WITH[kind]))


def _size(path: str) -> int:
    """Bytes on the disk below *path*; what vanishes meanwhile counts as nothing."""
    try:
        with open_path(path, os.O_RDONLY | os.O_DIRECTORY) as folder:
            return sum(info.st_blocks * 512 for info in everything_below(folder.fileno()))
    except OSError:
        return 0  # it is not there yet
