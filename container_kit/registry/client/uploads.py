"""Blobs on their way to a registry: whole in one request, or in chunks that survive a broken connection.

Source: OCI distribution-spec 1.1, "Pushing Blobs", "Mounting a blob from another repository".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final
from urllib.parse import urlencode

import attrs

from container_kit.errors import AccessDenied, NotFound, Unreachable
from container_kit.oci import Descriptor, Digest
from container_kit.registry.client.endpoint import Url
from container_kit.registry.client.location import Scope
from container_kit.registry.client.messages import Answer, FilePart, Request
from container_kit.registry.client.redirects import upload_location
from container_kit.registry.client.repository import Repository
from container_kit.registry.client.retrying import next_delay
from container_kit.registry.client.session import refuse

__all__ = ["CHUNK_BYTES", "begin_mount", "upload"]

CHUNK_BYTES: Final = 64 << 20  # larger blobs go in chunks, so that a break does not cost all of them
_OCTETS: Final = {"Content-Type": "application/octet-stream"}
_range: Final = re.compile(r"(?:bytes=)?0-(\d{1,18})").fullmatch


def begin_mount(repository: Repository, digest: Digest, source: str) -> Url | None:
    """Take the blob from the repository *source* of the same registry, without sending it.

    Returns:
        None when that was done; else where to send it.
    """
    scope = repository.scope.and_pull(source)
    wish = urlencode({"mount": str(digest), "from": source})
    request = Request(method="POST", url=repository.url("blobs/uploads/").with_query(wish))
    try:
        answer = repository.session.fetch(repository.location, scope, request)
    except AccessDenied:
        return _begin(repository)  # not the right to read from there
    if answer.status == 201:
        return None
    return _started(repository, scope, request, answer)


def upload(
    repository: Repository,
    descriptor: Descriptor,
    part: FilePart,
    begun: Url | None = None,
    chunk_bytes: int = CHUNK_BYTES,
) -> None:
    """Send a blob; begin anew, or go on, when the connection breaks.

    Args:
        part: Its bytes.  A pipe goes in one request and can be sent only once.
        begun: Where to send it, from `begin_mount`.

    Raises:
        InvalidInput: The registry does not take it (its bytes have another digest, for one).
    """
    tries = repository.session.options.tries if part.offset is not None else 1
    for failures in range(1, tries + 1):
        try:
            url, begun = begun or _begin(repository), None
            if part.offset is not None and part.size > chunk_bytes:
                _Chunked(repository, part, url, chunk_bytes).send(descriptor.digest)
            else:
                _finish(repository, url, descriptor.digest, part)
        except Unreachable:
            if failures == tries:
                raise
            repository.session.transport.pause(next_delay(failures))
        else:
            return


def _begin(repository: Repository) -> Url:
    request = Request(method="POST", url=repository.url("blobs/uploads/"))
    answer = repository.session.fetch(repository.location, repository.scope, request)
    return _started(repository, repository.scope, request, answer)


def _started(repository: Repository, scope: Scope, request: Request, answer: Answer) -> Url:
    if answer.status != 202:
        refuse(answer, repository.location, scope, "repository")
    return upload_location(request.url, answer.headers.get("location"))


def _finish(repository: Repository, url: Url, digest: Digest, part: FilePart | None) -> None:
    """The last request of an upload; with all of the blob if *part* is given."""
    url = url.with_query(urlencode({"digest": str(digest)}))
    request = Request(method="PUT", url=url, headers=_OCTETS, body=part)
    answer = repository.session.fetch(repository.location, repository.scope, request, tries=1)
    if answer.status not in (201, 204):
        refuse(answer, repository.location, repository.scope, "upload", str(digest))


@attrs.define
class _Chunked:
    """One upload in chunks."""

    repository: Repository
    part: FilePart
    url: Url
    chunk_bytes: int
    _failures: int = 0

    def send(self, digest: Digest) -> None:
        sent, best = 0, 0
        while sent < self.part.size:
            try:
                self._send_chunk(sent)
                sent = min(sent + self.chunk_bytes, self.part.size)
            except Unreachable:
                # A chunk that was broken off counts as a failure only if nothing came through since.
                self._failures = self._failures + 1 if sent <= best else 1
                best = max(best, sent)
                if self._failures >= self.repository.session.options.tries:
                    raise
                self.repository.session.transport.pause(next_delay(self._failures))
                sent = self._received()
        _finish(self.repository, self.url, digest, None)

    def _send_chunk(self, start: int) -> None:
        size = min(self.chunk_bytes, self.part.size - start)
        report: Callable[[int], object] = lambda done: self.part.on_sent(start + done)  # noqa: E731
        body = FilePart(self.part.fd, (self.part.offset or 0) + start, size, report)
        headers = {**_OCTETS, "Content-Range": f"{start}-{start + size - 1}"}
        request = Request(method="PATCH", url=self.url, headers=headers, body=body)
        answer = self._fetch(request)
        if answer.status not in (202, 204):
            refuse(answer, self.repository.location, self.repository.scope, "upload")
        self.url = upload_location(self.url, answer.headers.get("location"))

    def _received(self) -> int:
        """How much of the blob the registry has."""
        answer = self._fetch(Request(method="GET", url=self.url))
        match = _range(answer.headers.get("range", ""))
        if answer.status not in (202, 204):
            raise NotFound("upload", self.url.path, "the registry has forgotten it: push again")
        if answer.headers.get("location"):
            self.url = upload_location(self.url, answer.headers["location"])
        return int(match.group(1)) + 1 if match and match.group(1) != "0" else 0

    def _fetch(self, request: Request) -> Answer:
        tries = 1 if request.body is not None else None
        return self.repository.session.fetch(
            self.repository.location, self.repository.scope, request, tries=tries
        )
