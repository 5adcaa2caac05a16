"""SHA-256 in C: of a file, of a part of one, or of bytes as they come. The GIL is released throughout."""

from __future__ import annotations

from typing import TypeAlias

from container_kit.native._binding import check, ffi, lib

__all__ = ["Hasher", "sha256_fd", "sha256_range"]

Buffer: TypeAlias = bytes | bytearray | memoryview


def sha256_fd(fd: int) -> bytes:
    """The 32-byte SHA-256 of *fd*, from its current position to its end.

    Reads and hashes in C without the GIL, so layers hash in parallel.

    Raises:
        KernelError: With the errno of the read that failed.
    """
    out = ffi.new("unsigned char[32]")
    check(lib.ck_sha256_fd(fd, out), f"cannot read fd {fd}")
    return bytes(ffi.buffer(out))


def sha256_range(fd: int, offset: int, size: int) -> bytes:
    """The 32-byte SHA-256 of *size* bytes of *fd* from *offset*; its position is neither used nor moved.

    Raises:
        KernelError: With the errno of the read that failed; ENODATA when *fd* ends before.
    """
    out = ffi.new("unsigned char[32]")
    check(lib.ck_sha256_range(fd, offset, size, out), f"cannot read {size} bytes at {offset} of fd {fd}")
    return bytes(ffi.buffer(out))


class Hasher:
    """SHA-256 of bytes as they come, with the methods of :mod:`hashlib` objects.

    The bytes are hashed without the GIL. One object belongs to one thread at a time.
    """

    __slots__ = ("_state",)

    name = "sha256"
    digest_size = 32

    def __init__(self, data: Buffer = b"") -> None:
        self._state = ffi.new("struct ck_sha256 *")
        lib.ck_sha256_start(self._state)
        if data:
            self.update(data)

    def update(self, data: Buffer) -> None:
        """Add *data* to what is hashed."""
        view = ffi.from_buffer(data)
        lib.ck_sha256_update(self._state, view, len(view))

    def digest(self) -> bytes:
        """The 32 bytes of everything so far; more may follow."""
        out = ffi.new("unsigned char[32]")
        lib.ck_sha256_digest(self._state, out)
        return bytes(ffi.buffer(out))

    def hexdigest(self) -> str:
        """The digest in 64 hexadecimal digits."""
        return self.digest().hex()
