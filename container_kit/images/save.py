"""``save``: images as one archive.

Both tar formats are an OCI layout with the blobs as the manifests name them, so digests survive; the
docker-archive has a ``manifest.json`` beside it, as docker itself writes since version 25.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Protocol

import attrs

from container_kit.errors import InvalidInput, KernelError
from container_kit.images import records
from container_kit.images.layout import LAYOUT, blob_path
from container_kit.images.tarwriter import TarWriter
from container_kit.native.descriptors import open_path
from container_kit.oci import Descriptor, Digest, Index
from container_kit.oci.json_document import encode

if TYPE_CHECKING:
    from container_kit.images.image import Image
    from container_kit.images.words import ArchiveFormat
    from container_kit.store import Store

__all__ = ["opened_archive", "save_images"]

_CHUNK = 1 << 20


class _Target(Protocol):
    """What an archive is written to: a tar, or a directory."""

    def document(self, name: str, content: bytes) -> None:
        """A small file."""

    def blob(self, name: str, size: int, write: Callable[[int], object]) -> None:
        """A file of *size* bytes that *write* writes to the descriptor it is given."""


def save_images(
    images: Sequence[Image],
    target: str | os.PathLike[str] | IO[bytes],
    format: ArchiveFormat = "docker-archive",
) -> None:
    """Write *images*, with all their names, to one archive.

    Args:
        target: Path of the file (of the directory, for ``oci-dir``), or an open binary file.
        format: ``docker-archive`` is read by docker, podman and all that read OCI layouts;
            ``oci`` is the same tar without docker's own document; ``oci-dir`` is a directory.

    Raises:
        InvalidInput: There are no images, the format is unknown, or the directory is not empty.
        CorruptData: A layer in the store is damaged: the archive is not left behind.
    """
    if not images:
        raise InvalidInput("there is no image to save")
    unique = list(dict.fromkeys(images))
    with unique[0].store.lease(*(image.digest for image in unique)):
        if format == "oci-dir":
            if not isinstance(target, str | os.PathLike):
                raise InvalidInput("a layout directory is saved to a path, not to an open file")
            _save_directory(unique, os.fspath(target))
        elif format in ("docker-archive", "oci"):
            with opened_archive(target) as fd, TarWriter(fd) as tar:
                _write(unique, _TarTarget(tar), with_docker=format == "docker-archive")
        else:
            raise InvalidInput(f"{format!r} is none of docker-archive, oci, oci-dir")


def _write(images: list[Image], target: _Target, *, with_docker: bool) -> None:
    """Blobs first, then what names them."""
    written: set[Digest] = set()
    for image in images:
        for descriptor in (*image.manifest.layers, image.manifest.config, image.manifest.descriptor()):
            if descriptor.digest not in written:
                written.add(descriptor.digest)
                _write_blob(image.store, descriptor, target)
    target.document("index.json", _index(images).raw)
    if with_docker:
        target.document("manifest.json", _docker_manifest(images))
    target.document("oci-layout", LAYOUT)


def _write_blob(store: Store, descriptor: Descriptor, target: _Target) -> None:
    digest = descriptor.digest
    target.blob(blob_path(digest), store.blob_size(digest), lambda fd: store.copy_blob(digest, fd))


def _index(images: list[Image]) -> Index:
    """One entry a name: readers take the whole name, docker's importer from an annotation of its own."""
    entries: list[Descriptor] = []
    for image in images:
        descriptor = image.manifest.descriptor(image.config.platform)
        names = [str(reference) for reference in records.references_of(image.store, image.digest)]
        entries += [
            attrs.evolve(
                descriptor,
                annotations={"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name},
            )
            for name in names
        ] or [descriptor]
    return Index.build(entries)


def _docker_manifest(images: list[Image]) -> bytes:
    entries = [
        encode(
            {
                "Config": blob_path(image.id),
                "RepoTags": list(image.names) or None,
                "Layers": [blob_path(layer.digest) for layer in image.manifest.layers],
            }
        )
        for image in images
    ]
    return b"[" + b",".join(entries) + b"]"


@attrs.frozen
class _TarTarget:
    tar: TarWriter

    def document(self, name: str, content: bytes) -> None:
        self.tar.data(name, content)

    def blob(self, name: str, size: int, write: Callable[[int], object]) -> None:
        write(self.tar.begin(name, size))
        self.tar.end(size)


@attrs.frozen
class _DirectoryTarget:
    path: str

    def document(self, name: str, content: bytes) -> None:
        self.blob(name, len(content), lambda fd: _write_all(fd, content))

    def blob(self, name: str, size: int, write: Callable[[int], object]) -> None:
        place = f"{self.path}/{name}"
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open_path(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644) as file:
            write(file.fileno())


def _write_all(fd: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]


def _save_directory(images: list[Image], path: str) -> None:
    """A new directory, complete or absent: it is renamed into place."""
    if os.path.isdir(path) and os.listdir(path):
        raise InvalidInput(f"cannot save a layout to {path!r}: the directory is not empty")
    draft = f"{path.rstrip('/')}.{secrets.token_hex(4)}.part"
    with _speaking_of(path):
        os.mkdir(draft)
    try:
        _write(images, _DirectoryTarget(draft), with_docker=False)
        os.rename(draft, path)
    except BaseException:
        import shutil

        shutil.rmtree(draft, ignore_errors=True)
        raise


@contextmanager
def opened_archive(target: str | os.PathLike[str] | IO[bytes]) -> Iterator[int]:
    """A descriptor for the archive; a path gets the whole archive or none."""
    if isinstance(target, str | os.PathLike):
        with _replaced(os.fspath(target)) as fd:
            yield fd
        return
    try:
        target.flush()
        fd = target.fileno()
    except (AttributeError, OSError):
        fd = -1
    if fd >= 0:
        yield fd
        return
    raise InvalidInput("an archive is saved to a path or an open file of the operating system")


@contextmanager
def _speaking_of(path: str) -> Iterator[None]:
    """What goes wrong is told with the path that the caller gave, not with the draft's."""
    try:
        yield
    except OSError as error:
        raise KernelError.of(error.errno or 0, "cannot save images", path) from None


@contextmanager
def _replaced(path: str) -> Iterator[int]:
    draft = f"{path}.{secrets.token_hex(4)}.part"
    with _speaking_of(path):
        file = open_path(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    with file:
        try:
            yield file.fileno()
            with _speaking_of(path):
                os.rename(draft, path)
        except BaseException:
            os.unlink(draft)
            raise
