"""The catalog: what the database says is in the store.

A content is known by its key, ``blob:<digest>`` or ``tree:<diff id>``.  Reads are cached for as long as
nobody, in any process, has changed the database.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from container_kit.errors import Conflict, NotFound
from container_kit.oci.digest import Digest
from container_kit.store.database import Database
from container_kit.store.schema import seal, unsealed

__all__ = ["ANY", "Catalog", "Content", "blob_key", "digest_of", "keys_of", "tree_key"]

_LAST: Final = "\U0010ffff"
ANY: Final = object()  # "whatever it is now", in a compare-and-set


def blob_key(digest: Digest) -> str:
    return f"blob:{digest.algorithm}:{digest.hex}"


def tree_key(diff_id: Digest) -> str:
    return f"tree:{diff_id.algorithm}:{diff_id.hex}"


def keys_of(blobs: Iterable[Digest], trees: Iterable[Digest]) -> tuple[str, ...]:
    """The keys of *blobs* and *trees*, each once, in order."""
    return tuple(dict.fromkeys([*map(blob_key, blobs), *map(tree_key, trees)]))


def digest_of(key: str) -> Digest:
    return Digest.parse(key.partition(":")[2])


class Content(NamedTuple):
    """One row of the catalog; *refs* are the keys of what it needs."""

    key: str
    size: int
    inodes: int = 0
    virtual: bool = False
    refs: tuple[str, ...] = ()


class Catalog:
    """Contents, names and roots of one store.  Changes take a connection in a transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._mutex = threading.Lock()
        self._version = (0, 0)
        self._names: dict[tuple[str, str], Digest] = {}
        self._contents: dict[str, Content] = {}

    def content(self, key: str) -> Content | None:
        """The content *key*, or None."""
        self._refresh()
        known = self._contents.get(key)
        if known is None:
            rows = self._database.read("SELECT * FROM contents WHERE key = ?", (key,))
            if not rows:
                return None
            known = self._contents[key] = _content(rows[0])
        return known

    def contents(self) -> dict[str, Content]:
        """Every content, by key."""
        return {row[0]: _content(row) for row in self._database.read("SELECT * FROM contents")}

    def name(self, kind: str, name: str) -> Digest | None:
        """What *name* means now, or None."""
        self._refresh()
        known = self._names.get((kind, name))
        if known is None:
            rows = self._database.read("SELECT * FROM names WHERE kind = ? AND name = ?", (kind, name))
            if not rows:
                return None
            known = self._names[kind, name] = Digest.parse(unsealed("names", rows[0])[2])  # type: ignore[arg-type]
        return known

    def names(self, kind: str | None = None, prefix: str = "") -> dict[tuple[str, str], Digest]:
        """All names (of one kind, beginning with *prefix*), sorted."""
        where, arguments = "", []
        if kind is not None:
            # No name holds the last character of Unicode, so it stands behind all that begin alike.
            where, arguments = "WHERE kind = ? AND name BETWEEN ? AND ?", [kind, prefix, prefix + _LAST]
        rows = self._database.read(f"SELECT * FROM names {where} ORDER BY kind, name", arguments)  # noqa: S608
        fields: list[Any] = [unsealed("names", row) for row in rows]
        return {(kind, name): Digest.parse(digest) for kind, name, digest in fields}

    def roots(self) -> dict[str, tuple[str, ...]]:
        """The keys that each owner keeps."""
        fields: list[Any] = [unsealed("roots", row) for row in self._database.read("SELECT * FROM roots")]
        return {owner: tuple(refs.split()) for owner, refs in fields}

    def put_content(self, tx: sqlite3.Connection, new: Content) -> None:
        """Add *new*; what is known of the same key already is kept beside it."""
        rows = tx.execute("SELECT * FROM contents WHERE key = ?", (new.key,)).fetchall()
        if rows:
            old = _content(rows[0])
            refs = tuple(dict.fromkeys([*old.refs, *new.refs]))
            new = new._replace(refs=refs, virtual=old.virtual and new.virtual)
        columns = (new.key, new.size, new.inodes, int(new.virtual), " ".join(new.refs))
        tx.execute("REPLACE INTO contents VALUES (?, ?, ?, ?, ?, ?)", (*columns, seal(*columns)))

    def delete_contents(self, tx: sqlite3.Connection, keys: Iterable[str]) -> None:
        tx.executemany("DELETE FROM contents WHERE key = ?", [(key,) for key in keys])

    def set_name(
        self, tx: sqlite3.Connection, kind: str, name: str, digest: Digest, expected: Any
    ) -> Digest | None:
        """Make *name* mean *digest* if it means *expected* now; the value before."""
        old = _current_name(tx, kind, name)
        _compare(kind, name, old, expected)
        self.require(tx, [blob_key(digest)])
        columns = (kind, name, str(digest))
        tx.execute("REPLACE INTO names VALUES (?, ?, ?, ?)", (*columns, seal(*columns)))
        return old

    def delete_name(self, tx: sqlite3.Connection, kind: str, name: str, expected: Any) -> Digest:
        """Forget *name* if it means *expected* now; the value before."""
        old = _current_name(tx, kind, name)
        if old is None:
            raise NotFound(kind, name)
        _compare(kind, name, old, expected)
        tx.execute("DELETE FROM names WHERE kind = ? AND name = ?", (kind, name))
        return old

    def change_names(
        self,
        tx: sqlite3.Connection,
        add: Mapping[tuple[str, str], Digest],
        remove: Iterable[tuple[str, str]],
        require: Iterable[tuple[str, str]],
    ) -> None:
        """Set and remove names, each a (kind, name); those of *require* must be there."""
        for kind, name in require:
            if _current_name(tx, kind, name) is None:
                raise NotFound(kind, name)
        for kind, name in remove:
            self.delete_name(tx, kind, name, ANY)
        for (kind, name), digest in add.items():
            self.set_name(tx, kind, name, digest, ANY)

    def set_root(self, tx: sqlite3.Connection, owner: str, keys: Iterable[str]) -> None:
        columns = (owner, " ".join(keys))
        tx.execute("REPLACE INTO roots VALUES (?, ?, ?)", (*columns, seal(*columns)))

    def delete_root(self, tx: sqlite3.Connection, owner: str) -> None:
        tx.execute("DELETE FROM roots WHERE owner = ?", (owner,))

    def require(self, tx: sqlite3.Connection, keys: Iterable[str]) -> None:
        """Raise NotFound unless all of *keys* are here, within a transaction."""
        for key in keys:
            if not tx.execute("SELECT 1 FROM contents WHERE key = ?", (key,)).fetchone():
                raise not_found(key)

    def before_fork(self) -> None:
        self._mutex.acquire()

    def after_fork(self) -> None:
        self._mutex.release()

    def _refresh(self) -> None:
        """Forget what was cached if anybody has changed the database since."""
        with self._mutex:
            version = self._database.version()
            if version != self._version:
                # New objects: a reader in another thread may still be adding to the old ones.
                self._names, self._contents = {}, {}
                self._version = version


def not_found(key: str) -> NotFound:
    kind, _, digest = key.partition(":")
    return NotFound(kind, digest, "it was removed, or never stored whole")


def _content(row: tuple[Any, ...]) -> Content:
    fields: Any = unsealed("contents", row)
    key, size, inodes, virtual, refs = fields
    return Content(key, size, inodes, bool(virtual), tuple(refs.split()))


def _current_name(tx: sqlite3.Connection, kind: str, name: str) -> Digest | None:
    row = tx.execute("SELECT digest FROM names WHERE kind = ? AND name = ?", (kind, name)).fetchone()
    return Digest.parse(row[0]) if row else None


def _compare(kind: str, name: str, found: Digest | None, expected: Any) -> None:
    if expected is not ANY and found != expected:
        now = f"it is {found}" if found else "nothing has it"
        raise Conflict(f"the {kind} name {name!r} is not what was expected: {now}; read it again")
