"""A whole file out of its compression, in C: archives that were compressed around everything in them."""

from __future__ import annotations

from typing import Literal

from container_kit.native._binding import ffi, lib
from container_kit.native._jobs import COMPRESSIONS, run

__all__ = ["inflate_file"]


def inflate_file(
    source_fd: int,
    out_fd: int,
    compression: Literal["gzip", "zstd"],
    *,
    ratio: int = 200,
    ratio_grace_bytes: int = 1 << 30,
) -> int:
    """Write *source_fd*, from its position to its end, to *out_fd* in plain; the number of bytes written.

    Args:
        ratio: Plain bytes for each compressed byte, once there are more than *ratio_grace_bytes*.

    Raises:
        CorruptData: The bytes are not whole members or frames of this format.
        LimitExceeded: The ratio would be exceeded; what was written stays.
        UnsupportedFeature: This build lacks the decompressor.
        KernelError: A system call failed (ENOSPC when the disk is full).
    """
    job = ffi.new("struct ck_inflate_file *")
    job.source_fd, job.out_fd, job.compression = source_fd, out_fd, COMPRESSIONS[compression]
    job.ratio, job.ratio_grace = ratio, ratio_grace_bytes
    run(lib.ck_inflate_file, job, "cannot unpack the archive")
    return int(job.written)
