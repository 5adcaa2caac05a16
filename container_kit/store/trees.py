"""Trees: unpacked layers, each once, by diff id; and how a layer's archive is made again from its tree."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, TypeAlias

from container_kit.errors import ContainerKitError, CorruptData, NotFound
from container_kit.native.descriptors import Descriptor, open_path
from container_kit.oci.digest import Digest
from container_kit.store import files
from container_kit.store.catalog import Content, digest_of, keys_of, tree_key
from container_kit.store.drafts import DEAD, remove_entry
from container_kit.store.leases import Lease
from container_kit.store.snapshot_trees import MARK, check_snapshot, is_snapshot
from container_kit.store.tree_images import IMAGE, TAR, check_image, copy_tar, is_image

if TYPE_CHECKING:
    from container_kit.store.layout import Layout
    from container_kit.store.store import Store

__all__ = ["Replay", "TreeDraft", "native_replay", "path_of", "replay_tree", "verify_tree"]

# (recipe_fd, tree_fd, out_fd or None) -> the digest of the archive that they make
Replay: TypeAlias = Callable[[int, int, int | None], Digest]


class TreeDraft:
    """One layer being unpacked; leaving its ``with`` block without :meth:`publish` removes it.

    Attributes:
        path: The absolute path of the (empty, mode 0755) directory that becomes the layer.
        fd: That directory, open for reading.
        recipe_fd: An empty file, open for reading and writing, for what is needed to make the archive again.

    A layer becomes either that directory with its recipe, or the two files of :meth:`open_image`.  Files that
    are copied as they are become that directory alone, by :meth:`keep_as_snapshot`.
    """

    def __init__(self, store: Store, lease: Lease | None) -> None:
        self._store, self._lease = store, lease
        self._generation = store.drafts.generation
        self._name = files.unique("tree")
        directory = f"{store.layout.temporary}/{self._name}"
        self._lock = store.drafts.new_directory(directory)
        self.path = f"{directory}/fs"
        self._tree, self._recipe = Descriptor(), Descriptor()
        self._tar, self._image = Descriptor(), Descriptor()
        try:
            with files.translated("prepare a layer", directory):
                self._fill(directory)
        except BaseException:
            self.discard()
            raise

    def open_image(self) -> tuple[int, int]:
        """Two empty files, open for reading and writing: for the plain tar, and for an image over it."""
        directory = os.path.dirname(self.path)
        with files.translated("prepare a layer", directory):
            self._tar = files.new(f"{directory}/{TAR}", "tree.tar")
            self._image = files.new(f"{directory}/{IMAGE}", "tree.image")
        return self._tar.fileno(), self._image.fileno()

    def choose(self, *, image: bool) -> None:
        """Drop the form that the layer does not get: the directory with its recipe, or the two files."""
        directory = os.path.dirname(self.path)
        with files.translated("prepare a layer", directory):
            if image:
                files.unlink(f"{directory}/recipe", "tree.choose")
                os.rmdir(self.path)
            else:
                files.unlink(f"{directory}/{IMAGE}", "tree.choose")
                files.unlink(f"{directory}/{TAR}", "tree.choose")

    def keep_as_snapshot(self) -> None:
        """Say that these files come from no archive: there is no recipe, and their name is no digest."""
        directory = os.path.dirname(self.path)
        with files.translated("prepare a snapshot", directory):
            files.rename(f"{directory}/recipe", f"{directory}/{MARK}", "tree.choose")

    def _fill(self, directory: str) -> None:
        files.ensure_directory(self.path)
        # The layer's own root: what an archive without an entry for it gets, whatever the umask.
        os.chmod(self.path, 0o755)  # noqa: S103
        self._tree = open_path(self.path, os.O_RDONLY | os.O_DIRECTORY)
        self._recipe = files.new(f"{directory}/recipe", "tree.recipe")

    @property
    def fd(self) -> int:
        return self._tree.fileno()

    @property
    def recipe_fd(self) -> int:
        return self._recipe.fileno()

    def publish(
        self,
        diff_id: Digest,
        size: int,
        inodes: int,
        *,
        references: Iterable[Digest] = (),
        synced: bool = False,
    ) -> str:
        """Make the layer known under *diff_id*, with all it holds on the disk.

        Returns:
            As `Store.tree_path`.

        Args:
            size: Bytes of its files.
            inodes: Number of its files, directories and links.
            references: Blobs that live as long as this tree does.
            synced: The caller has already called syncfs since the last write.

        If another process was faster, its tree is kept and this one removed.
        """
        layout = self._store.layout
        content = Content(tree_key(diff_id), size, inodes, refs=keys_of(references, ()))
        with files.translated("store a layer", layout.trees):
            if not synced:
                files.sync_file_system(self.fd, "tree.sync")
            with self._store.publishing(content, self._lease):
                self._move(layout, layout.tree(diff_id))
        self.discard()
        return path_of(layout.tree(diff_id))

    def _move(self, layout: Layout, target: str) -> None:
        if os.path.isdir(target):
            if self._store.catalog.content(f"tree:{os.path.basename(target).replace('-', ':')}"):
                return
            # Nobody knows it: it is what a crash left.
            files.rename(target, f"{layout.temporary}/{files.unique(DEAD)}", "tree.bury")
        files.rename(f"{layout.temporary}/{self._name}", target, "tree.rename")
        self._name = ""
        files.sync_directory(layout.trees, "tree.sync-dir")

    def discard(self) -> None:
        """Remove what was not published and close the descriptors; may be repeated."""
        for held in (self._tree, self._recipe, self._tar, self._image):
            held.close()
        if self._generation != self._store.drafts.generation:
            return  # a forked child leaves the rest to its parent
        self._lock.close()
        if self._name:
            with suppress(ContainerKitError, OSError):  # what cannot be removed now is swept by the next open
                remove_entry(self._store.layout.temporary, self._name)
            self._name = ""

    def __enter__(self) -> TreeDraft:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()


def path_of(directory: str) -> str:
    """Where the files of the tree in *directory* are: a directory, or an EROFS image beside its tar."""
    return f"{directory}/{IMAGE if is_image(directory) else 'fs'}"


def native_replay(recipe_fd: int, tree_fd: int, out_fd: int | None) -> Digest:
    """Make the archive of a tree again, in C; the digest of what came out."""
    from container_kit.native.layers import replay

    return Digest.parse(replay(recipe_fd, tree_fd, out_fd).diff_id)


def replay_tree(replay: Replay, directory: str, diff_id: Digest, out_fd: int | None) -> None:
    """Write the archive of the tree in *directory* to *out_fd*, or only check it.

    Raises:
        NotFound: There is no tree.
        CorruptData: The tree or its recipe is not what was unpacked.
    """
    found = (
        copy_tar(directory, diff_id, out_fd)
        if is_image(directory)
        else _replay(replay, directory, diff_id, out_fd)
    )
    if found != diff_id:
        raise CorruptData(f"the unpacked layer {diff_id} has changed: its archive would be {found}")


def verify_tree(replay: Replay, directory: str, content: Content) -> None:
    """Compare every byte of the tree with what was unpacked, or what is known of a snapshot.

    Raises:
        NotFound, CorruptData: As `replay_tree`.
    """
    diff_id = digest_of(content.key)
    if is_snapshot(directory):
        check_snapshot(directory, content)
        return
    if is_image(directory):
        check_image(directory, diff_id)
    replay_tree(replay, directory, diff_id, None)


def _replay(replay: Replay, directory: str, diff_id: Digest, out_fd: int | None) -> Digest:
    try:
        tree = open_path(f"{directory}/fs", os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        raise NotFound("tree", str(diff_id)) from None
    try:
        recipe = open_path(f"{directory}/recipe", os.O_RDONLY)
    except FileNotFoundError:
        raise CorruptData(f"the layer {diff_id} has lost its recipe: fetch it again") from None
    with tree, recipe:
        return replay(recipe.fileno(), tree.fileno(), out_fd)
