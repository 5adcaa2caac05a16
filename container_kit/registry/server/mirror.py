"""Pull-through: what this registry does not have is fetched from another one, kept, and served.

Tags are looked up again after a while; when the other registry cannot be reached, what is here is served.
Nothing is trusted: manifests and blobs are compared with their digests as they come.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import attrs

from container_kit.errors import AccessDenied, NotFound, TimedOut, Unreachable
from container_kit.oci import Descriptor, Digest
from container_kit.registry.client.transport import Interrupted
from container_kit.registry.server.documents import read_document
from container_kit.registry.server.errors import Refusal
from container_kit.registry.server.storage import Link

if TYPE_CHECKING:
    from container_kit.registry.client import RegistryClient, RegistryOptions
    from container_kit.registry.client.repository import Repository
    from container_kit.registry.server.repositories import Repositories
    from container_kit.registry.server.uploads import Upload

__all__ = ["Mirror", "Upstream"]

_TRIES: Final = 5
_AT_ONCE: Final = 4  # fetches, in threads of their own: they wait for a network
_ANY: Final = "application/octet-stream"
_AWAY: Final = (Unreachable, TimedOut)


@attrs.frozen(kw_only=True)
class Upstream:
    """The registry that a pull-through cache stands before.

    Args:
        registry: Its ``host[:port]``, or ``docker.io``.
        prefix: What stands before each repository's name there, such as ``library``.
        options: How it is talked to, and with which credentials; what callers of the cache are given then
            comes with those rights, so grant `pull` accordingly.
        fresh_s: How long a tag counts without being looked up again.
    """

    registry: str
    prefix: str = ""
    options: RegistryOptions | None = None
    fresh_s: float = 60.0


class Mirror:
    """Fetches for one registry server; every method may be called from any thread."""

    def __init__(self, repositories: Repositories, upstream: Upstream) -> None:
        from container_kit.registry.client import RegistryClient

        self._repositories, self._upstream = repositories, upstream
        self._client: RegistryClient = RegistryClient(upstream.options)
        self._fresh: dict[tuple[str, str], float] = {}
        self._locks: dict[str, tuple[threading.Lock, int]] = {}
        self._mutex = threading.Lock()
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="container-kit-mirror")

    async def have_manifest(self, repository: str, reference: str | Digest) -> bool:
        """`ensure_manifest` without blocking the event loop."""
        if self._is_fresh(repository, reference):
            return False
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self.ensure_manifest, repository, reference)

    async def have_blob(self, repository: str, digest: Digest) -> None:
        """`ensure_blob` without blocking the event loop."""
        if not self._has_blob(repository, digest):
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._threads, self.ensure_blob, repository, digest)

    def ensure_manifest(self, repository: str, reference: str | Digest) -> bool:
        """Have the manifest here that *reference* means there.

        Returns:
            Whether it may be out of date, as the other registry did not answer.

        Raises:
            Refusal: It is not there, or cannot be reached and is not here.
        """
        with self._alone(f"{repository}@{reference}"):
            if self._is_fresh(repository, reference):
                return False
            try:
                self._fetch_manifest(repository, reference)
                return False
            except (NotFound, AccessDenied):
                raise Refusal("MANIFEST_UNKNOWN", f"{repository} has no manifest {reference}") from None
            except _AWAY as error:
                self._require_here(repository, reference, error)
                return True

    def ensure_blob(self, repository: str, digest: Digest) -> None:
        """Have the blob here; its size and digest are checked as it comes."""
        if self._has_blob(repository, digest):
            return
        with self._alone(str(digest)):
            if self._has_blob(repository, digest):
                return
            try:
                self._fetch_blob(repository, digest)
            except (NotFound, AccessDenied):
                raise Refusal("BLOB_UNKNOWN", f"{repository} has no blob {digest}") from None
            except _AWAY as error:
                raise _unavailable(error) from error

    def close(self) -> None:
        self._client.cancel()  # or a registry that keeps silent would keep this one open
        self._threads.shutdown(cancel_futures=True)
        self._client.close()

    def _there(self, repository: str) -> Repository:
        parts = (self._upstream.registry, self._upstream.prefix, repository)
        return self._client.repository("/".join(part for part in parts if part))

    def _is_fresh(self, repository: str, reference: str | Digest) -> bool:
        """Whether what is here need not be looked up there."""
        kind = "manifest" if isinstance(reference, Digest) else "tag"
        if self._repositories.storage.find(kind, repository, str(reference)) is None:  # type: ignore[arg-type]
            return False
        if kind == "manifest":
            return True
        return time.monotonic() < self._fresh.get((repository, str(reference)), 0.0)

    def _fetch_manifest(self, repository: str, reference: str | Digest) -> None:
        received = self._there(repository).manifest(reference)
        document = read_document(received.raw, received.media_type or None, received.digest)
        storage = self._repositories.storage
        storage.put(document.raw, document.digest, document.needs)
        links = [Link.manifest(repository, document.digest)]
        if document.subject is not None:
            links.append(Link.referrer(repository, document.subject, document.digest))
        if isinstance(reference, str):
            links.append(Link.tag(repository, reference, document.digest))
            self._fresh[repository, reference] = time.monotonic() + self._upstream.fresh_s
        storage.change(links)

    def _require_here(self, repository: str, reference: str | Digest, error: Exception) -> None:
        try:
            self._repositories.resolve(repository, reference)
        except Refusal:
            raise _unavailable(error) from error

    def _has_blob(self, repository: str, digest: Digest) -> bool:
        return self._repositories.storage.find("blob", repository, str(digest)) is not None

    def _fetch_blob(self, repository: str, digest: Digest) -> None:
        there = self._there(repository)
        size = there.find_blob(digest)
        if size is None:
            raise NotFound("blob", str(digest))
        storage = self._repositories.storage
        storage.keep(digest)
        if storage.size(digest) == size:  # another repository has it, and this one may: it was asked
            storage.change([Link.blob(repository, digest)])
            return
        descriptor = Descriptor(_ANY, digest, size)
        with self._repositories.uploads.start(repository) as upload:
            try:
                self._receive(there, descriptor, upload)
                self._repositories.finish(repository, upload, digest)
            except BaseException:
                upload.remove()
                raise

    def _receive(self, there: Repository, descriptor: Descriptor, upload: Upload) -> None:
        """Write the blob to *upload*; after a broken connection, from where it was."""
        for left in reversed(range(_TRIES)):
            try:
                with there.open_blob(descriptor, upload.size) as reader:
                    while piece := reader.read():
                        upload.write([piece])
                return
            except Interrupted as error:
                if not left:
                    raise Unreachable(str(error)) from error

    @contextmanager
    def _alone(self, what: str) -> Iterator[None]:
        """One fetch at a time of the same thing: the others find it done."""
        with self._mutex:
            lock, users = self._locks.get(what, (threading.Lock(), 0))
            self._locks[what] = (lock, users + 1)
        try:
            with lock:
                yield
        finally:
            with self._mutex:
                lock, users = self._locks.pop(what)
                if users > 1:
                    self._locks[what] = (lock, users - 1)


def _unavailable(error: Exception) -> Refusal:
    return Refusal("UNAVAILABLE", f"the registry behind this one did not answer: {error}", status=504)
