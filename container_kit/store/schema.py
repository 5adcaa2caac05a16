"""The database's tables, their version, and the way from earlier versions to this one.

Every row carries a seal, a checksum of its other columns, so that fsck finds a changed bit in the
database as surely as in a blob.  What a content refers to stands in its own row: losing a row never
turns a needed content into garbage unnoticed.
"""

from __future__ import annotations

import zlib
from typing import Final

from container_kit.errors import CorruptData

__all__ = ["MIGRATIONS", "TABLES", "VERSION", "seal", "unsealed"]

# MIGRATIONS[n] leads from version n to n + 1; version 0 is the empty database.
MIGRATIONS: Final[tuple[str, ...]] = (
    """
    CREATE TABLE contents (
        key TEXT PRIMARY KEY,        -- "blob:<digest>" or "tree:<diff id>"
        size INTEGER NOT NULL,       -- bytes; of a tree, of its files
        inodes INTEGER NOT NULL,     -- of a tree
        virtual INTEGER NOT NULL,    -- 1: a blob that is regenerated from the tree it refers to
        refs TEXT NOT NULL,          -- keys of other contents, separated by spaces
        seal INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE names (
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        digest TEXT NOT NULL,
        seal INTEGER NOT NULL,
        PRIMARY KEY (kind, name)
    ) WITHOUT ROWID;
    CREATE TABLE roots (
        owner TEXT PRIMARY KEY,      -- such as "container:<id>"
        refs TEXT NOT NULL,
        seal INTEGER NOT NULL
    ) WITHOUT ROWID;
    """,
)
VERSION: Final = len(MIGRATIONS)

# The columns of each table, the seal last.
TABLES: Final = {
    "contents": ("key", "size", "inodes", "virtual", "refs", "seal"),
    "names": ("kind", "name", "digest", "seal"),
    "roots": ("owner", "refs", "seal"),
}


def seal(*columns: object) -> int:
    """The checksum of a row's other columns."""
    return zlib.crc32("\x1f".join(map(str, columns)).encode("utf-8", "surrogateescape"))


def unsealed(table: str, row: tuple[object, ...]) -> tuple[object, ...]:
    """The columns of *row* without its seal, which must fit.

    Raises:
        CorruptData: The row is not as it was written.
    """
    if seal(*row[:-1]) != row[-1]:
        raise CorruptData(f"a row of the store's table {table!r} has changed by itself: run fsck with repair")
    return row[:-1]
