"""The cache as it travels: an image whose manifest says which step made which of its layers.

One form for all ways: a layout directory, a repository of its own (separate), the built image (inline).
It is data of others: keys are looked up in it, and a layer is used only after its digests were checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from container_kit.build.cache import Layer
from container_kit.errors import CorruptData, InvalidInput
from container_kit.oci import Digest
from container_kit.oci.json_document import Fields, encode, load_object

__all__ = ["ANNOTATION", "CachedStep", "read_steps", "write_steps"]

ANNOTATION = "io.container-kit.build-cache.v1"
_MOST_STEPS = 5000
_NONE = -1


@attrs.frozen
class CachedStep:
    """A step: its key, its name for people, and the place of its layer in the manifest; None for no layer."""

    key: Digest
    name: str
    layer: int | None


def write_steps(steps: Iterable[tuple[Digest, Layer | None, str]], layers: Sequence[Digest]) -> str:
    """The annotation for *steps*, whose layers are among *layers* (diff ids, lowest first)."""
    places = {diff_id: at for at, diff_id in enumerate(layers)}
    rows = [
        {"key": str(key), "name": name, "layer": _NONE if layer is None else places[layer.diff_id]}
        for key, layer, name in sorted(steps, key=lambda step: str(step[0]))
        if layer is None or layer.diff_id in places
    ]
    return encode({"steps": rows}).decode()


def read_steps(text: str, layers: int) -> tuple[CachedStep, ...]:
    """The steps of an annotation in a manifest with so many *layers*.

    Raises:
        InvalidInput: It is no such annotation.
        CorruptData: It names a layer that the manifest does not have.
        LimitExceeded: It is larger than any cache.
    """
    fields = Fields(load_object(text.encode(), "the build cache"), "cache", ("steps",))
    return fields.items("steps", lambda row, where: _step(row, where, layers), _MOST_STEPS)


def _step(row: object, where: str, layers: int) -> CachedStep:
    fields = Fields(row, where, ("key", "name", "layer"))
    if "layer" not in fields:
        raise InvalidInput(f"{where} has no layer")
    layer = fields.integer("layer", low=_NONE)
    if layer >= layers:
        raise CorruptData(f"{where} names layer {layer}, the manifest has {layers}")
    key = Digest.parse(fields.required_text("key"))
    return CachedStep(key, fields.text("name")[:200], None if layer == _NONE else layer)
