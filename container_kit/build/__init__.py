"""Dockerfile frontend, build graph and layer cache.

`Image.build` is the face; what is here besides it is for programs that look into the cache or write builds
in Python.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from container_kit._lazy import resolver

if TYPE_CHECKING:
    from container_kit.build.builder import ImageBuilder as ImageBuilder
    from container_kit.build.cache_limit import CacheItem as CacheItem
    from container_kit.build.cache_limit import PrunedCache as PrunedCache
    from container_kit.build.cache_limit import cache_items as cache_items
    from container_kit.build.cache_limit import prune_cache as prune_cache

_HOMES = {
    ".builder": "ImageBuilder",
    ".cache_limit": "CacheItem PrunedCache cache_items prune_cache",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = list(_HOME)

__getattr__ = resolver(__name__, _HOME)
