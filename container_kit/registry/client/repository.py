"""One repository at one place: manifests, blobs, tags, as the distribution protocol has them.

Bytes are compared with their digests here, and sizes with what was promised; what the documents mean is
for others.

Source: OCI distribution-spec 1.1.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

import attrs

from container_kit.errors import CorruptData, InvalidInput, LimitExceeded, NotFound, UnsupportedFeature
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

    # -- manifests ------------------------------------------------------------------------------

    def manifest(self, reference: str | Digest) -> Received:
        """The manifest or index that a tag or digest names.

        Raises:
            NotFound: There is none.
            CorruptData: Its bytes are not what the digest, or the registry's own header, promises.
            LimitExceeded: It has more than 4 MiB.
        """
        scope = self._scope("pull")
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
        scope = self._scope("pull")
        answer = self.session.fetch(self.location, scope, self._manifest_request("HEAD", reference))
        if answer.status == 404:
            return None
        if answer.status != 200:
            refuse(answer, self.location, scope, "manifest", self._named(reference))
        digest = _told_digest(answer)
        if digest is None:
            raise UnsupportedFeature(f"{self.location.domain} does not tell digests of manifests")
        media_type = answer.headers.get("content-type", "").partition(";")[0].strip()
        return Descriptor(media_type, digest, _size_of(answer))

    def _manifest_request(self, method: str, reference: str | Digest) -> Request:
        url = self._url(f"manifests/{quote(str(reference), safe=':')}")
        return Request(method=method, url=url, headers={"Accept": _ACCEPT})

    # -- blobs ----------------------------------------------------------------------------------

    def find_blob(self, digest: Digest) -> int | None:
        """The size of the blob, or None when the repository has none of this digest."""
        scope = self._scope("pull")
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
        scope = self._scope("pull")
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
        scope = self._scope("pull")
        request = Request(method="GET", url=self._blob_url(descriptor.digest), headers=headers)
        answer = self.session.open(self.location, scope, request)
        return BlobReader.of(answer, descriptor, offset, self.location.name)

    # -- parts ----------------------------------------------------------------------------------

    def _scope(self, actions: Actions) -> Scope:
        return Scope.of(self.location.path, actions)

    def _url(self, rest: str) -> Url:
        return self.location.origin.url(f"/v2/{self.location.path}/{rest}")

    def _blob_url(self, digest: Digest) -> Url:
        return self._url(f"blobs/{digest}")

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
