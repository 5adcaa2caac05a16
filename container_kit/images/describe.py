"""How an image looks to people and to docker's clients: inspect and history.

Source: Docker Engine API 1.43, "ImageInspect" and "ImageHistory".
"""

from __future__ import annotations

import datetime
import re
from typing import TYPE_CHECKING, Any

import attrs

from container_kit.images import records
from container_kit.oci import Digest, History, ImageConfig

if TYPE_CHECKING:
    from container_kit.images.image import Image

__all__ = ["HistoryEntry", "created_at", "history", "inspect"]

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)?")


@attrs.frozen
class HistoryEntry:
    """One step of an image's making.

    Args:
        id: The image's id for the last step, ``<missing>`` for the others.
        created: When, or the epoch if the image does not say.
        created_by: The instruction or command.
        size_bytes: Of the layer that it made; 0 if it made none.
        tags: Names of the image, at the last step.
        layer: Diff id of that layer, or None.
    """

    id: str
    created: datetime.datetime
    created_by: str
    size_bytes: int
    comment: str = ""
    tags: tuple[str, ...] = ()
    layer: Digest | None = None

    def to_json(self) -> dict[str, Any]:
        """In the words of docker's API: times in seconds."""
        return {
            "Comment": self.comment,
            "Created": int(self.created.timestamp()),
            "CreatedBy": self.created_by,
            "Id": self.id,
            "Size": self.size_bytes,
            "Tags": list(self.tags) or None,
        }


def parse_time(text: str) -> datetime.datetime:
    """An RFC 3339 time, with nanoseconds cut to microseconds; the epoch if it is none."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        return _EPOCH
    seconds, fraction, zone = match.groups()
    zone = "+00:00" if zone in (None, "Z", "z") else zone
    try:
        moment = datetime.datetime.fromisoformat(f"{seconds}{(fraction or '.0')[:7].ljust(7, '0')}{zone}")
        return moment.astimezone(datetime.UTC)
    except (ValueError, OverflowError):
        return _EPOCH


def created_at(config: ImageConfig) -> datetime.datetime:
    """When the image was made; the epoch if its config does not say."""
    return parse_time(config.created)


def history(image: Image) -> list[HistoryEntry]:
    """The steps of *image*, newest first; layers that no step names come as steps of their own."""
    layers = list(image.layers)
    steps = [*image.config.history]
    unnamed = len(layers) - sum(not step.empty_layer for step in steps)
    steps += [History(created=image.config.created)] * unnamed
    entries = []
    for step in steps:
        layer = layers.pop(0) if not step.empty_layer and layers else None
        entries.append(_entry(image, step, layer))
    if entries:
        entries[-1] = attrs.evolve(entries[-1], id=str(image.id), tags=tuple(image.names))
    return entries[::-1]


def _entry(image: Image, step: History, layer: Digest | None) -> HistoryEntry:
    size = image.layer_size(layer) if layer is not None else 0
    return HistoryEntry(
        "<missing>", parse_time(step.created), step.created_by, size, step.comment, layer=layer
    )


def inspect(image: Image) -> dict[str, Any]:
    """All about *image*, with the keys of docker's API."""
    config, platform = image.config, image.config.platform
    names = list(image.names)
    described: dict[str, Any] = {
        "Id": str(image.id),
        "RepoTags": [name for name in names if "@" not in name],
        "RepoDigests": sorted(
            {f"{name.rpartition(':')[0]}@{image.digest}" for name in names}
            | set(records.pinned_names(image.store, image.digest))
        ),
        "Parent": "",
        "Comment": config.history[-1].comment if config.history else "",
        "Created": config.created or "0001-01-01T00:00:00Z",
        "DockerVersion": "",
        "Author": config.author,
        "Config": _config(image),
        "Architecture": platform.architecture,
        "Os": platform.os,
        "Size": image.size,
        "VirtualSize": image.size,
        "GraphDriver": _graph_driver(image),
        "RootFS": {"Type": "layers", "Layers": [str(layer) for layer in image.layers]},
        "Metadata": {"LastTagTime": "0001-01-01T00:00:00Z"},
        "Descriptor": image.manifest.descriptor().to_json(),
    }
    if platform.variant:
        described["Variant"] = platform.variant
    return described


def _config(image: Image) -> dict[str, Any]:
    """The ``Config`` object, with every key that docker's clients look for."""
    empty: dict[str, Any] = {
        "Hostname": "", "Domainname": "", "User": "", "AttachStdin": False, "AttachStdout": False,
        "AttachStderr": False, "Tty": False, "OpenStdin": False, "StdinOnce": False, "Env": None, "Cmd": None,
        "Image": "", "Volumes": None, "WorkingDir": "", "Entrypoint": None, "OnBuild": None, "Labels": None,
    }  # fmt: skip
    return {**empty, **image.config.config.to_json()}


def _graph_driver(image: Image) -> dict[str, Any]:
    paths = [image.layer_path(layer) for layer in reversed(image.layers)]
    data = {"UpperDir": paths[0]} if paths else {}
    if paths[1:]:
        data["LowerDir"] = ":".join(paths[1:])
    return {"Name": "overlay2", "Data": data}
