"""What a container's root file system is made of, as a value.

The images layer describes it; the runtime layer mounts it; neither knows the other.
"""

from __future__ import annotations

from typing import TypeAlias

from container_kit._values import frozen

__all__ = ["Directory", "Overlay", "RootFs"]


@frozen
class Overlay:
    """Read-only layers below one writable directory.

    Args:
        lowers: Absolute paths of the layers, uppermost first (the order of ``lowerdir=``). Each is a
            directory; or an EROFS image, ``NAME.erofs`` with its second device ``NAME.tar`` beside it, which
            is mounted on the way; or ``@SLOT``, a mount that the launcher passes in this slot.
        upper: Absolute path of the directory that takes the changes.
        work: Absolute path of overlay's own directory, empty, on the same file system as *upper*.
        volatile: Skip syncing *upper*: right only for a root that is thrown away at the end.

    Source: Linux, Documentation/filesystems/overlayfs.rst.
    """

    lowers: tuple[str, ...]
    upper: str
    work: str
    volatile: bool = False


@frozen
class Directory:
    """A plain directory that is used as it is.

    Args:
        path: Absolute.
        shift_owners: In a user namespace, show its files as owned by that namespace's ids. False shows the
            owners that they have on disk, as OCI bundles demand: who made the bundle has chosen them.
    """

    path: str
    shift_owners: bool = True


RootFs: TypeAlias = Overlay | Directory
