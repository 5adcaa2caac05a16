"""Static pods: those whose manifests lie in a folder of the node, whoever may be asked for others.

Each is shown to the API as a *mirror*, a pod that is bound to the node and says where it comes from; it is
made again when somebody deletes it, and goes with its file.

Source: kubernetes.io, "Create static Pods"; annotations ``kubernetes.io/config.*``.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator

import msgspec

from container_kit.cluster.client import ApiConflict, ApiError, ApiExists, ApiNotFound, Client
from container_kit.cluster.meta import Object

__all__ = ["StaticPods", "mirror_of"]

_log = logging.getLogger("container_kit.cluster.node")

_HASH, _MIRROR = "kubernetes.io/config.hash", "kubernetes.io/config.mirror"
_SOURCE = "kubernetes.io/config.source"
_ENDINGS = (".yaml", ".yml", ".json")
_TOLERATES_ALL = {"operator": "Exists", "effect": "NoExecute"}


def mirror_of(manifest: Object, node: str, node_uid: str) -> Object:
    """The pod that stands for *manifest* on *node*.

    Raises:
        ValueError: It is no pod with a name.
    """
    metadata, spec = manifest.get("metadata") or {}, manifest.get("spec") or {}
    if manifest.get("kind") != "Pod" or not metadata.get("name") or not spec.get("containers"):
        raise ValueError("a static pod is a Pod with a name and containers")
    digest = hashlib.md5(
        msgspec.json.encode([manifest, node], order="sorted"), usedforsecurity=False
    ).hexdigest()
    marks = {_HASH: digest, _MIRROR: digest, _SOURCE: "file"}
    owner = {"apiVersion": "v1", "kind": "Node", "name": node, "uid": node_uid, "controller": True}
    return {
        **manifest,
        "metadata": {
            **metadata,
            "name": f"{metadata['name']}-{node}",
            "namespace": metadata.get("namespace") or "default",
            "annotations": {**(metadata.get("annotations") or {}), **marks},
            "ownerReferences": [owner],
        },
        "spec": {
            **spec,
            "nodeName": node,
            "tolerations": [*(spec.get("tolerations") or ()), _TOLERATES_ALL],
        },
    }


class StaticPods:
    """The static pods of one node.

    Args:
        folder: With a manifest in each file that ends like YAML or JSON.
    """

    def __init__(self, client: Client, node: str, folder: str) -> None:
        self._client, self._node, self._folder = client, node, folder

    def sync(self, node_uid: str) -> None:
        """Let the API show exactly the pods of the folder; what cannot be read is passed over."""
        wanted = {_place(one): one for one in self._mirrors(node_uid)}
        fields = f"spec.nodeName={self._node}"
        there = {
            _place(one): one
            for one in self._client.list("pods", None, fields=fields).items
            if _is_mirror(one)
        }
        for place, one in there.items():
            if place not in wanted or _hash(wanted[place]) != _hash(one):
                self._delete(one)
        for place, one in wanted.items():
            if place not in there:
                self._create(one)

    def _mirrors(self, node_uid: str) -> Iterator[Object]:
        for name in sorted(os.listdir(self._folder)) if os.path.isdir(self._folder) else ():
            if not name.endswith(_ENDINGS) or name.startswith("."):
                continue
            path = os.path.join(self._folder, name)
            try:
                yield mirror_of(_read(path), self._node, node_uid)
            except (OSError, ValueError) as error:
                _log.warning("cannot run the static pod of %s: %s", path, error)

    def _create(self, mirror: Object) -> None:
        try:
            self._client.create(mirror)
        except ApiExists:
            return  # another pod has the name: that one comes first
        except ApiError as error:
            _log.warning("cannot show the static pod %s: %s", mirror["metadata"]["name"], error)

    def _delete(self, mirror: Object) -> None:
        metadata = mirror["metadata"]
        try:
            self._client.delete("pods", metadata["name"], metadata["namespace"], uid=metadata["uid"])
        except (ApiNotFound, ApiConflict):
            return  # somebody was faster


def _read(path: str) -> Object:
    """The document of a file.

    Raises:
        OSError, ValueError: It cannot be read.
    """
    with open(path, "rb") as file:
        data = file.read()
    import yaml

    try:
        found = yaml.safe_load(data)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    if not isinstance(found, dict):
        raise ValueError("it holds no object")
    return found


def _place(pod: Object) -> tuple[str, str]:
    return pod["metadata"]["namespace"], pod["metadata"]["name"]


def _hash(pod: Object) -> str:
    return str((pod["metadata"].get("annotations") or {}).get(_HASH, ""))


def _is_mirror(pod: Object) -> bool:
    return _MIRROR in (pod["metadata"].get("annotations") or {})
