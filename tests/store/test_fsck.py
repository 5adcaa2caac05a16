"""fsck finds every changed byte, accuses nobody else, and repair leaves a store that can be used."""

import os
import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from container_kit.errors import ContainerKitError, CorruptData
from container_kit.oci import Digest
from container_kit.store import Store
from tests.store.conftest import add_image, add_tree, replay


def flip(path: str | Path, offset: int) -> None:
    """Change one bit of a file."""
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ (1 << offset % 8)]))


def test_healthy_store_is_clean(store: Store) -> None:
    """A store with images, garbage, drafts and leases in it has no problems, and nothing changes."""
    add_image(store, "a", b"a")
    virtual = add_tree(store, b"v")
    store.put_virtual_blob(virtual, 7, virtual)
    with store.new_tree(), store.lease(virtual), Store.open(store.root):
        report = store.fsck(repair=True)

    assert report.clean and not report.repaired
    assert (report.blobs, report.trees, report.names) == (3, 2, 1)
    assert report.verified_bytes == len(b"a config" + b"a manifest" + b"a file" + b"v") + 7
    assert store.gc().blobs == (virtual,)


@pytest.mark.parametrize("damage", range(24))
def test_every_flipped_bit_is_found(store: Store, damage: int) -> None:
    """One changed bit in a blob, in a layer's file or in its recipe is found, and nothing else is accused."""
    rng = random.Random(damage)
    digests = [store.put_blob(os.urandom(50) + bytes([n])) for n in range(5)]
    trees = [add_tree(store, os.urandom(50), os.urandom(50)) for _ in range(5)]
    victim: Digest = rng.choice([*digests, *trees])
    if victim in trees:
        path = f"{store.layout.tree(victim)}/{rng.choice(['recipe', 'fs/file0', 'fs/file1'])}"
    else:
        path = store.layout.blob(victim)
    flip(path, rng.randrange(os.path.getsize(path)))

    assert [problem.subject[5:] for problem in store.fsck().problems] == [str(victim)]
    assert store.fsck(repair=True).repaired
    assert store.fsck().clean
    assert not store.has_blob(victim) and not store.has_tree(victim)
    assert len(os.listdir(store.layout.quarantine)) == 1


def test_repaired_contents_can_come_again(store: Store) -> None:
    """What was set aside is stored again as if it had never been there."""
    digest = store.put_blob(b"data")
    assert store.read_blob(digest) == b"data"
    flip(store.layout.blob(digest), 1)

    store.fsck(repair=True)
    assert store.put_blob(b"data") == digest
    assert store.read_blob(digest) == b"data" and store.fsck().clean


@pytest.mark.parametrize("what", ["blob", "tree", "recipe", "shorter"])
def test_missing_files_are_found_without_reading(store: Store, what: str) -> None:
    """Presence and size are compared even when the bytes are not."""
    tree, blob = add_tree(store, b"x"), store.put_blob(b"data")
    if what == "shorter":
        os.truncate(store.layout.blob(blob), 3)
    else:
        lost = {"blob": store.layout.blob(blob), "tree": store.tree_path(tree)}
        path = lost.get(what, f"{store.layout.tree(tree)}/recipe")
        os.rename(path, store.layout.quarantine + "/lost")

    assert len(store.fsck(verify=what == "recipe").problems) == 1
    assert store.fsck(repair=True).repaired
    assert store.fsck().clean


def test_blob_of_a_damaged_tree_goes_with_it(store: Store) -> None:
    """A plain layer that can no longer be regenerated is not pretended to be there."""
    tree = add_tree(store, b"x")
    store.put_virtual_blob(tree, 7, tree)
    Path(store.tree_path(tree), "file0").write_text("y")

    assert len(store.fsck(repair=True).problems) == 2
    assert not store.has_blob(tree)


def test_name_of_nothing_is_removed(store: Store) -> None:
    """A name whose blob was set aside goes: an image is whole or absent."""
    manifest = add_image(store, "a", b"a")
    flip(store.layout.blob(manifest), 0)

    problems = store.fsck(repair=True).problems
    assert [problem.subject for problem in problems] == [f"blob:{manifest}", "name:image:a"]
    assert store.names("image") == {} and store.fsck().clean


def test_verify_one(store: Store) -> None:
    """One blob or one layer is verified by itself, before use."""
    tree, blob = add_tree(store, b"x"), store.put_blob(b"y")
    store.verify_tree(tree)
    store.verify_blob(blob)
    flip(store.layout.blob(blob), 0)
    Path(store.tree_path(tree), "file0").write_text("z")

    with pytest.raises(CorruptData):
        store.verify_blob(blob)
    with pytest.raises(CorruptData):
        store.verify_tree(tree)


def test_changed_rows_are_found(store: Store) -> None:
    """A row that changed by itself is an error when it is read, and repair leaves it out."""
    manifest = add_image(store, "a", b"a")
    add_image(store, "b", b"b")
    with store.database.transaction() as tx:
        tx.execute("UPDATE names SET digest = ? WHERE name = 'a'", (str(Digest.of(b"b manifest")),))

    with pytest.raises(CorruptData, match="repair"):
        store.resolve_name("image", "a")
    assert [problem.subject for problem in store.fsck().problems] == ["database"]
    assert store.fsck(repair=True).repaired
    assert list(store.names("image")) == ["b"]
    assert store.fsck().clean and manifest in store.gc().blobs


def mend(root: Path) -> None:
    """What `system fsck --repair` does."""
    try:
        with Store.open(root) as store:
            store.register_source(replay)
            store.fsck(repair=True)
    except ContainerKitError:
        Store.salvage(root)


def facts(root: Path) -> dict[str, bytes]:
    with Store.open(root) as store:
        store.register_source(replay)
        assert store.fsck().clean
        return {name: store.read_blob(digest) for name, digest in store.names("image").items()}


def damage_database(root: Path, seed: int) -> None:
    path = root / "store.db"
    flip(path, random.Random(seed).randrange(path.stat().st_size))


@pytest.mark.parametrize("seed", range(40))
def test_damaged_database_never_lies(tmp_path: Path, seed: int) -> None:
    """After one changed bit in the database and a repair, every name means what it meant, or is gone."""
    root = tmp_path / "root"
    with Store.open(root) as store:
        store.register_source(replay)
        for number in range(20):
            add_image(store, f"name{number}", str(number).encode())
        store.database.checkpoint()
    before = facts(root)
    damage_database(root, seed)

    mend(root)
    mend(root)  # names of contents whose rows were lost go in a second look
    after = facts(root)
    assert after.items() <= before.items()
    assert len(before) == 20


def test_concurrent_changes_are_no_damage(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another process removes while fsck reads is no problem."""
    blob = store.put_blob(b"x")
    original: Callable[[], dict[str, object]] = store.catalog.contents

    def removed_meanwhile() -> dict[str, object]:
        contents = original()
        with Store.open(store.root) as other:
            other.gc()
        return contents

    monkeypatch.setattr(store.catalog, "contents", removed_meanwhile)
    assert store.fsck(repair=True).clean
    assert not os.path.exists(store.layout.blob(blob))


def change_until(stop: threading.Event, root: str) -> None:
    """Publish, rename and collect images for as long as nobody says stop."""
    with Store.open(root) as store:
        number = 0
        while not stop.is_set():
            number += 1
            add_image(store, f"name{number % 3}", f"{threading.get_ident()} {number}".encode())
            store.gc()


@pytest.mark.parametrize("turns", [10, pytest.param(300, marks=pytest.mark.trial)])
def test_no_false_alarm_in_a_busy_store(store: Store, turns: int) -> None:
    """R11: fsck with repair, while others publish and collect, finds nothing and changes nothing."""
    add_image(store, "always", b"there")
    stop = threading.Event()
    threads = [threading.Thread(target=change_until, args=(stop, store.root)) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        reports = [store.fsck(repair=True) for _ in range(turns)]
    finally:
        stop.set()
        for thread in threads:
            thread.join()

    assert [report.problems for report in reports] == [()] * turns
    assert sum(report.blobs for report in reports) >= 2 * turns
    assert os.listdir(store.layout.quarantine) == []
