"""Snapshot: the files of a container at one moment, which new containers start from.

What the container had changed is copied as one more layer; nothing is packed, compressed or digested.  A
small document in the store says what it is made of, and the collector follows it to the layer and the image
below.  One with a name stays until it is removed; one without is kept for as long as this process has it, or
a container lives that was made from it.
"""

from __future__ import annotations

import datetime
import errno
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import attrs

from container_kit.errors import (
    Conflict,
    CorruptData,
    InvalidInput,
    KernelError,
    NameInUse,
    NotFound,
    with_typed_errors,
)
from container_kit.images.choosing import store_of
from container_kit.images.defaults import RunDefaults, container_defaults
from container_kit.oci import ContainerConfig, Digest
from container_kit.oci.json_document import encode, load_object
from container_kit.store import files, snapshot_trees
from container_kit.store.catalog import blob_key

if TYPE_CHECKING:
    from container_kit.images.image import Image
    from container_kit.images.words import HasStore
    from container_kit.store import Lease, Store

__all__ = ["Origin", "Snapshot", "holders_of", "take"]

_KIND: Final = "snapshot"
_FORMAT: Final = "container-kit snapshot 1"
_BEGINS: Final = b'{"format":"' + _FORMAT.encode() + b'"'


@attrs.frozen(kw_only=True)
class Origin:
    """What a snapshot was taken of.

    Args:
        container: Its id, 64 hex digits.
        image, image_digest: What it was made from: the name, and the digest of the manifest.
        config: What a container of it does unless told otherwise: the image's words, with the container's own
            program, variables, user and directory.
    """

    container: str
    image: str
    image_digest: str
    config: ContainerConfig


@with_typed_errors
@attrs.frozen(eq=False, repr=False, kw_only=True)
class Snapshot:
    """The files of a container at one moment; use it wherever an image can be started.

    As a context manager it is removed at the end of the block.

    Attributes:
        digest: Of its document; what containers made from it show as their image.
        store: Where it is kept.
        name: Empty when it has none.
        layers: Of the root of a new container, lowest first.
        origin: The container that it was taken of.
        created: When, in UTC.
        size_bytes: Of the files in its own layer.
    """

    digest: Digest
    store: Store
    name: str
    layers: tuple[Digest, ...]
    origin: Origin
    created: datetime.datetime
    size_bytes: int
    _lease: Lease | None = attrs.field(default=None, alias="lease")

    @classmethod
    def get(cls, name: str, *, engine: HasStore | None = None) -> Snapshot:
        """The snapshot of this name.

        Raises:
            NotFound: There is none.
        """
        store = store_of(engine)
        digest = store.resolve_name(_KIND, name)
        if digest is None:
            raise NotFound("snapshot", name, "container.snapshot(name) makes one")
        return _read(store, digest, name)

    @classmethod
    def find(cls, digest: Digest, *, engine: HasStore | None = None) -> Snapshot | None:
        """The snapshot of this digest; None when it is something else, or not here."""
        store = store_of(engine)
        if not store.has_blob(digest) or not store.read_blob(digest).startswith(_BEGINS):
            return None
        return _read(store, digest)

    @classmethod
    def list(cls, *, engine: HasStore | None = None) -> Sequence[Snapshot]:
        """All that have a name, newest first."""
        store = store_of(engine)
        found = [_read(store, digest, name) for name, digest in store.names(_KIND).items()]
        return sorted(found, key=lambda one: one.created, reverse=True)

    @classmethod
    def prune(cls, *, engine: HasStore | None = None) -> Sequence[str]:
        """Remove those with a name from which no container was made; their names."""
        store, removed = store_of(engine), []
        for one in cls.list(engine=engine):
            if not one.users:
                one._forget()
                removed.append(one.name)
        store.gc()
        return removed

    @property
    def defaults(self) -> RunDefaults:
        """What a container of it does unless told otherwise."""
        return container_defaults(self.origin.config)

    @property
    def names(self) -> Sequence[str]:
        """What lists of containers show as their image; empty when it has no name."""
        return [f"{_KIND}:{self.name}"] if self.name else []

    @property
    def size(self) -> int:
        """Bytes of its files, all layers."""
        return sum(self.store.tree_usage(layer)[0] for layer in set(self.layers))

    @property
    def users(self) -> Sequence[str]:
        """The containers that were made from it: ``container:<id>``."""
        key = blob_key(self.digest)
        return sorted(owner for owner, kept in self.store.roots().items() if key in kept)

    def as_image(self, tag: str | None = None) -> Image:
        """The same files and words as an image that can be pushed: now its layers are packed and digested.

        Raises:
            NotFound: The image below has been removed.
        """
        from container_kit.images.commit import image_of_snapshot

        return image_of_snapshot(self, tag)

    def remove(self, *, force: bool = False) -> None:
        """Take it away; removing it once more is no error.

        Raises:
            Conflict: Containers were made from it. With *force* they keep its files until they are removed.
        """
        if not force and (users := self.users):
            raise Conflict(f"{self!r} is in use by {', '.join(users)}: remove these first, or use force=True")
        self._forget()
        self.store.gc()

    def _forget(self) -> None:
        if self.name:
            with suppress(NotFound, Conflict):  # it is gone, or the name means a later one
                self.store.remove_name(_KIND, self.name, expected=self.digest)
        if self._lease is not None:
            self._lease.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove(force=True)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Snapshot) and other.digest == self.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"<Snapshot {self.name or self.digest.hex[:12]}>"


def take(
    store: Store,
    copy: Callable[[str, int], tuple[Digest, ...]],
    name: str | None,
    origin: Callable[[], Origin],
) -> Snapshot:
    """A new snapshot.

    Args:
        copy: Fills the directory that it is given, by path and open, and says which layers come below; what
            it makes beside the directory it removes again.
        name: None for one that only this process keeps, and that a loss of power may take.
        origin: What it is taken of.

    Raises:
        NameInUse: Another snapshot has the name.
        StoreFull: There is no space for the copy.
    """
    _check_name(store, name)
    lease = store.lease()
    try:
        with store.new_tree(lease) as draft:
            with _full_disk_named(store):
                below = copy(draft.path, draft.fd)
            draft.keep_as_snapshot()
            tree, size = snapshot_trees.drawn_name(), snapshot_trees.measure(draft.path)
            # Nobody finds one without a name after a loss of power, so its files need not be on the disk.
            draft.publish(tree, *size, synced=name is None)
        document = _document(origin(), (*below, tree), size[0])
        return _publish(store, document, (*below, tree), name, lease)
    except BaseException:
        lease.close()
        raise


@contextmanager
def _full_disk_named(store: Store) -> Iterator[None]:
    """A full disk is StoreFull, wherever it was met."""
    doing = "copy the files of a container"
    try:
        with files.translated(doing, store.root):
            yield
    except KernelError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise files.from_os_error(error, doing, store.root) from error
        raise


def holders_of(store: Store, image_digest: Digest) -> Sequence[str]:
    """The snapshots that need an image: ``snapshot:<name>``."""
    return sorted(
        f"{_KIND}:{name}"
        for name, digest in store.names(_KIND).items()
        if image_digest in store.references(digest)[0]
    )


def _check_name(store: Store, name: str | None) -> None:
    if name is None:
        return
    if not name or not name.isprintable() or len(name) > 200:
        raise InvalidInput(f"{name[:60]!r} cannot be the name of a snapshot: give text that can be shown")
    if store.resolve_name(_KIND, name) is not None:
        raise NameInUse("snapshot", name)


def _document(origin: Origin, layers: tuple[Digest, ...], size: int) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "created_ns": time.time_ns(),
        "container": origin.container,
        "image": origin.image,
        "image_digest": origin.image_digest,
        "layers": [str(layer) for layer in layers],
        "size": size,
        "config": origin.config.to_json(),
    }


def _publish(
    store: Store, document: dict[str, Any], layers: tuple[Digest, ...], name: str | None, lease: Lease
) -> Snapshot:
    below = document["image_digest"]
    references = [Digest.parse(below)] if below and store.has_blob(Digest.parse(below)) else []
    digest = store.put_blob(encode(document), references, layers, lease)
    if name is not None:
        try:
            store.set_name(_KIND, name, digest, expected=None)
        except Conflict:
            raise NameInUse("snapshot", name) from None
        lease.close()
        return _read(store, digest, name)
    return attrs.evolve(_read(store, digest), lease=lease)


def _read(store: Store, digest: Digest, name: str = "") -> Snapshot:
    found = _parsed(store.read_blob(digest), str(digest))
    return Snapshot(digest=digest, store=store, name=name, **found)


@functools.lru_cache(maxsize=64)
def _parsed(raw: bytes, digest: str) -> dict[str, Any]:
    try:
        document = load_object(raw, f"snapshot {digest}")
        return {
            "layers": tuple(Digest.parse(layer) for layer in document["layers"]),
            "created": datetime.datetime.fromtimestamp(document["created_ns"] / 1e9, datetime.UTC),
            "size_bytes": int(document["size"]),
            "origin": Origin(
                container=document["container"],
                image=document["image"],
                image_digest=document["image_digest"],
                config=ContainerConfig.from_json(document["config"], "config"),
            ),
        }
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptData(f"snapshot {digest} cannot be read: {error}; remove it") from None
