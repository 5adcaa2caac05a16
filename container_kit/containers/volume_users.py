"""Containers as users of volumes and images: making what is missing, holding it, filling it, letting it go.

A volume with a name is held by a file that counts while the container has a directory; so whatever ends the
container, nobody has to give anything back.  An anonymous volume of a container that goes when it ends lies
in the container's own directory and goes with that; of one that stays it is a volume like any other.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import attrs

from container_kit.containers.volume_mounts import Place, own_directory, spec_mounts
from container_kit.errors import ContainerKitError, KernelError, NotFound
from container_kit.images import Image
from container_kit.images.snapshot import view
from container_kit.native.descriptors import Descriptor, mount_disk, open_below, open_path
from container_kit.native.own_ids import is_namespaced
from container_kit.native.trees import copy_tree
from container_kit.native.user_namespace import within
from container_kit.oci.digest import Digest
from container_kit.oci.rootfs import Directory
from container_kit.runtime.mount_steps import disks_of
from container_kit.volumes.drivers import VolumeSource
from container_kit.volumes.record import VolumeRequest

if TYPE_CHECKING:
    from container_kit.containers.engine import Engine
    from container_kit.containers.mounts import Mount
    from container_kit.containers.options import ContainerOptions
    from container_kit.containers.record import Record

__all__ = [
    "Claim",
    "described",
    "digests_of",
    "make_own_volumes",
    "mounted_disks",
    "places_of",
    "release_volumes",
    "remove_anonymous",
    "remove_unfinished",
    "resolve_images",
    "take_volumes",
]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
_MADE = "volumes-made"  # the names of anonymous volumes that wait for the container to be whole
_MOST_LOOKS = 256


@attrs.frozen
class Claim:
    """Who mounts what.

    Args:
        id, directory: Of the container.
        layers: Diff ids of its image, lowest first: what new volumes are filled from.
        mounts: All of them; see :func:`wanted_mounts`.
    """

    id: str
    directory: str
    layers: tuple[Digest, ...]
    mounts: tuple[Mount, ...]

    @classmethod
    def of(cls, engine: Engine, record: Record) -> Claim:
        """That of a container that is written down."""
        layers = tuple(Digest.parse(layer) for layer in record.layers)
        return cls(record.id, engine.catalogue.directory(record.id), layers, record.mounts)

    @property
    def named(self) -> tuple[Mount, ...]:
        """The volumes with names."""
        return tuple(mount for mount in self.mounts if mount.type == "volume" and mount.source)

    @property
    def own(self) -> tuple[tuple[int, Mount], ...]:
        """The volumes that go with the container, by their numbers."""
        return tuple((index, mount) for index, mount in enumerate(self.mounts) if mount.is_anonymous)


# Before a container starts.


def resolve_images(engine: Engine, mounts: Sequence[Mount]) -> tuple[Mount, ...]:
    """The same with images named by their digests, which never mean another one.

    Raises:
        NotFound: An image is not here.
    """
    return tuple(
        attrs.evolve(mount, source=str(Image.get(mount.source, engine=engine).digest))
        if mount.type == "image"
        else mount
        for mount in mounts
    )


def digests_of(mounts: Iterable[Mount]) -> list[Digest]:
    """The images among *mounts*, to be kept from the collector."""
    return [Digest.parse(mount.source) for mount in mounts if mount.type == "image"]


def take_volumes(engine: Engine, claim: Claim, *, made_for: Iterable[str] = ()) -> None:
    """Make the volumes with names that are missing, hold all, and fill those that were never used.

    Args:
        made_for: Names that were made up for this container; until it is whole they are noted in its
            directory.

    Raises:
        NotFound: A driver is not installed.
        Conflict: A volume has another driver, or other options, than asked for.
    """
    own_names = frozenset(made_for)
    for mount in claim.named:
        if mount.source in own_names:
            _note_unfinished(claim, mount.source)
        engine.volumes.get_or_create(_request(mount, anonymous=mount.source in own_names))
        while True:
            try:
                engine.volumes.hold(mount.source, claim.id)
                break
            except NotFound:  # removed between these two steps
                engine.volumes.get_or_create(_request(mount, anonymous=mount.source in own_names))
        if mount.copy:
            _fill_at_first_use(engine, claim, mount)


def _request(mount: Mount, *, anonymous: bool) -> VolumeRequest:
    return VolumeRequest(
        name=mount.source,
        driver=mount.driver or "local" if mount.driver or mount.driver_options else "",
        options=mount.driver_options,
        labels=mount.labels,
        anonymous=anonymous,
    )


def _fill_at_first_use(engine: Engine, claim: Claim, mount: Mount) -> None:
    if _look(engine, claim.layers, mount.place) is not None:
        engine.volumes.first_use(
            mount.source, lambda content: _fill(engine, claim.layers, mount.place, content)
        )


def make_own_volumes(engine: Engine, claim: Claim) -> None:
    """Make the volumes that go with the container, in its directory, with what the image has there."""
    if not claim.own:
        return
    with contextlib.suppress(FileExistsError):
        os.mkdir(f"{claim.directory}/volumes", 0o700)
    for index, mount in claim.own:
        path = own_directory(claim.directory, index)
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o755)
            found = _look(engine, claim.layers, mount.place) if mount.copy else None
            if found is not None and found.is_empty and not is_namespaced():
                found.give_to(path)
            elif found is not None:
                with open_path(path, _DIRECTORY) as content:
                    _fill(engine, claim.layers, mount.place, content.fileno())


@attrs.frozen
class _Found:
    """What an image has at a path: a directory with these attributes."""

    mode: int
    uid: int
    gid: int
    is_empty: bool

    def give_to(self, path: str) -> None:
        """Make the directory *path*, which is ours, look like it."""
        if (self.uid, self.gid) != (0, 0):
            os.chown(path, self.uid, self.gid)
        os.chmod(path, self.mode)


def _look(engine: Engine, layers: tuple[Digest, ...], target: str) -> _Found | None:
    """What the image of *layers* has at *target*: None unless a directory.  An image never changes."""
    kept: dict[tuple[tuple[Digest, ...], str], _Found | None] = engine.kept("volume_looks", dict)
    key = (layers, target)
    if key not in kept:
        if len(kept) >= _MOST_LOOKS:
            kept.clear()
        kept[key] = _look_anew(engine, layers, target)
    return kept[key]


def _look_anew(engine: Engine, layers: tuple[Digest, ...], target: str) -> _Found | None:
    with view(engine.store, layers) as root:
        return within(_look_below, root, target)


def _look_below(root: int, target: str) -> _Found | None:
    try:
        held = open_below(root, target, _DIRECTORY)
    except OSError:
        return None  # nothing, or no directory
    with held:
        status = os.fstat(held.fileno())
        is_empty = not os.listdir(held.fileno())
    return _Found(status.st_mode & 0o7777, status.st_uid, status.st_gid, is_empty)


def _fill(engine: Engine, layers: tuple[Digest, ...], target: str, content: int) -> None:
    """Copy what the image has at *target*, with the owner and the mode of that directory."""
    with view(engine.store, layers) as root, within(open_below, root, target, _DIRECTORY) as source:
        copy_tree(source.fileno(), content)


def places_of(engine: Engine, claim: Claim) -> dict[int, Place]:
    """Where the content of each mount is that is no plain path, by its number.

    Raises:
        NotFound: A volume or an image is gone.
    """
    found = {}
    for index, mount in enumerate(claim.mounts):
        if mount.is_anonymous:
            found[index] = Place(VolumeSource(path=own_directory(claim.directory, index)))
        elif mount.type == "volume":
            found[index] = Place(engine.volumes.source(mount.source))
        elif mount.type == "image":
            found[index] = _image_place(engine, claim, index, mount)
    return found


def _image_place(engine: Engine, claim: Claim, index: int, mount: Mount) -> Place:
    """The layers of an image; where overlay cannot be mounted, a copy in the container's directory."""
    layers = Image.get(mount.source, engine=engine).layers
    home = f"{claim.directory}/image-{index}"
    if engine.snapshotter.name == "overlay":
        ordered = dict.fromkeys(reversed(layers))
        paths = tuple(engine.store.tree_path(layer) for layer in ordered)
        return Place(layers=paths, empty=engine.volumes.empty)
    if not os.path.isdir(home):
        os.mkdir(home, 0o700)
        engine.snapshotter.prepare(home, layers)
    root = engine.snapshotter.describe(home, layers)
    assert isinstance(root, Directory)
    return Place(VolumeSource(path=root.path))


def mounted_disks(engine: Engine, claim: Claim, options: ContainerOptions) -> list[Descriptor]:
    """The disks among the volumes, mounted, for a start by this process; they end with their last user.

    Raises:
        KernelError: One cannot be mounted.
    """
    if not claim.named:
        return []
    found = disks_of(spec_mounts(claim.mounts, options, places_of(engine, claim)))
    try:
        return [mount_disk(file, lock) for file, lock in found]
    except OSError as error:
        raise KernelError.of(error.errno or 0, "cannot mount the disk of a volume", error.filename) from None


# When it has ended.


def release_volumes(engine: Engine, container_id: str, mounts: Iterable[Mount]) -> None:
    """Let go of the volumes with names."""
    for mount in mounts:
        if mount.type == "volume" and mount.source:
            # A driver's mistake must not keep a container from going.
            with contextlib.suppress(Exception):
                engine.volumes.release(mount.source, container_id)


def remove_anonymous(engine: Engine, mounts: Iterable[Mount]) -> None:
    """Remove the volumes among *mounts* that nobody gave a name, unless others use them."""
    for mount in mounts:
        if mount.type == "volume" and mount.source:
            with contextlib.suppress(ContainerKitError):
                if engine.volumes.record(mount.source).anonymous:
                    engine.volumes.remove(mount.source)


def _note_unfinished(claim: Claim, name: str) -> None:
    folder = f"{claim.directory}/{_MADE}"
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    open_path(f"{folder}/{name}", os.O_WRONLY | os.O_CREAT, 0o600).close()


def remove_unfinished(engine: Engine, directory: str) -> None:
    """Remove the anonymous volumes of a container that was never whole; *directory* is its own."""
    try:
        names = os.listdir(f"{directory}/{_MADE}")
    except FileNotFoundError:
        return
    for name in names:
        with contextlib.suppress(ContainerKitError):
            engine.volumes.release(name, os.path.basename(directory))
            engine.volumes.remove(name)


def described(root: str, users: Iterable[str]) -> str:
    """The containers with these ids, in words: ``web (3f1c09aa41be)``."""
    from container_kit.containers.record import read_record

    words = []
    for user in users:
        record = None
        with contextlib.suppress(ContainerKitError, OSError):
            record = read_record(f"{root}/containers/{user}")
        words.append(user[:12] if record is None else f"{record.name} ({user[:12]})")
    return ", ".join(words)
