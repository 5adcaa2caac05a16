"""Removing images: names first; an image without a name goes, and the collector takes what nobody needs."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from container_kit.errors import Conflict, NotFound
from container_kit.images import records
from container_kit.images.compressing import forget_compressions
from container_kit.images.container_snapshots import holders_of
from container_kit.images.notes import forget_notes
from container_kit.images.words import Pruned, Removed
from container_kit.oci import Digest, Manifest, Reference

if TYPE_CHECKING:
    from container_kit.images.image import Image
    from container_kit.store import Store

__all__ = ["prune", "remove"]


def remove(image: Image, name: str | None, force: bool) -> Removed:
    """See `container_kit.images.image.Image.remove`."""
    tags = records.references_of(image.store, image.digest)
    going = tags if name is None else [_own_tag(image, name, tags)]
    if len(going) < len(tags):
        _untag(image.store, going)
        return Removed(untagged=tuple(tag.familiar for tag in going))
    if not force:
        if len(tags) > 1:
            raise Conflict(
                f"image {image.id.short} has the names {', '.join(tag.familiar for tag in tags)}: "
                "remove them one by one, or use force (rmi -f)"
            )
        _refuse_if_used(image)
    _untag(image.store, going)
    for digest in {image.digest, *records.unnamed_twins(image.store, image.id)}:
        _forget(image.store, digest)
    forget_notes(image.store)
    forget_compressions(image.store)
    image.store.gc()
    return Removed(tuple(tag.familiar for tag in going), (str(image.id),))


def prune(store: Store, every: bool) -> Pruned:
    """See `container_kit.images.image.Image.prune`."""
    named = set(store.names(records.TAG).values())
    deleted = []
    for digest, manifest, _ in list(records.each_image(store)):
        if (every or digest not in named) and not _users(store, manifest):
            _untag(store, records.references_of(store, digest))
            _forget(store, digest)
            deleted.append(str(manifest.config.digest))
    forget_notes(store)
    forget_compressions(store)
    return Pruned(tuple(deleted), store.gc().freed_bytes)


def _own_tag(image: Image, name: str, tags: list[Reference]) -> Reference:
    reference = Reference.parse(name)
    if reference not in tags:
        raise NotFound("tag of this image", name)
    return reference


def _untag(store: Store, tags: list[Reference]) -> None:
    for tag in tags:
        records.forget_index(store, str(tag))
        try:
            store.remove_name(records.TAG, str(tag))
        except NotFound:
            continue  # another process was faster: it is gone, as was wanted


def _forget(store: Store, digest: Digest) -> None:
    pinned = [name for name, target in store.names(records.PINNED).items() if target == digest]
    referrers = store.names(records.REFERRER, f"{digest}@")
    names = [
        *((records.PINNED, name) for name in pinned),
        *((records.REFERRER, name) for name in referrers),
        (records.INDEX, str(digest)),
        (records.IMAGE, str(digest)),
    ]
    for kind, name in names:
        with suppress(NotFound):
            store.remove_name(kind, name)


def _users(store: Store, manifest: Manifest) -> list[str]:
    """Owners (containers, for one) that keep this image, and snapshots of their files."""
    keys = {f"blob:{manifest.digest}", f"blob:{manifest.config.digest}"}
    owners = sorted(owner for owner, kept in store.roots().items() if keys & set(kept))
    return [*owners, *holders_of(store, manifest.digest)]


def _refuse_if_used(image: Image) -> None:
    users = _users(image.store, image.manifest)
    if users:
        raise Conflict(
            f"image {image.id.short} is in use by {', '.join(users)}: remove these first, or use rmi -f"
        )
