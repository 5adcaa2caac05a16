"""Whether this process can keep the layers of a store as EROFS images.

It is tried once per store, with the smallest image there is, and an overlay above it; nothing is attached.

Source: Linux, Documentation/filesystems/erofs.rst; fsopen(2).
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from container_kit.errors import KernelError

if TYPE_CHECKING:
    from container_kit.store import Store

__all__ = ["why_no_erofs"]

_CAP_SYS_ADMIN = 21
# What says nothing about the kernel and the file system.
_PASSING = frozenset({errno.EINTR, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM})

_answers: dict[tuple[int, int], str | None] = {}


def why_no_erofs(store: Store) -> str | None:
    """None if layers of *store* can be EROFS images, else the reason in words.

    Raises:
        StoreFull, KernelError: It could not be tried.
    """
    key = (os.stat(store.root).st_dev, os.geteuid())
    if key not in _answers:
        _answers[key] = _reason(store)
    return _answers[key]


def _reason(store: Store) -> str | None:
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        effective = next(int(line.split()[1], 16) for line in file if line.startswith("CapEff:"))
    if not effective >> _CAP_SYS_ADMIN & 1:
        return "only the superuser can mount images (CAP_SYS_ADMIN)"
    return _try(store)


def _try(store: Store) -> str | None:
    from container_kit.native.layers import unpack
    from container_kit.native.mounts import detached_view

    with store.new_tree() as draft:
        unpack(draft.recipe_fd, draft.fd, image_fds=draft.open_image(), sync=False)  # an archive of nothing
        image = f"{os.path.dirname(draft.path)}/layer.erofs"
        try:
            detached_view([image, draft.path]).close()
        except KernelError as error:
            if error.errno in _PASSING:
                raise
            return f"an image in a file cannot be mounted there, which needs Linux 6.12 or later: {error}"
    return None
