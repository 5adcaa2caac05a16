"""Trees in the form of images: the plain tar of a layer, and an EROFS image that finds the files in it.

The tar is the layer itself, so nothing has to be made again; the image carries a digest of its own bytes.
"""

from __future__ import annotations

import os
import struct
from typing import Final

from container_kit.errors import CorruptData
from container_kit.native.descriptors import Descriptor, open_path
from container_kit.native.digests import Hasher, sha256_range
from container_kit.oci.digest import Digest

__all__ = ["IMAGE", "TAR", "check_image", "copy_tar", "is_image", "look_at_image", "open_tar"]

TAR: Final = "layer.tar"
IMAGE: Final = "layer.erofs"

# struct image_header in _native/erofs_image.c
_HEADER = struct.Struct("<8sQQ32s")
_HEADER_SIZE: Final = 1024
_MAGIC: Final = b"CKEROFS1"
_PIECE: Final = 1 << 20


def is_image(directory: str) -> bool:
    """Whether the tree in *directory* is an image, not a directory of files."""
    return os.path.lexists(f"{directory}/{IMAGE}")


def open_tar(directory: str, diff_id: Digest) -> Descriptor:
    """The layer's plain tar, open for reading.

    Raises:
        CorruptData: It is gone.
    """
    return _open(f"{directory}/{TAR}", diff_id)


def copy_tar(directory: str, diff_id: Digest, out_fd: int | None) -> Digest:
    """Write the layer's plain tar to *out_fd*, or only read it; the digest of its bytes."""
    with open_tar(directory, diff_id) as tar:
        fd = tar.fileno()
        if out_fd is None:
            return Digest("sha256", sha256_range(fd, 0, os.fstat(fd).st_size).hex())
        hasher = Hasher()
        while data := os.read(fd, _PIECE):
            hasher.update(data)
            _write_all(out_fd, data)
        return Digest("sha256", hasher.hexdigest())


def look_at_image(directory: str, diff_id: Digest) -> None:
    """Compare the sizes of both files with what the image's header says.

    Raises:
        CorruptData: A file is gone, or longer or shorter than it was.
    """
    with _open(f"{directory}/{IMAGE}", diff_id) as image:
        _check_sizes(image.fileno(), directory, diff_id)


def check_image(directory: str, diff_id: Digest) -> None:
    """Compare every byte of the image with its digest; the tar is not read.

    Raises:
        CorruptData: The image is not as it was made.
    """
    with _open(f"{directory}/{IMAGE}", diff_id) as image:
        fd = image.fileno()
        wanted = _check_sizes(fd, directory, diff_id)
        hasher = Hasher()
        head = bytearray(os.pread(fd, _HEADER_SIZE, 0))
        head[_HEADER.size - 32 : _HEADER.size] = bytes(32)
        hasher.update(head)
        at = _HEADER_SIZE
        while data := os.pread(fd, _PIECE, at):
            hasher.update(data)
            at += len(data)
    if hasher.digest() != wanted:
        raise CorruptData(f"the image of the layer {diff_id} has changed: fetch the layer again")


def _check_sizes(fd: int, directory: str, diff_id: Digest) -> bytes:
    """The digest in the header."""
    head = os.pread(fd, _HEADER.size, 0)
    if len(head) < _HEADER.size:
        raise CorruptData(f"the image of the layer {diff_id} has been cut off: fetch the layer again")
    magic, image_size, tar_size, digest = _HEADER.unpack(head)
    try:
        found = os.stat(f"{directory}/{TAR}", follow_symlinks=False).st_size
    except FileNotFoundError:
        raise _lost(TAR, diff_id) from None
    if magic != _MAGIC or image_size != os.fstat(fd).st_size or tar_size != found:
        raise CorruptData(f"the image of the layer {diff_id} has changed: fetch the layer again")
    return bytes(digest)


def _open(path: str, diff_id: Digest) -> Descriptor:
    try:
        return open_path(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        raise _lost(os.path.basename(path), diff_id) from None


def _lost(name: str, diff_id: Digest) -> CorruptData:
    return CorruptData(f"the layer {diff_id} has lost its {name}: fetch it again")


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
