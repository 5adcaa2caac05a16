"""Which files of a tree a source of COPY or ADD means: a path, a pattern, or a path with its parents.

Source: tonistiigi/fsutil, copy; Dockerfile reference, "COPY".
"""

from __future__ import annotations

import difflib
import stat
from collections.abc import Iterable, Iterator

import attrs

from container_kit.build.archives import is_archive
from container_kit.build.dockerfile.ignore import IgnoreRules
from container_kit.build.dockerfile.patterns import Matcher, has_wildcards, path_matcher
from container_kit.build.trees import Node, Tree, normal_path
from container_kit.errors import InvalidInput
from container_kit.native.listing import Listed

__all__ = ["Selection", "TreeSource", "select"]


@attrs.frozen
class TreeSource:
    """Files of a tree.

    Args:
        tree: Where they are.
        path: As written, variables replaced; a pattern unless *literal*.
        unpack: Archives are unpacked, as ADD does.
        literal: The path is a name, not a pattern.
    """

    tree: Tree
    path: str
    unpack: bool = False
    literal: bool = False


@attrs.frozen(kw_only=True)
class Selection:
    """One file, or one directory with what is copied of it.

    Args:
        name: What it is called at the destination, if that is a directory and this is none.
        path: In *tree*, resolved.
        nodes: Of a directory: all below it, each directory before its content.
    """

    tree: Tree
    name: str
    path: str
    listed: Listed
    nodes: tuple[Node, ...] = ()
    is_archive: bool = False

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.listed.mode)


def select(source: TreeSource, exclude: IgnoreRules, *, parents: bool) -> Iterator[Selection]:
    """What *source* means, in order.

    Raises:
        InvalidInput: There is no such file; a pattern may match nothing.
    """
    if parents:
        yield _with_parents(source, exclude)
        return
    is_pattern = not source.literal and has_wildcards(source.path)
    if not is_pattern:
        yield _selected(source, source.path, exclude)
        return
    for path in source.tree.glob(source.path):
        if not exclude.ignores(path.rpartition("/")[2]):
            yield _selected(source, path, exclude)


def _selected(source: TreeSource, path: str, exclude: IgnoreRules) -> Selection:
    tree = source.tree
    resolved = tree.resolve(path)
    listed = tree.find(resolved)
    if listed is None:
        raise _missing(tree, path)
    if stat.S_ISDIR(listed.mode):
        nodes = tuple(tree.walk(resolved, exclude))
        return Selection(tree=tree, name=_name(path), path=resolved, listed=listed, nodes=nodes)
    archive = source.unpack and stat.S_ISREG(listed.mode) and is_archive(tree, resolved)
    return Selection(tree=tree, name=_name(path), path=resolved, listed=listed, is_archive=archive)


def _name(path: str) -> str:
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    return parts[-1] if parts else ""


def _with_parents(source: TreeSource, exclude: IgnoreRules) -> Selection:
    """``--parents``: the directories after ``/./``, or all of them, are kept."""
    pivot, dot, pattern = source.path.partition("/./")
    if not dot:
        pivot, pattern = "", source.path
    tree = source.tree
    top = tree.resolve(pivot)
    listed = tree.find(top)
    if listed is None or not stat.S_ISDIR(listed.mode):
        raise _missing(tree, pivot)
    pattern = "/".join(part for part in pattern.split("/") if part not in ("", "."))
    if ".." in pattern.split("/"):
        raise InvalidInput(f"--parents takes no '..' after its pivot: {source.path!r}")
    nodes = _chosen(tree, top, pattern, exclude)
    if not nodes and pattern and not has_wildcards(pattern):
        raise _missing(tree, source.path)
    return Selection(tree=tree, name="", path=top, listed=listed, nodes=tuple(nodes))


def _chosen(tree: Tree, top: str, pattern: str, exclude: IgnoreRules) -> list[Node]:
    """The entries below *top* that *pattern*, or one of their parents, matches; with their directories."""
    parts = pattern.split("/") if pattern else []
    fixed = next((at for at, part in enumerate(parts) if has_wildcards(part)), len(parts))
    way = _way(tree, top, parts[:fixed])
    if way is None:
        return []
    start = way[-1].path if way else top
    if way and not stat.S_ISDIR(way[-1].listed.mode):
        return way if fixed == len(parts) and not exclude.ignores(way[-1].below) else []
    below = way[-1].below + "/" if way else ""
    walked = (Node(node.path, below + node.below, node.listed) for node in tree.walk(start))
    kept = (node for node in walked if not (exclude.rules and exclude.ignores(node.below)))
    if fixed == len(parts):
        return [] if way and exclude.ignores(way[-1].below) else [*way, *kept]
    return _matching(way, kept, path_matcher(pattern))


def _way(tree: Tree, top: str, parts: list[str]) -> list[Node] | None:
    """The directories from *top* down *parts*, the last of which may be a file; None if one is not there."""
    way: list[Node] = []
    for depth in range(1, len(parts) + 1):
        below = "/".join(parts[:depth])
        path = f"{top}/{below}" if top else below
        listed = tree.find(path)
        if listed is None or (depth < len(parts) and not stat.S_ISDIR(listed.mode)):
            return None
        way.append(Node(path, below, listed))
    return way


def _matching(way: list[Node], walked: Iterable[Node], matches: Matcher) -> list[Node]:
    chosen: list[Node] = []
    above = list(way)  # directories on the way that nothing was chosen of yet
    inside = ""  # the directory that matched last: all below it is meant
    for node in walked:
        while above and not node.below.startswith(above[-1].below + "/"):
            above.pop()
        is_meant = bool(inside) and node.below.startswith(inside)
        if not is_meant and not matches(node.below):
            if stat.S_ISDIR(node.listed.mode):
                above.append(node)
            continue
        if stat.S_ISDIR(node.listed.mode) and not is_meant:
            inside = node.below + "/"
        chosen += [*above, node]
        above = []
    return chosen


def _missing(tree: Tree, path: str) -> InvalidInput:
    """Why *path* is not there, and what is."""
    shown = path or "/"
    resolved = tree.resolve(path)
    if tree.is_ignored(resolved) and tree.lstat(resolved) is not None:
        return InvalidInput(f"cannot copy {shown!r}: it is left out of {tree.name} by its .dockerignore")
    written = tree.lstat(normal_path(path))
    if written is not None and written.target:
        where = f"{written.target!r}, which is followed inside {tree.name} only"
        return InvalidInput(f"cannot copy {shown!r}: it is a link to {where}, and there it leads to no file")
    directory, _, name = resolved.rpartition("/")
    found = tree.lstat(directory)
    hint = ""
    if found is not None and stat.S_ISDIR(found.mode):
        names = [entry.name for entry in tree.list(directory)]
        close = difflib.get_close_matches(name[:255], names[:5000], n=1)
        if close:
            hint = f"; did you mean {'/'.join([directory, close[0]] if directory else close)!r}?"
    if path.startswith("../") or "/../" in path:
        hint += " (nothing above its top can be reached)"
    return InvalidInput(f"cannot copy {shown!r}: there is no such file in {tree.name}{hint}")
