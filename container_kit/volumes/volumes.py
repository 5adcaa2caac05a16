"""The volumes of one root directory: made, found, held and removed from any number of processes.

.. code-block:: text

    <root>/volumes/<name>/volume.json   what it is; written before the directory gets its name
    <root>/volumes/<name>/lock          orders those who hold, fill and remove it
    <root>/volumes/<name>/users/<id>    one file for each container that was made with it
    <root>/volumes/<name>/filled        its first use has been decided
    <root>/volumes/<name>/data          the content, for the driver ``local``

A volume is made under another name and renamed, and renamed again before it is taken apart, so it is whole or
not there.  A user counts while its container has a directory, so nobody has to clear away after a crash.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import time
from collections.abc import Callable, Iterator

from container_kit.errors import Conflict, NameInUse, NotFound
from container_kit.native.descriptors import Descriptor, open_path
from container_kit.native.trees import copy_tree, remove_tree
from container_kit.native.user_namespace import within
from container_kit.store import files, locks
from container_kit.volumes.contents import opened
from container_kit.volumes.drivers import VolumeSource, driver_named
from container_kit.volumes.local import CONTENT
from container_kit.volumes.record import VolumeRecord, VolumeRequest, check_volume_name

__all__ = ["Volumes"]

_RECORD, _LOCK, _USERS, _FILLED, _FILLING = "volume.json", "lock", "users", "filled", "data.new"
_DRAFT, _GONE = ".new-", ".gone-"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_ID = re.compile(r"[0-9a-f]{64}\Z")
_LARGEST_RECORD = 1 << 20
_MANY_USERS = 64  # so many may be there before it is looked which of them are gone
_NOT_EMPTY = (errno.ENOTEMPTY, errno.EEXIST)

Fill = Callable[[int], object]


class Volumes:
    """The volumes below *root*.

    Args:
        root: Of the store.  A user of a volume is known by an id, and lives as long as the directory
            ``containers/<id>`` below the root is there.
    """

    def __init__(self, root: str) -> None:
        self.directory = f"{root}/volumes"
        self._users_home = f"{root}/containers"

    # Finding.

    def names(self) -> list[str]:
        """All names, sorted."""
        try:
            return sorted(name for name in os.listdir(self.directory) if not name.startswith("."))
        except FileNotFoundError:
            return []

    def place(self, name: str) -> str:
        """The volume's own directory, whether it is there or not.

        Raises:
            InvalidInput: This cannot be a name.
        """
        return f"{self.directory}/{check_volume_name(name)}"

    def record(self, name: str) -> VolumeRecord:
        """What the volume is.

        Raises:
            NotFound: There is none of this name.
            CorruptData: Its record cannot be read.
        """
        try:
            with open_path(f"{self.place(name)}/{_RECORD}", os.O_RDONLY | os.O_NOFOLLOW) as file:
                return VolumeRecord.from_json(os.read(file.fileno(), _LARGEST_RECORD), name)
        except FileNotFoundError:
            raise NotFound("volume", name) from None

    def records(self) -> list[VolumeRecord]:
        """All volumes, by name; one that is removed meanwhile is left out."""
        found = []
        for name in self.names():
            with contextlib.suppress(NotFound):
                found.append(self.record(name))
        return found

    # Making.

    def create(self, request: VolumeRequest, fill: Fill | None = None) -> VolumeRecord:
        """A new volume.

        Args:
            fill: Called with a descriptor of the empty content, before anybody else can see it; its first use
                is thereby decided.

        Raises:
            NameInUse: There is one of this name.
            InvalidInput, NotFound, UnsupportedFeature: The driver refuses, or is not there.
        """
        driver_named(request.driver).validate(dict(request.options))
        record = VolumeRecord.of(request, time.time_ns())
        if os.path.exists(self.place(record.name)):
            raise NameInUse("volume", record.name)  # before anything is unpacked or copied in vain
        self.ensure()
        draft = f"{self.directory}/{files.unique(_DRAFT)}"
        try:
            with self._drafted(draft, record):
                if fill is not None:
                    self._fill_draft(draft, record, fill)
                self._publish(draft, record)
        except BaseException:
            self._remove(os.path.basename(draft))
            raise
        return record

    def ensure(self) -> None:
        """Make what is needed for volumes; may be repeated."""
        if not os.path.exists(self._gate):
            with files.translated("make the directory of volumes", self.directory):
                files.ensure_directory(self.directory)
                open_path(self._gate, os.O_RDWR | os.O_CREAT, 0o600).close()

    @property
    def _gate(self) -> str:
        return f"{self.directory}/.gate"

    @property
    def empty(self) -> str:
        """An empty directory that everybody may read."""
        path = f"{self.directory}/.empty"
        if not os.path.isdir(path):
            self.ensure()
            with contextlib.suppress(FileExistsError):
                os.mkdir(path, 0o755)
        return path

    @contextlib.contextmanager
    def _drafted(self, draft: str, record: VolumeRecord) -> Iterator[None]:
        """A volume under the name of a draft, locked for the block."""
        with files.translated("make a volume", self.directory), self._new_draft(draft):
            os.mkdir(f"{draft}/{_USERS}", 0o700)
            driver_named(record.driver).create(record, draft)
            with open_path(f"{draft}/{_RECORD}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600) as file:
                files.write_all(file.fileno(), record.to_json(), "volume.write")
                files.sync_file(file.fileno(), "volume.sync")
            yield

    def _new_draft(self, draft: str) -> Descriptor:
        """The lock of a new draft, held; behind the gate a sweeper never sees one before it is locked."""
        with locks.held(self._gate, exclusive=False):
            os.mkdir(draft, 0o700)
            lock = files.new(f"{draft}/{_LOCK}", "volume.draft")
            locks.try_lock(lock.fileno())
            return lock

    def _fill_draft(self, draft: str, record: VolumeRecord, fill: Fill) -> None:
        with opened(driver_named(record.driver).source(record, draft), record.name) as content:
            fill(content.fileno())
            files.sync_file_system(content.fileno(), "volume.sync-content")
        files.new(f"{draft}/{_FILLED}", "volume.filled").close()

    def _publish(self, draft: str, record: VolumeRecord) -> None:
        try:
            files.rename(draft, f"{self.directory}/{record.name}", "volume.rename")
        except OSError as error:
            if error.errno in _NOT_EMPTY:
                raise NameInUse("volume", record.name) from None
            raise
        files.sync_directory(self.directory, "volume.sync-dir")

    def get_or_create(self, request: VolumeRequest) -> VolumeRecord:
        """The volume of that name, made when there is none.

        Raises:
            Conflict: There is one of another driver, or with other options than asked for.
        """
        while True:
            try:
                if request.name is not None:
                    return _as_asked(self.record(request.name), request)
                return self.create(request)
            except NotFound as error:
                if error.kind != "volume":
                    raise
            with contextlib.suppress(NameInUse):  # somebody else was faster
                return self.create(request)

    # Using.

    def hold(self, name: str, user: str) -> None:
        """Keep a volume from removal as long as the container *user* exists; may be repeated.

        Raises:
            NotFound: There is no such volume.
        """
        path = f"{self.place(name)}/{_USERS}/{user}"
        if os.path.exists(path):
            return  # the container exists, so since then nobody can have removed the volume
        with self._locked(name), files.translated("use a volume", path):
            files.new(path, "volume.hold").close()
            if len(os.listdir(os.path.dirname(path))) > _MANY_USERS:
                self.users(name)

    def release(self, name: str, user: str) -> None:
        """The container *user* needs it no longer; also of a volume that is gone."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self.place(name)}/{_USERS}/{user}")
        with contextlib.suppress(NotFound):
            record = self.record(name)
            if record.driver != "local" and not self.users(name):
                with self._locked(name):
                    if not self.users(name):
                        driver_named(record.driver).release(record, self.place(name))

    def users(self, name: str) -> list[str]:
        """The ids of the containers that were made with it and exist; those that do not are forgotten."""
        home = f"{self.place(name)}/{_USERS}"
        try:
            held = sorted(one for one in os.listdir(home) if _ID.match(one))
        except FileNotFoundError:
            return []
        living = [one for one in held if os.path.isdir(f"{self._users_home}/{one}")]
        for one in set(held).difference(living):
            # A container has its directory before it holds a volume, and ids never come again.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{home}/{one}")
        return living

    def source(self, name: str) -> VolumeSource:
        """What a container mounts to see the content.

        Raises:
            NotFound: There is no such volume, or its driver is not installed.
        """
        record = self.record(name)
        return driver_named(record.driver).source(record, self.place(name))

    def open(self, name: str) -> contextlib.AbstractContextManager[Descriptor]:
        """A descriptor of the content's directory, for the length of a block.

        Raises:
            NotFound: There is no such volume.
            UnsupportedFeature: Its content is not on this host.
        """
        return opened(self.source(name), name)

    def first_use(self, name: str, fill: Fill) -> None:
        """Let *fill* fill an empty volume that has never been used; others wait until it has.

        A volume whose content is not on this host is left as it is.
        """
        place = self.place(name)
        if os.path.exists(f"{place}/{_FILLED}"):
            return
        with self._locked(name), files.translated("fill a volume", place):
            source = self.source(name)
            if os.path.exists(f"{place}/{_FILLED}") or source.file_system:
                return
            if source.path == f"{place}/{CONTENT}":
                _fill_beside(place, fill)
            else:
                with opened(source, name) as content:
                    _fill_in_place(place, content.fileno(), fill)
            files.new(f"{place}/{_FILLED}", "volume.filled").close()

    @contextlib.contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """Hold the volume's lock for the block; the volume is there all that time.

        Raises:
            NotFound: There is no such volume.
        """
        place = self.place(name)
        while True:
            try:
                folder = open_path(place, _DIRECTORY)
            except FileNotFoundError:
                raise NotFound("volume", name) from None
            with folder, locks.held(f"/proc/self/fd/{folder.fileno()}/{_LOCK}"):
                # Whoever had the lock may have removed the volume, and somebody else have made another.
                if files.is_at(folder.fileno(), place):
                    yield
                    return

    # Removing.

    def remove(self, name: str) -> None:
        """Remove a volume with its content.

        Raises:
            NotFound: There is none.
            Conflict: Containers use it; ``users`` of the error are their ids.
        """
        with self._locked(name):
            users = self.users(name)
            if users:
                raise VolumeInUse(name, users)
            record = self.record(name)
            driver = driver_named(record.driver)
            driver.release(record, self.place(name))
            driver.remove(record, self.place(name))
            gone = files.unique(_GONE)
            with files.translated("remove a volume", self.directory):
                files.rename(self.place(name), f"{self.directory}/{gone}", "volume.gone")
        self._remove(gone)

    def _remove(self, entry: str) -> None:
        with contextlib.suppress(FileNotFoundError), open_path(self.directory, _DIRECTORY) as folder:
            remove_tree(folder.fileno(), entry)

    def sweep(self) -> None:
        """Remove what was being made or taken apart by processes that are no more."""
        try:
            entries = os.listdir(self.directory)
        except FileNotFoundError:
            return
        drafts = [entry for entry in entries if entry.startswith(_DRAFT)]
        if drafts:
            with locks.held(self._gate):
                drafts = [entry for entry in drafts if self._is_abandoned(entry)]
        for entry in (*drafts, *(entry for entry in entries if entry.startswith(_GONE))):
            with contextlib.suppress(OSError):  # another process may be at it
                self._remove(entry)

    def _is_abandoned(self, draft: str) -> bool:
        """Whether its maker died; at the closed gate."""
        try:
            with open_path(f"{self.directory}/{draft}/{_LOCK}", os.O_RDWR | os.O_NOFOLLOW) as lock:
                return locks.try_lock(lock.fileno())
        except FileNotFoundError:
            return True


class VolumeInUse(Conflict):
    """Containers use the volume: remove them first.

    Attributes:
        name: Of the volume.
        users: Ids of the containers.
    """

    def __init__(self, name: str, users: list[str], described: str = "") -> None:
        who = described or ", ".join(user[:12] for user in users)
        plural = "s" if len(users) > 1 else ""
        super().__init__(f"volume {name!r} is in use by container{plural} {who}: remove them first")
        self.name, self.users = name, users


def _as_asked(record: VolumeRecord, request: VolumeRequest) -> VolumeRecord:
    """*record*, unless it is of another kind than asked for."""
    if request.driver not in ("", record.driver):
        raise Conflict(
            f"volume {record.name!r} has the driver {record.driver!r}, not {request.driver!r}: choose "
            "another name, or remove it first"
        )
    if request.options and request.options != record.options:
        raise Conflict(
            f"volume {record.name!r} has other options than asked for ({dict(record.options)}): choose "
            "another name, or remove it first"
        )
    return record


def _fill_beside(place: str, fill: Fill) -> None:
    """Fill a directory that takes the place of the empty one when it is whole; what is there stays."""
    if within(os.listdir, f"{place}/{CONTENT}"):
        return
    with open_path(place, _DIRECTORY) as folder:
        remove_tree(folder.fileno(), _FILLING)  # of somebody who was cut off
        os.mkdir(f"{place}/{_FILLING}", 0o755)
        with open_path(f"{place}/{_FILLING}", _DIRECTORY) as content:
            fill(content.fileno())
            if within(os.listdir, content.fileno()):
                files.sync_file_system(content.fileno(), "volume.sync-content")
        try:
            files.rename(f"{place}/{_FILLING}", f"{place}/{CONTENT}", "volume.take-place")
        except OSError as error:
            if error.errno not in _NOT_EMPTY:
                raise
            # Somebody has written to the volume meanwhile: that counts.
            remove_tree(folder.fileno(), _FILLING)


def _fill_in_place(place: str, content: int, fill: Fill) -> None:
    """Fill what cannot be replaced by a rename; an attempt that was cut off is begun anew."""
    begun = f"{place}/{_FILLING}"
    if os.path.exists(begun):
        for name in os.listdir(content):
            remove_tree(content, name)
    if os.listdir(content):
        return
    with contextlib.suppress(FileExistsError):
        os.mkdir(begun, 0o700)
    fill(content)
    files.sync_file_system(content, "volume.sync-content")
    os.rmdir(begun)


def copied_from(source: int) -> Fill:
    """A filling with what the directory *source* has; blocks are shared where the file system can."""
    return lambda content: copy_tree(source, content)
