"""Notes about images that were made from this host: the second request for the same is answered by one.

A note lists the paths that were looked at, each with what identifies its content.  If none has changed,
neither has the image.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import attrs

from container_kit.errors import ContainerKitError, NotFound
from container_kit.images import records
from container_kit.oci import Digest
from container_kit.oci.json_document import encode

if TYPE_CHECKING:
    from container_kit.store import Store

__all__ = ["Note", "forget_notes"]

_KIND = "host-note"
_FORMAT = 1  # raise it when the same inputs give other bytes
_MAX_BYTES = 64 << 20


@attrs.frozen
class Note:
    """What is known of one request; *key* is a hash of all that was asked for."""

    store: Store
    key: str

    @classmethod
    def of(cls, store: Store, request: list[Any]) -> Note:
        """The note of *request*, a list that JSON can hold."""
        return cls(store, Digest.of(encode({"format": _FORMAT, "request": request})).hex)

    def image(self) -> Digest | None:
        """The image that was made, if it is still there and nothing it was made of has changed."""
        try:
            note = self.store.resolve_name(_KIND, self.key)
            if note is None:
                return None
            document = _document(self.store, note)
            image = Digest.parse(document["image"])
            unchanged = all(_identity(path) == identity for path, identity in document["seen"].items())
        except (OSError, ValueError, KeyError, ContainerKitError):
            return None
        return image if unchanged and self.store.resolve_name(records.IMAGE, str(image)) == image else None

    def write(self, image: Digest, paths: Iterable[str]) -> None:
        """Remember that *image* was made of *paths*; call it within a lease."""
        try:
            raw = encode({"image": str(image), "seen": {path: _identity(path) for path in paths}})
        except (OSError, UnicodeEncodeError):
            return  # a file that changed meanwhile, or a name that JSON cannot hold: made again next time
        self.store.set_name(_KIND, self.key, self.store.put_blob(raw))


def forget_notes(store: Store) -> None:
    """Remove the notes whose image is gone: nothing else needs them."""
    for key, note in store.names(_KIND).items():
        try:
            image = _document(store, note)["image"]
            if store.resolve_name(records.IMAGE, image) is None:
                store.remove_name(_KIND, key)
        except NotFound:
            continue  # another process was faster


def _document(store: Store, note: Digest) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(store.read_blob(note, _MAX_BYTES))
    return document


def _identity(path: str) -> list[int]:
    """What changes when the content of *path* does; links are not followed."""
    info = os.lstat(path)
    return [info.st_dev, info.st_ino, info.st_mode, info.st_size, info.st_mtime_ns, info.st_ctime_ns]
