"""Keys of copies that were computed before, found again while nothing below their directory has changed.

A large context then costs one look at the state of each file, and no object for any of them.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Sequence
from hashlib import sha256

import attrs

from container_kit.build.dockerfile.patterns import has_wildcards
from container_kit.build.hashes import HashCache, is_settled
from container_kit.build.selection import TreeSource
from container_kit.errors import KernelError
from container_kit.native.listing import tree_state
from container_kit.native.trees import open_beneath
from container_kit.oci import Digest

__all__ = ["Remembered", "recall"]


@attrs.frozen
class Remembered:
    """Where the key of one copy stands, or will stand.

    Args:
        key: None while it is not known.
    """

    _cache: HashCache
    _name: bytes
    key: Digest | None

    def keep(self, key: Digest) -> None:
        """Find *key* the next time."""
        self._cache.keep_key(self._name, key)


def recall(sources: Sequence[object], words: object) -> Remembered | None:
    """What is remembered of copying *sources*; None when that cannot be, or would not be worth it.

    Args:
        sources: Directories of one context.
        words: All else that the key depends on; equal ones have equal ``repr``.
    """
    name = sha256(repr(words).encode("utf-8", "surrogateescape"))
    caches: list[HashCache] = []
    for source in sources:
        if not isinstance(source, TreeSource) or source.tree.hashes is None:
            return None
        state = _state(source)
        if state is None:
            return None
        caches.append(source.tree.hashes)
        patterns = [(rule.takes_back, rule.pattern) for rule in source.tree.rules.rules]
        about = (source.path, source.unpack, source.literal, source.tree.owner, patterns)
        name.update(repr(about).encode("utf-8", "surrogateescape") + b"\0" + state)
    if not caches:
        return None
    return Remembered(caches[0], name.digest(), caches[0].known_key(name.digest()))


def _state(source: TreeSource) -> bytes | None:
    """The state of the directory that *source* is; None for anything else, and for what just changed."""
    if has_wildcards(source.path):
        return None
    path = source.tree.resolve(source.path)
    found = source.tree.lstat(path)
    if found is None or not stat.S_ISDIR(found.mode):
        return None
    fd = open_beneath(
        source.tree.fd, path or ".", os.O_RDONLY | os.O_DIRECTORY, in_root=False, no_symlinks=True
    )
    try:
        state, newest_ns = tree_state(fd)
    except KernelError:
        return None  # whoever walks it says what is wrong
    finally:
        os.close(fd)
    return os.fsencode(path) + b"\0" + state if is_settled(newest_ns, time.time_ns()) else None
