"""The cache of layers: the key of a step gives the layer that the step made, or that it made none.

An entry is a small document in the store that a name keeps; it refers to its layer, so the collector spares
both.  The name comes last, as everywhere: an entry is there with its layer, or not at all.  When an entry was
last used is told by an empty file beside the store, whose loss only changes the order of pruning.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import attrs

from container_kit.errors import ContainerKitError, NotFound
from container_kit.images.layers import plain_descriptor
from container_kit.oci import Descriptor, Digest
from container_kit.oci.json_document import encode, load_object
from container_kit.store import files

if TYPE_CHECKING:
    from container_kit.store import Store

__all__ = ["BuildCache", "Entry", "Layer"]

_KIND = "build-cache"
_is_key = re.compile("[0-9a-f]{64}").fullmatch


@attrs.frozen
class Layer:
    """A layer of an image that is being built: its diff id, and how a manifest points at it."""

    diff_id: Digest
    descriptor: Descriptor


@attrs.frozen(kw_only=True)
class Entry:
    """What is known of one step.

    Args:
        key: Of the step.
        layer: What it made; None when it changed nothing.
        name: The step in words, for people.
        size_bytes: Of the files of its layer.
        used_s: When it was last used, seconds since the epoch.
    """

    key: Digest
    layer: Layer | None
    name: str = ""
    size_bytes: int = 0
    used_s: float = 0.0


class BuildCache:
    """The cache in one store; any number of builds and processes use it at once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._directory = f"{store.root}/build/used"

    def find(self, key: Digest) -> Entry | None:
        """The entry of *key*, or None; it counts as used now.

        Call it within a lease, and add the layer to it before anything else.
        """
        document = self._store.resolve_name(_KIND, key.hex)
        entry = None if document is None else self._read(key, document)
        if entry is not None:
            self._touch(key)
        return entry

    def add(self, key: Digest, layer: Layer | None, name: str) -> None:
        """Remember what the step *key* made; its layer is in the store.  Call it within a lease."""
        raw = encode(
            {
                "format": 1,
                "key": str(key),
                "name": name[:200],
                **({"diffId": str(layer.diff_id)} if layer else {}),
            }
        )
        needed = [layer.diff_id] if layer else []
        self._store.set_name(_KIND, key.hex, self._store.put_blob(raw, references=needed, trees=needed))
        self._touch(key)

    def entries(self) -> Iterator[Entry]:
        """All entries, in no order."""
        for name, document in self._store.names(_KIND).items():
            entry = self._read(Digest("sha256", name), document) if _is_key(name) else None
            if entry is not None:
                yield attrs.evolve(entry, used_s=self._used(entry.key))

    def remove(self, key: Digest) -> None:
        """Forget *key*; its layer goes with the next collection unless something else needs it."""
        with suppress(NotFound):
            self._store.remove_name(_KIND, key.hex)
        with suppress(OSError):
            os.unlink(f"{self._directory}/{key.hex}")

    def _read(self, key: Digest, document: Digest) -> Entry | None:
        """An entry that is damaged, or whose layer is, is as good as none."""
        try:
            fields = load_object(self._store.read_blob(document), "an entry of the build cache")
            if fields.get("key") != str(key) or fields.get("format") != 1:
                return None
            return self._entry(key, fields)
        except (ContainerKitError, KeyError, TypeError):
            return None

    def _entry(self, key: Digest, fields: dict[str, Any]) -> Entry:
        name = str(fields.get("name", ""))
        if "diffId" not in fields:
            return Entry(key=key, layer=None, name=name)
        diff_id = Digest.parse(fields["diffId"])
        size_bytes, _ = self._store.tree_usage(diff_id)
        layer = Layer(diff_id, plain_descriptor(self._store, diff_id))
        return Entry(key=key, layer=layer, name=name, size_bytes=size_bytes)

    def _used(self, key: Digest) -> float:
        try:
            return os.stat(f"{self._directory}/{key.hex}").st_mtime
        except OSError:
            return 0.0

    def _touch(self, key: Digest) -> None:
        path = f"{self._directory}/{key.hex}"
        try:
            os.utime(path)
        except FileNotFoundError:
            with suppress(OSError):  # a full disk: the entry only looks older than it is
                make_private(self._directory)
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        except OSError:
            return


def make_private(directory: str) -> None:
    """Make *directory* and its parent for this user alone; may be repeated."""
    files.ensure_directory(os.path.dirname(directory))
    files.ensure_directory(directory)
