"""The metadata: one SQLite file in WAL mode, shared by processes and threads.

Two connections a process: readers never wait for a writer that syncs.  Both are closed before a fork and
opened again on the next use: SQLite keeps the locks of its connections in process memory, which a child
would take for its own.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from container_kit.errors import (
    ContainerKitError,
    CorruptData,
    KernelError,
    PermissionMissing,
    StoreFull,
    StoreTooNew,
    TimedOut,
    WrongState,
)
from container_kit.native.descriptors import open_path
from container_kit.store import failpoints, files, locks
from container_kit.store.schema import MIGRATIONS, VERSION

__all__ = ["Database"]

# Writers queue on a lock of our own; SQLite itself waits only for a recovery or a checkpoint.
_BUSY_TIMEOUT_S: Final = 30.0
_APPLICATION_ID: Final = 0x636B6974  # "ckit", shown by file(1)


class Database:
    """One store's database; every method may be called from any thread."""

    def __init__(self, path: str, write_lock: str) -> None:
        self.path = path
        self._write_lock = write_lock
        self._reader: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection | None = None
        self._read_mutex = threading.RLock()
        self._write_mutex = threading.RLock()
        self._turn = object()  # whose transaction the writer is in, if it is in one
        self._closed = False
        self.generation = 0  # counts the reader's connections: data versions compare within one only
        try:
            self._ensure_schema()
        except BaseException:
            self.close()
            raise

    def read(self, sql: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query, of one moment."""
        with self._read_mutex, _translated(self.path):
            return self._read_connection().execute(sql, arguments).fetchall()

    def version(self) -> tuple[int, int]:
        """A value that changes whenever anybody has changed the database."""
        with self._read_mutex, _translated(self.path):
            connection = self._read_connection()
            row = connection.execute("PRAGMA data_version").fetchone()
            return self.generation, row[0]

    @contextmanager
    def transaction(self, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """All statements of the block, or none; the caller holds the store's write lock.

        Args:
            durable: Whether it survives a power cut; without, it survives the end of the process.
        """
        with self._write_mutex, _translated(self.path):
            connection, turn = self._write_connection(), object()
            if connection.in_transaction:
                # A signal handler raised before this thread's last transaction had even begun its block; the
                # error, which may be on its way still, keeps that transaction from ending.
                connection.execute("ROLLBACK")
            self._turn = turn
            connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            failpoints.hit("database.begin")
            try:
                connection.execute("BEGIN IMMEDIATE")  # in here: a signal handler may raise right after it
                yield connection
                failpoints.hit("database.commit")
                connection.execute("COMMIT")
            except BaseException:
                if self._turn is turn and connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            failpoints.hit("database.committed")

    def checkpoint(self) -> None:
        """Fold the write-ahead log into the file and give its space back."""
        with self._write_mutex, _translated(self.path):
            self._write_connection().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def replace_with(self, source: sqlite3.Connection) -> None:
        """Make the database a copy of *source*, in one transaction; the caller holds the write lock."""
        with self._read_mutex, self._write_mutex, _translated(self.path):
            source.backup(self._write_connection())
            self._disconnect()

    def close(self) -> None:
        """Close for good; later use is an error."""
        with self._read_mutex, self._write_mutex:
            self._closed = True
            self._disconnect()

    def before_fork(self) -> None:
        """Wait for running statements, then leave nothing of SQLite open in memory."""
        self._read_mutex.acquire()
        self._write_mutex.acquire()
        self._disconnect()

    def after_fork(self) -> None:
        """In parent and child: let threads use the database again."""
        self._write_mutex.release()
        self._read_mutex.release()

    def _disconnect(self) -> None:
        for connection in (self._reader, self._writer):
            if connection is not None:
                connection.close()
        self._reader = self._writer = None

    def _read_connection(self) -> sqlite3.Connection:
        if self._reader is None:
            self._reader = self._connect()
            self.generation += 1
        return self._reader

    def _write_connection(self) -> sqlite3.Connection:
        if self._writer is None:
            self._writer = self._connect()
        return self._writer

    def _connect(self) -> sqlite3.Connection:
        if self._closed:
            raise WrongState(f"the store at {os.path.dirname(self.path)!r} is closed: open it again")
        failpoints.hit("database.open")
        connection = sqlite3.connect(
            self._address(), uri=True, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA trusted_schema=OFF")
        return connection

    def _address(self) -> str:
        """The file as a URI; on a read-only disk SQLite must be told that there can be no writers."""
        # urllib would quote too, and cost as much as the rest of this module to import.
        address = "file:" + self.path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
        if not os.statvfs(os.path.dirname(self.path)).f_flag & os.ST_RDONLY:
            return address
        unfinished = os.path.exists(f"{self.path}-wal")
        return f"{address}?mode=ro" if unfinished else f"{address}?immutable=1"

    def _ensure_schema(self) -> None:
        """Create or upgrade the tables; refuse those of a later version."""
        with self._read_mutex, _translated(self.path):
            if not os.path.exists(self.path):
                self._create_file()
            found = self._read_connection().execute("PRAGMA user_version").fetchone()[0]
            if found > VERSION:
                raise StoreTooNew(
                    f"the store at {os.path.dirname(self.path)!r} has version {found}; this container_kit "
                    f"reads up to {VERSION}: upgrade it, or set CONTAINER_KIT_ROOT to another directory"
                )
        if found < VERSION:
            with locks.held(self._write_lock):
                self._migrate()

    def _create_file(self) -> None:
        # SQLite would create it readable to all; its -wal and -shm files take the mode of this one.
        with files.translated("create the database", self.path):
            open_path(self.path, os.O_CREAT | os.O_RDWR, 0o600).close()

    def _migrate(self) -> None:
        with self._write_mutex, _translated(self.path):
            connection = self._write_connection()
            connection.execute("PRAGMA journal_mode=WAL")
            found = connection.execute("PRAGMA user_version").fetchone()[0]
            if found >= VERSION:
                return  # another process was faster
            script = "".join(MIGRATIONS[found:])
            identity = f"PRAGMA application_id={_APPLICATION_ID}; PRAGMA user_version={VERSION};"
            connection.executescript(f"PRAGMA synchronous=FULL; BEGIN IMMEDIATE; {script} {identity} COMMIT;")
        with files.translated("create the database", self.path):
            files.sync_directory(os.path.dirname(self.path), "database.sync-dir")


@contextmanager
def _translated(path: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _typed(error, path) from error
    except ContainerKitError:
        raise
    except OSError as error:
        raise files.from_os_error(error, "use the database", path) from error


def _typed(error: sqlite3.Error, path: str) -> ContainerKitError:
    """What a SQLite error means to the caller."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    doing = f"cannot use the store's database {path!r}: {error}"
    if code == sqlite3.SQLITE_FULL:
        return StoreFull(errno.ENOSPC, f"{doing}; {files.free_bytes(path)} bytes are free: run prune")
    # SQLITE_ERROR: our statements are right, so a table that is missing, or there too soon, is damage.
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR):
        return CorruptData(f"{doing}; run fsck with repair, or Store.salvage")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return PermissionMissing(errno.EACCES, f"{doing}; check who owns it and whether its disk is writable")
    if code == sqlite3.SQLITE_BUSY:
        return TimedOut(f"{doing}; another process has held it for {_BUSY_TIMEOUT_S:.0f} s")
    return KernelError(errno.EIO, doing)
