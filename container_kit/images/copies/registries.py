"""A registry as a place of copies."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import suppress

import attrs

from container_kit.errors import CorruptData, NotFound
from container_kit.images.copies.place import Blob, Document, Referrer, Role, Source, Transfer, take_blobs
from container_kit.images.downloads import PASSED_OVER, Download, Places
from container_kit.images.layers import stream
from container_kit.images.sources import Content
from container_kit.oci import Descriptor, Digest, Manifest, Reference
from container_kit.oci.manifest import parse_manifest
from container_kit.oci.progress import Progress
from container_kit.registry.client import listing
from container_kit.registry.client.endpoint import Url
from container_kit.registry.client.messages import FilePart
from container_kit.registry.client.publishing import publish
from container_kit.registry.client.repository import Repository
from container_kit.registry.client.uploads import begin_mount, upload
from container_kit.registry.signatures.attachments import signature_tag
from container_kit.registry.signatures.checking import check_policy

__all__ = ["RegistrySource", "RegistryTarget"]


@attrs.frozen
class RegistrySource:
    """The image *reference* in a registry; *places* are its mirrors and, last, its own repository."""

    places: Places
    reference: Reference
    report: Callable[[Progress], object]

    def top(self) -> Document:
        return self._read(self.reference.digest or self.reference.tag or "latest")

    def document(self, descriptor: Descriptor) -> Document:
        document = self._read(descriptor.digest)
        if len(document.raw) != descriptor.size:
            raise CorruptData(f"{descriptor.digest} has not the {descriptor.size} bytes that were promised")
        return document

    def _read(self, name: str | Digest) -> Document:
        for place in self.places.repositories[:-1]:
            try:
                received = place.manifest(name)
            except PASSED_OVER:  # a mirror need not have everything
                continue
            return parse_manifest(received.raw, received.media_type)
        received = self.repository.manifest(name)
        return parse_manifest(received.raw, received.media_type)

    def content(self, descriptor: Descriptor) -> Content:
        return Download(self.places, descriptor, self.report)

    def referrers(self, subject: Digest) -> Sequence[Referrer]:
        found = {one.digest: Referrer(one) for one in listing.referrers(self.repository, subject)}
        tag = signature_tag(subject)
        with suppress(NotFound):
            received = self.repository.manifest(tag)
            kind = parse_manifest(received.raw, received.media_type).media_type
            found[received.digest] = Referrer(Descriptor.of(received.raw, kind), tag)
        return list(found.values())

    def check_policy(self, digests: tuple[Digest, ...]) -> None:
        """Refuse what the signature policy does not allow to be taken from here.

        Raises:
            Untrusted: It is not signed as the policy asks.
        """
        check_policy(self.repository, self.reference, digests)

    @property
    def repository(self) -> Repository:
        """The image's own repository, not that of a mirror."""
        return self.places.repositories[-1]

    def cancel(self) -> None:
        self.places.session.cancel()


@attrs.frozen
class RegistryTarget:
    """The image *reference* in the registry of *repository*.

    Args:
        mount_from: Another repository of the same registry, where the blobs are; or empty.
    """

    repository: Repository
    reference: Reference
    mount_from: str = ""

    def take(self, manifest: Manifest, source: Source, transfer: Transfer) -> None:
        # A mount needs no bytes at all: try it before the source is asked for any.
        mounting = _Mounting(self, transfer)
        take_blobs(mounting if self.mount_from else self, manifest, source, transfer)

    def has_blob(self, descriptor: Descriptor) -> bool:
        return self.repository.find_blob(descriptor.digest) == descriptor.size

    def write_blob(self, blob: Blob, begun: Url | None = None) -> None:
        """Send a blob: in chunks that can be repeated when it comes from a file, else in one request."""
        count = functools.partial(blob.transfer.tell, "upload", blob.descriptor)
        if blob.offset is not None:
            blob.verify()
            part = FilePart(blob.fd, blob.offset, blob.descriptor.size, count)
            upload(self.repository, blob.descriptor, part, begun)
            return
        size = blob.descriptor.size
        send = lambda fd: upload(self.repository, blob.descriptor, FilePart(fd, None, size), begun)  # noqa: E731
        stream(blob.write_to, send)

    def put(self, document: Document, role: Role, tag: str = "") -> None:
        if role == "top" and self.reference.digest is None:
            tag = self.reference.tag or "latest"
        publish(self.repository, document, tag or document.digest)

    def cancel(self) -> None:
        self.repository.session.cancel()


@attrs.frozen
class _Mounting:
    """Another repository of the registry has all blobs: they are mounted, and sent only if it refuses."""

    target: RegistryTarget
    transfer: Transfer
    _begun: dict[Digest, Url] = attrs.field(factory=dict)

    def has_blob(self, descriptor: Descriptor) -> bool:
        if self.target.has_blob(descriptor):
            return True
        begun = begin_mount(self.target.repository, descriptor.digest, self.target.mount_from)
        if begun is None:
            self.transfer.tell("mount", descriptor, message=f"from {self.target.mount_from}")
            return True
        self._begun[descriptor.digest] = begun
        return False

    def write_blob(self, blob: Blob) -> None:
        self.target.write_blob(blob, self._begun.get(blob.descriptor.digest))
