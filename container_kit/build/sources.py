"""The sources of one COPY or ADD instruction: what its words mean, fetched where that is needed.

Source: Dockerfile reference, "ADD" and "COPY"; moby/buildkit, frontend/dockerfile/dockerfile2llb.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from container_kit.build.copying import CopyOptions, Source, TextSource, TreeSource
from container_kit.build.dockerfile.instructions import Add, Copy
from container_kit.build.downloading import downloaded, is_url
from container_kit.build.gitsource import GitReference, checked_out
from container_kit.build.trees import Tree
from container_kit.errors import InvalidInput

__all__ = ["copy_options", "destination_of", "opened_sources"]


@contextlib.contextmanager
def opened_sources(
    instruction: Copy | Add, tree: Tree, *, scratch: str | None = None, agent: str | None = None
) -> Iterator[tuple[Source, ...]]:
    """The sources of *instruction*, for the length of the block.

    Args:
        instruction: Evaluated: its variables are replaced.
        tree: The context, or what ``--from`` names.
        scratch: Where downloads and checkouts are kept meanwhile.
        agent: Socket of the SSH agent for repositories.

    Raises:
        InvalidInput: ``--checksum`` without the one URL or repository that it is for.
        ContainerKitError: Something could not be fetched.
    """
    with contextlib.ExitStack() as stack:
        sources: list[Source] = []
        for path in instruction.sources:
            if isinstance(instruction, Copy):
                sources.append(TreeSource(tree, path))
            else:
                sources.append(_added(instruction, path, tree, stack, scratch, agent))
        for document in instruction.documents:
            sources.append(TextSource(document.name, os.fsencode(document.text)))
        yield tuple(sources)


def destination_of(instruction: Copy | Add, workdir: str) -> str:
    """Where *instruction* copies to, absolute; a slash at the end says that it is a directory."""
    written = instruction.destination
    joined = written if written.startswith("/") else f"{workdir.rstrip('/')}/{written}"
    is_directory = written in ("", ".") or written.endswith(("/", "/."))
    return f"{joined.rstrip('/')}/" if is_directory else joined


def copy_options(instruction: Copy | Add, owner: tuple[int, int] | None, epoch: int | None) -> CopyOptions:
    """How *instruction* copies.

    Args:
        owner: What `container_kit.build.ownership.resolve_owner` made of its ``chown``; None without one.
        epoch: ``SOURCE_DATE_EPOCH``, or None.
    """
    return CopyOptions(
        owner=owner,
        chmod=instruction.chmod,
        parents=isinstance(instruction, Copy) and instruction.parents,
        exclude=instruction.exclude,
        epoch=epoch,
    )


def _added(
    add: Add,
    path: str,
    tree: Tree,
    stack: contextlib.ExitStack,
    scratch: str | None,
    agent: str | None,
) -> Source:
    reference = GitReference.parse(path)  # never a path of the host: a Dockerfile may be anyone's
    if add.checksum and (len(add.sources) > 1 or (reference is None and not is_url(path))):
        raise InvalidInput(f"--checksum is for one URL or git repository, not for {path!r}")
    if reference is not None:
        if add.checksum:
            reference = GitReference(reference.url, reference.ref, reference.directory, add.checksum)
        checkout = checked_out(reference, scratch=scratch, keep_git_dir=add.keep_git_dir, agent=agent)
        return TreeSource(stack.enter_context(checkout).tree, "", literal=True)
    if is_url(path):
        download = stack.enter_context(downloaded(path, checksum=add.checksum, scratch=scratch))
        return TreeSource(download.tree, download.name, unpack=bool(add.unpack), literal=True)
    return TreeSource(tree, path, unpack=add.unpack is not False)
