"""Snapshotter: the root file system of a container from the layers of an image.

Two implementations: overlay (nothing is copied) and plain copy (where overlay cannot be mounted).
Neither mounts anything: they prepare directories and say what to mount.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, Protocol

import attrs

from container_kit._values import frozen
from container_kit.errors import UnsupportedFeature
from container_kit.images.views import view

if TYPE_CHECKING:
    from container_kit.oci import Digest
    from container_kit.oci.rootfs import RootFs
    from container_kit.store import Store

__all__ = ["Change", "Snapshotter", "Usage", "snapshotter", "view"]


@attrs.frozen(order=True)
class Change:
    """One difference between a container's root and its image, as ``docker diff`` shows it."""

    path: str
    kind: Literal["A", "C", "D"]


@frozen
class Usage:
    """What a container's own files take."""

    size_bytes: int
    inodes: int


class Snapshotter(Protocol):
    """Makes, compares, packs and removes the writable root of one container.

    *directory* is the container's own directory, in which the snapshotter may make what it needs;
    *layers* are diff ids, lowest first (`Image.layers`).
    """

    name: str

    def prepare(self, directory: str, layers: tuple[Digest, ...], *, volatile: bool = False) -> RootFs:
        """Make the directories and say what to mount; *volatile* if a crash may lose the changes."""

    def describe(self, directory: str, layers: tuple[Digest, ...], *, volatile: bool = False) -> RootFs:
        """What `prepare` returned, for a container that is started again."""

    def changes(self, directory: str, layers: tuple[Digest, ...]) -> list[Change]:
        """What differs from the image, sorted by path.  The container may be running."""

    def pack(
        self, directory: str, out_fd: int, *, exclude: Iterable[str] = (), latest: int | None = None
    ) -> None:
        """Write the changes as a layer tar (whiteouts as ``.wh.`` entries) to *out_fd*.

        Paths in *exclude* are left out with all below; no time is after *latest* (seconds since 1970).
        """

    def usage(self, directory: str) -> Usage:
        """Bytes and inodes that the container's changes take."""

    def remove(self, directory: str) -> None:
        """Delete what `prepare` made; nothing may be mounted any more."""


def snapshotter(store: Store, name: Literal["auto", "overlay", "copy"] = "auto") -> Snapshotter:
    """The snapshotter of *store*.

    ``auto`` is overlay where this process can mount one over the store's file system, else copy: the
    container's walls are the same, only the start takes longer.  The answer is kept per store.

    Raises:
        UnsupportedFeature: *name* is ``overlay`` and it cannot be mounted here; says why.
    """
    from container_kit.images.overlay import OverlaySnapshotter
    from container_kit.images.overlayprobe import why_no_overlay

    problem = why_no_overlay(str(store.root)) if name != "copy" else "the copy snapshotter was asked for"
    if problem is None:
        return OverlaySnapshotter(store)
    if name != "overlay":
        from container_kit.images.copying import CopySnapshotter

        return CopySnapshotter(store)
    raise UnsupportedFeature(f"cannot mount overlay over {store.root}: {problem}; use the copy snapshotter")


def snapshotter_of(store: Store, directory: str) -> Snapshotter:
    """The snapshotter that prepared *directory*: told by what it made there."""
    import os

    return snapshotter(store, "overlay" if os.path.isdir(f"{directory}/upper") else "copy")
