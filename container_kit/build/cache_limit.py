"""How large the build cache may become, what is pruned first, and what it uses."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

import attrs

from container_kit.build.cache import BuildCache, Entry
from container_kit.build.cache_mounts import CacheMounts, CacheRecord
from container_kit.errors import InvalidInput
from container_kit.runtime.limits import parse_size

if TYPE_CHECKING:
    from container_kit.store import Store

__all__ = ["CacheItem", "PrunedCache", "cache_items", "keep_within_limit", "prune_cache", "to_remove"]

DEFAULT_LIMIT_BYTES = 20 << 30
_VARIABLE = "CONTAINER_KIT_BUILD_CACHE"
_TRUSTED_S = 3600.0


@attrs.frozen(kw_only=True)
class CacheItem:
    """One thing that the cache keeps.

    Args:
        id: The key of a step, or the directory of a cache mount.
        type: ``step`` or ``mount``.
        size_bytes: Of its files; layers that an image uses too are counted nevertheless.
        used_s: When it was last used, seconds since the epoch.
    """

    id: str
    type: str
    name: str
    size_bytes: int
    used_s: float
    _source: Entry | CacheRecord = attrs.field(repr=False, eq=False)


@attrs.frozen
class PrunedCache:
    """What was removed, and the bytes that came back."""

    removed: tuple[CacheItem, ...] = ()
    reclaimed_bytes: int = 0


def cache_items(store: Store) -> list[CacheItem]:
    """All that the cache keeps, what was used last first."""
    steps = [
        CacheItem(
            id=entry.key.hex, type="step", name=entry.name, size_bytes=entry.size_bytes,
            used_s=entry.used_s, source=entry,
        )
        for entry in BuildCache(store).entries()
    ]  # fmt: skip
    mounts = [
        CacheItem(
            id=record.directory, type="mount", name=record.id, size_bytes=record.size_bytes,
            used_s=record.used_s, source=record,
        )
        for record in CacheMounts(store.root).records()
    ]  # fmt: skip
    return sorted(steps + mounts, key=lambda item: (-item.used_s, item.id))


def to_remove(items: Iterable[CacheItem], keep_bytes: int) -> list[CacheItem]:
    """What has to go so that the rest takes at most *keep_bytes*: what was not used for longest goes first.

    Args:
        items: What was used last first.
    """
    total = 0
    gone: list[CacheItem] = []
    for item in items:
        if gone or total + item.size_bytes > keep_bytes or not keep_bytes:
            gone.append(item)
        else:
            total += item.size_bytes
    return gone


def prune_cache(
    store: Store,
    *,
    keep_bytes: int = 0,
    match: Callable[[CacheItem], bool] = lambda _: True,
) -> PrunedCache:
    """Remove what was not used for longest until at most *keep_bytes* are left, and collect garbage.

    Args:
        match: Only what this returns True for is removed.
    """
    cache, mounts = BuildCache(store), CacheMounts(store.root)
    removed, freed = [], 0
    for item in to_remove(cache_items(store), keep_bytes):
        if not match(item):
            continue
        if isinstance(item._source, Entry):
            cache.remove(item._source.key)
        elif mounts.remove(item._source):
            freed += item.size_bytes
        else:
            continue  # a step uses it
        removed.append(item)
    return PrunedCache(tuple(removed), freed + store.gc().freed_bytes if removed else 0)


def keep_within_limit(store: Store, added_bytes: int) -> None:
    """Prune when the cache is larger than ``CONTAINER_KIT_BUILD_CACHE`` says (20 GiB).

    Looking at everything takes long when there is much.  So it is done once an hour, and when what was found
    then and what builds have added since may be too much.

    Args:
        added_bytes: What the layers of this build take.
    """
    limit, path = _limit(), f"{store.root}/build/size"
    known = _known_size(path)
    if known is not None and known + added_bytes <= limit:
        _write_size(path, known + added_bytes, keep_time=True)
        return
    total = sum(item.size_bytes for item in cache_items(store))
    if total > limit:
        prune_cache(store, keep_bytes=limit)
        total = limit
    _write_size(path, total, keep_time=False)


def _known_size(path: str) -> int | None:
    """What the file says; None when it is too old, or says nothing."""
    try:
        if abs(time.time() - os.stat(path).st_mtime) > _TRUSTED_S:
            return None
        with open(path) as file:
            return int(file.read(40))
    except (OSError, ValueError):
        return None


def _write_size(path: str, size: int, *, keep_time: bool) -> None:
    """Only a guess: what two builds write at once, or a crash loses, is looked up in an hour."""
    with suppress(OSError):
        before = os.stat(path).st_mtime_ns if keep_time else time.time_ns()
        with open(path, "w", opener=_private) as file:
            file.write(str(size))
        os.utime(path, ns=(before, before))


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _limit() -> int:
    text = os.environ.get(_VARIABLE, "")
    if not text:
        return DEFAULT_LIMIT_BYTES
    try:
        return parse_size(text, _VARIABLE)
    except InvalidInput as error:
        raise InvalidInput(f"{_VARIABLE} is set to {text!r}: {error}") from None
