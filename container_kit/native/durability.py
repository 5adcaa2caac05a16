"""Durability calls that Python's os module lacks."""

from __future__ import annotations

from container_kit.native._binding import check, lib

__all__ = ["sync_file_system"]


def sync_file_system(fd: int) -> None:
    """Write everything on the file system of *fd* to the disk, and wait for it.

    Raises:
        KernelError: With the errno, also of a write-back that failed earlier.
    """
    check(lib.ck_sync_file_system(fd), "cannot make the file system durable")
