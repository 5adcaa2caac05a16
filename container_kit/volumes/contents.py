"""The content of a volume as an open directory, wherever it lies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from container_kit.errors import KernelError, UnsupportedFeature
from container_kit.native.descriptors import Descriptor, mount_disk, open_path
from container_kit.native.user_namespace import within
from container_kit.volumes.drivers import VolumeSource

__all__ = ["opened"]


@contextmanager
def opened(source: VolumeSource, name: str) -> Iterator[Descriptor]:
    """A descriptor of the directory of the volume *name*, open for reading; for the length of a block.

    Raises:
        UnsupportedFeature: Only a container can mount it.
        KernelError: It cannot be opened or mounted.
    """
    if source.file_system:
        raise UnsupportedFeature(
            f"volume {name!r} is a {source.file_system} file system, which only its containers mount: use it "
            "from a container"
        )
    try:
        directory = _opened(source)
    except OSError as error:
        what = source.path or source.disk
        raise KernelError.of(error.errno or 0, f"cannot open the content of volume {name!r}", what) from None
    with directory:
        yield directory


def _opened(source: VolumeSource) -> Descriptor:
    flags = os.O_RDONLY | os.O_DIRECTORY
    if not source.disk:
        # Of an ordinary user it may belong to a subordinate id.
        return within(open_path, source.path, flags)
    with mount_disk(source.disk, source.lock) as mount:
        return open_path(".", flags, dir_fd=mount.fileno())
