"""What a place can do that images are copied from or to, and the blobs on their way between two.

A blob's digest is compared before its last bytes are given away: no target ever gets all of a wrong one.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal, Protocol

import attrs

from container_kit.errors import CorruptData, LimitExceeded, TimedOut
from container_kit.images.archive import MAX_DOCUMENT
from container_kit.images.parallel import run_all
from container_kit.images.sources import Content
from container_kit.native import layers as native
from container_kit.native.digests import sha256_range
from container_kit.oci import Descriptor, Digest, ImageConfig, Index, Manifest
from container_kit.oci.media_types import DOCKER_CONFIG, OCI_CONFIG, is_foreign_layer
from container_kit.oci.progress import Action, Progress

__all__ = [
    "Blob",
    "BlobTarget",
    "Document",
    "Referrer",
    "Role",
    "Source",
    "Target",
    "Transfer",
    "is_image",
    "read_config",
    "take_blobs",
]

_CHUNK: Final = 1 << 20
_MAX_AT_ONCE: Final = 4

Document = Manifest | Index
Role = Literal["part", "top", "referrer"]  # of an index; what the copy is called; what refers to a part


@attrs.frozen
class Referrer:
    """A manifest that refers to another one: as its subject; or, as cosign does it, by its own *tag*."""

    descriptor: Descriptor
    tag: str = ""


class Source(Protocol):
    """Where an image comes from."""

    def top(self) -> Document:
        """What the place means by the name that was asked for.

        Raises:
            NotFound: It has nothing of this name.
        """

    def document(self, descriptor: Descriptor) -> Document:
        """A manifest or index that another one names, verified."""

    def content(self, descriptor: Descriptor) -> Content:
        """The bytes of a blob, not verified."""

    def referrers(self, subject: Digest) -> Sequence[Referrer]:
        """Manifests that refer to *subject*: signatures, for one."""

    def cancel(self) -> None:
        """Let whatever waits end soon; from any thread."""


class Target(Protocol):
    """Where an image goes to."""

    def take(self, manifest: Manifest, source: Source, transfer: Transfer) -> None:
        """Fetch all blobs that *manifest* names and that are not here; `take_blobs` does it one by one."""

    def put(self, document: Document, role: Role, tag: str = "") -> None:
        """Store a document, after everything that it names; *tag* is that of a `Referrer`."""

    def cancel(self) -> None:
        """See `Source.cancel`."""


class BlobTarget(Protocol):
    """A target that keeps blobs as they are; what `take_blobs` needs."""

    def has_blob(self, descriptor: Descriptor) -> bool:
        """Whether these bytes are here already."""

    def write_blob(self, blob: Blob) -> None:
        """Keep a blob."""


@attrs.frozen
class Transfer:
    """One copy as its parts see it: whom to tell, and how all of it is stopped."""

    report: Callable[[Progress], object]
    stop: Callable[[], object]
    cancellation: native.Cancellation = attrs.field(factory=native.Cancellation)

    def tell(self, action: Action, blob: Descriptor, done: int = 0, message: str = "") -> None:
        event = Progress(
            id=str(blob.digest), action=action, done_bytes=done, total_bytes=blob.size, message=message
        )
        self.report(event)

    def cancel(self) -> None:
        self.cancellation.cancel()
        self.stop()


@attrs.frozen
class Blob:
    """A blob on its way.

    Args:
        fd: Where its bytes are read.
        offset: From here on; None for a pipe, which can be read only once.
    """

    descriptor: Descriptor
    fd: int
    offset: int | None
    transfer: Transfer

    def verify(self) -> None:
        """Compare a blob that can be read more than once with its digest, before anything goes away."""
        assert self.offset is not None
        wanted = self.descriptor.digest
        if wanted.algorithm != "sha256":
            for _ in self.pieces():
                pass
        elif sha256_range(self.fd, self.offset, self.descriptor.size).hex() != wanted.hex:
            raise self._damaged()

    def pieces(self) -> Iterator[bytes]:
        """Its bytes; the last of them only when all are known to be right.

        Raises:
            CorruptData: They are not what the descriptor promises.
            TimedOut: The copy was stopped.
        """
        state, size, held = hashlib.new(self.descriptor.digest.algorithm), 0, b""
        for piece in self._read():
            if self.transfer.cancellation.is_cancelled:
                raise TimedOut(f"{self.descriptor.digest} was not awaited: the copy was stopped")
            state.update(piece)
            size += len(piece)
            if size > self.descriptor.size:
                raise self._damaged()
            if held:
                yield held
                self.transfer.tell("upload", self.descriptor, size - len(piece))
            held = piece
        if size != self.descriptor.size or state.hexdigest() != self.descriptor.digest.hex:
            raise self._damaged()
        if held:
            yield held

    def write_to(self, fd: int) -> None:
        """All of it, verified, to the open file *fd*."""
        for piece in self.pieces():
            view = memoryview(piece)
            while view:
                view = view[os.write(fd, view) :]

    def _read(self) -> Iterator[bytes]:
        if self.offset is None:
            while piece := os.read(self.fd, _CHUNK):
                yield piece
            return
        at, end = self.offset, self.offset + self.descriptor.size
        while at < end and (piece := os.pread(self.fd, min(_CHUNK, end - at), at)):
            at += len(piece)
            yield piece

    def _damaged(self) -> CorruptData:
        return CorruptData(
            f"{self.descriptor.digest} is damaged where it comes from: its bytes have another size or digest"
        )


def read_config(source: Source, manifest: Manifest, transfer: Transfer) -> ImageConfig:
    """The configuration of an image, verified.

    Raises:
        LimitExceeded: It is larger than any.
    """
    if manifest.config.size > MAX_DOCUMENT:
        raise LimitExceeded(f"the config {manifest.config.digest} has {manifest.config.size} bytes: too many")
    content = source.content(manifest.config)
    with content.opened(None, transfer.cancellation) as (fd, offset):
        return ImageConfig.parse(b"".join(Blob(manifest.config, fd, offset, transfer).pieces()))


def is_image(manifest: Manifest) -> bool:
    """Whether it is an image, and no other artifact."""
    return manifest.config.media_type in (OCI_CONFIG, DOCKER_CONFIG)


def take_blobs(
    target: BlobTarget, manifest: Manifest, source: Source, transfer: Transfer, at_once: int = _MAX_AT_ONCE
) -> None:
    """Copy the config and the layers of *manifest*, those that *target* lacks, several at once.

    Layers that the manifest says to be on other servers stay there.
    """
    wanted = [one for one in manifest.layers if not (is_foreign_layer(one.media_type) and one.urls)]
    missing: dict[Digest, Callable[[], None]] = {}
    for descriptor in (*wanted, manifest.config):
        if descriptor.digest in missing:
            continue
        if target.has_blob(descriptor):
            transfer.tell("exists", descriptor)
            continue
        content = source.content(descriptor)
        _require_size(descriptor, content)
        missing[descriptor.digest] = functools.partial(_take, target, descriptor, content, transfer)
    run_all(list(missing.values()), at_once, transfer.cancel)


def _require_size(descriptor: Descriptor, content: Content) -> None:
    if content.size != descriptor.size:
        raise CorruptData(
            f"{descriptor.digest} has {content.size} bytes, but {descriptor.size} were promised"
        )


def _take(target: BlobTarget, descriptor: Descriptor, content: Content, transfer: Transfer) -> None:
    with content.opened(None, transfer.cancellation) as (fd, offset):
        target.write_blob(Blob(descriptor, fd, offset, transfer))
    transfer.tell("done", descriptor)
