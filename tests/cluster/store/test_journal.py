"""What a store in a file promises beyond the suite: it is there again, whatever ended the process."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from container_kit.cluster.store import Event, Expired, SqliteStore
from container_kit.errors import CorruptData, StoreFull, StoreTooNew, WrongState

_LEASES = "leases.coordination.k8s.io"


def _object(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": spec}


def _rows(path: Path) -> int:
    with sqlite3.connect(path) as db:
        ((count,),) = db.execute("SELECT count(*) FROM log")
    db.close()
    return int(count)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def test_everything_is_there_again(path: Path) -> None:
    """A reopened store has its objects, its revision and its history."""
    store = SqliteStore(str(path))
    a = store.create("pods", "default", "a", _object("a"))
    b = store.create("pods", "default", "b", _object("b"))
    store.replace(a, _object("a", n=1))
    store.delete(b)
    store.close()

    store = SqliteStore(str(path))
    assert store.revision == 4
    assert [record.name for record in store.list("pods").records] == ["a"]
    assert [record.name for record in store.list_at("pods", None, 3).records] == ["a", "b"]
    events: list[Event] = []
    store.watch("pods", 1, events.append)
    assert [event.type for event in events] == ["ADDED", "MODIFIED", "DELETED"]
    assert events[1].previous is not None and events[1].previous.raw == a.raw
    store.close()


def test_compaction_is_there_again(path: Path) -> None:
    """What was forgotten stays forgotten, and its rows are gone from the file."""
    store = SqliteStore(str(path))
    record = store.create("pods", "default", "a", _object("a"))
    for n in range(20):
        record = store.replace(record, _object("a", n=n))
    store.delete(store.create("pods", "default", "b", _object("b")))
    store.compact(store.revision)
    store.close()

    assert _rows(path) == 1
    store = SqliteStore(str(path))
    with pytest.raises(Expired):
        store.list_at("pods", None, 22)
    assert [record.object["spec"] for record in store.list("pods").records] == [{"n": 19}]
    assert store.revision == 23
    store.close()


def test_the_file_does_not_grow(path: Path) -> None:
    """One object that is written again and again leaves no more rows than the history has."""
    store = SqliteStore(str(path))
    record = store.create("pods", "default", "a", _object("a"))
    for n in range(5000):
        record = store.replace(record, _object("a", n=n))
    store.close()
    assert _rows(path) < 2000


def test_only_the_owner_reads_it(path: Path) -> None:
    """Secrets are in the file, so its mode gives nobody else a right."""
    SqliteStore(str(path)).close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_one_process_has_it(path: Path) -> None:
    """A second store over the same file is refused with what to do."""
    store = SqliteStore(str(path))
    with pytest.raises(WrongState, match="another process has it"):
        SqliteStore(str(path))
    store.create("pods", "default", "a", _object("a"))
    store.close()


def test_other_files_are_refused(path: Path, tmp_path: Path) -> None:
    """Neither another database nor another file is taken for a store, nor one of a later version."""
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA application_id = 1")
    db.close()
    with pytest.raises(CorruptData, match="not of a cluster"):
        SqliteStore(str(path))
    noise = tmp_path / "noise"
    noise.write_bytes(b"no database, but more than a hundred bytes" * 100)
    with pytest.raises(CorruptData, match="not a database"):
        SqliteStore(str(noise))
    later = tmp_path / "later"
    SqliteStore(str(later)).close()
    with sqlite3.connect(later) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(StoreTooNew, match="version 99"):
        SqliteStore(str(later))


def test_renewals_are_not_written(path: Path) -> None:
    """A renewed lease reaches the file when the store is closed; a new holder at once."""
    store = SqliteStore(str(path))
    lease = store.create(
        _LEASES, "kube-system", "leader", _object("leader", holderIdentity="a", renewTime="1")
    )
    before = store._journal._db.total_changes  # type: ignore[union-attr]
    for n in range(50):
        lease = store.replace(lease, _object("leader", holderIdentity="a", renewTime=str(n)))
    assert store._journal._db.total_changes == before  # type: ignore[union-attr]
    lease = store.replace(lease, _object("leader", holderIdentity="b", renewTime="60"))
    assert store._journal._db.total_changes > before  # type: ignore[union-attr]
    lease = store.replace(lease, _object("leader", holderIdentity="b", renewTime="61"))
    store.close()

    store = SqliteStore(str(path))
    found = store.get(_LEASES, "kube-system", "leader")
    assert found is not None and found.object["spec"] == {"holderIdentity": "b", "renewTime": "61"}
    assert store.revision == lease.revision
    store.delete(found)
    store.close()
    store = SqliteStore(str(path))
    assert store.get(_LEASES, "kube-system", "leader") is None
    store.close()


def test_a_full_disk_refuses_the_write(path: Path) -> None:
    """A write that the disk has no room for has not happened, and says so; later ones work."""
    store = SqliteStore(str(path))
    record = store.create("pods", "default", "a", _object("a"))
    db = store._journal._db  # type: ignore[union-attr]
    db.execute("PRAGMA max_page_count = 1")  # SQLite's own way to be out of space
    with pytest.raises(StoreFull, match="make space"):
        store.create("pods", "default", "b", _object("b", data="x" * 100_000))
    db.execute("PRAGMA max_page_count = 1000000")
    assert store.get("pods", "default", "b") is None
    assert store.revision == record.revision
    assert store.create("pods", "default", "c", _object("c")).revision == 2
    store.close()


_WRITER = """
import random, sys
from container_kit.cluster.store import SqliteStore
store, names = SqliteStore(sys.argv[1]), random.Random(int(sys.argv[2]))
print("open", store.revision, flush=True)
while True:
    resource, name = names.choice(["pods", "leases.coordination.k8s.io"]), str(names.randrange(20))
    there = store.get(resource, "d", name)
    value = names.randrange(1000)
    obj = {"metadata": {"name": name}, "spec": {"holder": value, "renewTime": names.randrange(9)}}
    if there is None:
        record = store.create(resource, "d", name, obj)
    elif names.random() < 0.2:
        record, value = store.delete(there), None
    else:
        if names.random() < 0.3:
            obj["spec"]["holder"] = value = there.object["spec"]["holder"]
        record = store.replace(there, obj)
    print(resource, name, record.revision, value, flush=True)
"""


# The control: acknowledged before it is written down.
_CARELESS = "from container_kit.cluster.store.journal import Journal\nJournal.append = lambda *_: None\n"


def _write_until_killed(path: Path, seed: int, lines: int, extra: str) -> tuple[int, list[list[str]]]:
    """The revision it began with and what was acknowledged, until SIGKILL came after that many lines."""
    command = [sys.executable, "-c", extra + _WRITER, str(path), str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        begun = int(process.stdout.readline().split()[1])
        acknowledged = [process.stdout.readline().split() for _ in range(lines)]
        process.send_signal(signal.SIGKILL)
        rest = [line.split() for line in process.stdout.read().split("\n")[:-1]]
    return begun, acknowledged + rest


def _kill_rounds(path: Path, seed: int, rounds: int, extra: str = "") -> None:
    """What is acknowledged is there, and no revision is given twice, over several lives of one file."""
    chance, wish, latest = random.Random(seed), dict[tuple[str, str], str](), 0
    for _ in range(rounds):
        begun, acknowledged = _write_until_killed(
            path, chance.randrange(1 << 30), chance.randrange(1, 400), extra
        )
        assert begun >= latest, "a revision that was given out would come again"
        for resource, name, revision, value in acknowledged:
            wish[resource, name], latest = value, int(revision)
        _check(path, wish, latest)


def _check(path: Path, wish: dict[tuple[str, str], str], latest: int) -> None:
    store = SqliteStore(str(path))
    assert store.revision >= latest
    surprises = []
    for (resource, name), value in wish.items():
        found = store.get(resource, "d", name)
        now = str(found.object["spec"]["holder"]) if found else "None"
        if now != value:
            surprises.append((resource, name, value, now))
        wish[resource, name] = now
    # The kill may have come between a write and its acknowledgement, once.
    assert len(surprises) <= 1, surprises
    for resource in ("pods", _LEASES):
        for record in store.list(resource).records:
            wish[resource, record.name] = str(record.object["spec"]["holder"])
    store.close()


def test_a_kill_loses_nothing_acknowledged(path: Path) -> None:
    """R20: SIGKILL at a random moment, again and again: acknowledged writes stay, revisions only grow."""
    _kill_rounds(path, seed=5, rounds=4)


@pytest.mark.trial
@pytest.mark.parametrize("seed", range(50))
def test_many_kills_lose_nothing_acknowledged(path: Path, seed: int) -> None:
    """R20, long: 50 files, each with twenty lives."""
    _kill_rounds(path, seed, rounds=20)


def test_a_careless_store_is_noticed(path: Path) -> None:
    """Control: a store that acknowledges what it has not written fails the trial."""
    with pytest.raises(AssertionError):
        _kill_rounds(path, seed=5, rounds=4, extra=_CARELESS)
