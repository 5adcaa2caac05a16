"""A registry in a directory of its own.

.. code-block:: text

    blobs/<algorithm>/<hex>                          contents, as in an OCI image layout
    repositories/<name>/_blob/<algorithm>-<hex>      links: files that hold a digest
    repositories/<name>/_manifest/<algorithm>-<hex>
    repositories/<name>/_tag/<tag>
    repositories/<name>/_referrer/<subject>@<referrer>
    uploads/                                         what is being pushed
    leases/, gate, lock                              as in the store

No part of a repository's name begins with an underscore, so links never meet names.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from container_kit.errors import CorruptData, LimitExceeded, NotFound
from container_kit.oci import Digest
from container_kit.oci.json_document import MAX_DOCUMENT_BYTES
from container_kit.registry.server.in_flight import InFlight
from container_kit.registry.server.storage import Collected, Kind, Link, Snapshot
from container_kit.store import Lease, files, leases, locks

__all__ = ["DirectoryStorage"]

_KINDS: Final[tuple[Kind, ...]] = ("blob", "manifest", "tag", "referrer")
_LONGEST_NAME: Final = 240
_ORDER: Final = {"blob": 0, "manifest": 1, "referrer": 2, "tag": 3}  # a name is made after what it means


class DirectoryStorage:
    """Implements `Storage`; see there."""

    def __init__(self, root: str) -> None:
        self.root = os.path.realpath(root)
        self.uploads_directory = f"{self.root}/uploads"
        self._lock, self._gate = f"{self.root}/lock", f"{self.root}/gate"
        self._leases = leases.LeaseFile(f"{self.root}/leases", self._gate)
        with files.translated("prepare the registry", self.root):
            self._create()
        self._in_flight = InFlight(self._new_lease)

    def _create(self) -> None:
        os.makedirs(self.root, mode=0o700, exist_ok=True)
        for name in ("blobs", "blobs/sha256", "blobs/sha512", "repositories", "uploads", "leases"):
            files.ensure_directory(f"{self.root}/{name}")
        for lock in (self._lock, self._gate):
            os.close(os.open(lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        files.sync_directory(self.root, "registry.sync-dir")

    def find(self, kind: Kind, repository: str, name: str) -> Digest | None:
        return _read_link(self._link_path(kind, repository, name))

    def links(self, kind: Kind, repository: str, prefix: str = "") -> Mapping[str, Digest]:
        directory = self._links_directory(kind, repository)
        start = _file_name(prefix)
        found: dict[str, Digest] = {}
        for name in sorted(_entries(directory)):
            if name.startswith(start):
                digest = _read_link(f"{directory}/{name}")
                if digest is not None:
                    found[_link_name(kind, name, digest)] = digest
        return found

    def repositories(self) -> list[str]:
        return sorted(name for name in self._all_repositories() if self.links("manifest", name))

    def change(
        self, add: Iterable[Link] = (), remove: Iterable[Link] = (), require: Iterable[Link] = ()
    ) -> None:
        removed = list(remove)
        with (
            files.translated("change the registry", self.root),
            locks.held(self._lock, exclusive=bool(removed)),
        ):
            for link in (*require, *removed):
                if self.find(link.kind, link.repository, link.name) is None:
                    raise NotFound(link.kind, link.name, f"it is not in {link.repository!r}")
            for link in sorted(add, key=lambda one: _ORDER[one.kind]):
                if self.size(link.digest) is None:
                    raise NotFound("blob", str(link.digest))
                self._write_link(link)
            for link in sorted(removed, key=lambda one: -_ORDER[one.kind]):
                self._remove_link(link)

    def size(self, digest: Digest) -> int | None:
        try:
            return os.stat(self._blob_path(digest)).st_size
        except FileNotFoundError:
            return None

    def open(self, digest: Digest) -> int:
        try:
            return os.open(self._blob_path(digest), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise NotFound("blob", str(digest)) from None

    def opens_at_once(self, digest: Digest) -> bool:
        return True

    def read(self, digest: Digest) -> bytes:
        with open(self.open(digest), "rb") as file:
            data = file.read(MAX_DOCUMENT_BYTES + 1)
        if len(data) > MAX_DOCUMENT_BYTES:
            raise LimitExceeded(f"{digest} is larger than any document")
        if not digest.matches(data):
            raise CorruptData(f"blob {digest} has changed on disk: remove {self._blob_path(digest)!r}")
        return data

    def put(self, data: bytes, digest: Digest, needs: Iterable[Digest]) -> None:
        # What it needs is linked in the same repository, and kept by that.
        path = f"{self.uploads_directory}/{files.unique('document')}"
        with files.translated("store a manifest", self.root):
            fd = files.create(path, "document.create")
            try:
                locks.try_lock(fd)
                files.write_all(fd, data, "document.write")
                self.adopt(path, fd, digest)
            except BaseException:
                files.unlink_or_leave(path, "document.remove")
                raise
            finally:
                os.close(fd)

    def adopt(self, path: str, fd: int, digest: Digest) -> None:
        self._in_flight.keep(digest)
        target = self._blob_path(digest)
        with files.translated("store a blob", self.root), locks.held(self._lock, exclusive=False):
            if self.size(digest) == os.fstat(fd).st_size:
                files.unlink_or_leave(path, "upload.remove")
                return
            files.sync_file(fd, "blob.sync")
            files.rename(path, target, "blob.rename")
            files.sync_directory(os.path.dirname(target), "blob.sync-dir")

    def keep(self, digest: Digest) -> None:
        self._in_flight.keep(digest)

    def rotate(self) -> None:
        self._in_flight.rotate()

    def prune(self, decide: Callable[[Snapshot], Iterable[Link]]) -> Collected:
        with files.translated("collect garbage", self.root), locks.held(self._lock):
            with locks.held(self._gate):
                keys = leases.live_keys(f"{self.root}/leases", sweep=True)
            in_flight = frozenset(Digest.parse(key.removeprefix("blob:")) for key in keys)
            doomed = list(decide(Snapshot(tuple(self._links()), in_flight)))
            for link in sorted(doomed, key=lambda one: -_ORDER[one.kind]):
                self._remove_link(link)
            kept = {link.digest for link in self._links()} | in_flight
            sizes = [self._remove_blob(path) for digest, path in self._blobs() if digest not in kept]
        return Collected(len(doomed), len(sizes), sum(sizes))

    def close(self) -> None:
        self._in_flight.close()
        self._leases.close()

    def _new_lease(self) -> Lease:
        return Lease(self._leases, lambda keys: None)

    def _blob_path(self, digest: Digest) -> str:
        return f"{self.root}/blobs/{digest.algorithm}/{digest.hex}"

    def _links_directory(self, kind: Kind, repository: str) -> str:
        return f"{self.root}/repositories/{repository}/_{kind}"

    def _link_path(self, kind: Kind, repository: str, name: str) -> str:
        return f"{self._links_directory(kind, repository)}/{_file_name(name)}"

    def _write_link(self, link: Link) -> None:
        path = self._link_path(link.kind, link.repository, link.name)
        if _read_link(path) == link.digest:
            return
        _ensure_directories(f"{self.root}/repositories", f"{link.repository}/_{link.kind}")
        draft = f"{self.uploads_directory}/{files.unique('link')}"
        fd = files.create(draft, "link.create")
        try:
            locks.try_lock(fd)
            files.write_all(fd, str(link.digest).encode(), "link.write")
            files.sync_file(fd, "link.sync")
        finally:
            os.close(fd)
        files.rename(draft, path, "link.rename")
        files.sync_directory(os.path.dirname(path), "link.sync-dir")

    def _remove_link(self, link: Link) -> None:
        path = self._link_path(link.kind, link.repository, link.name)
        files.unlink(path, "link.remove")
        files.sync_directory(os.path.dirname(path), "link.sync-dir")

    def _remove_blob(self, path: str) -> int:
        size = os.stat(path).st_size
        files.unlink(path, "blob.remove")
        return size

    def _blobs(self) -> Iterator[tuple[Digest, str]]:
        for algorithm in ("sha256", "sha512"):
            for name in os.listdir(f"{self.root}/blobs/{algorithm}"):
                yield Digest(algorithm, name), f"{self.root}/blobs/{algorithm}/{name}"

    def _links(self) -> Iterator[Link]:
        for repository in self._all_repositories():
            for kind in _KINDS:
                for name, digest in self.links(kind, repository).items():
                    yield Link(kind, repository, name, digest)

    def _all_repositories(self) -> Iterator[str]:
        top = f"{self.root}/repositories"
        for directory, names, _ in os.walk(top):
            if any(name.startswith("_") for name in names):
                yield os.path.relpath(directory, top)
            names[:] = [name for name in names if not name.startswith("_")]


def _file_name(name: str) -> str:
    """The name of a link as one of a file: nothing in it but the colons of digests needs a change.

    Two SHA-512 digests are longer than a file's name may be: the second is cut, and stands in the file whole.
    """
    return name.replace(":", "-")[:_LONGEST_NAME]


def _link_name(kind: Kind, file_name: str, digest: Digest) -> str:
    if kind == "tag":
        return file_name
    subject, at, _ = file_name.replace("-", ":", 1).partition("@")
    return f"{subject}@{digest}" if at else subject


def _read_link(path: str) -> Digest | None:
    try:
        with open(path, encoding="ascii") as file:
            return Digest.parse(file.read(256))
    except (FileNotFoundError, NotADirectoryError):
        return None


def _entries(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []


def _ensure_directories(top: str, path: str) -> None:
    """Create *path* below *top*, each new directory durably."""
    if os.path.isdir(f"{top}/{path}"):
        return
    current = top
    for part in path.split("/"):
        parent, current = current, f"{current}/{part}"
        if not os.path.isdir(current):
            files.ensure_directory(current)
            files.sync_directory(parent, "link.sync-dir")
