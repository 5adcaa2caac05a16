"""The face of layer work: everything that images and the store need of it, in one place."""

from __future__ import annotations

from container_kit.native._jobs import Cancellation, Compression, Form
from container_kit.native.deflating import Deflated, deflate_file
from container_kit.native.digests import Hasher, sha256_fd, sha256_range
from container_kit.native.inflating import inflate_file
from container_kit.native.packing import Packed, Replayed, pack, replay
from container_kit.native.trees import copy_tree, mkdirs_beneath, open_beneath, remove_tree
from container_kit.native.unpacking import Unpacked, UnpackLimits, features, unpack

__all__ = [
    "Cancellation",
    "Compression",
    "Deflated",
    "Form",
    "Hasher",
    "Packed",
    "Replayed",
    "UnpackLimits",
    "Unpacked",
    "copy_tree",
    "deflate_file",
    "features",
    "inflate_file",
    "mkdirs_beneath",
    "open_beneath",
    "pack",
    "remove_tree",
    "replay",
    "sha256_fd",
    "sha256_range",
    "unpack",
]
