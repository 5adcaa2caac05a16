"""What a registry keeps: contents by digest, and links that make them visible in a repository.

A content without a link in a repository does not exist there, whoever else has it.  Two places implement
:class:`Storage`: the content-addressed store, shared with images, and a directory of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Literal, Protocol

import attrs

from container_kit.oci import Digest

__all__ = ["Collected", "Kind", "Link", "Snapshot", "Storage"]

Kind = Literal["blob", "manifest", "tag", "referrer"]


@attrs.frozen
class Link:
    """One record: in *repository*, *name* of this *kind* means the content *digest*.

    Blobs and manifests are named by their digest, tags by the tag, referrers by ``subject@referrer``.
    """

    kind: Kind
    repository: str
    name: str
    digest: Digest

    @classmethod
    def blob(cls, repository: str, digest: Digest) -> Link:
        return cls("blob", repository, str(digest), digest)

    @classmethod
    def manifest(cls, repository: str, digest: Digest) -> Link:
        return cls("manifest", repository, str(digest), digest)

    @classmethod
    def tag(cls, repository: str, tag: str, digest: Digest) -> Link:
        return cls("tag", repository, tag, digest)

    @classmethod
    def referrer(cls, repository: str, subject: Digest, digest: Digest) -> Link:
        return cls("referrer", repository, f"{subject}@{digest}", digest)


@attrs.frozen
class Snapshot:
    """All links at one moment in which nothing is published, and what is in flight."""

    links: tuple[Link, ...]
    in_flight: frozenset[Digest]


@attrs.frozen
class Collected:
    """What a garbage collection removed.

    Args:
        links: How many links that nothing needs.
        contents: How many contents that no link keeps.
        freed_bytes: Their size.
        uploads: How many uploads that were given up.
    """

    links: int = 0
    contents: int = 0
    freed_bytes: int = 0
    uploads: int = 0


class Storage(Protocol):
    """Where a registry keeps things; every method may be called from any thread, and several processes.

    Whatever a method acknowledges survives a crash of the machine.
    """

    uploads_directory: str  # on the same file system as the contents

    def find(self, kind: Kind, repository: str, name: str) -> Digest | None:
        """What *name* means in *repository*."""

    def links(self, kind: Kind, repository: str, prefix: str = "") -> Mapping[str, Digest]:
        """The links of one kind whose name begins with *prefix*."""

    def repositories(self) -> list[str]:
        """The repositories that have a manifest, sorted."""

    def change(
        self, add: Iterable[Link] = (), remove: Iterable[Link] = (), require: Iterable[Link] = ()
    ) -> None:
        """Make and take back links.

        After a crash in between, each link that is there means a whole content.

        Raises:
            NotFound: One of *require* or *remove*, or a content of *add*, is not there.
        """

    def size(self, digest: Digest) -> int | None:
        """The size in bytes of a content; None when it is not here."""

    def open(self, digest: Digest) -> int:
        """A descriptor of a content, which the caller closes.

        Raises:
            NotFound: It is not here.
        """

    def opens_at_once(self, digest: Digest) -> bool:
        """Whether `open` need not make the content first."""

    def read(self, digest: Digest) -> bytes:
        """A small content, compared with its digest."""

    def put(self, data: bytes, digest: Digest, needs: Iterable[Digest]) -> None:
        """Store a document, which keeps what it *needs*; in flight until it is linked."""

    def adopt(self, path: str, fd: int, digest: Digest) -> None:
        """Make the verified file *path* (open as *fd*) a content; in flight until it is linked."""

    def keep(self, digest: Digest) -> None:
        """Count *digest* as in flight: pushed, or found by someone who pushes."""

    def rotate(self) -> None:
        """Let go of what has been in flight since the call before the last."""

    def prune(self, decide: Callable[[Snapshot], Iterable[Link]]) -> Collected:
        """Remove the links that *decide* chooses, then the contents that nothing keeps."""

    def close(self) -> None:
        """Let go of everything; may be repeated."""
