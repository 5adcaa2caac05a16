"""What a container mounts besides what was asked for by name, and how each mount is written for the runtime.

Pure: decisions and words. Where the content of each lies is found out, and brought about, by `volume_users`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import attrs

from container_kit._values import frozen
from container_kit.containers.mounts import Mount
from container_kit.errors import InvalidInput
from container_kit.oci import runtime_spec as oci
from container_kit.runtime.mount_steps import Special
from container_kit.volumes.record import new_anonymous_name

if TYPE_CHECKING:
    from container_kit.containers.options import ContainerOptions
    from container_kit.volumes import VolumeSource

__all__ = ["Place", "named_or_own", "own_directory", "spec_mounts", "wanted_mounts"]


@frozen
class Place:
    """Where the content of one mount is.

    Args:
        source: Of a volume, or of an image that had to be copied: a directory, a disk or a file system.
        layers: Of an image: its layers uppermost first.
        empty: An empty directory, to put below a single layer.
    """

    source: VolumeSource | None = None
    layers: tuple[str, ...] = ()
    empty: str = ""


def wanted_mounts(image_volumes: Iterable[str], options: ContainerOptions) -> tuple[Mount, ...]:
    """The caller's mounts, and an anonymous volume for each path of the image that has none of them.

    Raises:
        InvalidInput: Two mounts have one target.
    """
    taken: set[str] = set()
    for mount in options.mounts:
        if mount.place in taken:
            raise InvalidInput(f"two mounts have the target {mount.place!r}: give each its own")
        taken.add(mount.place)
    taken.update(Mount(target=target, type="tmpfs").place for target, _ in options.tmpfs)
    volumes = (Mount(target=path, type="volume") for path in dict.fromkeys(image_volumes))
    return (*options.mounts, *(volume for volume in volumes if volume.place not in taken))


def named_or_own(mounts: tuple[Mount, ...], *, is_kept: bool) -> tuple[Mount, ...]:
    """The same mounts; of a container that *is_kept* with a name made up for each anonymous volume.

    Those of one that goes by itself go with it, as directories in its own.

    Raises:
        InvalidInput: Such a directory would have to be something else.
    """
    for mount in mounts:
        if not is_kept and mount.is_anonymous and (mount.driver or mount.driver_options):
            raise InvalidInput(
                f"the volume on {mount.target!r} has a driver or options and no name, and its container goes "
                "by itself: give the volume a name"
            )
    if not is_kept:
        return mounts
    return tuple(
        attrs.evolve(mount, source=new_anonymous_name()) if mount.is_anonymous else mount for mount in mounts
    )


def own_directory(directory: str, index: int) -> str:
    """Where the anonymous volume that is mount number *index* of a container lies, if it goes with it."""
    return f"{directory}/volumes/{index}"


def spec_mounts(
    mounts: Sequence[Mount], options: ContainerOptions, places: Mapping[int, Place]
) -> tuple[oci.Mount, ...]:
    """All mounts as the runtime takes them, parents before what is mounted below them.

    Args:
        mounts: From :func:`wanted_mounts`.
        places: By the number of the mount; without one it is only checked that it can be written.
    """
    memory = (
        Mount(target=target, type="tmpfs", options=tuple(word for word in words.split(",") if word))
        for target, words in options.tmpfs
    )
    written = [_written(mount, places.get(index, Place())) for index, mount in enumerate(mounts)]
    written += [_memory(mount) for mount in memory]
    return tuple(sorted(written, key=lambda mount: mount.destination.rstrip("/").count("/")))


def _written(mount: Mount, place: Place) -> oci.Mount:
    if mount.type == "tmpfs":
        return _memory(mount)
    if mount.type == "image":
        return _image(mount, place)
    if mount.type == "volume":
        return _volume(mount, place)
    id_map = ("idmap",) if mount.id_map else ()
    below = () if mount.recursive == "disabled" else ("rbind",)
    words = (*(below or ("bind",)), mount.propagation, *_read_only(mount), *id_map)
    return oci.Mount(mount.target, "bind", mount.source, (*words, *_part(mount), *mount.options))


def _memory(mount: Mount) -> oci.Mount:
    write = ("ro",) if mount.read_only else ()
    safe = ("nosuid", "nodev", *(() if "exec" in mount.options else ("noexec",)))
    given = tuple(word for word in mount.options if word != "exec")
    return oci.Mount(mount.target, "tmpfs", "tmpfs", (*safe, *given, *write))


def _volume(mount: Mount, place: Place) -> oci.Mount:
    source = place.source
    words = (mount.propagation, *_read_only(mount), *_shift(mount), *_part(mount), *mount.options)
    if source is None:
        return oci.Mount(mount.target, "bind", "/", words)
    if source.disk:
        return oci.Mount(mount.target, Special.DISK, source.disk, (*words, Special.LOCK + source.lock))
    if not source.file_system:
        return oci.Mount(mount.target, "bind", source.path, ("rbind", *words, *source.options))
    if source.file_system != "tmpfs":
        kind = Special.HOST + source.file_system
        return oci.Mount(mount.target, kind, source.device, (*words, *source.options))
    fill = ("tmpcopyup",) if mount.copy else ()
    write = ("ro",) if mount.read_only else ()
    return oci.Mount(
        mount.target, "tmpfs", "tmpfs", ("nosuid", "nodev", *mount.options, *source.options, *fill, *write)
    )


def _image(mount: Mount, place: Place) -> oci.Mount:
    words = (mount.propagation, "ro", "nosuid", "nodev", *_part(mount), *mount.options)
    if place.source is not None:
        return oci.Mount(mount.target, "bind", place.source.path, ("rbind", *words, *_shift(mount)))
    layers = tuple(Special.LAYER + layer for layer in place.layers)
    return oci.Mount(mount.target, Special.LAYERS, place.empty or "/", (*words, *layers))


def _read_only(mount: Mount) -> tuple[str, ...]:
    """What is mounted below the source comes along, and is no more to be written than the source itself."""
    if not mount.read_only:
        return ()
    return ("rro",) if mount.recursive == "readonly" else ("ro",)


def _shift(mount: Mount) -> tuple[str, ...]:
    return () if mount.id_map is False else (Special.SHIFT,)


def _part(mount: Mount) -> tuple[str, ...]:
    return (Special.PART + mount.subpath,) if mount.subpath else ()
