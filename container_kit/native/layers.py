"""Layers: one pass from a compressed archive to a tree and its digests, and the way back."""

from __future__ import annotations

from container_kit.native.digests import Hasher, sha256_fd, sha256_range
from container_kit.native.trees import mkdirs_beneath, open_beneath, remove_tree

__all__ = [
    "Hasher",
    "mkdirs_beneath",
    "open_beneath",
    "remove_tree",
    "sha256_fd",
    "sha256_range",
]
