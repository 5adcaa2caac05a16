"""The published types of Kubernetes 1.32, read when they are asked for.

The data file is unpacked once (0.8 ms); of each definition only the bytes are kept until somebody needs it.
`tools/kubernetes_schema.py` writes the file, ``data/NOTICE`` says where it comes from.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from container_kit.cluster.schema.nodes import Schema

__all__ = [
    "GroupVersionKind",
    "definition",
    "definition_names",
    "kinds",
    "read_data",
    "schema_named",
    "schema_of",
]

GroupVersionKind = tuple[str, str, str]


class _Document(msgspec.Struct):
    kinds: dict[str, str]
    definitions: dict[str, msgspec.Raw]


def read_data(name: str) -> bytes:
    """The content of one of our data files, unpacked."""
    return gzip.decompress((Path(__file__).parent / "data" / name).read_bytes())


@cache
def _document() -> _Document:
    return msgspec.json.decode(read_data("definitions.json.gz"), type=_Document)


def definition_names() -> list[str]:
    """The names of all published definitions."""
    return list(_document().definitions)


@cache
def definition(name: str) -> Mapping[str, Any]:
    """The OpenAPI object of definition *name*, without descriptions; not to be changed.

    Raises:
        KeyError: There is no such definition.
    """
    found: dict[str, Any] = msgspec.json.decode(_document().definitions[name])
    return found


@cache
def schema_named(name: str) -> Schema:
    """The type of definition *name*; always the same object."""
    return Schema(definition(name), definition, name)


def kinds() -> dict[GroupVersionKind, str]:
    """All published kinds, and their definitions."""
    found = _document().kinds.items()
    return {tuple(key.rsplit("/", 2)): name for key, name in found}  # type: ignore[misc]


@cache
def schema_of(group_version_kind: GroupVersionKind) -> Schema | None:
    """The type of a built-in kind, such as ``("apps", "v1", "Deployment")``; None when it is not ours."""
    name = _document().kinds.get("/".join(group_version_kind))
    return schema_named(name) if name else None
