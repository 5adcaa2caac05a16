"""Uploads: files that grow request by request until they are whole blobs.

An upload is one file, so it survives the end of a connection and of the server.  Its name binds it to its
repository; a lock makes sure that one request at a time writes it.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from types import TracebackType
from typing import Final

from container_kit.native.digests import Hasher
from container_kit.oci import Digest
from container_kit.registry.server.errors import Refusal
from container_kit.store import files, locks
from container_kit.store.blobs import digest_of_file

__all__ = ["Upload", "Uploads"]

_MAX_VECTOR: Final = 512  # buffers in one writev(2); the kernel takes 1024
_REMEMBERED: Final = 256  # uploads whose hash need not be computed again


class Upload:
    """One request's hold of an upload; leaving its ``with`` block keeps the file for the next request.

    Attributes:
        id: What the client's URL names.
        fd: The file, open for reading and writing.
        path: Where it stands.
        size: How many bytes it has.
    """

    def __init__(self, uploads: Uploads, id: str, path: str, fd: int, hasher: Hasher | None) -> None:
        self._uploads = uploads
        self.id, self.path, self.fd = id, path, fd
        self.size = os.fstat(fd).st_size
        self._hasher = hasher

    def write(self, pieces: Sequence[bytes]) -> None:
        """Append *pieces*; hashing and writing run without the GIL.

        Raises:
            StoreFull: The file system has no space left.
        """
        with files.translated("store an upload", self._uploads.directory):
            for first in range(0, len(pieces), _MAX_VECTOR):
                self._write(pieces[first : first + _MAX_VECTOR])

    def _write(self, pieces: Sequence[bytes]) -> None:
        total = sum(map(len, pieces))
        written = os.pwritev(self.fd, pieces, self.size)
        if written < total:
            rest = memoryview(b"".join(pieces))[written:]
            os.lseek(self.fd, self.size + written, os.SEEK_SET)
            files.write_all(self.fd, rest, "upload.write")
        self.size += total
        if self._hasher is not None:  # after writing: what could not be written is not hashed
            for piece in pieces:
                self._hasher.update(piece)

    def digest(self, algorithm: str) -> Digest:
        """The digest of what has come so far."""
        if algorithm == "sha256" and self._hasher is not None:
            return Digest(algorithm, self._hasher.hexdigest())
        return digest_of_file(self.fd, algorithm)

    def remove(self) -> None:
        """Give the upload up, and its space back."""
        files.unlink_or_leave(self.path, "upload.remove")
        self._hasher = None

    def __enter__(self) -> Upload:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._uploads._remember(self.id, self._hasher, self.size)
        os.close(self.fd)


class Uploads:
    """The uploads below one directory, shared by any number of processes."""

    def __init__(self, directory: str, limit: int = 2000) -> None:
        self.directory = directory
        self._limit = limit
        self._mutex = threading.Lock()
        self._hashers: OrderedDict[str, tuple[Hasher, int]] = OrderedDict()
        with files.translated("prepare uploads", directory):
            os.makedirs(directory, mode=0o700, exist_ok=True)

    def start(self, repository: str) -> Upload:
        """A new upload to *repository*.

        Raises:
            Refusal: There are too many already.
        """
        if len(os.listdir(self.directory)) >= self._limit:
            raise Refusal("TOOMANYREQUESTS", f"{self._limit} uploads are under way: finish some, or wait")
        id = secrets.token_hex(16)
        path = self._path(repository, id)
        with files.translated("start an upload", self.directory):
            fd = files.create(path, "upload.create")
        locks.try_lock(fd)
        return Upload(self, id, path, fd, Hasher())

    def resume(self, repository: str, id: str) -> Upload:
        """The upload *id*, if it was started in *repository*.

        Raises:
            Refusal: There is none, or another request is writing it.
        """
        path = self._path(repository, id)
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise Refusal("BLOB_UPLOAD_UNKNOWN", "there is no such upload here: start it again") from None
        if not locks.try_lock(fd):
            os.close(fd)
            raise Refusal("BLOB_UPLOAD_INVALID", "another request is writing this upload", status=409)
        if not files.is_at(fd, path):  # between the two lines above it has become a blob, or was given up
            os.close(fd)
            raise Refusal("BLOB_UPLOAD_UNKNOWN", "this upload has ended")
        size = os.fstat(fd).st_size
        return Upload(self, id, path, fd, self._recall(id, size))

    def sweep(self, older_than_s: float) -> int:
        """Remove uploads that nobody has written for *older_than_s* seconds; how many."""
        removed = 0
        for name in os.listdir(self.directory):
            removed += self._sweep_one(f"{self.directory}/{name}", time.time() - older_than_s)
        return removed

    def _sweep_one(self, path: str, before: float) -> bool:
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return False  # finished or removed since the listing
        try:
            old = os.fstat(fd).st_mtime <= before and locks.try_lock(fd)
            if old:
                files.unlink_or_leave(path, "upload.sweep")
            return old
        finally:
            os.close(fd)

    def _path(self, repository: str, id: str) -> str:
        """The repository is part of the name: in another one, there is no such upload."""
        return f"{self.directory}/{id}-{Digest.of(repository.encode()).hex[:32]}"

    def _remember(self, id: str, hasher: Hasher | None, size: int) -> None:
        with self._mutex:
            self._hashers.pop(id, None)
            if hasher is not None:
                self._hashers[id] = (hasher, size)
                if len(self._hashers) > _REMEMBERED:
                    self._hashers.popitem(last=False)

    def _recall(self, id: str, size: int) -> Hasher | None:
        """The hash of the first *size* bytes; None when it has to be computed from the file at the end."""
        with self._mutex:
            hasher, hashed = self._hashers.pop(id, (None, 0))
        if size == 0:
            return Hasher()
        return hasher if hashed == size else None
