"""Objects as those see them who keep what they see: lean, and with the parts that many have alike only once.

Thousands of pods come from few templates: their tolerations, volumes and labels are equal.  Kept once, a pod
takes two thirds of the memory.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from container_kit.cluster.meta import Object

__all__ = ["Sharing"]

_PARTS_KNOWN: Final = 1024
_LONGEST_BYTES: Final = 2048
_DEPTH: Final = 2  # a container's resources are looked for, what is in them is not
_encode = msgspec.json.Encoder().encode


class Sharing:
    """Makes objects of what a store gives away; all of them are only to be read.

    ``managedFields`` are left out: they are up to half of an object, and nobody who keeps it looks at them.
    The same object comes for one subscriber after the other, so the latest is remembered.
    """

    def __init__(self) -> None:
        self._latest: tuple[Object, Object] = ({}, {})
        self._parts: dict[bytes, Any] = {}

    def of(self, obj: Object) -> Object:
        """*obj* as subscribers see it."""
        known, lean = self._latest
        if known is obj:
            return lean
        metadata = {name: value for name, value in obj["metadata"].items() if name != "managedFields"}
        lean = {name: self._with_shared(value) for name, value in {**obj, "metadata": metadata}.items()}
        self._latest = obj, lean
        return lean

    def _with_shared(self, value: Any, depth: int = _DEPTH) -> Any:
        if isinstance(value, dict):
            return {name: self._shared(part, depth) for name, part in value.items()}
        if isinstance(value, list):
            return [self._shared(part, depth) for part in value]
        return value

    def _shared(self, value: Any, depth: int) -> Any:
        """An equal value that was seen before, if it is a part that could be shared."""
        if not isinstance(value, dict | list):
            return value
        key = _encode(value)
        if (known := self._parts.get(key)) is not None:
            return known
        made = self._with_shared(value, depth - 1) if depth else value
        if len(key) <= _LONGEST_BYTES:
            if len(self._parts) >= _PARTS_KNOWN:
                self._parts.clear()
            self._parts[key] = made
        return made
