"""Volume: one named directory that containers mount, and that stays when they are gone.

A handle: it holds the name and looks at the root directory each time, so several handles, in several
processes, always see the same truth.
"""

from __future__ import annotations

import builtins
import os
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Protocol, Self

import attrs

from container_kit._lazy import borrowed
from container_kit.errors import Conflict, ContainerKitError, with_typed_errors
from container_kit.volumes.record import VolumeRecord, VolumeRequest
from container_kit.volumes.volumes import VolumeInUse, Volumes

if TYPE_CHECKING:
    from container_kit.store import Store

__all__ = ["PrunedVolumes", "Volume"]


class _HasStore(Protocol):
    """Whatever carries the store below whose root the volumes are: an Engine, for one."""

    @property
    def store(self) -> Store: ...


@attrs.frozen
class PrunedVolumes:
    """What `Volume.prune` did: names of the volumes that are gone, and the bytes that they took."""

    deleted: tuple[str, ...] = ()
    reclaimed_bytes: int = 0


@with_typed_errors
class Volume:
    """A volume: see where it is and who uses it, save and copy its content, remove it.

    Get one from :meth:`create`, :meth:`get` or :meth:`list`, and mount it with its name, or with
    ``ck.Mount.volume(volume, "/data")``.  As a context manager, a volume that this object made is removed at
    the end of the block.

    Attributes:
        name: It never changes.
    """

    def __init__(self, volumes: Volumes, name: str) -> None:
        self._volumes, self.name = volumes, name
        self._is_ours = False

    # Making and finding.

    @classmethod
    def create(
        cls,
        name: str | None = None,
        *,
        driver: str = "local",
        options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        size: int | str | None = None,
        exist_ok: bool = False,
        engine: _HasStore | None = None,
    ) -> Volume:
        """A new, empty volume.

        Args:
            name: None makes one up; :meth:`prune` then takes it for one that nobody needs.
            driver: ``local``, or that of an installed plugin.
            options: For the driver: see :class:`container_kit.volumes.local.LocalDriver`.
            size: The most that it may hold, bytes or ``64m``; short for the option ``size`` of ``local``.
            exist_ok: Take the one that there is, if its driver and options are those asked for.

        Raises:
            NameInUse: There is one of this name.
            InvalidInput: A name or an option cannot be used.
            NotFound: The driver is not installed.
            UnsupportedFeature: This host cannot limit the size; says what is missing.
        """
        wishes = dict(options or {}) | ({} if size is None else {"size": str(size)})
        request = VolumeRequest(name=name, driver=driver, options=wishes, labels=labels)
        volumes = _volumes(engine)
        make = volumes.get_or_create if exist_ok else volumes.create
        made = cls(volumes, make(request).name)
        made._is_ours = not exist_ok
        return made

    @classmethod
    def get(cls, name: str, *, engine: _HasStore | None = None) -> Volume:
        """The volume of this name.

        Raises:
            NotFound: There is none.
        """
        volumes = _volumes(engine)
        volumes.record(name)
        return cls(volumes, name)

    @classmethod
    def list(
        cls, *, labels: Mapping[str, str] | None = None, engine: _HasStore | None = None
    ) -> builtins.list[Volume]:
        """All volumes, by name; with *labels* those that have all of these."""
        wanted = (labels or {}).items()
        volumes = _volumes(engine)
        return [
            cls(volumes, record.name) for record in volumes.records() if wanted <= dict(record.labels).items()
        ]

    @classmethod
    def restore(
        cls,
        source: str | os.PathLike[str] | IO[bytes],
        name: str | None = None,
        *,
        labels: Mapping[str, str] | None = None,
        size: int | str | None = None,
        engine: _HasStore | None = None,
    ) -> Volume:
        """A new volume with what a tar has (plain, gzip or zstd): one that :meth:`backup` wrote, or another.

        Nothing in the archive is written outside the volume.  The volume is there only when all of it is.

        Args:
            source: A path, or a file open for reading.

        Raises:
            NameInUse: There is a volume of this name.
            CorruptData, InvalidInput: It is no whole archive, or an entry would leave the volume.
        """
        from container_kit.volumes.archives import unpacked

        options = {} if size is None else {"size": str(size)}
        volumes, request = _volumes(engine), VolumeRequest(name=name, options=options, labels=labels)
        return cls(volumes, volumes.create(request, lambda content: unpacked(source, content)).name)

    @classmethod
    def prune(
        cls,
        *,
        all: bool = False,
        match: Callable[[Volume], bool] | None = None,
        engine: _HasStore | None = None,
    ) -> PrunedVolumes:
        """Remove the volumes that no container uses: the anonymous ones, or *all*.

        Args:
            match: Only those for which this returns True.
        """
        deleted, freed = [], 0
        for volume in cls.list(engine=engine):
            try:
                wanted = (all or volume.record.anonymous) and (match is None or match(volume))
                if not wanted or volume.used_by:
                    continue
                size = volume.size_bytes
                volume.remove()
            except ContainerKitError:
                continue  # used or removed by somebody else meanwhile
            deleted.append(volume.name)
            freed += size
        return PrunedVolumes(tuple(deleted), freed)

    # Looking.

    @property
    def record(self) -> VolumeRecord:
        """What it is; raises NotFound when it has been removed."""
        return self._volumes.record(self.name)

    @property
    def labels(self) -> dict[str, str]:
        """As they were given."""
        return dict(self.record.labels)

    @property
    def created_at(self) -> datetime:
        """When it was made."""
        return datetime.fromtimestamp(self.record.created_ns / 1e9, UTC)

    @property
    def path(self) -> str:
        """The directory of this host that has the content; empty when only containers mount it."""
        return self._volumes.source(self.name).path

    @property
    def used_by(self) -> builtins.list[str]:
        """The ids of the containers that were made with it and have not been removed."""
        return self._volumes.users(self.name)

    @property
    def size_bytes(self) -> int:
        """How much its files take; 0 when only containers mount it."""
        from container_kit.volumes.archives import measured

        if self._volumes.source(self.name).file_system:
            return 0
        with self._volumes.open(self.name) as content:
            return measured(content.fileno())

    def inspect(self) -> dict[str, Any]:
        """All about it in the shape of ``docker volume inspect``, and who uses it."""
        record = self.record
        return {
            "CreatedAt": self.created_at.isoformat().replace("+00:00", "Z"),
            "Driver": record.driver,
            "Labels": dict(record.labels) or None,
            "Mountpoint": self.path,
            "Name": record.name,
            "Options": dict(record.options) or None,
            "Scope": "local",
            "ContainerKit": {"Anonymous": record.anonymous, "UsedBy": self.used_by},
        }

    # Saving and copying.

    def backup(
        self, destination: str | os.PathLike[str] | IO[bytes], *, compression: str | None = None
    ) -> None:
        """Write its content as a tar: owners, modes, times, attributes, links and holes.

        What containers write meanwhile may be in it in part: pause or stop them for a consistent one.

        Args:
            destination: A path, which is written anew, or a file open for writing.
            compression: ``gzip``, ``zstd`` or ``none``; None means what the name ends in.

        Raises:
            UnsupportedFeature: Only containers mount it.
        """
        from container_kit.volumes.archives import pack_volume

        with self._volumes.open(self.name) as content:
            pack_volume(content.fileno(), destination, compression)

    def snapshot(self, name: str | None = None, *, labels: Mapping[str, str] | None = None) -> Volume:
        """A new volume with the same content; on a file system with reflinks it takes no space of its own.

        Raises:
            NameInUse: There is a volume of this name.
        """
        from container_kit.volumes.volumes import copied_from

        record = self.record
        options = {key: value for key, value in record.options if key == "size"}
        request = VolumeRequest(
            name=name, options=options, labels=dict(record.labels) if labels is None else labels
        )
        with self._volumes.open(self.name) as content:
            return Volume(self._volumes, self._volumes.create(request, copied_from(content.fileno())).name)

    # Ending.

    def remove(self, *, force: bool = False) -> None:
        """Remove it with its content.

        Args:
            force: That it is gone already is no error.  A volume in use is never removed.

        Raises:
            NotFound: It has been removed already.
            Conflict: Containers use it; names them.
        """
        from container_kit.errors import NotFound

        try:
            self._volumes.remove(self.name)
        except VolumeInUse as error:
            raise VolumeInUse(self.name, error.users, self._described(error.users)) from None
        except NotFound:
            if not force:
                raise

    def _described(self, users: Iterable[str]) -> str:
        """The containers with these ids, in words."""
        describe: Callable[[str, Iterable[str]], str] = borrowed(
            "container_kit.containers.volume_users:described"
        )
        return describe(os.path.dirname(self._volumes.directory), users)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_ours:
            try:
                self.remove(force=True)
            except Conflict:
                if error is None:
                    raise

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Volume) and (self.name, self._home) == (other.name, other._home)

    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def _home(self) -> str:
        return self._volumes.directory

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"Volume({self.name!r})"


def _volumes(engine: _HasStore | None) -> Volumes:
    if engine is not None:
        return Volumes(str(engine.store.root))
    from container_kit.store import Store

    return Volumes(str(Store.shared().root))
