"""Collection: what is named, rooted or leased stays with all it needs; everything else goes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_kit.errors import NotFound
from container_kit.oci import Digest
from container_kit.store import Store
from container_kit.store.catalog import Content
from container_kit.store.collect import reachable
from tests.store.conftest import add_image, add_tree

_graph = st.dictionaries(st.integers(0, 9), st.lists(st.integers(0, 12), max_size=4), max_size=10)


@given(_graph, st.sets(st.integers(0, 12)))
def test_reachable_is_the_smallest_closed_set(graph: dict[int, list[int]], pinned: set[int]) -> None:
    """Kept is what is pinned and what the kept needs, and nothing that could be left out."""
    contents = {str(key): Content(str(key), 0, refs=tuple(map(str, refs))) for key, refs in graph.items()}
    found = reachable(contents, map(str, pinned))

    closed = {str(key) for key in pinned} & contents.keys()
    while grown := {ref for key in closed for ref in contents[key].refs if ref in contents} - closed:
        closed |= grown
    assert found == closed


def test_named_images_stay_whole(store: Store) -> None:
    """What a name means stays, with all it needs; without the name it all goes."""
    manifest = add_image(store, "a", b"a")
    assert store.gc().blobs == () and store.fsck().clean

    store.remove_name("image", "a")
    collected = store.gc()
    assert manifest in collected.blobs and len(collected.blobs) == 2 and len(collected.trees) == 1
    assert collected.freed_bytes == sum(map(len, (b"a file", b"a config", b"a manifest")))
    assert os.listdir(store.layout.trees) == os.listdir(f"{store.layout.blobs}/sha256") == []
    assert os.listdir(store.layout.temporary) == []
    assert store.gc().leftovers == 0


def test_shared_parts_stay(store: Store) -> None:
    """What two images need goes with the second one only."""
    common = store.put_blob(b"common")
    for name in ("a", "b"):
        store.set_name("image", name, store.put_blob(name.encode(), [common]))

    store.remove_name("image", "a")
    assert store.gc().blobs == (Digest.of(b"a"),)
    store.remove_name("image", "b")
    assert set(store.gc().blobs) == {Digest.of(b"b"), common}


def test_roots_stay_until_removed(store: Store) -> None:
    """A root keeps contents for its owner, in this process and after it."""
    tree, blob = add_tree(store, b"x"), store.put_blob(b"y")
    store.add_root("container:1", [blob], [tree])
    with Store.open(store.root) as other:
        assert other.gc().blobs == ()
        assert other.roots() == {"container:1": (f"blob:{blob}", f"tree:{tree}")}
        other.remove_root("container:1")
        other.remove_root("container:1")

    assert (store.gc().blobs, store.gc().trees) == ((blob,), ())
    with pytest.raises(NotFound):
        store.add_root("container:1", [blob])


def test_lease_keeps_what_its_block_publishes(store: Store) -> None:
    """Between publishing and naming, a lease keeps contents from every collector."""
    with Store.open(store.root) as other, store.lease():
        digest = store.put_blob(b"new")
        tree = add_tree(store, b"tree")
        assert other.gc().blobs == () and store.gc().trees == ()
        assert store.has_blob(digest) and store.has_tree(tree)

    assert store.gc().blobs == (digest,)


def test_lease_of_another_thread_is_given_by_hand(store: Store) -> None:
    """A lease may be handed to whoever publishes."""
    lease = store.lease()
    digest, tree = store.put_blob(b"new", lease=lease), add_tree(store, b"tree", lease=lease)
    assert store.gc().blobs == () == store.gc().trees

    lease.close()
    collected = store.gc()
    assert (collected.blobs, collected.trees) == ((digest,), (tree,))


def test_nested_leases_count(store: Store) -> None:
    """Contents with two leases stay until the second one ends."""
    blob = store.put_blob(b"x")
    outer = store.lease(blob)
    with store.lease(blob):
        pass
    assert store.gc().blobs == ()

    outer.close()
    outer.close()
    assert store.gc().blobs == (blob,)


LEASE_AND_SLEEP = """
import sys, time
from container_kit.oci import Digest
from container_kit.store import Store
store = Store.open(sys.argv[1])
lease = store.lease(Digest.parse(sys.argv[2]))
draft = store.new_tree()
print("leased", flush=True)
time.sleep(60)
"""


def test_lease_and_drafts_end_with_their_process(store: Store) -> None:
    """kill -9 frees what a process leased and what it was unpacking; no clock is asked."""
    blob = store.put_blob(b"x")
    process = subprocess.Popen(
        [sys.executable, "-c", LEASE_AND_SLEEP, store.root, str(blob)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None and process.stdout.readline() == b"leased\n"
    collected = store.gc()
    assert (collected.blobs, collected.leftovers) == ((), 0)
    assert len(os.listdir(store.layout.temporary)) == 1

    process.kill()
    process.wait()
    process.stdout.close()
    collected = store.gc()
    assert (collected.blobs, collected.leftovers) == ((blob,), 1)
    assert os.listdir(store.layout.temporary) == [] == os.listdir(store.layout.leases)


def test_opening_sweeps_what_crashes_left(store: Store) -> None:
    """The next open of a root removes drafts that nobody works on, and only those."""
    Path(store.layout.temporary, "tree-dead", "fs").mkdir(parents=True)
    Path(store.layout.temporary, "blob-dead").touch()
    with store.new_tree() as draft:
        Store.open(store.root).close()
        assert os.listdir(store.layout.temporary) == [os.path.basename(os.path.dirname(draft.path))]


def test_opening_sweeps_leases_of_the_dead(store: Store) -> None:
    """The file of a process that was killed goes, that of one that lives stays; no prune is needed."""
    blob = store.put_blob(b"x")
    process = subprocess.Popen(
        [sys.executable, "-c", LEASE_AND_SLEEP, store.root, str(blob)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None and process.stdout.readline() == b"leased\n"
    Store.open(store.root).close()
    assert len(os.listdir(store.layout.leases)) == 1
    process.kill()
    process.wait()
    process.stdout.close()
    Store.open(store.root).close()
    assert os.listdir(store.layout.leases) == []


def test_unknown_files_are_collected(store: Store) -> None:
    """Files that a crash left between rename and database are garbage."""
    Path(store.layout.blobs, "sha256", Digest.of(b"?").hex).write_bytes(b"?")
    Path(store.layout.tree(Digest.of(b"?")), "fs").mkdir(parents=True)

    assert store.gc().leftovers == 2
    assert os.listdir(store.layout.trees) == []


def test_a_tree_that_a_crash_left_is_replaced(store: Store) -> None:
    """Unpacking again over a tree that the database does not know gives the new one."""
    Path(store.layout.tree(Digest.of(b"recipenew")), "fs").mkdir(parents=True)

    assert os.listdir(store.tree_path(add_tree(store, b"new"))) == ["file0"]


def test_df_and_prune(store: Store) -> None:
    """df counts what is kept and what could go; prune makes them equal."""
    add_image(store, "a", b"a")
    store.put_blob(b"garbage")
    Path(store.layout.quarantine, "damaged").write_bytes(b"x" * 5000)

    usage = store.df()
    assert (usage.blobs, usage.trees, usage.trees_inodes, usage.names) == (3, 1, 1, 1)
    assert usage.reclaimable_bytes == 7 and usage.quarantine_bytes >= 5000
    assert usage.blobs_bytes == len(b"a config" + b"a manifest" + b"garbage")
    store.prune()
    usage = store.df()
    assert (usage.blobs, usage.reclaimable_bytes, usage.quarantine_bytes) == (2, 0, 0)
