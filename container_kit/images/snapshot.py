"""Snapshotter: the root file system of a container from the layers of an image.

Two implementations: overlay (nothing is copied) and plain copy (where overlay cannot be mounted).
Neither mounts anything: they prepare directories and say what to mount.  The layers below an overlay are
directories or EROFS images; a store may hold both.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, get_args

import attrs

from container_kit._values import frozen
from container_kit.errors import InvalidInput, UnsupportedFeature
from container_kit.images.views import view

if TYPE_CHECKING:
    from container_kit.oci import Digest
    from container_kit.oci.rootfs import RootFs
    from container_kit.store import Store

__all__ = ["Change", "Snapshotter", "SnapshotterName", "Usage", "keeps_images", "snapshotter", "view"]


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

    def copy_changes(
        self, directory: str, layers: tuple[Digest, ...], to_fd: int, ids: range = range(0)
    ) -> tuple[Digest, ...]:
        """Copy the changes, as one more layer, into the empty directory *to_fd*; the layers below it.

        *ids* are those of the host that a container with a user namespace of its own has.
        """

    def usage(self, directory: str) -> Usage:
        """Bytes and inodes that the container's changes take."""

    def remove(self, directory: str) -> None:
        """Delete what `prepare` made; nothing may be mounted any more."""


SnapshotterName: TypeAlias = Literal["auto", "erofs", "overlay", "copy"]
_NAMES: dict[str, SnapshotterName] = {name: name for name in get_args(SnapshotterName)}


def snapshotter(store: Store, name: SnapshotterName | None = None) -> Snapshotter:
    """The snapshotter of *store*.

    Args:
        name: ``erofs`` and ``overlay`` put an overlay above the layers, whichever form these have; ``copy``
            gives every container a copy of its own; ``auto`` is overlay where this process can mount one over
            the store's file system, else copy: the container's walls are the same, only the start takes
            longer. None means ``store.snapshotter``. In which form new layers are kept says `keeps_images`.

    Raises:
        UnsupportedFeature: *name* was asked for and cannot be mounted here; says why.
        InvalidInput: ``store.snapshotter`` is none of these.
    """
    from container_kit.images.overlay import OverlaySnapshotter
    from container_kit.images.overlayprobe import why_no_overlay

    name = name or _chosen(store)
    problem = why_no_overlay(str(store.root)) if name != "copy" else "the copy snapshotter was asked for"
    if problem is None:
        return OverlaySnapshotter(store)
    if name in ("auto", "copy"):
        from container_kit.images.copying import CopySnapshotter

        return CopySnapshotter(store)
    raise UnsupportedFeature(f"cannot mount overlay over {store.root}: {problem}; use the copy snapshotter")


def keeps_images(store: Store) -> bool:
    """Whether new layers of *store* become EROFS images, not directories.

    Raises:
        UnsupportedFeature: Images were asked for and cannot be mounted here; says why.
        InvalidInput: ``store.snapshotter`` is no snapshotter.
    """
    name = _chosen(store)
    if name not in ("auto", "erofs"):
        return False
    from container_kit.images.erofsprobe import why_no_erofs

    problem = why_no_erofs(store)
    if problem is not None and name == "erofs":
        raise UnsupportedFeature(f"cannot keep layers in {store.root} as EROFS images: {problem}")
    return problem is None


def _chosen(store: Store) -> SnapshotterName:
    name = _NAMES.get(store.snapshotter)
    if name is None:
        raise InvalidInput(f"{store.snapshotter!r} is no snapshotter: choose one of {', '.join(_NAMES)}")
    return name


def snapshotter_of(store: Store, directory: str) -> Snapshotter:
    """The snapshotter that prepared *directory*: told by what it made there."""
    import os

    return snapshotter(store, "overlay" if os.path.isdir(f"{directory}/upper") else "copy")
