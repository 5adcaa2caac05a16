"""Mending the database: whatever rows can still be trusted, in a new file's worth of pages."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from container_kit.errors import ContainerKitError, CorruptData
from container_kit.store import files, locks
from container_kit.store.layout import Layout
from container_kit.store.schema import MIGRATIONS, TABLES, VERSION, unsealed

if TYPE_CHECKING:
    from container_kit.store.store import Store

__all__ = ["damaged_rows", "rebuild", "salvage"]

_Row = tuple[Any, ...]


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
        fresh, lost = _from_rows(lambda table: _surviving_rows(store.database.read, table))
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
        fresh, lost = _from_rows(lambda table: _surviving_rows(_reader_of(layout.database), table))
        with files.translated("replace the database", layout.database):
            _put_in_place(layout, fresh)
    return lost


def _from_rows(rows_of: Any) -> tuple[sqlite3.Connection, int]:
    """A database in memory with every sound row, and how many others there were."""
    fresh, lost = sqlite3.connect(":memory:", isolation_level=None), 0
    fresh.executescript("".join(MIGRATIONS) + f"PRAGMA user_version={VERSION};")
    for table, columns in TABLES.items():
        places = ", ".join("?" * len(columns))
        for row in rows_of(table):
            if _is_sound(table, row):
                fresh.execute(f"REPLACE INTO {table} VALUES ({places})", row)  # noqa: S608
            else:
                lost += 1
    return fresh, lost


def _surviving_rows(read: Any, table: str) -> Iterable[_Row]:
    """All rows that can be read: from the front up to the damage, then from the back."""
    key = ", ".join(TABLES[table][:-1])
    found: set[_Row] = set()
    for order in ("", f"ORDER BY {key} DESC"):
        found.update(_until_damage(read, f"SELECT * FROM {table} {order}"))  # noqa: S608
    return found


def _until_damage(read: Any, query: str) -> Iterator[_Row]:
    offset = 0
    while True:
        try:
            rows = read(f"{query} LIMIT 1 OFFSET {offset}")
        except (ContainerKitError, sqlite3.Error):
            return
        if not rows:
            return
        yield rows[0]
        offset += 1


def _is_sound(table: str, row: _Row) -> bool:
    try:
        unsealed(table, row)
    except CorruptData:
        return False
    return True


def _reader_of(path: str) -> Any:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
    return lambda query: connection.execute(query).fetchall()


def _put_in_place(layout: Layout, fresh: sqlite3.Connection) -> None:
    path = f"{layout.temporary}/{files.unique('database')}"
    os.close(files.create(path, "salvage.create"))
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
