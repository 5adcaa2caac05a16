"""Parameters of operations: data, but for the name in a path, whose text has the kind."""

from __future__ import annotations

from collections.abc import Iterable

from container_kit.cluster.schema.openapi.types import Json, facts

__all__ = ["in_order", "parameter", "shared_parameter"]


def in_order(keys: Iterable[str]) -> tuple[str, ...]:
    """Keys of parameters by the names that these have; those of the path before those of the query."""
    return tuple(sorted(keys, key=lambda key: (key.rpartition(":")[2], not key.startswith("path:"))))


def parameter(key: str) -> Json:
    """A parameter by its key; one that is special to an operation, or else the one of that name."""
    found: Json = facts()["parameters"]
    return dict(found.get(key) or found[key.rpartition(":")[2]])


def shared_parameter(key: str, kind: str) -> Json:
    """A parameter of all operations at a path, which is about objects of *kind*."""
    if key != "path:name":
        return parameter(key)
    schema = {"type": "string", "uniqueItems": True}
    return {
        "name": "name",
        "in": "path",
        "description": f"name of the {kind}",
        "required": True,
        "schema": schema,
    }
