"""Blobs, trees, names and roots: what goes in comes out, and nothing else does."""

import os
import stat
import threading
from pathlib import Path

import pytest

from container_kit.errors import (
    Conflict,
    CorruptData,
    InvalidInput,
    LimitExceeded,
    NotFound,
    StoreFull,
    StoreTooNew,
    WrongState,
)
from container_kit.oci import Digest
from container_kit.store import Store
from container_kit.store.database import Database
from tests.store.conftest import add_image, add_tree

NONE = Digest.of(b"never stored")


def test_blob_comes_back(store: Store) -> None:
    """A stored blob is read by its digest, whole or through a descriptor."""
    digest = store.put_blob(b"some bytes")

    fd = store.open_blob(digest)
    try:
        assert os.read(fd, 100) == b"some bytes" == store.read_blob(digest)
    finally:
        os.close(fd)
    assert (store.has_blob(digest), store.blob_size(digest)) == (True, 10)
    assert digest == Digest.of(b"some bytes")


def test_copy_writes_all(store: Store, tmp_path: Path) -> None:
    """A blob larger than one read is copied whole."""
    data = os.urandom(3_000_001)
    digest = store.put_blob(data)

    with (tmp_path / "copy").open("wb") as file:
        assert store.copy_blob(digest, file.fileno()) == len(data)
    assert (tmp_path / "copy").read_bytes() == data


def test_unknown_contents_are_not_found(store: Store) -> None:
    """Asking for what is not there names it."""
    assert not store.has_blob(NONE) and not store.has_tree(NONE)
    for call in (
        store.open_blob,
        store.read_blob,
        store.blob_size,
        store.tree_path,
        store.lease,
        store.verify_tree,
    ):
        with pytest.raises(NotFound, match=NONE.hex):
            call(NONE)


def test_ingest_in_pieces(store: Store) -> None:
    """A blob may come in pieces, of unknown size and digest."""
    with store.ingest() as ingest:
        for piece in (b"a", b"", b"bc"):
            ingest.write(piece)
        assert ingest.commit() == Digest.of(b"abc")


def test_ingest_through_the_descriptor(store: Store) -> None:
    """Bytes that C code writes are digested if it does not say the digest."""
    with store.ingest() as ingest:
        os.write(ingest.fd, b"from C")
        assert ingest.commit() == Digest.of(b"from C")
    with store.ingest(Digest.of(b"known"), 5) as ingest:
        os.write(ingest.fd, b"known")
        assert ingest.commit(Digest.of(b"known")) == Digest.of(b"known")


@pytest.mark.parametrize(
    ("expected", "size", "error"),
    [(NONE, None, CorruptData), (None, 6, CorruptData), (None, 4, LimitExceeded), (None, 1 << 60, StoreFull)],
)
def test_wrong_bytes_are_not_stored(
    store: Store, expected: Digest | None, size: int | None, error: type[Exception]
) -> None:
    """Bytes that are not what was announced are refused and leave nothing."""
    with pytest.raises(error), store.ingest(expected, size) as ingest:
        ingest.write(b"bytes")
        ingest.commit()

    assert os.listdir(store.layout.temporary) == []
    assert not store.has_blob(Digest.of(b"bytes"))


def test_a_changed_blob_is_not_read(store: Store) -> None:
    """Reading verifies: a blob that changed on disk is an error, not an answer."""
    digest = store.put_blob(b"right")
    Path(store.layout.blob(digest)).write_bytes(b"wrong")

    with pytest.raises(CorruptData):
        store.read_blob(digest)


def test_storing_again_heals_a_lost_file(store: Store) -> None:
    """A blob whose file is gone is written again when somebody brings it."""
    digest = store.put_blob(b"data")
    os.unlink(store.layout.blob(digest))

    with pytest.raises(CorruptData):
        store.open_blob(digest)
    store.put_blob(b"data")
    assert store.read_blob(digest) == b"data"


def test_large_blobs_are_not_read_into_memory(store: Store) -> None:
    """Reading has a limit."""
    digest = store.put_blob(b"12345")

    with pytest.raises(LimitExceeded):
        store.read_blob(digest, limit=4)
    assert store.read_blob(digest, limit=5) == b"12345"


def test_tree_is_published_whole(store: Store) -> None:
    """A layer is nowhere until it is published, and then under its diff id."""
    with store.new_tree() as draft:
        Path(draft.path, "a").write_text("x")
        assert os.listdir(store.layout.trees) == []
        path = draft.publish(Digest.of(b"id"), 1, 1)

    assert path == store.tree_path(Digest.of(b"id"))
    assert Path(path, "a").read_text() == "x"
    assert os.listdir(store.layout.temporary) == []
    assert store.tree_usage(Digest.of(b"id")) == (1, 1)


def test_first_tree_wins(store: Store) -> None:
    """Two who unpack the same layer end with one tree, and both with its path."""
    with store.new_tree() as first, store.new_tree() as second:
        Path(first.path, "first").touch()
        assert first.publish(NONE, 0, 1) == second.publish(NONE, 0, 1)

    assert os.listdir(store.tree_path(NONE)) == ["first"]
    assert os.listdir(store.layout.temporary) == []


def test_abandoned_draft_leaves_nothing(store: Store) -> None:
    """A draft that fails half-way is removed."""
    with pytest.raises(ZeroDivisionError), store.new_tree() as draft:
        Path(draft.path, "deep", "er").mkdir(parents=True)
        raise ZeroDivisionError

    assert os.listdir(store.layout.temporary) == [] == os.listdir(store.layout.trees)


def test_virtual_blob_is_made_from_its_tree(store: Store, tmp_path: Path) -> None:
    """A plain layer needs no blob file: its bytes are made again from the tree, and checked."""
    diff_id = add_tree(store, b"one", b"two")
    store.put_virtual_blob(diff_id, 12, diff_id)

    fd = store.open_blob(diff_id)
    assert os.read(fd, 100) == b"recipeonetwo"
    os.close(fd)
    with (tmp_path / "copy").open("wb") as file:
        store.copy_blob(diff_id, file.fileno())
    assert (tmp_path / "copy").read_bytes() == b"recipeonetwo"
    assert os.listdir(store.layout.temporary) == []

    Path(store.tree_path(diff_id), "file0").write_text("new")
    with pytest.raises(CorruptData):
        store.open_blob(diff_id)


def test_names_move_atomically(store: Store) -> None:
    """A name is set, moved and removed only if it still means what the caller believes."""
    one, two = store.put_blob(b"1"), store.put_blob(b"2")

    assert store.set_name("image", "n", one, expected=None) is None
    with pytest.raises(Conflict):
        store.set_name("image", "n", two, expected=None)
    assert store.set_name("image", "n", two, expected=one) == one
    with pytest.raises(Conflict):
        store.remove_name("image", "n", expected=one)
    assert store.resolve_name("image", "n") == two
    assert store.names("image") == {"n": two} and store.names("other") == {}
    assert store.remove_name("image", "n") == two
    assert store.resolve_name("image", "n") is None
    with pytest.raises(NotFound):
        store.remove_name("image", "n")
    with pytest.raises(NotFound):
        store.set_name("image", "n", NONE)


@pytest.mark.parametrize("name", ["", "a\0b", "line\n", "\ud800", "\x1b[31m"])
def test_names_are_text(store: Store, name: str) -> None:
    """What cannot be shown or stored as text is no name."""
    with pytest.raises(InvalidInput):
        store.set_name("image", name, store.put_blob(b"x"))


def test_other_stores_changes_are_seen(store: Store) -> None:
    """What is cached is forgotten as soon as another user of the root changes it."""
    one, two = store.put_blob(b"1"), store.put_blob(b"2")
    store.set_name("image", "n", one)
    assert store.resolve_name("image", "n") == one

    with Store.open(store.root) as other:
        other.set_name("image", "n", two)
        assert store.resolve_name("image", "n") == two
        other.remove_name("image", "n")
        other.gc()
    assert store.resolve_name("image", "n") is None
    assert not store.has_blob(two)
    with pytest.raises(NotFound):
        store.read_blob(two)


def test_references_are_kept(store: Store) -> None:
    """A blob knows what it was stored with; storing it again adds to that."""
    tree = add_tree(store, b"x")
    one = store.put_blob(b"1")
    two = store.put_blob(b"2", [one])
    assert store.references(two) == ((one,), ())

    store.put_blob(b"2", trees=[tree])
    assert store.references(two) == ((one,), (tree,))


def test_modes_are_private(store: Store) -> None:
    """Directories are 0700 and files 0600, except below the layers themselves."""
    add_image(store, "a", b"a")
    with store.lease(), store.ingest(), store.new_tree():
        for directory, names, files in os.walk(store.root):
            modes = {stat.S_IMODE(os.lstat(os.path.join(directory, name)).st_mode) for name in names}
            assert os.path.basename(directory).startswith(("sha", "tree")) or modes <= {0o700}, directory
            for name in files if "/fs" not in directory else ():
                assert stat.S_IMODE(os.lstat(os.path.join(directory, name)).st_mode) == 0o600, name
    assert stat.S_IMODE(os.stat(store.root).st_mode) == 0o700


def test_a_wide_open_root_is_closed(tmp_path: Path) -> None:
    """A directory that others could read is made private when it becomes a store."""
    tmp_path.chmod(0o755)

    with Store.open(tmp_path):
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_newer_store_is_refused(tmp_path: Path) -> None:
    """A store that a later version wrote is not touched, and the error says what to do."""
    with Store.open(tmp_path / "root") as store:
        with store.database.transaction() as tx:
            tx.execute("PRAGMA user_version=999")
        path, lock = store.layout.database, store.layout.write_lock

    with pytest.raises(StoreTooNew, match=r"999.*upgrade"):
        Store.open(tmp_path / "root")
    with pytest.raises(StoreTooNew):
        Database(path, lock)


def test_closed_store_says_so(tmp_path: Path) -> None:
    """Using a closed store is a clear error; closing twice is none."""
    store = Store.open(tmp_path / "root")
    store.close()
    store.close()

    with pytest.raises(WrongState, match="closed"):
        store.names("image")


def test_shared_is_one_object(tmp_path: Path) -> None:
    """All parts of a process share one store for a root, however the root is written."""
    store = Store.shared(tmp_path / "root")
    try:
        assert Store.shared(str(tmp_path) + "/./root") is store
    finally:
        store.close()
    again = Store.shared(tmp_path / "root")
    assert again is not store
    again.close()


def test_threads_share_a_store(store: Store) -> None:
    """32 threads that publish, name, read and collect at once find each their own contents."""
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(4):
                digest = add_image(store, f"name{number}", f"{number} {turn % 2}".encode())
                assert store.resolve_name("image", f"name{number}") == digest
                assert store.read_blob(digest) == f"{number} {turn % 2} manifest".encode()
                if number % 8 == 0:
                    store.gc()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert len(store.names("image")) == 32
    assert store.fsck().clean


def test_a_finished_draft_closes_nothing_else(store: Store) -> None:
    """Leaving a published draft does not close a descriptor that another draft has been given since."""
    with store.new_tree() as draft:
        draft.publish(NONE, 0, 0)
        others = [store.ingest() for _ in range(4)]

    for other in others:
        other.write(b"still open")
        other.discard()


def test_a_transaction_that_was_cut_off_before_its_block_is_in_nobodys_way(store: Store) -> None:
    """A signal handler may raise where ``with`` begins; the error on its way keeps that transaction open."""
    cut_off = store.database.transaction()
    cut_off.__enter__().execute("INSERT INTO roots VALUES ('lost', '', 0)")
    store.set_name("image", "first", add_image(store, "one", b"one"))
    with store.database.transaction() as tx:
        tx.execute("INSERT INTO roots VALUES ('kept', '', 0)")
        assert cut_off.__exit__(KeyError, KeyError(), None) is False  # it ends now, in the middle of another
    assert store.database.read("SELECT owner FROM roots") == [("kept",)]
    assert "first" in store.names("image")
