"""Images of one layer from a whole root file system: a directory, or a tar of one."""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any

from container_kit.errors import NotFound
from container_kit.images import records
from container_kit.images.assemble import publish_layers
from container_kit.images.changes import apply_changes
from container_kit.images.layers import build_layer, unpack_archive
from container_kit.images.sources import copy_stream, descriptor_of, open_file
from container_kit.native import layers as native
from container_kit.oci import ContainerConfig, Descriptor, Digest, History, Reference

if TYPE_CHECKING:
    from container_kit.images.image import Image
    from container_kit.store import Store

__all__ = ["from_rootfs", "import_tar", "now"]


def now() -> str:
    """This moment as images write it."""
    return datetime.datetime.now(datetime.UTC).isoformat().replace("+00:00", "Z")


def from_rootfs(
    store: Store, source: str | os.PathLike[str], tag: str | None, config: Mapping[str, Any]
) -> Image:
    """See `container_kit.images.image.Image.from_rootfs`.

    The image depends on its files and *config* alone, so that the same root gives the same digest.
    """
    settings = ContainerConfig.from_json(dict(config), "config")
    name = Reference.parse(tag) if tag is not None else None
    if not os.path.exists(source):
        raise NotFound("directory or archive", os.fspath(source))
    with store.lease():
        layer = _pack_directory(store, source) if os.path.isdir(source) else _unpack_tar(store, source)
        step = History(created_by="container_kit: root file system")
        return _published(store, layer, settings, step, name)


def import_tar(
    store: Store,
    source: str | os.PathLike[str] | IO[bytes],
    tag: str | None,
    changes: tuple[str, ...],
    message: str,
) -> Image:
    """See `container_kit.images.image.Image.import_`."""
    settings = ContainerConfig.from_json(apply_changes({}, changes), "change")
    name = Reference.parse(tag) if tag is not None else None
    with store.lease():
        layer = _unpack_tar(store, source)
        step = History(created=now(), comment=message or "Imported from -")
        return _published(store, layer, settings, step, name)


def _published(
    store: Store,
    layer: tuple[Digest, Descriptor],
    config: ContainerConfig,
    step: History,
    name: Reference | None,
) -> Image:
    digest = publish_layers(store, [layer], config, [step], created=step.created)
    if name is not None:
        records.tag(store, digest, name)
    return records.handle(store, digest)


def _pack_directory(store: Store, path: str | os.PathLike[str]) -> tuple[Digest, Descriptor]:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return build_layer(store, lambda out_fd: native.pack(fd, out_fd, form="plain"))
    finally:
        os.close(fd)


def _unpack_tar(store: Store, source: str | os.PathLike[str] | IO[bytes]) -> tuple[Digest, Descriptor]:
    """The tar is read once, from the start to the end: a pipe is as good as a file."""
    if isinstance(source, str | os.PathLike):
        fd = open_file(source)
        try:
            return unpack_archive(store, fd)
        finally:
            os.close(fd)
    fd_of_source = descriptor_of(source)
    if fd_of_source is not None:
        return unpack_archive(store, fd_of_source)
    return build_layer(store, lambda out_fd: copy_stream(source.read, out_fd))
