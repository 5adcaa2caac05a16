"""Blobs on their way in: written to a temporary file, verified, synced, renamed, then made known."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from container_kit.errors import (
    ContainerKitError,
    CorruptData,
    LimitExceeded,
    StoreFull,
    TimedOut,
    Unreachable,
)
from container_kit.native.descriptors import Descriptor
from container_kit.oci.digest import Digest
from container_kit.store import files
from container_kit.store.catalog import Content, blob_key, keys_of
from container_kit.store.leases import Lease

if TYPE_CHECKING:
    from container_kit.store.store import Store

__all__ = ["Ingest", "adopt", "digest_of_file"]

_CHUNK: Final = 1 << 20


class Ingest:
    """One blob being written; leaving its ``with`` block without :meth:`commit` removes it.

    Bytes come through :meth:`write`, or by writing to :attr:`fd` in C; not both.

    Attributes:
        fd: The temporary file, open for reading and writing at its start, locked by this process.
        kept: How many bytes an earlier attempt has left in the file, which are to be written once more.
    """

    def __init__(
        self,
        store: Store,
        expected: Digest | None,
        size: int | None,
        lease: Lease | None,
        part: str | None = None,
        part_file: Descriptor | None = None,
    ) -> None:
        self._store, self._expected, self._size, self._lease = store, expected, size, lease
        self._generation = store.drafts.generation
        self._written = 0
        self._hash: Any = None
        self._file, self._path, self.kept = part_file or Descriptor(), part or "", 0
        self._is_part = part is not None
        try:
            if part is not None:
                self.kept = self._kept_bytes()
            self._refuse_without_space()
        except BaseException:
            self.discard()
            raise
        if part is None:
            self._path = f"{store.layout.temporary}/{files.unique('blob')}"
            self._file = store.drafts.new_file(self._path)

    @property
    def fd(self) -> int:
        return self._file.fileno()

    def write(self, data: bytes | memoryview) -> None:
        """Append *data*.

        Raises:
            LimitExceeded: More bytes come than were announced.
            StoreFull: The file system has no space left.
        """
        if self._hash is None:
            import hashlib

            self._hash = hashlib.new(self._expected.algorithm if self._expected else "sha256")
        self._written += len(data)
        if self._size is not None and self._written > self._size:
            raise LimitExceeded(
                f"the blob {self._expected or ''} has more than the {self._size} bytes announced"
            )
        needed = None if self._size is None else self._size - self._written + len(data)
        with files.translated("store a blob", self._store.layout.temporary, needed):
            files.write_all(self.fd, data, "blob.write")
        self._hash.update(data)

    def commit(
        self, digest: Digest | None = None, references: Iterable[Digest] = (), trees: Iterable[Digest] = ()
    ) -> Digest:
        """Make the blob whole, and known under its digest.

        Args:
            digest: What C code computed while it wrote to :attr:`fd`; None means that it is computed here.
            references: Blobs that this one needs: they live as long as it does.
            trees: Diff ids of trees that it needs.

        Raises:
            CorruptData: The bytes are not what was expected; nothing is stored.
            StoreFull: The file system has no space left.
        """
        size = os.fstat(self.fd).st_size
        found = self._checked(digest or self._computed(size), size)
        refs = keys_of(references, trees)
        adopt(self._store, self._path, self.fd, found, self._lease, refs)
        self._file.close()
        self._path = ""
        return found

    def discard(self, keep: bool = False) -> None:
        """Remove what was written, or *keep* it for the next attempt; may be repeated."""
        if self._path and self._generation == self._store.drafts.generation:
            if not keep:
                files.unlink_or_leave(self._path, "blob.discard")
            self._file.close()
            self._path = ""

    def __enter__(self) -> Ingest:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard(keep=self._is_part and error is not None and _may_pass(error))

    def _kept_bytes(self) -> int:
        """What an earlier attempt has left, unless it cannot be of this blob."""
        kept = os.fstat(self.fd).st_size
        if self._size is not None and kept > self._size:
            os.ftruncate(self.fd, 0)
            return 0
        return kept

    def _refuse_without_space(self) -> None:
        needed = (self._size or 0) - self.kept
        free = files.free_bytes(self._store.layout.root) if needed else 0
        if needed > free:
            raise StoreFull(
                errno.ENOSPC,
                f"cannot store a blob in {self._store.root!r}: it needs {needed} bytes but only {free} "
                "are free: run prune, or use a larger disk",
            )

    def _computed(self, size: int) -> Digest:
        algorithm = self._expected.algorithm if self._expected else "sha256"
        if self._hash is not None and self._written == size:
            return Digest(algorithm, self._hash.hexdigest())
        return digest_of_file(self.fd, algorithm)

    def _checked(self, found: Digest, size: int) -> Digest:
        if self._size is not None and size != self._size:
            raise CorruptData(f"the blob {self._expected or found} has {size} bytes instead of {self._size}")
        if self._expected is not None and found != self._expected:
            raise CorruptData(
                f"the bytes received for {self._expected} have the digest {found}: fetch them again"
            )
        return found


def adopt(
    store: Store, path: str, fd: int, digest: Digest, lease: Lease | None, refs: tuple[str, ...] = ()
) -> None:
    """Make the verified file *path*, open as *fd*, the blob *digest*; it leaves its place.

    It must stand on the file system of the store.
    """
    layout = store.layout
    content = Content(blob_key(digest), os.fstat(fd).st_size, refs=refs)
    with files.translated("store a blob", layout.blobs):
        files.sync_file(fd, "blob.sync")
        with store.publishing(content, lease):
            target = layout.blob(digest)
            files.rename(path, target, "blob.rename")
            files.sync_directory(os.path.dirname(target), "blob.sync-dir")


def _may_pass(error: BaseException) -> bool:
    """Whether the next attempt can use what came before *error*: not if the bytes were the trouble."""
    return isinstance(error, TimedOut | Unreachable) or not isinstance(error, ContainerKitError)


def digest_of_file(fd: int, algorithm: str = "sha256") -> Digest:
    """The digest of a whole file, whatever its position; without the GIL where it matters."""
    if algorithm == "sha256":
        from container_kit.native.digests import sha256_range

        return Digest(algorithm, sha256_range(fd, 0, os.fstat(fd).st_size).hex())
    import hashlib

    state, offset = hashlib.new(algorithm), 0
    while chunk := os.pread(fd, _CHUNK, offset):
        state.update(chunk)
        offset += len(chunk)
    return Digest(algorithm, state.hexdigest())
