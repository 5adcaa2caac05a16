"""What a misfit is called after a strategic merge: its result is a tree in memory, which Go converts.

The other patches give documents, which Go decodes; the same misfit has other words there.

Source: apimachinery runtime/converter.go.
"""

from __future__ import annotations

import re

__all__ = ["as_conversion"]

_MISFIT = re.compile(
    r"json: cannot unmarshal (?P<given>string|bool|number|array|object)(?P<literal> \S+)? "
    r"into Go (?:value|struct field \S+) of type (?P<type>\S+)"
)
_KINDS = {"string": "string", "bool": "bool", "array": "slice", "object": "map"}
_NUMBERS = ("int32", "int64", "float64")


def as_conversion(message: str) -> str:
    """*message* of the JSON decoder in the words of the converter, if it is about a type."""
    found = _MISFIT.fullmatch(message)
    if found is None:
        return message
    wanted = found["type"]
    kind = _KINDS.get(found["given"]) or ("float64" if "." in (found["literal"] or "") else "int64")
    if wanted.startswith("map["):
        return f"cannot restore map from {kind}"
    if wanted.startswith("[]"):
        return f"cannot restore slice from {kind}"
    if "." in wanted:
        return f"cannot restore struct from: {kind}"
    if kind in _NUMBERS and wanted in ("string", *_NUMBERS):
        return f"cannot convert {kind} to {wanted}"
    return f"unrecognized type: {wanted}"
