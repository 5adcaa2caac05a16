"""Mending the database: whatever rows can still be trusted, in a new file's worth of pages."""

from __future__ import annotations

import itertools
import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from container_kit.errors import ContainerKitError, CorruptData
from container_kit.store import files, locks
from container_kit.store.drafts import DEAD
from container_kit.store.layout import Layout
from container_kit.store.schema import MIGRATIONS, TABLES, VERSION, unsealed

if TYPE_CHECKING:
    from container_kit.store.store import Store

__all__ = ["damaged_rows", "rebuild", "salvage"]

_PAGE_BYTES: Final = 4096
_Row: TypeAlias = tuple[Any, ...]
_Read: TypeAlias = Callable[[str], list[_Row]]


def damaged_rows(store: Store) -> str:
    """What is wrong with the database, in words; empty when nothing is."""
    try:
        verdict = [row[0] for row in store.database.read("PRAGMA integrity_check(3)")]
        if store.database.read("PRAGMA journal_mode") != [("wal",)]:
            return "its header has changed: it no longer says that there is a write-ahead log"
        if verdict != ["ok"]:
            return "SQLite finds it damaged: " + "; ".join(map(str, verdict))
        rows = [(table, row) for table in TABLES for row in store.database.read(f"SELECT * FROM {table}")]  # noqa: S608
    except CorruptData as error:
        return str(error)
    bad = sum(not _is_sound(table, row) for table, row in rows)
    return f"{bad} rows have changed by themselves" if bad else ""


def rebuild(store: Store) -> int:
    """Write the database again from its sound rows, in place; how many rows were left out.

    Other processes go on: the new pages come as one transaction, through SQLite's backup interface.
    """
    with locks.held(store.layout.write_lock), locks.held(store.layout.gate):
        with suppress(ContainerKitError):  # what the log holds should be in the file that is copied
            store.database.checkpoint()
        with _with_new_first_page(store.layout) as mended:
            fresh, lost = _from_rows([store.database.read, mended])
        try:
            store.database.replace_with(fresh)
        finally:
            fresh.close()
    return lost


def salvage(root: str) -> int:
    """Mend a database that cannot even be opened; how many rows were left out.

    No other process may have the store open: the file is replaced.  The old one goes to the quarantine.
    """
    layout = Layout(root)
    with locks.held(layout.write_lock), locks.held(layout.gate):
        with _with_new_first_page(layout) as mended, _reading(f"file:{layout.database}?mode=ro") as original:
            fresh, lost = _from_rows([original, mended])
        with files.translated("replace the database", layout.database):
            _put_in_place(layout, fresh)
    return lost


def _from_rows(readers: Sequence[_Read]) -> tuple[sqlite3.Connection, int]:
    """A database in memory with every sound row that any reader finds, and how many others there were."""
    fresh, lost = sqlite3.connect(":memory:", isolation_level=None), 0
    fresh.executescript("".join(MIGRATIONS) + f"PRAGMA user_version={VERSION};")
    for table, columns in TABLES.items():
        places = ", ".join("?" * len(columns))
        rows = {row for read in readers for row in _surviving_rows(read, table)}
        sound = [row for row in rows if _is_sound(table, row)]
        fresh.executemany(f"REPLACE INTO {table} VALUES ({places})", sound)  # noqa: S608
        lost += len(rows) - len(sound)
    return fresh, lost


def _surviving_rows(read: _Read, table: str) -> set[_Row]:
    """All rows that can be read: from the front up to the damage, then from the back."""
    key = ", ".join(f"{column} DESC" for column in TABLES[table][: 2 if table == "names" else 1])
    query = f"SELECT {', '.join(TABLES[table])} FROM {table}"  # noqa: S608
    return {*_until_damage(read, query), *_until_damage(read, f"{query} ORDER BY {key}")}


def _until_damage(read: _Read, query: str) -> Iterator[_Row]:
    with suppress(ContainerKitError, sqlite3.Error):
        yield from read(query)
        return
    for offset in itertools.count():
        try:
            rows = read(f"{query} LIMIT 1 OFFSET {offset}")
        except (ContainerKitError, sqlite3.Error):
            return
        if not rows:
            return
        yield rows[0]


@contextmanager
def _with_new_first_page(layout: Layout) -> Iterator[_Read]:
    """A copy of the database whose header and schema, both on page 1, are as on the day it was made.

    They are the same in every store of this version, so damage there need not cost a single row.
    """
    path = f"{layout.temporary}/{files.unique(DEAD)}"
    # In a program of its own: closing the file in this process would drop the locks of its connections.
    subprocess.run(["cp", "--", layout.database, path], check=True)
    try:
        with open(path, "r+b") as file:
            pages = os.fstat(file.fileno()).st_size // _PAGE_BYTES
            page = bytearray(_first_page(path + "-empty"))
            page[28:32] = pages.to_bytes(4, "big")
            file.write(page)
        with _reading(f"file:{path}") as read:
            yield read
    finally:
        files.unlink(path, "salvage.clean")


def _first_page(path: str) -> bytes:
    """Page 1 of a new database, which is made at *path* for the purpose."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(f"PRAGMA page_size={_PAGE_BYTES}; BEGIN; {''.join(MIGRATIONS)} COMMIT;")
    connection.close()
    try:
        with open(path, "rb") as file:
            return file.read(_PAGE_BYTES)
    finally:
        files.unlink(path, "salvage.clean")


@contextmanager
def _reading(address: str) -> Iterator[_Read]:
    connection = sqlite3.connect(address, uri=True, isolation_level=None)
    connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    try:
        yield lambda query: connection.execute(query).fetchall()
    finally:
        connection.close()


def _is_sound(table: str, row: _Row) -> bool:
    try:
        unsealed(table, row)
    except (CorruptData, ValueError):
        return False
    return True


def _put_in_place(layout: Layout, fresh: sqlite3.Connection) -> None:
    path = f"{layout.temporary}/{files.unique('database')}"
    files.new(path, "salvage.create").close()
    target = sqlite3.connect(path, isolation_level=None)
    fresh.backup(target)
    target.execute("PRAGMA journal_mode=WAL")
    target.close()
    fresh.close()
    for suffix in ("-wal", "-shm", ""):
        if os.path.exists(layout.database + suffix):
            kept = f"{layout.quarantine}/{files.unique('database')}{suffix}"
            files.rename(layout.database + suffix, kept, "salvage.quarantine")
    files.rename(path, layout.database, "salvage.rename")
    files.sync_directory(layout.root, "salvage.sync-dir")
