"""Repositories: pushing, finding, listing and removing, on any storage.  No HTTP here.

A blob or manifest exists in a repository only through a link in it: nothing here looks at contents
without one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

import attrs

from container_kit.errors import NotFound
from container_kit.oci import Digest
from container_kit.registry.server.collecting import doomed_links
from container_kit.registry.server.documents import Document, read_document, referrers_index
from container_kit.registry.server.errors import Refusal
from container_kit.registry.server.storage import Collected, Link, Snapshot, Storage
from container_kit.registry.server.uploads import Upload, Uploads

__all__ = ["Repositories"]

_PARSED: Final = 256
_MAX_REMEMBERED: Final = 64 * 1024
_REFERRERS: Final = 500  # in one answer


class Repositories:
    """What a registry can do; every method may be called from any thread."""

    def __init__(self, storage: Storage, max_uploads: int = 2000) -> None:
        self.storage = storage
        self.uploads = Uploads(storage.uploads_directory, max_uploads)
        self._parsed: OrderedDict[Digest, Document] = OrderedDict()

    # Blobs

    def blob_size(self, repository: str, digest: Digest) -> int:
        """Its size in bytes.

        Raises:
            Refusal: The repository has no such blob.
        """
        size = None
        if self.storage.find("blob", repository, str(digest)) is not None:
            size = self.storage.size(digest)
        if size is None:
            raise Refusal("BLOB_UNKNOWN", f"{repository} has no blob {digest}", {"digest": str(digest)})
        return size

    def open_blob(self, repository: str, digest: Digest) -> int:
        """A descriptor of the blob, which the caller closes."""
        self.blob_size(repository, digest)
        return self.storage.open(digest)

    def mount(self, repository: str, source: str, digest: Digest) -> bool:
        """Make the blob of repository *source* one of *repository*; whether it was there."""
        if self.storage.find("blob", source, str(digest)) is None:
            return False
        self.storage.keep(digest)
        try:
            self.storage.change([Link.blob(repository, digest)], require=[Link.blob(source, digest)])
        except NotFound:
            return False
        return True

    def finish(self, repository: str, upload: Upload, digest: Digest) -> None:
        """Make a whole upload the blob *digest*.

        Raises:
            Refusal: Its bytes have another digest; the upload is given up.
        """
        found = upload.digest(digest.algorithm)
        if found != digest:
            upload.remove()
            raise Refusal(
                "DIGEST_INVALID",
                f"the {upload.size} bytes received have the digest {found}, not {digest}",
                {"digest": str(digest)},
            )
        self.storage.adopt(upload.path, upload.fd, digest)
        self.storage.change([Link.blob(repository, digest)])

    def delete_blob(self, repository: str, digest: Digest) -> None:
        """Take the blob out of the repository."""
        try:
            self.storage.change(remove=[Link.blob(repository, digest)])
        except NotFound:
            raise Refusal("BLOB_UNKNOWN", f"{repository} has no blob {digest}") from None

    # Manifests

    def resolve(self, repository: str, reference: str | Digest) -> Digest:
        """The digest of the manifest that a tag or a digest names.

        Raises:
            Refusal: There is none.
        """
        if isinstance(reference, Digest):
            found = self.storage.find("manifest", repository, str(reference))
        else:
            found = self.storage.find("tag", repository, reference)
        if found is None:
            raise Refusal("MANIFEST_UNKNOWN", f"{repository} has no manifest {reference}")
        return found

    def document(self, digest: Digest) -> Document:
        """A stored manifest; parsed once while it is in use."""
        known = self._parsed.get(digest)
        if known is None:
            known = read_document(self.storage.read(digest), digest=digest)
            if len(known.raw) <= _MAX_REMEMBERED:
                if len(self._parsed) >= _PARSED:
                    self._parsed.popitem(last=False)
                self._parsed[digest] = known
        return known

    def remembers(self, digest: Digest) -> bool:
        """Whether `document` need not read and parse."""
        return digest in self._parsed

    def push_manifest(self, repository: str, document: Document, tag: str | None = None) -> None:
        """Make *document* a manifest of the repository, and *tag* its name.

        Raises:
            Refusal: It needs something that the repository does not have.
        """
        needed = self._needed_links(repository, document)
        self.storage.put(document.raw, document.digest, document.needs)
        links = [Link.manifest(repository, document.digest)]
        if document.subject is not None:
            links.append(Link.referrer(repository, document.subject, document.digest))
        if tag is not None:
            links.append(Link.tag(repository, tag, document.digest))
        try:
            self.storage.change(links, require=needed)
        except NotFound as error:
            raise Refusal("MANIFEST_BLOB_UNKNOWN", str(error), status=404) from None

    def publish(self, repository: str, digest: Digest, tag: str) -> None:
        """Make a manifest that the storage holds, and all it needs, visible in the repository.

        Raises:
            NotFound: The storage lacks a part of it.
        """
        document = self.document(digest)
        links = [Link.blob(repository, one.digest) for one in document.blobs]
        links += [Link.manifest(repository, one.digest) for one in document.manifests]
        links += [Link.manifest(repository, digest), Link.tag(repository, tag, digest)]
        self.storage.change(links)

    def delete_manifest(self, repository: str, digest: Digest) -> None:
        """Take a manifest out of the repository, with its tags."""
        self.resolve(repository, digest)
        tags = [tag for tag, target in self.storage.links("tag", repository).items() if target == digest]
        links = [Link.tag(repository, tag, digest) for tag in tags]
        subject = self.document(digest).subject
        if subject is not None:
            links.append(Link.referrer(repository, subject, digest))
        self._remove([*links, Link.manifest(repository, digest)], f"manifest {digest}", repository)

    def delete_tag(self, repository: str, tag: str) -> None:
        """Forget a tag; the manifest stays."""
        digest = self.resolve(repository, tag)
        self._remove([Link.tag(repository, tag, digest)], f"tag {tag!r}", repository)

    # Lists

    def tags(self, repository: str) -> list[str]:
        """All tags, in lexical order.

        Raises:
            Refusal: There is no such repository.
        """
        tags = self.storage.links("tag", repository)
        if not tags and not self.storage.links("manifest", repository):
            raise Refusal("NAME_UNKNOWN", f"there is no repository {repository}", {"name": repository})
        return sorted(tags)

    def referrers(
        self, repository: str, subject: Digest, artifact_type: str = "", last: str = ""
    ) -> tuple[bytes, str]:
        """An index of manifests that refer to *subject*, which need not exist itself.

        Args:
            last: Begin behind this digest, which ended the page before.

        Returns:
            The index, and the digest that ends it if there are more.
        """
        links = self.storage.links("referrer", repository, f"{subject}@")
        rest = sorted(str(digest) for digest in links.values() if str(digest) > last)
        page, more = rest[:_REFERRERS], len(rest) > _REFERRERS
        found = [self.document(Digest.parse(digest)) for digest in page]
        if artifact_type:
            found = [one for one in found if one.artifact_type == artifact_type]
        return referrers_index(found), page[-1] if more else ""

    def collect(self, untagged: bool = False, upload_expiry_s: float = 24 * 3600.0) -> Collected:
        """Remove what nothing needs; safe while others push and pull.

        Args:
            untagged: Also manifests that no tag leads to.
            upload_expiry_s: Uploads that nobody has written for so long are removed.
        """

        def decide(snapshot: Snapshot) -> Iterable[Link]:
            return doomed_links(snapshot, self.document, untagged)

        uploads = self.uploads.sweep(upload_expiry_s)
        return attrs.evolve(self.storage.prune(decide), uploads=uploads)

    def _needed_links(self, repository: str, document: Document) -> list[Link]:
        """Links to everything that *document* needs; the sizes it tells have to be true as well."""
        needed = []
        for kind, descriptors in (("blob", document.blobs), ("manifest", document.manifests)):
            for one in descriptors:
                link = getattr(Link, kind)(repository, one.digest)
                if self.storage.find(link.kind, repository, link.name) is None:
                    raise Refusal(
                        "MANIFEST_BLOB_UNKNOWN",
                        f"{repository} has no {kind} {one.digest}, which the manifest names",
                        {"digest": str(one.digest)},
                        status=404,
                    )
                size = self.storage.size(one.digest)
                if size is not None and size != one.size:
                    raise Refusal(
                        "MANIFEST_INVALID",
                        f"the manifest says that {one.digest} has {one.size} bytes; it has {size}",
                    )
                needed.append(link)
        return needed

    def _remove(self, links: list[Link], what: str, repository: str) -> None:
        try:
            self.storage.change(remove=links)
        except NotFound:
            raise Refusal("MANIFEST_UNKNOWN", f"{repository} has no {what} any more") from None
