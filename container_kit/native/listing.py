"""Directories as lists, and digests of many files at once: read in C, without the GIL."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from typing import NamedTuple

from container_kit.errors import KernelError
from container_kit.native._binding import check, ffi, lib
from container_kit.native.user_namespace import with_rights

__all__ = ["FileDigest", "Listed", "digest_files", "list_directory", "tree_state"]

_LISTED = struct.Struct("=QQQqqqIIII")
_DIGEST = struct.Struct("=32sQQqqqiI")


class Listed(NamedTuple):
    """One entry of a directory, as lstat gives it; *target* is where a symbolic link points, or empty."""

    name: str
    target: str
    device: int
    inode: int
    rdev: int
    size: int
    modified_ns: int
    changed_ns: int
    mode: int
    uid: int
    gid: int
    links: int


class FileDigest(NamedTuple):
    """The content of one file, and what told its state while it was read.

    *error* is an errno: EAGAIN when it changed meanwhile. *has_xattrs*: a capability, or ``user.*``.
    """

    sha256: bytes
    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int
    error: int
    has_xattrs: int


@with_rights
def list_directory(dir_fd: int) -> list[Listed]:
    """What stands in the directory *dir_fd*, by name; links are not followed.

    Raises:
        KernelError: It cannot be read.
    """
    listing = ffi.new("struct ck_listing *")
    check(lib.ck_list_directory(dir_fd, listing), f"cannot list the directory fd {dir_fd}")
    try:
        facts = ffi.buffer(listing.entries, listing.count * _LISTED.size) if listing.count else b""
        texts = os.fsdecode(bytes(ffi.buffer(listing.names, listing.names_size)) if listing.count else b"")
        words = texts.split("\0")
        found = [
            Listed(name, target, *fields)
            for name, target, fields in zip(
                words[0::2], words[1::2], _LISTED.iter_unpack(facts), strict=False
            )
        ]
    finally:
        lib.ck_listing_free(listing)
    found.sort()
    return found


@with_rights
def digest_files(root_fd: int, paths: Sequence[str]) -> list[FileDigest]:
    """SHA-256 of the regular files *paths*, in two threads; a file that cannot be read has its error.

    Args:
        root_fd: The directory that *paths* are relative to; no link leads to any of them, or out of it.
    """
    if not paths:
        return []
    names = os.fsencode("\0".join(paths)) + b"\0"
    if names.count(b"\0") != len(paths):
        raise KernelError.of(22, "cannot read a path that holds NUL")
    out = ffi.new("struct ck_file_digest[]", len(paths))
    check(lib.ck_digest_files(root_fd, names, len(paths), out), "cannot read files")
    return [
        FileDigest(sha, device, inode, size, modified, changed, -error, xattrs)
        for sha, device, inode, size, modified, changed, error, xattrs in _DIGEST.iter_unpack(ffi.buffer(out))
    ]


@with_rights
def tree_state(dir_fd: int) -> tuple[bytes, int]:
    """SHA-256 of the names and states (as in `Listed`) of all below *dir_fd*, and the newest change in ns.

    No content is read: equal states mean that no file has changed, but within one tick of the clock.

    Raises:
        KernelError: A directory cannot be read; ELOOP when one is deeper than 256.
    """
    out, newest = ffi.new("unsigned char[32]"), ffi.new("int64_t *")
    check(lib.ck_tree_state(dir_fd, out, newest), f"cannot read the tree of fd {dir_fd}")
    return bytes(ffi.buffer(out)), int(newest[0])
