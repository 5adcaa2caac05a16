"""COPY and ADD: from sources and a destination to the layer that they make.

`plan_copy` decides: which files go where, with which owner and mode.  The plan has a key by content, and
writes itself as a layer's plain tar.  Nothing of the image is changed here.

Source: moby/buildkit, frontend/dockerfile/dockerfile2llb (dispatchCopy) and solver/llbsolver/file;
tonistiigi/fsutil, copy.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TypeAlias

import attrs

from container_kit.build.copyplan import CopyPlan
from container_kit.build.dockerfile.ignore import IgnoreRules
from container_kit.build.ownership import parse_chmod
from container_kit.build.placing import Placing
from container_kit.build.remembered import recall
from container_kit.build.selection import Selection, TreeSource, select
from container_kit.build.trees import Tree
from container_kit.errors import InvalidInput

__all__ = ["CopyOptions", "CopyPlan", "Source", "TextSource", "TreeSource", "plan_copy"]


@attrs.frozen
class TextSource:
    """A file that the Dockerfile itself holds: a heredoc, by its name."""

    name: str
    content: bytes


Source: TypeAlias = TreeSource | TextSource


@attrs.frozen(kw_only=True)
class CopyOptions:
    """How files are copied.

    Args:
        owner: User and group id for everything; None keeps those of images, and is root for a context.
        chmod: Octal or symbolic; empty keeps modes.
        parents: Keep the directories of the sources (``--parents``).
        exclude: Patterns of what stays out, relative to each source.
        epoch: Seconds since 1970; no file is newer than that. None keeps the times of the inputs.
    """

    owner: tuple[int, int] | None = None
    chmod: str = ""
    parents: bool = False
    exclude: tuple[str, ...] = ()
    epoch: int | None = None


def plan_copy(
    sources: Sequence[Source],
    destination: str,
    *,
    parent_fd: int | None,
    options: CopyOptions | None = None,
    scratch: str | None = None,
) -> CopyPlan:
    """What COPY or ADD of *sources* to *destination* makes.

    Args:
        sources: In the order of the instruction.
        destination: Absolute, variables replaced and joined to WORKDIR. It ends in ``/`` or ``/.`` where the
            Dockerfile says so, which makes it a directory.
        parent_fd: Root of the image so far (`container_kit.images.views.view`), where links of the
            destination are resolved, never outside; None for ``--link`` and ``FROM scratch``: an empty one.
        options: Owner, modes and what stays out.
        scratch: A directory for what archives hold while they are copied; None for the system's.

    The trees of *sources* and *parent_fd* stay open until the plan was written.

    Raises:
        InvalidInput: A source is not there (the message says why and what is), a file would replace a
            directory, or the other way round.
        Conflict: A file changed while it was read.
    """
    options = options or CopyOptions()
    _require_directory(sources, destination, options, parent_fd)
    remembered = None
    if parent_fd is None and not options.parents:  # what is outside of the source would be part of it
        remembered = recall(sources, (destination, attrs.evolve(options, epoch=None)))
    place = functools.partial(_placed, sources, destination, parent_fd, options)
    plan = CopyPlan(place, options.epoch, scratch, remembered)
    plan.decide()
    return plan


def _placed(
    sources: Sequence[Source], destination: str, parent_fd: int | None, options: CopyOptions
) -> Placing:
    exclude = IgnoreRules.of(options.exclude)
    target = None if parent_fd is None else Tree(parent_fd, "the image")
    placing = Placing(target, options.owner, parse_chmod(options.chmod))
    for source in sources:
        if isinstance(source, TextSource):
            placing.place_text(source.name, source.content, destination)
            continue
        for selection in select(source, exclude, parents=options.parents):
            _place(placing, selection, destination, options.parents)
    return placing


def _place(placing: Placing, selection: Selection, destination: str, parents: bool) -> None:
    if selection.is_archive:
        placing.place_archive(selection, destination)
    elif selection.is_directory:
        placing.place_directory(selection, destination + "/" if parents else destination)
    else:
        placing.place_file(selection, destination)


def _require_directory(
    sources: Sequence[Source], destination: str, options: CopyOptions, parent_fd: int | None
) -> None:
    """Several sources need a directory, and a destination that says that it is one."""
    if len(sources) < 2 or options.parents or destination.endswith(("/", "/.")):
        return
    if parent_fd is not None:
        tree = Tree(parent_fd, "the image")
        found = tree.lstat(tree.resolve(destination))
        if found is not None and found.mode & 0o170000 == 0o040000:
            return
    hint = f"let the destination end in a slash: {destination}/"
    raise InvalidInput(f"{len(sources)} sources cannot be copied to one file; {hint}")
