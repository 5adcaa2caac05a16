"""A store below a temporary directory for each test, with archives that need no C library."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from container_kit.oci import Digest
from container_kit.store import Lease, Store


def replay(recipe_fd: int, tree_fd: int, out_fd: int | None) -> Digest:
    """The archive of a test's tree: its recipe, then the bytes of its files by name."""
    parts = [os.pread(recipe_fd, 1 << 20, 0)]
    for name in sorted(os.listdir(tree_fd)):
        fd = os.open(name, os.O_RDONLY, dir_fd=tree_fd)
        parts.append(os.read(fd, 1 << 20))
        os.close(fd)
    if out_fd is not None:
        os.write(out_fd, b"".join(parts))
    return Digest.of(b"".join(parts))


def add_tree(store: Store, *contents: bytes, lease: Lease | None = None) -> Digest:
    """Unpack and publish a layer with one file for each of *contents*."""
    with store.new_tree(lease) as draft:
        os.write(draft.recipe_fd, b"recipe")
        for number, data in enumerate(contents):
            Path(draft.path, f"file{number}").write_bytes(data)
        diff_id = Digest.of(b"recipe" + b"".join(contents))
        draft.publish(diff_id, sum(map(len, contents)), len(contents))
    return diff_id


def add_image(store: Store, name: str, data: bytes) -> Digest:
    """A little image: a named blob that needs another one and a tree."""
    with store.lease():
        tree = add_tree(store, data + b" file")
        config = store.put_blob(data + b" config", trees=[tree])
        manifest = store.put_blob(data + b" manifest", [config])
        store.set_name("image", name, manifest)
    return manifest


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "root") as store:
        store.register_source(replay)
        yield store
