"""Packing a tree into a layer, and giving the exact archive of an unpacked layer back."""

from __future__ import annotations

import os
from collections.abc import Iterable

import attrs

from container_kit.native import own_ids
from container_kit.native._binding import ffi
from container_kit.native._jobs import (
    COMPRESSIONS,
    FORMS,
    Compression,
    Form,
    digest_text,
    or_absent,
    run_with_rights,
)

__all__ = ["Packed", "Replayed", "pack", "replay"]


@attrs.frozen(kw_only=True)
class Packed:
    """What was written.

    Attributes:
        diff_id: ``sha256:…`` of the plain tar.
        size: Its length in bytes.
        blob_digest: ``sha256:…`` of what went to the descriptor; the diff id when that is not compressed.
        blob_size: How many bytes that were.
        entries: Headers in the archive.
    """

    diff_id: str
    size: int
    blob_digest: str
    blob_size: int
    entries: int


@attrs.frozen(kw_only=True)
class Replayed:
    """The plain tar that a recipe and its tree gave: ``sha256:…`` and length in bytes."""

    diff_id: str
    size: int


def pack(
    tree_fd: int,
    out_fd: int | None,
    *,
    form: Form = "overlay",
    compression: Compression = "none",
    exclude: Iterable[str | bytes] = (),
    mtime: int | None = None,
    latest: int | None = None,
    owner: tuple[int, int] | None = None,
    nanoseconds: bool = False,
    with_root: bool = False,
    user_xattrs: bool | None = None,
) -> Packed:
    """Pack the directory *tree_fd* into a tar: equal trees give equal bytes.

    Args:
        tree_fd: The directory; it has no entry of its own unless *with_root*. Mounts in it are left out, and
            so are sockets.
        out_fd: Takes the archive; None only computes the digest.
        form: "overlay" reads the upper directory of a container and writes whiteouts and opaque markers;
            "plain" packs what is there; "archive" does too, and is no layer: it may have names that start
            with ``.wh.``.
        compression: "none", "gzip" or "zstd".
        exclude: Paths relative to the tree, such as ``b"etc/hosts"``, that are left out with all below them.
        mtime: Seconds since 1970 for every entry; None keeps the files' own.
        latest: Seconds since 1970 for every entry that is later; None keeps the files' own.
        owner: User and group id for every entry; None keeps the files' own.
        nanoseconds: Keep fractions of seconds, at 1 KiB an entry.
        with_root: Begin with an entry for the directory itself, which `unpack` applies to the one it fills.
        user_xattrs: The overlay was mounted with ``userxattr``; None means where this process's overlays are.

    Returns:
        Digests and counts.

    Raises:
        InvalidInput: A name starts with ``.wh.``, which a layer would take for a whiteout; names it.
        LimitExceeded: A path is deeper or longer than a layer can hold.
        UnsupportedFeature: Overlay keeps part of the content elsewhere, or this build lacks the compression.
        KernelError: A system call failed.

    Source: image-spec, layer.md; POSIX pax; sparse files as in GNU tar's format 1.0.
    """
    job = ffi.new("struct ck_pack *")
    excluded = ffi.new("char[]", b"".join(_relative(path) + b"\0" for path in exclude))
    job.tree_fd, job.out_fd, job.exclude = tree_fd, or_absent(out_fd), excluded
    job.form, job.compression = FORMS[form], COMPRESSIONS[compression]
    job.nanoseconds, job.with_root = nanoseconds, with_root
    job.user_xattrs = own_ids.is_namespaced() if user_xattrs is None else user_xattrs
    if mtime is not None:
        job.fixed_time, job.mtime = 1, mtime
    elif latest is not None:
        job.fixed_time, job.mtime = 2, latest
    if owner is not None:
        job.fixed_owner, job.uid, job.gid = 1, *owner
    run_with_rights("ck_pack", job, "cannot pack the layer")
    return Packed(
        diff_id=digest_text(job.diff_id),
        size=job.tar_size,
        blob_digest=digest_text(job.blob_digest),
        blob_size=job.blob_size,
        entries=job.entries,
    )


def replay(recipe_fd: int, tree_fd: int, out_fd: int | None = None) -> Replayed:
    """Give the exact plain tar of an unpacked layer back, or verify that it could be given.

    Args:
        recipe_fd: What `unpack` wrote to its *recipe_fd*; read from the start, its position is not used.
        tree_fd: The tree that it unpacked.
        out_fd: Takes the tar; None only verifies: every byte of every file is read and hashed.

    Returns:
        The digest, which is the one that the layer had, and the length.

    Raises:
        CorruptData: A file or the recipe changed since; names the file where that can be told.
        KernelError: A system call failed.
    """
    job = ffi.new("struct ck_replay *")
    job.recipe_fd, job.tree_fd, job.out_fd = recipe_fd, tree_fd, or_absent(out_fd)
    run_with_rights("ck_replay", job, "cannot regenerate the layer")
    return Replayed(diff_id=digest_text(job.diff_id), size=job.tar_size)


def _relative(path: str | bytes) -> bytes:
    return os.fsencode(path).strip(b"/")
