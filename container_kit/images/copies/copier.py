"""The walk of a copy: from the document that a name means down to its blobs, and up again.

Whatever a document names is at the target before the document itself, so that a copy which dies on the way
leaves nothing there that is not whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import attrs

from container_kit.errors import CorruptData, LimitExceeded, NotFound
from container_kit.images.copies.place import (
    Document,
    Role,
    Source,
    Target,
    Transfer,
    is_image,
    read_config,
)
from container_kit.oci import Descriptor, Digest, Manifest, Platform
from container_kit.oci.media_types import INDEX_TYPES, MANIFEST_TYPES
from container_kit.oci.progress import Progress

__all__ = ["copy_image"]

_MAX_DEPTH: Final = 3  # of indexes within indexes, and of what refers to what refers
_MAX_DOCUMENTS: Final = 2000


def copy_image(
    source: Source,
    target: Target,
    platform: Platform | None,
    *,
    whole: bool,
    referrers: bool,
    report: Callable[[Progress], object],
    allow: Callable[[tuple[Digest, ...]], object] = lambda _: None,
    role: Role = "top",
) -> Document:
    """Copy what *source* means; the document that *target* has of it.

    Args:
        platform: Of an index, the image to copy; of a single image, what it must be for.
        whole: Copy an index with all its images instead.
        referrers: Copy what refers to the copied documents too.
        allow: Called with the digests of what is copied and of what the name means; raises to refuse it.
        role: What the copy is for the target.

    Raises:
        NotFound: There is nothing for the platform.
        CorruptData: Something is not what its digest or size promises.
        LimitExceeded: More documents, or deeper within each other, than an image has.
    """

    def stop() -> None:
        source.cancel()
        target.cancel()

    copier = _Copier(source, target, referrers, Transfer(report, stop))
    document = source.top()
    top = document.digest
    if not whole:
        document = copier.choose(document, platform)
    allow((document.digest, top))
    copier.copy(document, role, 0)
    return document


@attrs.frozen
class _Copier:
    source: Source
    target: Target
    referrers: bool
    transfer: Transfer
    _done: dict[Digest, Document] = attrs.field(factory=dict)

    def choose(self, document: Document, platform: Platform | None) -> Manifest:
        """The one image of *document* for the platform, by default this host's."""
        for _ in range(_MAX_DEPTH + 1):
            if isinstance(document, Manifest):
                if platform is not None:
                    self._require(document, platform)
                return document
            document = self.source.document(document.select(platform or Platform.host()))
        raise LimitExceeded(f"indexes within indexes go deeper than {_MAX_DEPTH} levels")

    def _require(self, manifest: Manifest, platform: Platform) -> None:
        if not is_image(manifest):
            return
        has = read_config(self.source, manifest, self.transfer).platform
        if not platform.runs(has):
            raise NotFound("image for the platform", str(platform), f"it is for {has} only")

    def copy(self, document: Document, role: Role, depth: int, tag: str = "") -> None:
        """Everything that *document* names, then itself, then what refers to it."""
        if depth > _MAX_DEPTH:
            raise LimitExceeded(f"documents within documents go deeper than {_MAX_DEPTH} levels")
        if len(self._done) >= _MAX_DOCUMENTS:
            raise LimitExceeded(f"more than {_MAX_DOCUMENTS} documents belong to this image")
        if isinstance(document, Manifest):
            self.target.take(document, self.source, self.transfer)
        else:
            for part in self._documents(document.manifests):
                self.copy(part, "part", depth + 1)
        self.target.put(document, role, tag)
        self._done[document.digest] = document
        if self.referrers:
            for one in self.source.referrers(document.digest):
                for referrer in self._documents([one.descriptor]):
                    if not one.tag:
                        self._require_subject(referrer, document)
                    self.copy(referrer, "referrer", depth + 1, one.tag)

    def _documents(self, descriptors: Sequence[Descriptor]) -> Iterator[Document]:
        """Those that were not copied before."""
        for descriptor in descriptors:
            if descriptor.media_type not in MANIFEST_TYPES | INDEX_TYPES:
                raise CorruptData(f"{descriptor.digest} is no manifest but {descriptor.media_type!r}")
            if descriptor.digest not in self._done:
                yield self.source.document(descriptor)

    def _require_subject(self, referrer: Document, subject: Document) -> None:
        if referrer.subject is None or referrer.subject.digest != subject.digest:
            raise CorruptData(f"{referrer.digest} is listed as referring to {subject.digest}, and does not")
