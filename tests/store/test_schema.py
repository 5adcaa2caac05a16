"""Versions of the store: what earlier ones wrote is read, what later ones write is left alone."""

import sqlite3
from pathlib import Path

import pytest

from container_kit.errors import StoreTooNew
from container_kit.oci import Digest
from container_kit.store import Store, database, schema

DIGEST = "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"  # of b"x"

# What the first version wrote, as text; never change it: such stores exist.
VERSION_1 = f"""
PRAGMA journal_mode=WAL;
CREATE TABLE contents (key TEXT PRIMARY KEY, size INTEGER NOT NULL, inodes INTEGER NOT NULL,
    virtual INTEGER NOT NULL, refs TEXT NOT NULL, seal INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE names (kind TEXT NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL, seal INTEGER NOT NULL,
    PRIMARY KEY (kind, name)) WITHOUT ROWID;
CREATE TABLE roots (owner TEXT PRIMARY KEY, refs TEXT NOT NULL, seal INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO contents VALUES ('blob:{DIGEST}', 1, 0, 0, '', CONTENT_SEAL);
INSERT INTO names VALUES ('tag', 'docker.io/library/x:latest', '{DIGEST}', NAME_SEAL);
INSERT INTO roots VALUES ('container:1', 'blob:{DIGEST}', ROOT_SEAL);
PRAGMA user_version=1;
"""
SEALS = {"CONTENT_SEAL": 2574714146, "NAME_SEAL": 4250521125, "ROOT_SEAL": 722414571}


@pytest.fixture
def first_version(tmp_path: Path) -> Path:
    """A root as the first version left it."""
    root = tmp_path / "root"
    blob = root / "blobs" / "sha256" / DIGEST[7:]
    blob.parent.mkdir(parents=True)
    blob.write_bytes(b"x")
    script = VERSION_1
    for name, seal in SEALS.items():
        script = script.replace(name, str(seal))
    connection = sqlite3.connect(root / "store.db")
    connection.executescript(script)
    connection.close()
    return root


def test_first_version_is_read(first_version: Path) -> None:
    """R12: a store of the first version opens with all that it had."""
    with Store.open(first_version) as store:
        assert store.names("tag") == {"docker.io/library/x:latest": Digest.parse(DIGEST)}
        assert store.read_blob(Digest.parse(DIGEST)) == b"x"
        assert store.roots() == {"container:1": (f"blob:{DIGEST}",)}
        assert store.fsck().clean and store.gc().blobs == ()


def test_upgrade_keeps_everything(first_version: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A later version adds what it needs, once, and the earlier one then refuses the store."""
    with monkeypatch.context() as later:
        later.setattr(database, "MIGRATIONS", (*schema.MIGRATIONS, "CREATE TABLE more (key TEXT);"))
        later.setattr(database, "VERSION", schema.VERSION + 1)
        for _ in range(2):
            with Store.open(first_version) as store:
                assert store.database.read("SELECT * FROM more") == []
                assert store.read_blob(Digest.parse(DIGEST)) == b"x"

    with pytest.raises(StoreTooNew, match="upgrade"):
        Store.open(first_version)
