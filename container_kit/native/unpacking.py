"""Unpacking a layer: one pass from a compressed archive to a tree and its digests.

The work is done in C without the GIL, so several layers unpack at the same time.
"""

from __future__ import annotations

from typing import Any

import attrs

from container_kit.errors import InvalidInput
from container_kit.native import own_ids
from container_kit.native._binding import ffi, lib
from container_kit.native._jobs import (
    COMPRESSIONS,
    FORMS,
    Cancellation,
    Compression,
    Form,
    digest_text,
    or_absent,
    run_with_rights,
)

__all__ = ["UnpackLimits", "Unpacked", "features", "unpack"]


@attrs.frozen(kw_only=True)
class UnpackLimits:
    """What one layer may cost; each is checked before anything of that size is kept or made.

    Args:
        entries: Headers in the archive.
        tar_size_bytes: Bytes of the plain tar.
        tree_size_bytes: Bytes of all its files, holes counted.
        ratio: Plain bytes for each compressed byte, once the tar is larger than *ratio_grace_bytes*.
        ratio_grace_bytes: Layers up to this size may compress as well as they like.
        path_bytes: Length of one path.
        path_depth: Components of one path.
        header_bytes: Extended headers (names, attributes) of one entry.
        extents: Data regions of one sparse file.
    """

    entries: int = 2_000_000
    tar_size_bytes: int = 256 << 30
    tree_size_bytes: int = 256 << 30
    ratio: int = 200
    ratio_grace_bytes: int = 512 << 20
    path_bytes: int = attrs.field(default=4095, validator=attrs.validators.in_(range(1, 4096)))
    path_depth: int = attrs.field(default=256, validator=attrs.validators.in_(range(1, 1025)))
    header_bytes: int = attrs.field(
        default=1 << 20, validator=attrs.validators.in_(range(1024, (16 << 20) + 1))
    )
    extents: int = 65_536


@attrs.frozen(kw_only=True)
class Unpacked:
    """What came out of a layer.

    Attributes:
        blob_digest: ``sha256:…`` of the bytes as they were read.
        blob_size: How many they were.
        diff_id: ``sha256:…`` of the plain tar.
        tar_size: Its length in bytes.
        entries: Headers in it.
        files_size: Bytes of all files.
        inodes: Files, directories and other objects that were made.
        dropped_xattrs: Attributes that an image may not set, or that this file system cannot hold.
        unfit: The tar was written, but has what an EROFS image over it cannot hold (files with holes, more
            names than the budget of memory takes): unpack it into a tree.
    """

    blob_digest: str
    blob_size: int
    diff_id: str
    tar_size: int
    entries: int
    files_size: int
    inodes: int
    dropped_xattrs: int
    unfit: bool = False


def features() -> dict[str, bool]:
    """Which of ``isal``, ``zlib``, ``zstd`` are linked in, and whether ``sha_instructions`` are used."""
    bits = lib.ck_layer_features()
    return {
        "isal": bool(bits & 1),
        "zlib": bool(bits & 2),
        "zstd": bool(bits & 4),
        "sha_instructions": bool(lib.ck_sha256_accelerated()),
    }


def unpack(
    source_fd: int,
    tree_fd: int,
    *,
    offset: int | None = None,
    size: int | None = None,
    compression: Compression = "auto",
    blob_fd: int | None = None,
    recipe_fd: int | None = None,
    image_fds: tuple[int, int] | None = None,
    limits: UnpackLimits | None = None,
    form: Form = "overlay",
    keep_owner: bool | None = None,
    user_xattrs: bool | None = None,
    sync: bool = True,
    cancellation: Cancellation | None = None,
) -> Unpacked:
    """Unpack a layer into the directory *tree_fd*, in one pass.

    Args:
        source_fd: The layer: a file, a pipe or a socket.
        tree_fd: An existing directory. Nothing outside it is read, made, changed or removed.
        offset: Where the layer starts in *source_fd*, whose position is then neither used nor moved, so that
            several layers of one archive unpack at the same time; None reads from the current position.
        size: Bytes of the (compressed) layer; None reads to the end.
        compression: "auto" looks at the first bytes.
        blob_fd: Takes a copy of the bytes as read.
        recipe_fd: Takes what `replay` needs, beside the tree, to give the exact tar back; in "overlay" form.
        image_fds: Empty files for the plain tar and for an EROFS image whose files lie in that tar, instead
            of files in *tree_fd*, which stays empty; in "overlay" form.
        limits: Budgets; None for the defaults.
        form: "overlay" makes an overlay lower directory (whiteouts as devices 0:0, opaque attributes), apart
            from the layers below; "plain" carries the whiteouts out, for layers that share one tree;
            "archive" is no layer: a name that starts with ``.wh.`` is a name like any other.
        keep_owner: Give files their owners from the archive; None means when there is more than one id.
        user_xattrs: Mark opaque directories with ``user.overlay.opaque``, for overlay without privileges;
            None means where this process has none.
        sync: Return only once everything is on the disk.
        cancellation: Lets another thread stop it: the error is TimedOut then.

    Returns:
        Digests and counts.

    Raises:
        InvalidInput: An entry would leave the tree, or has no single meaning; names the entry.
        CorruptData: The bytes are not a whole archive in its format.
        LimitExceeded: A budget would be exceeded.
        UnsupportedFeature: This build lacks the decompressor.
        KernelError: A system call failed (ENOSPC when the disk is full).

    After an error the tree holds part of the layer: remove it.

    Source: image-spec, layer.md; POSIX pax; GNU tar and libarchive formats.
    """
    if (recipe_fd is not None or image_fds is not None) and form != "overlay":
        raise InvalidInput("a layer can be kept in overlay form only: other layers share the tree otherwise")
    job = ffi.new("struct ck_unpack *")
    job.source_fd, job.tree_fd = source_fd, tree_fd
    job.offset, job.size = or_absent(offset), or_absent(size)
    job.blob_fd, job.recipe_fd = or_absent(blob_fd), or_absent(recipe_fd)
    job.tar_fd, job.image_fd = image_fds or (-1, -1)
    job.compression, job.form = COMPRESSIONS[compression], FORMS[form]
    job.keep_owner = own_ids.mapped_ids() > 1 if keep_owner is None else keep_owner
    job.user_xattrs = own_ids.is_namespaced() if user_xattrs is None else user_xattrs
    job.sync = sync
    _set_limits(job.limits, limits or UnpackLimits())
    run_with_rights("ck_unpack", job, "cannot unpack the layer", cancellation)
    return Unpacked(
        blob_digest=digest_text(job.blob_digest),
        blob_size=job.blob_size,
        diff_id=digest_text(job.diff_id),
        tar_size=job.tar_size,
        entries=job.entries,
        files_size=job.files_size,
        inodes=job.inodes,
        dropped_xattrs=job.dropped_xattrs,
        unfit=bool(job.unfit),
    )


def _set_limits(into: Any, limits: UnpackLimits) -> None:
    into.entries, into.extents = limits.entries, limits.extents
    into.tar_size, into.tree_size = limits.tar_size_bytes, limits.tree_size_bytes
    into.ratio, into.ratio_grace = limits.ratio, limits.ratio_grace_bytes
    into.path_size, into.path_depth = limits.path_bytes, limits.path_depth
    into.header_size = limits.header_bytes
