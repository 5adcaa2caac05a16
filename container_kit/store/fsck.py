"""fsck: compare everything stored with what it should be, and set aside what is damaged.

A finding is looked at again under the write lock before it counts, so a store in use never raises a
false alarm.  Repair removes nothing that could be right: damaged contents go to the quarantine, and the
next fetch brings them back.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import attrs

from container_kit.errors import ContainerKitError, CorruptData, NotFound
from container_kit.store import files, locks
from container_kit.store.blobs import digest_of_file
from container_kit.store.catalog import Content, blob_key, digest_of
from container_kit.store.salvage import damaged_rows, rebuild
from container_kit.store.tree_images import is_image, look_at_image
from container_kit.store.trees import replay_tree, verify_tree

if TYPE_CHECKING:
    from container_kit.store.store import Store

__all__ = ["Problem", "Report", "check", "verify_blob"]


@attrs.frozen
class Problem:
    """One thing that is not as it should be.

    Args:
        subject: What it is about: ``blob:<digest>``, ``tree:<diff id>``, ``name:<kind>:<name>`` or
            ``database``.
        what: What is wrong.
        repair: What was done about it; empty when nothing was.
    """

    subject: str
    what: str
    repair: str = ""

    def __str__(self) -> str:
        return f"{self.subject}: {self.what}" + (f" ({self.repair})" if self.repair else "")


@attrs.frozen
class Report:
    """What fsck found.

    Args:
        problems: Everything that is wrong; empty for a healthy store.
        blobs, trees, names: How many were compared.
        verified_bytes: How many bytes of contents were read; 0 without *verify*.
    """

    problems: tuple[Problem, ...]
    blobs: int
    trees: int
    names: int
    verified_bytes: int

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    @property
    def repaired(self) -> bool:
        """Whether something was wrong and all of it has been dealt with."""
        return bool(self.problems) and all(problem.repair for problem in self.problems)


def check(store: Store, repair: bool, verify: bool) -> Report:
    """Compare everything in *store* with what it should be; see :meth:`Store.fsck`."""
    problems = list(_check_database(store, repair))
    if problems and not repair:
        # A catalog that lies would accuse healthy contents.
        return Report(tuple(problems), 0, 0, 0, 0)
    # Trees first: a blob that is regenerated from one that was set aside is then found wanting.
    contents = sorted(store.catalog.contents().values(), reverse=True)
    verified = 0
    for content in contents:
        problem = _check_content(store, content, repair, verify)
        if problem is not None:
            problems.append(problem)
        elif verify:
            verified += content.size
    names = store.catalog.names()
    for kind, name in names:
        problems.extend(_check_name(store, kind, name, repair))
    blobs = sum(one.key.startswith("blob:") for one in contents)
    return Report(tuple(problems), blobs, len(contents) - blobs, len(names), verified)


def verify_blob(store: Store, content: Content) -> None:
    """Raise CorruptData unless the bytes of the blob are those that its digest names."""
    digest = digest_of(content.key)
    if content.virtual:
        tree = digest_of(content.refs[0])
        replay_tree(store.replay, store.layout.tree(tree), digest, None)
        return
    with store.opened_blob(digest) as blob:
        found = digest_of_file(blob.fileno(), digest.algorithm)
    if found != digest:
        raise CorruptData(f"blob {digest} has changed on disk: its bytes have the digest {found}")


def _check_database(store: Store, repair: bool) -> Iterator[Problem]:
    damage = damaged_rows(store)
    if damage and repair:
        lost = rebuild(store)
        yield Problem("database", damage, f"rebuilt; {lost} damaged rows left out")
    elif damage:
        yield Problem("database", damage)


def _check_content(store: Store, content: Content, repair: bool, verify: bool) -> Problem | None:
    look = _verify if verify else _look
    if _fault(look, store, content) is None:
        return None
    with locks.held(store.layout.write_lock):
        now = store.catalog.content(content.key)
        what = None if now is None else _fault(look, store, now)
        if now is None or what is None:
            return None  # somebody removed or replaced it meanwhile
        if not repair:
            return Problem(content.key, what)
        _set_aside(store, now)
        return Problem(content.key, what, "set aside: fetch or build it again")


def _fault(look: Callable[[Store, Content], None], store: Store, content: Content) -> str | None:
    try:
        look(store, content)
    except (CorruptData, NotFound) as error:
        return str(error)
    except ContainerKitError as error:
        # Such as an I/O error of the disk: the content is as good as gone.
        return f"cannot be read: {error}"
    return None


def _verify(store: Store, content: Content) -> None:
    if content.virtual:
        _look(store, content)  # its bytes are those of the tree, which is compared by itself
    elif content.key.startswith("blob:"):
        verify_blob(store, content)
    else:
        verify_tree(store.replay, store.layout.tree(digest_of(content.key)), content)


def _look(store: Store, content: Content) -> None:
    """The cheap comparison: presence and size."""
    digest = digest_of(content.key)
    if content.key.startswith("tree:"):
        directory = store.layout.tree(digest)
        if is_image(directory):
            look_at_image(directory, digest)
        elif not os.path.isdir(f"{directory}/fs"):
            raise NotFound("tree", str(digest))
    elif content.virtual:
        if store.catalog.content(content.refs[0]) is None:
            raise CorruptData(f"the tree that blob {digest} is regenerated from is gone")
    else:
        _look_at_file(store, content)


def _look_at_file(store: Store, content: Content) -> None:
    path = store.layout.blob(digest_of(content.key))
    try:
        size = os.stat(path, follow_symlinks=False).st_size
    except FileNotFoundError:
        raise CorruptData("its file is gone") from None
    if size != content.size:
        raise CorruptData(f"its file has {size} bytes instead of {content.size}")


def _set_aside(store: Store, content: Content) -> None:
    """Move the files of *content* to the quarantine and forget it; the caller holds the write lock."""
    layout, digest = store.layout, digest_of(content.key)
    path = layout.blob(digest) if content.key.startswith("blob:") else layout.tree(digest)
    with files.translated("set aside damaged contents", layout.quarantine):
        with store.database.transaction() as tx:
            store.catalog.delete_contents(tx, [content.key])
        if os.path.lexists(path):
            name = files.unique(content.key.replace(":", "-"))
            files.rename(path, f"{layout.quarantine}/{name}", "fsck.quarantine")
    store.forget_read(digest)


def _check_name(store: Store, kind: str, name: str, repair: bool) -> Iterator[Problem]:
    """A name must mean a blob that is here."""
    with locks.held(store.layout.write_lock):
        digest = store.catalog.name(kind, name)
        if digest is None or store.catalog.content(blob_key(digest)) is not None:
            return
        subject, what = f"name:{kind}:{name}", f"it means {digest}, which is not here"
        if not repair:
            yield Problem(subject, what)
            return
        with store.database.transaction() as tx:
            store.catalog.delete_name(tx, kind, name, digest)
        yield Problem(subject, what, "removed")
