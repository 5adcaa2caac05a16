"""A registry in the content-addressed store: its blobs are those of images, its links are names.

The names of kind ``registry.blob``, ``registry.manifest``, ``registry.tag`` and ``registry.referrer`` keep
what they mean from the store's collector, like the tags of images.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from container_kit.oci import Digest
from container_kit.registry.server.in_flight import InFlight
from container_kit.registry.server.regenerated import Regenerated
from container_kit.registry.server.storage import Collected, Kind, Link, Snapshot
from container_kit.store import Store, files, leases, locks
from container_kit.store.blobs import adopt
from container_kit.store.catalog import blob_key

__all__ = ["StoreStorage"]

_KINDS: Final[tuple[Kind, ...]] = ("blob", "manifest", "tag", "referrer")
_BEHIND_REPOSITORY: Final[Mapping[Kind, str]] = {"tag": ":", "blob": "@", "manifest": "@", "referrer": "@"}


class StoreStorage:
    """Implements `Storage`; see there."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.uploads_directory = f"{store.root}/registry/uploads"
        self._in_flight = InFlight(store.lease)
        self._regenerated = Regenerated(store.open_blob)
        with files.translated("prepare the registry", store.root):
            os.makedirs(self.uploads_directory, mode=0o700, exist_ok=True)

    def find(self, kind: Kind, repository: str, name: str) -> Digest | None:
        return self.store.resolve_name(f"registry.{kind}", _name(kind, repository, name))

    def links(self, kind: Kind, repository: str, prefix: str = "") -> Mapping[str, Digest]:
        start = _name(kind, repository, "")
        found = self.store.names(f"registry.{kind}", start + prefix)
        return {name.removeprefix(start): digest for name, digest in found.items()}

    def repositories(self) -> list[str]:
        return sorted({name.partition("@")[0] for name in self.store.names("registry.manifest")})

    def change(
        self, add: Iterable[Link] = (), remove: Iterable[Link] = (), require: Iterable[Link] = ()
    ) -> None:
        self.store.change_names(
            {_key(link): link.digest for link in add}, map(_key, remove), map(_key, require)
        )

    def size(self, digest: Digest) -> int | None:
        content = self.store.catalog.content(blob_key(digest))
        return content.size if content is not None else None

    def open(self, digest: Digest) -> int:
        if self.opens_at_once(digest):
            return self.store.open_blob(digest)
        return self._regenerated.open(digest)

    def opens_at_once(self, digest: Digest) -> bool:
        content = self.store.catalog.content(blob_key(digest))
        return content is None or not content.virtual

    def read(self, digest: Digest) -> bytes:
        return self.store.read_blob(digest)

    def put(self, data: bytes, digest: Digest, needs: Iterable[Digest]) -> None:
        self._in_flight.keep(digest)
        with self.store.ingest(digest, len(data), self._in_flight.lease) as ingest:
            ingest.write(data)
            ingest.commit(references=needs)

    def adopt(self, path: str, fd: int, digest: Digest) -> None:
        self._in_flight.keep(digest)  # before looking, or what is found might be collected
        if self._is_whole(digest):
            files.unlink_or_leave(path, "upload.remove")
        else:
            adopt(self.store, path, fd, digest, self._in_flight.lease)

    def keep(self, digest: Digest) -> None:
        self._in_flight.keep(digest)

    def rotate(self) -> None:
        self._in_flight.rotate()
        self._regenerated.close_idle()

    def prune(self, decide: Callable[[Snapshot], Iterable[Link]]) -> Collected:
        layout = self.store.layout
        with locks.held(layout.write_lock):
            keys = leases.live_keys(layout.leases, sweep=False)
            in_flight = frozenset(Digest.parse(key[5:]) for key in keys if key.startswith("blob:"))
            doomed = list(decide(Snapshot(tuple(self._links()), in_flight)))
            if doomed:
                with self.store.database.transaction() as tx:
                    for link in doomed:
                        self.store.catalog.delete_name(tx, *_key(link), link.digest)
        removed = self.store.gc()
        return Collected(len(doomed), len(removed.blobs), removed.freed_bytes)

    def close(self) -> None:
        self._regenerated.close()
        self._in_flight.close()

    def _links(self) -> Iterable[Link]:
        for kind in _KINDS:
            separator = _BEHIND_REPOSITORY[kind]
            for full, digest in self.store.names(f"registry.{kind}").items():
                repository, _, name = full.partition(separator)
                yield Link(kind, repository, name, digest)

    def _is_whole(self, digest: Digest) -> bool:
        content = self.store.catalog.content(blob_key(digest))
        if content is None or content.virtual:
            return content is not None
        try:
            return os.stat(self.store.layout.blob(digest)).st_size == content.size
        except FileNotFoundError:
            return False


def _name(kind: Kind, repository: str, name: str) -> str:
    return f"{repository}{_BEHIND_REPOSITORY[kind]}{name}"


def _key(link: Link) -> tuple[str, str]:
    return f"registry.{link.kind}", _name(link.kind, link.repository, link.name)
