"""One repository at one place: manifests, blobs, tags, as the distribution protocol has them.

Bytes are compared with their digests here, and sizes with what was promised; what the documents mean is
for others.

Source: OCI distribution-spec 1.1.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

import attrs

from container_kit.errors import (
    AccessDenied,
    CorruptData,
    InvalidInput,
    LimitExceeded,
    NotFound,
    Unreachable,
    UnsupportedFeature,
)
from container_kit.oci import Descriptor, Digest
from container_kit.oci.media_types import DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from container_kit.registry.client.download import BlobReader
from container_kit.registry.client.endpoint import Url
from container_kit.registry.client.location import Actions, Location, Scope
from container_kit.registry.client.messages import Answer, Request
from container_kit.registry.client.session import Session, refuse

__all__ = ["Received", "Repository"]

_ACCEPT: Final = ", ".join((OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST))
_MAX_MANIFEST: Final = 4 << 20


@attrs.frozen
class Received:
    """A manifest or index as a registry sent it: *digest* is that of *raw*, and what was asked for."""

    raw: bytes = attrs.field(repr=False)
    media_type: str
    digest: Digest


@attrs.frozen
class Repository:
    """The repository at *location*, through *session*.  Threads may share it."""

    session: Session
    location: Location
    actions: Actions = "pull"  # what rights are asked for; one token then serves for all of a push

    # -- manifests ------------------------------------------------------------------------------

    def manifest(self, reference: str | Digest) -> Received:
        """The manifest or index that a tag or digest names.

        Raises:
            NotFound: There is none.
            CorruptData: Its bytes are not what the digest, or the registry's own header, promises.
            LimitExceeded: It has more than 4 MiB.
        """
        scope = self.scope
        answer = self.session.fetch(
            self.location, scope, self._manifest_request("GET", reference), _MAX_MANIFEST
        )
        if answer.status != 200:
            refuse(answer, self.location, scope, "manifest", self._named(reference))
        digest = _told_digest(answer) or Digest.of(answer.body)
        for expected in {digest, reference} if isinstance(reference, Digest) else {digest}:
            if not expected.matches(answer.body):
                raise CorruptData(
                    f"{self.location.name}: the manifest that came for {reference} is not {expected}"
                )
        return Received(answer.body, answer.headers.get("content-type", ""), digest)

    def find_manifest(self, reference: str | Digest) -> Descriptor | None:
        """Type, digest and size of the manifest, without fetching it; None when there is none.

        Raises:
            UnsupportedFeature: The registry does not say the digest: fetch it instead.
        """
        scope = self.scope
        answer = self.session.fetch(self.location, scope, self._manifest_request("HEAD", reference))
        if answer.status == 404:
            return None
        if answer.status != 200:
            refuse(answer, self.location, scope, "manifest", self._named(reference))
        # Asked for by its digest, it is that one: another one told here could be any image that is known.
        digest = reference if isinstance(reference, Digest) else _told_digest(answer)
        if digest is None:
            raise UnsupportedFeature(f"{self.location.domain} does not tell digests of manifests")
        media_type = answer.headers.get("content-type", "").partition(";")[0].strip()
        return Descriptor(media_type, digest, _size_of(answer))

    def _manifest_request(self, method: str, reference: str | Digest) -> Request:
        return Request(method=method, url=self._manifest_url(reference), headers={"Accept": _ACCEPT})

    def _manifest_url(self, reference: str | Digest) -> Url:
        return self.url(f"manifests/{quote(str(reference), safe=':')}")

    def put_manifest(self, reference: str | Digest, raw: bytes, media_type: str) -> bool:
        """Store a manifest or index; everything that it names has to be there.

        Returns:
            Whether the registry lists it among the referrers of its subject, if it has one.

        Raises:
            InvalidInput: The registry does not accept it: something that it names is missing, for one.
            CorruptData: The registry has made something else of it.
        """
        headers = {"Content-Type": media_type}
        request = Request(method="PUT", url=self._manifest_url(reference), headers=headers, body=raw)
        answer = self.session.fetch(self.location, self.scope, request)
        if answer.status not in (200, 201, 202):
            refuse(answer, self.location, self.scope, "manifest", self._named(reference))
        told = _told_digest(answer)
        if told is not None and not told.matches(raw):
            raise CorruptData(f"{self.location.name}: {reference} was sent, but the registry has {told}")
        return "oci-subject" in answer.headers

    def delete_manifest(self, reference: str | Digest) -> None:
        """Remove a tag, or a manifest with all its tags.

        Raises:
            NotFound: There is none.
            UnsupportedFeature: The registry does not allow that.
        """
        self._delete(self._manifest_url(reference), "manifest", self._named(reference))

    def delete_blob(self, digest: Digest) -> None:
        """Remove a blob from the repository; errors as in `delete_manifest`."""
        self._delete(self._blob_url(digest), "blob", str(digest))

    def _delete(self, url: Url, kind: str, name: str) -> None:
        scope = Scope.of(self.location.path, "delete")
        answer = self.session.fetch(self.location, scope, Request(method="DELETE", url=url))
        if answer.status not in (200, 202, 204):
            refuse(answer, self.location, scope, kind, name)

    # -- blobs ----------------------------------------------------------------------------------

    def find_blob(self, digest: Digest) -> int | None:
        """The size of the blob, or None when the repository has none of this digest."""
        scope = self.scope
        answer = self.session.fetch(self.location, scope, Request(method="HEAD", url=self._blob_url(digest)))
        if answer.status == 404:
            return None
        if answer.status != 200:
            refuse(answer, self.location, scope, "blob", str(digest))
        return _size_of(answer)

    def read_blob(self, descriptor: Descriptor, limit: int = _MAX_MANIFEST) -> bytes:
        """A small blob, whole and verified.

        Raises:
            LimitExceeded: It is larger than *limit*.
            CorruptData: The bytes are not what the descriptor promises.
        """
        if descriptor.size > limit:
            raise LimitExceeded(f"{descriptor.digest} has {descriptor.size} bytes: at most {limit} are read")
        if descriptor.data is not None:
            return descriptor.data
        scope = self.scope
        request = Request(method="GET", url=self._blob_url(descriptor.digest))
        answer = self.session.fetch(self.location, scope, request, descriptor.size)
        if answer.status != 200:
            refuse(answer, self.location, scope, "blob", str(descriptor.digest))
        if len(answer.body) != descriptor.size or not descriptor.digest.matches(answer.body):
            raise CorruptData(f"{self.location.name}: what came for {descriptor.digest} is something else")
        return answer.body

    def open_blob(self, descriptor: Descriptor, offset: int = 0) -> BlobReader:
        """The bytes of a blob from *offset* on, to be read piece by piece; its digest is the reader's care.

        Raises:
            CorruptData: The registry has another size.
        """
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        scope = self.scope
        request = Request(method="GET", url=self._blob_url(descriptor.digest), headers=headers)
        answer = self.session.open(self.location, scope, request)
        return BlobReader.of(answer, descriptor, offset, self.location.name)

    def open_foreign(self, descriptor: Descriptor, offset: int = 0) -> BlobReader:
        """As `open_blob`, from the other servers that the manifest names.

        Raises:
            NotFound: None of them has it.
        """
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        problem: Exception = NotFound("url", str(descriptor.digest), "the manifest names no server for it")
        for text in descriptor.urls:
            try:
                answer = self.session.open_elsewhere(self.location, Url.parse(text), headers)
                return BlobReader.of(answer, descriptor, offset, text.partition("?")[0])
            except (NotFound, AccessDenied, Unreachable, InvalidInput) as error:
                problem = error
        raise problem

    # -- parts ----------------------------------------------------------------------------------

    @property
    def scope(self) -> Scope:
        """What tokens are asked for."""
        return Scope.of(self.location.path, self.actions)

    def url(self, rest: str) -> Url:
        """The URL of *rest* below the repository."""
        return self.location.origin.url(f"/v2/{self.location.path}/{rest}")

    def _blob_url(self, digest: Digest) -> Url:
        return self.url(f"blobs/{digest}")

    def _named(self, reference: str | Digest) -> str:
        return f"{self.location.name}{'@' if isinstance(reference, Digest) else ':'}{reference}"


def _told_digest(answer: Answer) -> Digest | None:
    text = answer.headers.get("docker-content-digest", "")
    if not text:
        return None
    try:
        return Digest.parse(text)
    except InvalidInput:
        raise CorruptData(f"{answer.url.origin} sends a digest that is none: {text[:80]!r}") from None


def _size_of(answer: Answer) -> int:
    text = answer.headers.get("content-length", "")
    if not text.isdecimal() or len(text) > 18:
        raise NotFound("size", answer.url.path, f"{answer.url.origin} does not tell how long it is")
    return int(text)
