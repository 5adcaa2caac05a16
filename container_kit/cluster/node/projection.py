"""What the files of a volume are: ConfigMaps, Secrets, downward API and projections of them.

Pure but for `Lookup` and the tokens: sources go in, a *payload* comes out, the content and mode of each file
by its path.  Who writes it is :mod:`~container_kit.cluster.node.payload_writer`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

from container_kit._values import frozen
from container_kit.cluster.node.downward import field_value, resource_value
from container_kit.cluster.node.environment import Lookup
from container_kit.cluster.node.errors import VolumeNotReady

__all__ = ["PROJECTED", "Payload", "PayloadFile", "Projector", "references"]

Object = dict[str, Any]
Tokens = Callable[[Object, Object], str]

_DEFAULT_MODE = 0o644
# Volumes whose files we write, and which change while a pod runs.
PROJECTED = ("configMap", "secret", "downwardAPI", "projected")


@frozen
class PayloadFile:
    """One file: its content, and its mode bits."""

    content: bytes
    mode: int


Payload = dict[str, PayloadFile]


@frozen
class Projector:
    """Makes payloads for pods of one node.

    Args:
        lookup: Finds ConfigMaps and Secrets.
        capacity: Of the node, for limits that are not set.
        token: Gives a service account token for a pod and a ``serviceAccountToken`` source.
    """

    lookup: Lookup
    capacity: Mapping[str, str]
    token: Tokens

    def payload(self, pod: Object, volume: Object) -> Payload:
        """The files of one volume of *pod*.

        Raises:
            VolumeNotReady: Something that is not optional is not there.
        """
        kind = next(kind for kind in PROJECTED if volume.get(kind) is not None)
        source = volume[kind]
        mode = source.get("defaultMode")
        mode = _DEFAULT_MODE if mode is None else mode
        if kind != "projected":
            return self._files(pod, kind, source, mode)
        found: Payload = {}
        for one in source.get("sources") or ():
            inner = next(kind for kind in one if one[kind] is not None)
            found.update(self._files(pod, inner, one[inner], mode))
        return found

    def _files(self, pod: Object, kind: str, source: Object, mode: int) -> Payload:
        if kind == "downwardAPI":
            return self._downward(pod, source, mode)
        if kind == "serviceAccountToken":
            return {source["path"]: PayloadFile(self.token(pod, source).encode(), mode)}
        if kind not in ("configMap", "secret"):
            raise VolumeNotReady(f"volume source {kind!r} cannot be made: this node has no such thing")
        return self._keys(pod, kind, source, mode)

    def _downward(self, pod: Object, source: Object, mode: int) -> Payload:
        found: Payload = {}
        for item in source.get("items") or ():
            if item.get("fieldRef"):
                text = field_value(pod, item["fieldRef"]["fieldPath"])
            else:
                text = resource_value(pod, item["resourceFieldRef"], "", self.capacity)
            found[item["path"]] = PayloadFile(text.encode(), _mode_of(item, mode))
        return found

    def _keys(self, pod: Object, kind: str, source: Object, mode: int) -> Payload:
        name = source.get("name") or source.get("secretName") or ""
        namespace = pod["metadata"]["namespace"]
        lookup = self.lookup.config_map if kind == "configMap" else self.lookup.secret
        found = lookup(namespace, name)
        if found is None:
            if source.get("optional"):
                return {}
            raise VolumeNotReady(f'{kind.lower()} "{name}" not found')
        contents = _contents(kind, found)
        items = source.get("items")
        if not items:
            return {key: PayloadFile(content, mode) for key, content in contents.items()}
        picked: Payload = {}
        for item in items:
            if item["key"] in contents:
                picked[item["path"]] = PayloadFile(contents[item["key"]], _mode_of(item, mode))
            elif not source.get("optional"):
                raise VolumeNotReady(
                    f"{kind.lower()} references non-existent {kind.lower()} key: {item['key']}"
                )
        return picked


def _mode_of(item: Object, mode: int) -> int:
    own = item.get("mode")
    return mode if own is None else int(own)


def _contents(kind: str, found: Object) -> dict[str, bytes]:
    data = found.get("data") or {}
    if kind == "secret":
        return {key: base64.b64decode(text) for key, text in data.items()}
    binary = found.get("binaryData") or {}
    plain = {key: text.encode(errors="surrogateescape") for key, text in data.items()}
    return plain | {key: base64.b64decode(text) for key, text in binary.items()}


def references(pod: Object) -> set[tuple[str, str]]:
    """The ConfigMaps and Secrets that volumes of *pod* show, as ``("configmaps", name)``."""
    found: set[tuple[str, str]] = set()
    for volume in pod["spec"].get("volumes") or ():
        sources = (volume.get("projected") or {}).get("sources") or ()
        for one in (volume, *sources):
            if (one.get("configMap") or {}).get("name"):
                found.add(("configmaps", one["configMap"]["name"]))
            secret = one.get("secret") or {}
            if name := secret.get("secretName") or secret.get("name"):
                found.add(("secrets", name))
    return found
