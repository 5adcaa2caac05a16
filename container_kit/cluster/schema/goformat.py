"""Values as Go prints them with ``%v``: messages of the API server have them inside."""

from __future__ import annotations

from typing import Any

__all__ = ["go_format", "go_type_of"]


def go_format(value: Any) -> str:
    """``map[a:1 b:[x y]]``, keys in order; null is ``<nil>``."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{go_format(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(go_format, value)) + "]"
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


_TYPES = {
    str: "string",
    bool: "bool",
    int: "int64",
    float: "float64",
    list: "[]interface {}",
    dict: "map[string]interface {}",
}


def go_type_of(value: Any) -> str:
    """What ``%T`` says of a decoded value."""
    return _TYPES.get(type(value), "<nil>")
