"""Where copied files land in an image: which path, owner and mode each has, and what stands in their way.

Source: tonistiigi/fsutil, copy; moby/buildkit, solver/llbsolver/file.
"""

from __future__ import annotations

import stat
from typing import NamedTuple

import attrs

from container_kit.build.ownership import ModeChange
from container_kit.build.selection import Selection
from container_kit.build.trees import Tree, normal_path
from container_kit.errors import InvalidInput
from container_kit.native.listing import Listed

__all__ = ["Item", "PendingArchive", "Placing"]

_NEW_DIRECTORY = stat.S_IFDIR | 0o755
_NEW_FILE = stat.S_IFREG | 0o644


class Item(NamedTuple):
    """One entry of the layer.

    *path* is relative to the root; *order* counts the sources, 0 is what the image has already; *mode* has
    the type; *mtime_ns* is None where no input has a time; content is that of *listed* at *source* in *tree*,
    or *content*.
    """

    path: str
    order: int
    mode: int
    uid: int
    gid: int
    mtime_ns: int | None
    target: str = ""
    tree: Tree | None = None
    source: str = ""
    listed: Listed | None = None
    content: bytes = b""


@attrs.frozen
class PendingArchive:
    """An archive whose entries are placed below *path* when the layer is written."""

    tree: Tree
    source: str
    listed: Listed
    path: str
    order: int


class Placing:
    """Collects the entries of one COPY or ADD.

    Args:
        image: What the image has so far; None for an empty one.
        owner: For everything; None keeps what trees say, and is root for what is new.
        change_mode: ``--chmod``.
    """

    def __init__(
        self, image: Tree | None, owner: tuple[int, int] | None, change_mode: ModeChange | None
    ) -> None:
        self._image, self._owner, self._change_mode = image, owner, change_mode
        self._order = 0
        self._directories: dict[str, dict[str, Listed] | None] = {}
        self.items: dict[str, Item] = {}
        self.archives: list[PendingArchive] = []

    def place_file(self, selection: Selection, destination: str) -> None:
        """A file, link or device; into *destination* if that is a directory."""
        self._order += 1
        path = self._file_path(selection.name, destination)
        self._place(path, selection.tree, selection.path, selection.listed)

    def place_text(self, name: str, content: bytes, destination: str) -> None:
        """A file that has no source but the Dockerfile."""
        self._order += 1
        path = self._file_path(name, destination)
        self._require_no_directory(path)
        mode = self._changed(_NEW_FILE)
        self.items[path] = Item(path, self._order, mode, *(self._owner or (0, 0)), None, content=content)

    def place_directory(self, selection: Selection, destination: str) -> None:
        """What is in a directory, into *destination*, whose own owner and mode stay if it is there."""
        self._order += 1
        top = self._resolved(destination)
        self._ensure_directory(top)
        self.place_tree(
            selection.tree, [(node.below, node.path, node.listed) for node in selection.nodes], top
        )

    def place_tree(self, tree: Tree, nodes: list[tuple[str, str, Listed]], top: str) -> None:
        """*nodes*, (path below *top*, path in *tree*, facts), each directory before what it holds."""
        prefix = f"{top}/" if top else ""
        for below, source, listed in nodes:
            self._place(prefix + below, tree, source, listed)

    def place_archive(self, selection: Selection, destination: str) -> None:
        """What is in an archive, into the directory *destination*."""
        self._order += 1
        top = self._resolved(destination)
        self._ensure_directory(top)
        self.archives.append(
            PendingArchive(selection.tree, selection.path, selection.listed, top, self._order)
        )

    def place_unpacked(self, archive: PendingArchive, tree: Tree) -> None:
        """The entries of *archive*, unpacked as *tree*: it keeps owners and modes, and replaces files."""
        prefix = f"{archive.path}/" if archive.path else ""
        for node in tree.walk(""):
            path, listed = prefix + node.path, node.listed
            there = self.items.get(path)
            if there is None or there.order <= archive.order:
                self.items[path] = Item(
                    path, archive.order, listed.mode, listed.uid, listed.gid, listed.modified_ns,
                    listed.target, tree, node.path, listed,
                )  # fmt: skip

    def _place(self, path: str, tree: Tree, source: str, listed: Listed) -> None:
        _require_ordinary_name(path)
        if self._image is not None or path in self.items:
            self._require_room(path, listed.mode)
        uid, gid = self._owner or tree.owner or (listed.uid, listed.gid)
        time_ns = listed.modified_ns if tree.time_ns is None else tree.time_ns
        self.items[path] = Item(
            path, self._order, self._changed(listed.mode), uid, gid, time_ns, listed.target, tree, source,
            listed,
        )  # fmt: skip

    def _require_room(self, path: str, mode: int) -> None:
        if stat.S_ISDIR(mode):
            self._require_directory_or_nothing(path)
        else:
            self._require_no_directory(path)

    def _file_path(self, name: str, destination: str) -> str:
        """Where a file called *name* lands; its directory is made."""
        directory, _, last = destination.rpartition("/")
        self._ensure_directory(self._resolved(destination if last in ("", ".") else directory))
        path = self._resolved(destination)
        there = self._mode_at(path)
        if path == "" or (there is not None and stat.S_ISDIR(there)):
            path = f"{path}/{name}" if path else name
        self._ensure_directory(path.rpartition("/")[0])
        _require_ordinary_name(path)
        return path

    def _resolved(self, destination: str) -> str:
        """*destination* with the links of the image followed, inside it."""
        if self._image is not None:
            return self._image.resolve(destination)
        return normal_path(destination)

    def _ensure_directory(self, path: str) -> None:
        """*path* and all above it are part of the layer: as they are in the image, or new ones."""
        parts = path.split("/") if path else []
        for depth in range(1, len(parts) + 1):
            above = "/".join(parts[:depth])
            if above in self.items:
                self._require_directory_or_nothing(above)
                continue
            _require_ordinary_name(above)
            there = self._in_image(above)
            if there is None:
                owner = self._owner or (0, 0)
                self.items[above] = Item(above, self._order, _NEW_DIRECTORY, *owner, None)
            elif stat.S_ISDIR(there.mode):
                self.items[above] = Item(above, 0, there.mode, there.uid, there.gid, there.modified_ns)
            else:
                raise InvalidInput(f"cannot copy below /{above}: in the image that is no directory")

    def _mode_at(self, path: str) -> int | None:
        if path in self.items:
            return self.items[path].mode
        there = self._in_image(path) if path else None
        return there.mode if there is not None else None

    def _in_image(self, path: str) -> Listed | None:
        """What the image has at *path*; directories are listed once, those that are not there never."""
        directory, _, name = path.rpartition("/")
        if directory not in self._directories:
            self._directories[directory] = self._list(directory)
        names = self._directories[directory]
        return names.get(name) if names is not None else None

    def _list(self, directory: str) -> dict[str, Listed] | None:
        if self._image is None:
            return None
        if directory:
            there = self._in_image(directory)
            if there is None or not stat.S_ISDIR(there.mode):
                return None
        return {listed.name: listed for listed in self._image.list(directory)}

    def _require_no_directory(self, path: str) -> None:
        there = self._mode_at(path)
        if there is not None and stat.S_ISDIR(there):
            raise InvalidInput(f"cannot replace the directory /{path} of the image with a file")

    def _require_directory_or_nothing(self, path: str) -> None:
        there = self._mode_at(path)
        if there is not None and not stat.S_ISDIR(there):
            what = "a link" if stat.S_ISLNK(there) else "a file"
            raise InvalidInput(f"cannot copy a directory to /{path}: in the image that is {what}")

    def _changed(self, mode: int) -> int:
        if self._change_mode is None or stat.S_ISLNK(mode):
            return mode
        return stat.S_IFMT(mode) | self._change_mode(stat.S_IMODE(mode), stat.S_ISDIR(mode))


def _require_ordinary_name(path: str) -> None:
    if ".wh." in path and (path.startswith(".wh.") or "/.wh." in path):
        raise InvalidInput(f"cannot copy to /{path}: in a layer, a name that begins with .wh. removes a file")
