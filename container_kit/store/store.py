"""The store: everything that is kept below one root directory, shared by any number of processes.

Each promise holds after a crash at any instant: a name points at contents that are whole.  Contents
are published in this order: new file, sync, rename, sync of the directory, database.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Final

from container_kit.errors import CorruptData, InvalidInput, LimitExceeded, PermissionMissing
from container_kit.native.descriptors import Descriptor, as_file, duplicate, open_path
from container_kit.oci.digest import Digest
from container_kit.store import files, locks
from container_kit.store.blobs import Ingest
from container_kit.store.catalog import ANY, Catalog, Content, blob_key, keys_of, not_found, tree_key
from container_kit.store.database import Database
from container_kit.store.drafts import PART, Drafts, empty_directory
from container_kit.store.layout import Layout, default_root
from container_kit.store.leases import Lease, LeaseFile, has_dead
from container_kit.store.snapshot_trees import is_snapshot
from container_kit.store.tree_images import is_image, open_tar
from container_kit.store.trees import Replay, TreeDraft, native_replay, path_of, replay_tree, verify_tree

if TYPE_CHECKING:
    from container_kit.store.collect import Collected
    from container_kit.store.fsck import Report
    from container_kit.store.usage import Usage

__all__ = ["Store"]

_MAX_READ: Final = 4 * 1024 * 1024
_CACHED_BLOB: Final = 64 * 1024  # configurations and manifests are smaller
_CACHED_BLOBS: Final = 64


class Store:
    """Content-addressed blobs, unpacked trees, names and leases below one root directory.

    Many processes and threads may use one root at once.  A store object survives ``os.fork``: the child
    may go on using it, but holds none of the parent's leases and drafts.

    Attributes:
        root: The root directory, as an absolute path without links.
        snapshotter: How layers are kept and roots made, as `images.snapshotter` understands it: from
            ``CONTAINER_KIT_SNAPSHOTTER``, else ``auto``.
    """

    _shared: ClassVar[dict[str, Store]] = {}
    _shared_mutex: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, root: str | None = None) -> None:
        """See :meth:`open`."""
        self.layout = Layout(root or default_root())
        self.root = self.layout.root
        self.layout.ensure()
        self.database = Database(self.layout.database, self.layout.write_lock)
        self.catalog = Catalog(self.database)
        self.drafts = Drafts(self.layout)
        self._leases = LeaseFile(self.layout.leases, self.layout.gate)
        self.replay: Replay = native_replay
        self.snapshotter = os.environ.get("CONTAINER_KIT_SNAPSHOTTER") or "auto"
        self._read: dict[Digest, bytes] = {}
        _stores.add(self)
        try:
            self._sweep()
        except BaseException:
            self.close()
            raise

    @classmethod
    def open(cls, root: str | os.PathLike[str] | None = None) -> Store:
        """Open the store below *root*, creating it if it is not there.

        Args:
            root: None means ``CONTAINER_KIT_ROOT``, else ``/var/lib/container-kit`` for the superuser and
                ``container-kit`` in the XDG data directory for others.

        What dead processes left unfinished is removed on the way.

        Raises:
            StoreTooNew: A later version of this library wrote it.
            PermissionMissing: It belongs to another user.
            CorruptData: Its database cannot be read; :meth:`salvage` mends it.
        """
        return cls(os.fspath(root) if root is not None else None)

    @classmethod
    def shared(cls, root: str | os.PathLike[str] | None = None) -> Store:
        """The store below *root* that this process shares; never closed, so do not close it."""
        path = os.path.realpath(os.fspath(root) if root is not None else default_root())
        with cls._shared_mutex:
            store = cls._shared.get(path)
            if store is None:
                store = cls._shared[path] = cls(path)
            return store

    @classmethod
    def salvage(cls, root: str | os.PathLike[str] | None = None) -> int:
        """Mend a store whose database cannot be opened; how many damaged rows were left out.

        No other process may have the store open.
        """
        from container_kit.store.salvage import salvage

        return salvage(os.fspath(root) if root is not None else default_root())

    def close(self) -> None:
        """Give up leases and drafts and close the files; may be repeated."""
        _stores.discard(self)
        self._leases.close()
        self.drafts.close_all()
        self.database.close()
        with self._shared_mutex:
            if self._shared.get(self.root) is self:
                del self._shared[self.root]

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Store({self.root!r})"

    # Blobs

    def put_blob(
        self,
        data: bytes,
        references: Iterable[Digest] = (),
        trees: Iterable[Digest] = (),
        lease: Lease | None = None,
    ) -> Digest:
        """Store *data*; a power cut may take it back until a name, or a durable root, keeps it.

        Args:
            references: Blobs that it needs, and that live as long as it does; they may come later.
            trees: Diff ids of trees that it needs.
            lease: What keeps it until it is named; None means the innermost ``with store.lease():`` of
                this thread.  Without any lease, a collection may remove it at once.

        Raises:
            StoreFull: The file system has no space left.
        """
        digest, refs = Digest.of(data), keys_of(references, trees)
        if self._is_stored(digest, len(data), refs, lease):
            return digest
        with self.ingest(digest, len(data), lease) as ingest:
            ingest.write(data)
            return ingest.commit(references=references, trees=trees)

    def ingest(
        self, expected: Digest | None = None, size: int | None = None, lease: Lease | None = None
    ) -> Ingest:
        """Start to store a blob piece by piece; use it as a context manager.

        Args:
            expected: The digest that the bytes must have; None takes any.
            size: How many bytes come; None when that is not known.
            lease: As in :meth:`put_blob`.

        Raises:
            StoreFull: Less than *size* bytes are free.
        """
        return Ingest(self, expected, size, lease or self._current_lease())

    def resume(self, expected: Digest, size: int, lease: Lease | None = None) -> Ingest | None:
        """Go on storing a blob piece by piece, with what an earlier attempt has left of it.

        If this attempt breaks off, its bytes stay for the next one: `gc` removes them after a day, `prune` at
        once.  They are as good as unknown until `Ingest.commit` has compared the digest of all.

        Returns:
            As `ingest`; None while another thread or process is at the same blob.  Look once more whether
            the blob is here when you have it.
        """
        part = f"{self.layout.temporary}/{PART}-{expected.algorithm}-{expected.hex}"
        file = self.drafts.reopen_file(part)
        if file is None:
            return None
        ingest = Ingest(self, expected, size, lease or self._current_lease(), part, file)
        # Who has just given the part its final name still holds this lock: then the blob is known by now, and
        # the caller sees it when looking again.
        with locks.held(self.layout.write_lock):
            return ingest

    def put_virtual_blob(self, digest: Digest, size: int, tree: Digest, lease: Lease | None = None) -> None:
        """Make the plain archive of *tree* known as a blob that is regenerated when it is read."""
        content = Content(blob_key(digest), size, virtual=True, refs=(tree_key(tree),))
        with self.publishing(content, lease):
            pass

    def has_blob(self, digest: Digest) -> bool:
        """Whether the blob is in the store, as a file or regenerable."""
        return self.catalog.content(blob_key(digest)) is not None

    def blob_size(self, digest: Digest) -> int:
        """Its length in bytes.

        Raises:
            NotFound: There is no such blob.
        """
        return self._content(blob_key(digest)).size

    def open_blob(self, digest: Digest) -> int:
        """A descriptor of the blob, which the caller closes; errors as `opened_blob`."""
        return self.opened_blob(digest).give_up()

    def opened_blob(self, digest: Digest) -> Descriptor:
        """The blob, open for reading at its start.

        Raises:
            NotFound: There is no such blob.
            CorruptData: Its file is gone, or what it is regenerated from has changed.
        """
        content = self._content(blob_key(digest))
        if content.virtual:
            return self._regenerated(content, digest)
        try:
            return open_path(self.layout.blob(digest), os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise CorruptData(f"the file of blob {digest} is gone: run fsck with repair") from None
        except OSError as error:
            raise files.from_os_error(error, "open a blob", self.layout.blob(digest)) from error

    def read_blob(self, digest: Digest, limit: int = _MAX_READ) -> bytes:
        """The bytes of a small blob, verified.

        Raises:
            NotFound: There is no such blob.
            LimitExceeded: It has more than *limit* bytes.
            CorruptData: The bytes on disk are no longer those that the digest names.
        """
        cached = self._read.get(digest)
        if cached is not None and len(cached) <= limit:
            self._content(blob_key(digest))
            return cached
        with as_file(self.opened_blob(digest), "rb") as file:
            data: bytes = file.read(limit + 1)
        if len(data) > limit:
            raise LimitExceeded(f"blob {digest} has more than {limit} bytes")
        if not digest.matches(data):
            raise CorruptData(f"blob {digest} has changed on disk: run fsck with repair, then fetch it again")
        self._remember(digest, data)
        return data

    def copy_blob(self, digest: Digest, out_fd: int) -> int:
        """Write the blob to *out_fd*; its size in bytes.  A regenerated one needs no space in the store."""
        content = self._content(blob_key(digest))
        if content.virtual:
            replay_tree(self.replay, self.layout.tree(_tree_of(content)), digest, out_fd)
            return content.size
        with self.opened_blob(digest) as blob:
            _copy(blob.fileno(), out_fd)
        return content.size

    def register_source(self, replay: Replay) -> None:
        """Use ``replay(recipe_fd, tree_fd, out_fd) -> Digest`` to make the archive of a tree again."""
        self.replay = replay

    # Trees

    def new_tree(self, lease: Lease | None = None) -> TreeDraft:
        """Start to unpack a layer; use it as a context manager.  *lease* as in :meth:`put_blob`."""
        return TreeDraft(self, lease or self._current_lease())

    def has_tree(self, diff_id: Digest) -> bool:
        """Whether the layer is unpacked."""
        return self.catalog.content(tree_key(diff_id)) is not None

    def tree_path(self, diff_id: Digest) -> str:
        """The absolute path of an unpacked layer, in overlay form; treat it as read-only.

        It is a directory, or an EROFS image (``*.erofs``) whose second device is the plain tar beside it: see
        `container_kit.native.layer_mounts` for what opens both.

        Raises:
            NotFound: The layer is not unpacked.
        """
        self._content(tree_key(diff_id))
        return path_of(self.layout.tree(diff_id))

    def is_snapshot_tree(self, name: Digest) -> bool:
        """Whether a tree is a copy of a container's files, and *name* no digest of an archive."""
        return is_snapshot(self.layout.tree(name))

    def tree_usage(self, diff_id: Digest) -> tuple[int, int]:
        """Bytes and inodes of an unpacked layer."""
        content = self._content(tree_key(diff_id))
        return content.size, content.inodes

    # Names and roots

    def set_name(self, kind: str, name: str, digest: Digest, expected: Any = ANY) -> Digest | None:
        """Make *name* mean the blob *digest*, durably and atomically; what it meant before, or None.

        Args:
            kind: A name space, such as ``image``.
            expected: What it must mean now, or None for a new name; by default anything.

        Raises:
            NotFound: There is no such blob.
            Conflict: The name does not mean *expected*.
        """
        if not kind or not name or not name.isprintable():
            raise InvalidInput(f"{name[:100]!r} cannot be a name: it has to be text that can be shown")
        with locks.held(self.layout.write_lock), self.database.transaction() as tx:
            return self.catalog.set_name(tx, kind, name, digest, expected)

    def resolve_name(self, kind: str, name: str) -> Digest | None:
        """What *name* means now, or None if nothing has that name."""
        return self.catalog.name(kind, name)

    def change_names(
        self,
        add: Mapping[tuple[str, str], Digest],
        remove: Iterable[tuple[str, str]] = (),
        require: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Set and remove several names, each a (kind, name), durably: all of it happens, or nothing.

        Raises:
            NotFound: A name in *remove* or *require*, or a blob in *add*, is not there.
        """
        with locks.held(self.layout.write_lock), self.database.transaction() as tx:
            self.catalog.change_names(tx, add, remove, require)

    def names(self, kind: str, prefix: str = "") -> dict[str, Digest]:
        """All names of one kind that begin with *prefix*, sorted, with what they mean."""
        return {name: digest for (_, name), digest in self.catalog.names(kind, prefix).items()}

    def remove_name(self, kind: str, name: str, expected: Any = ANY) -> Digest:
        """Forget *name*; what it meant.  Contents stay until the next collection.

        Raises:
            NotFound: Nothing has that name.
            Conflict: The name does not mean *expected*.
        """
        with locks.held(self.layout.write_lock), self.database.transaction() as tx:
            return self.catalog.delete_name(tx, kind, name, expected)

    def references(self, digest: Digest) -> tuple[tuple[Digest, ...], tuple[Digest, ...]]:
        """The blobs and the trees that a blob was stored with."""
        refs = self._content(blob_key(digest)).refs
        pairs = [(key.startswith("blob:"), Digest.parse(key[5:])) for key in refs]
        return tuple(d for blob, d in pairs if blob), tuple(d for blob, d in pairs if not blob)

    def add_root(
        self,
        owner: str,
        digests: Iterable[Digest] = (),
        trees: Iterable[Digest] = (),
        *,
        durable: bool = False,
    ) -> None:
        """Keep contents for *owner* until :meth:`remove_root`, even when this process ends.

        Args:
            owner: Such as ``container:<id>``; an earlier root of the same owner is replaced.
            durable: Survive a power cut too, at the price of a disk sync.  Without, add the root again after
                a reboot, from what the owner itself has recorded.

        Raises:
            NotFound: One of the contents is not here.
        """
        keys = keys_of(digests, trees)
        with locks.held(self.layout.write_lock), self.database.transaction(durable) as tx:
            self.catalog.require(tx, keys)
            self.catalog.set_root(tx, owner, keys)

    def remove_root(self, owner: str) -> None:
        """Keep nothing more for *owner*; one that has no root is no error."""
        with locks.held(self.layout.write_lock), self.database.transaction(durable=False) as tx:
            self.catalog.delete_root(tx, owner)

    def roots(self) -> dict[str, tuple[str, ...]]:
        """All owners, with the keys (``blob:<digest>``, ``tree:<diff id>``) that each keeps."""
        return self.catalog.roots()

    # Leases and collection

    def lease(self, *digests: Digest, trees: Iterable[Digest] = ()) -> Lease:
        """Keep contents, and what they need, while this process lives or until the lease is closed.

        Used as a context manager, it also keeps whatever this thread publishes within.

        Raises:
            NotFound: One of the contents is not here.
        """
        lease = Lease(self._leases, self._require)
        try:
            lease.add_keys(keys_of(digests, trees))
        except BaseException:
            lease.close()
            raise
        return lease

    def gc(self) -> Collected:
        """Remove whatever is not named, rooted or leased, nor needed by what is."""
        from container_kit.store.collect import collect

        return collect(self)

    def prune(self) -> Collected:
        """Collect garbage, empty the quarantine and give the space of the database's log back."""
        from container_kit.store.collect import collect

        collected = collect(self, unused_parts_s=0)
        with files.translated("empty the quarantine", self.layout.quarantine):
            empty_directory(self.layout.quarantine)
        self.database.checkpoint()
        return collected

    def df(self) -> Usage:
        """What the store uses of its disk."""
        from container_kit.store.usage import measure

        return measure(self)

    def fsck(self, repair: bool = False, verify: bool = True) -> Report:
        """Compare everything stored with what it should be.

        Args:
            repair: Set damaged contents aside, so that they can be fetched again, and mend the database.
            verify: Read and digest every byte; without, only presence and sizes are checked.
        """
        from container_kit.store.fsck import check

        return check(self, repair, verify)

    def verify_blob(self, digest: Digest) -> None:
        """Read a blob and compare it with its digest.

        Raises:
            NotFound: There is no such blob.
            CorruptData: It is not what it was.
        """
        from container_kit.store.fsck import verify_blob

        verify_blob(self, self._content(blob_key(digest)))

    def verify_tree(self, diff_id: Digest) -> None:
        """Compare an unpacked layer with its diff id; errors as in :meth:`verify_blob`."""
        verify_tree(self.replay, self.layout.tree(diff_id), self._content(tree_key(diff_id)))

    # For the other modules of this package

    @contextmanager
    def publishing(self, content: Content, lease: Lease | None) -> Iterator[None]:
        """Make *content* known after the block, which has put its file in place, has ended well."""
        lease = lease or self._current_lease()
        with locks.held(self.layout.write_lock):
            yield
            if lease is not None:
                lease.add_keys([content.key], check=False)
            # The row needs no sync of its own: the name that will keep the content is durable, and with it
            # every earlier row of the same log.  The file is on the disk already: a row must never be first.
            with self.database.transaction(durable=False) as tx:
                self.catalog.put_content(tx, content)

    def forget_read(self, digest: Digest) -> None:
        """Read this blob from disk the next time."""
        self._read.pop(digest, None)

    def _current_lease(self) -> Lease | None:
        return self._leases.current[-1] if self._leases.current else None

    def _content(self, key: str) -> Content:
        content = self.catalog.content(key)
        if content is None:
            raise not_found(key)
        return content

    def _require(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._content(key)

    def _is_stored(self, digest: Digest, size: int, refs: tuple[str, ...], lease: Lease | None) -> bool:
        """Whether a whole file with these references is here, and stays as long as *lease*."""
        lease, key = lease or self._current_lease(), blob_key(digest)
        if lease is not None:
            lease.add_keys([key], check=False)
        content = self.catalog.content(key)
        if content is None or content.virtual or not set(refs) <= set(content.refs):
            return False
        try:
            return os.stat(self.layout.blob(digest)).st_size == size
        except FileNotFoundError:
            return False

    def _regenerated(self, content: Content, digest: Digest) -> Descriptor:
        """The archive of the tree that *content* refers to: its own tar, or a nameless temporary file."""
        tree = self.layout.tree(_tree_of(content))
        if is_image(tree):
            return open_tar(tree, _tree_of(content))
        path = f"{self.layout.temporary}/{files.unique('archive')}"
        with self.drafts.new_file(path) as draft:
            files.unlink(path, "blob.unname")
            archive = duplicate(draft.fileno())  # which a fork does not close
        with files.translated("regenerate a layer", self.layout.temporary, content.size):
            replay_tree(self.replay, tree, digest, archive.fileno())
            os.lseek(archive.fileno(), 0, os.SEEK_SET)
        return archive

    def _remember(self, digest: Digest, data: bytes) -> None:
        if len(data) <= _CACHED_BLOB:
            if len(self._read) >= _CACHED_BLOBS:
                self._read = {}
            self._read[digest] = data

    def _sweep(self) -> None:
        from container_kit.store.collect import sweep

        if os.listdir(self.layout.temporary) or has_dead(self.layout.leases):
            with suppress(PermissionMissing):  # a read-only disk can still be read
                sweep(self)

    def _before_fork(self) -> None:
        self.catalog.before_fork()
        self._leases.before_fork()
        self.drafts.before_fork()
        self.database.before_fork()

    def _after_fork(self, child: bool) -> None:
        self.database.after_fork()
        self.drafts.after_fork(child)
        self._leases.after_fork(child)
        self.catalog.after_fork()


def _tree_of(content: Content) -> Digest:
    return Digest.parse(content.refs[0].removeprefix("tree:"))


def _copy(source_fd: int, out_fd: int) -> None:
    """All bytes of *source_fd*, in the kernel where *out_fd* can take them so."""
    while data := os.read(source_fd, 1 << 20):
        files.write_all(out_fd, data, "blob.copy")


_stores: weakref.WeakSet[Store] = weakref.WeakSet()
# What the thread that forks has stopped; the child inherits it and starts it again.
_stopped: list[Store] = []


def _stop_all() -> None:
    Store._shared_mutex.acquire()
    _stopped.extend(_stores)
    for store in _stopped:
        store._before_fork()


def _start_all(child: bool) -> None:
    if child:
        locks.close_inherited()
    for store in _stopped:
        store._after_fork(child)
    _stopped.clear()
    Store._shared_mutex.release()


os.register_at_fork(
    before=_stop_all,
    after_in_parent=lambda: _start_all(False),
    after_in_child=lambda: _start_all(True),
)
