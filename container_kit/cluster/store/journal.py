"""The journal of a persistent store: every write as a row of a SQLite file, before it has happened.

The file is a log by revision.  A row is deleted when neither the live state nor the history needs it, so the
file holds what memory holds, and reading it from the start gives that back.  Heartbeats have a table of
their own with one row for each object; renewals reach it when the store is closed.  They use up revisions,
therefore revisions are reserved ahead: after a crash the count goes on above all that was ever given out.

One process has the file at a time.  Writes survive the end of the process by any signal; the loss of power
may take the last ones, never the file's order (WAL, synchronous=NORMAL).
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple
from urllib.parse import quote

from container_kit.cluster.store.heartbeats import HEARTBEAT_RESOURCES, is_heartbeat
from container_kit.cluster.store.words import Event, Record
from container_kit.errors import (
    ContainerKitError,
    CorruptData,
    KernelError,
    NameInUse,
    NotFound,
    StoreFull,
    StoreTooNew,
    WrongState,
)

__all__ = ["Journal", "Row", "Saved", "read_snapshot", "write_snapshot"]

_APPLICATION_ID: Final = 0x636B6B38  # "ckk8", shown by file(1)
_VERSION: Final = 1
_RESERVED_AHEAD: Final = 1000
_FORGOTTEN_AT_ONCE: Final = 500  # rows; deleting them one by one would double the cost of a write
_ALL: Final = ""  # the resource whose floor holds for all

_SCHEMA: Final = """
CREATE TABLE log (
    revision INTEGER PRIMARY KEY, resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
    deleted INTEGER NOT NULL, raw BLOB NOT NULL
);
CREATE TABLE heartbeats (
    revision INTEGER NOT NULL, resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
    raw BLOB NOT NULL, PRIMARY KEY (resource, namespace, name)
) WITHOUT ROWID;
CREATE TABLE floors (resource TEXT PRIMARY KEY, revision INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE reserved (one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER NOT NULL);
INSERT INTO reserved VALUES (1, 0);
"""


class Row(NamedTuple):
    """One write, as it was written down."""

    revision: int
    resource: str
    namespace: str
    name: str
    deleted: int
    raw: bytes


class Saved(NamedTuple):
    """What a journal has: its rows in the order of revisions, and what has been forgotten.

    Attributes:
        floor: History of every resource begins here at the earliest.
        floors: By resource, where that is later.
    """

    revision: int
    floor: int
    floors: dict[str, int]
    rows: list[Row]


class Journal:
    """The open file; used under the store's lock.

    Raises:
        WrongState: Another process has it.
        CorruptData: It is not such a file.
        StoreTooNew: A later version wrote it.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        # Secrets are in it, so nobody else may read it, from its first byte on.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=0)
        self._renewed: dict[tuple[str, str, str], Record] = {}
        self._forgotten: list[tuple[int]] = []
        self._floors: dict[str, int] = {}
        self._reserved = 0
        try:
            with _translated("open", self.path):
                self._set_up()
        except BaseException:
            self._db.close()
            raise

    def _set_up(self) -> None:
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("BEGIN IMMEDIATE")  # takes the lock, which then stays
        new = _is_empty(self._db, self.path)
        self._db.execute("COMMIT")
        if new:
            marks = f"PRAGMA application_id = {_APPLICATION_ID}; PRAGMA user_version = {_VERSION};"
            self._db.executescript(f"BEGIN; {marks} {_SCHEMA} COMMIT;")

    def read(self) -> Saved:
        """Everything that was written."""
        with _translated("read", self.path):
            ((self._reserved,),) = self._db.execute("SELECT revision FROM reserved")
            return _read(self._db)

    def append(self, event: Event) -> None:
        """Write the event down; when this returns, the end of the process does not undo it."""
        with _translated("write", self.path):
            if event.record.resource in HEARTBEAT_RESOURCES:
                self._append_heartbeat(event)
            else:
                # A write that was interrupted before it happened may have left a row of this revision.
                self._db.execute(
                    "INSERT OR REPLACE INTO log VALUES (?, ?, ?, ?, ?, ?)",
                    _row(event.record, event.type == "DELETED"),
                )

    def _append_heartbeat(self, event: Event) -> None:
        record = event.record
        name = (record.resource, record.namespace, record.name)
        if record.revision > self._reserved:
            self._reserve(record.revision + _RESERVED_AHEAD)
        if is_heartbeat(event):
            self._renewed[name] = record
            return
        self._renewed.pop(name, None)
        if event.type == "DELETED":
            self._db.execute("DELETE FROM heartbeats WHERE resource = ? AND namespace = ? AND name = ?", name)
        else:
            self._keep_heartbeat(record)

    def _keep_heartbeat(self, record: Record) -> None:
        row = (record.revision, record.resource, record.namespace, record.name, record.raw)
        self._db.execute("INSERT OR REPLACE INTO heartbeats VALUES (?, ?, ?, ?, ?)", row)

    def _reserve(self, revision: int) -> None:
        self._db.execute("UPDATE reserved SET revision = ?", (revision,))
        self._reserved = revision

    def forget(self, resource: str, floor: int, events: Sequence[Event]) -> None:
        """Delete what only these events, no longer history, were the reason to keep; not at once."""
        self._floors[resource] = floor
        for event in events:
            if event.previous is not None:
                self._forgotten.append((event.previous.revision,))
            if event.type == "DELETED":
                self._forgotten.append((event.record.revision,))
        if len(self._forgotten) >= _FORGOTTEN_AT_ONCE:
            with _translated("compact", self.path):
                self._delete_forgotten()

    def _delete_forgotten(self) -> None:
        with self._transaction():
            self._db.executemany("DELETE FROM log WHERE revision = ?", self._forgotten)
            self._db.executemany("INSERT OR REPLACE INTO floors VALUES (?, ?)", self._floors.items())
        self._forgotten.clear()
        self._floors.clear()

    def finish(self, revision: int) -> None:
        """Write what was put off, and close the file."""
        try:
            with _translated("close", self.path), self._transaction():
                for record in self._renewed.values():
                    self._keep_heartbeat(record)
                self._reserve(revision)
            with _translated("close", self.path):
                self._delete_forgotten()
        finally:
            self.close()

    def close(self) -> None:
        """Close the file as it is."""
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise


def _is_empty(db: sqlite3.Connection, path: str) -> bool:
    """Whether nothing has been written yet; raises when it is not a file of ours."""
    ((application,),) = db.execute("PRAGMA application_id")
    ((version,),) = db.execute("PRAGMA user_version")
    if (application, version) == (0, 0):
        return True
    if application != _APPLICATION_ID:
        raise CorruptData(f"{path!r} is a database, but not of a cluster: choose another path")
    if version > _VERSION:
        raise StoreTooNew(f"{path!r} has version {version}, this library knows {_VERSION}: upgrade it")
    return False


def _read(db: sqlite3.Connection) -> Saved:
    """The objects of heartbeats come last, and with no history."""
    floors = dict(db.execute("SELECT resource, revision FROM floors"))
    ((reserved,),) = db.execute("SELECT revision FROM reserved")
    rows = [Row(*row) for row in db.execute("SELECT * FROM log ORDER BY revision")]
    beats = db.execute("SELECT revision, resource, namespace, name, 0, raw FROM heartbeats ORDER BY revision")
    rows += [Row(*row) for row in beats]
    revision = max([reserved, *floors.values(), *(row.revision for row in rows)])
    floor = floors.pop(_ALL, 0)
    return Saved(revision, floor, floors | dict.fromkeys(HEARTBEAT_RESOURCES, revision), rows)


def read_snapshot(path: str) -> Saved:
    """What a snapshot has; many may read it at the same time.

    Raises:
        NotFound: There is no file at *path*.
    """
    if not os.path.exists(path):
        raise NotFound("snapshot", path)
    with _translated("read", path):
        db = sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True, isolation_level=None)
        with contextlib.closing(db):
            if _is_empty(db, path):
                raise CorruptData(f"{path!r} is empty: it is no snapshot of a cluster")
            return _read(db)


@contextmanager
def _translated(doing: str, path: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _error_for(error, f"cannot {doing} the cluster's store {path!r}: {error}") from error


def _row(record: Record, deleted: bool) -> Row:
    return Row(record.revision, record.resource, record.namespace, record.name, int(deleted), record.raw)


def _error_for(error: sqlite3.Error, message: str) -> ContainerKitError:
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith("SQLITE_BUSY"):
        return WrongState(f"{message}; another process has it: stop that cluster, or use another path")
    if name == "SQLITE_FULL":
        return StoreFull(errno.ENOSPC, f"{message}; make space on its disk")
    if name in ("SQLITE_NOTADB", "SQLITE_CORRUPT"):
        return CorruptData(f"{message}; restore a snapshot")
    return KernelError(errno.EIO, message)


def write_snapshot(path: str, revision: int, records: Sequence[Record]) -> None:
    """A new file with these objects and no history; it is there whole or not at all.

    Raises:
        NameInUse: There is a file at *path*.
    """
    if os.path.exists(path):
        raise NameInUse("snapshot", path)
    draft = f"{path}.{os.getpid()}.new"
    try:
        _fill(draft, revision, records)
        os.link(draft, path)  # unlike a rename, it does not replace what came meanwhile
    except FileExistsError:
        raise NameInUse("snapshot", path) from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft)


def _fill(path: str, revision: int, records: Sequence[Record]) -> None:
    with contextlib.closing(Journal(path)) as journal, _translated("write", path):
        db = journal._db
        with journal._transaction():
            logged = (_row(one, False) for one in records if one.resource not in HEARTBEAT_RESOURCES)
            db.executemany("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?)", logged)
            for record in records:
                if record.resource in HEARTBEAT_RESOURCES:
                    journal._keep_heartbeat(record)
            db.execute("INSERT INTO floors VALUES (?, ?)", (_ALL, revision))
        db.execute("PRAGMA journal_mode = DELETE")  # leaves one file, synced
