"""What verbs of images take and tell: types and values only."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Literal, Protocol, TypeAlias

import attrs

if TYPE_CHECKING:
    from container_kit.oci import Digest
    from container_kit.store import Store

__all__ = [
    "ArchiveFormat",
    "BuildContext",
    "Copied",
    "HasStore",
    "Pruned",
    "PullPolicy",
    "PushCompression",
    "Pushed",
    "Removed",
]

BuildContext: TypeAlias = "str | os.PathLike[str] | IO[bytes] | Mapping[str, str | bytes] | None"
ArchiveFormat = Literal["docker-archive", "oci", "oci-dir"]
PullPolicy = Literal["always", "missing", "never"]
PushCompression = Literal["auto", "keep", "gzip"]


class HasStore(Protocol):
    """Whatever carries the store that images are read from and written to: an Engine, for one."""

    @property
    def store(self) -> Store: ...


@attrs.frozen
class Removed:
    """What `Image.remove` did: the names taken away, and the image itself if none was left."""

    untagged: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()


@attrs.frozen
class Pushed:
    """What `Image.push` did: the name, and the digest and size that the manifest has in the registry."""

    reference: str
    digest: Digest
    size: int


@attrs.frozen
class Copied:
    """What `Image.copy` did: the place, and what the name means there: an image, or an index of several."""

    target: str
    digest: Digest
    media_type: str
    size: int


@attrs.frozen
class Pruned:
    """What `Image.prune` did: the ids of the images that went, and the bytes that came back."""

    deleted: tuple[str, ...] = ()
    reclaimed_bytes: int = 0
