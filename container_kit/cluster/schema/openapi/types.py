"""Published types as OpenAPI 3 documents show them, with their descriptions.

A reference beside anything else is wrapped into ``allOf``, for it would hide the rest.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from container_kit.cluster.schema.definitions import definition, kinds, read_data

__all__ = ["META", "REF", "Json", "facts", "kind_names", "type_v3"]

Json = dict[str, Any]

META = "io.k8s.apimachinery.pkg.apis.meta.v1."
REF = "#/components/schemas/"


@cache
def facts() -> Json:
    """What operations say that does not follow from the resource; not to be changed."""
    found: Json = msgspec.json.decode(read_data("operations.json.gz"))
    return found


@cache
def _texts() -> Json:
    found: Json = msgspec.json.decode(read_data("descriptions.json.gz"))
    return found


@cache
def kind_names() -> dict[tuple[str, str, str], str]:
    """Each published kind's definition."""
    return kinds()


@cache
def type_v3(name: str) -> Json:
    """A published type as version 3 documents have it; not to be changed."""
    text, of_fields = _texts()[name]
    made: Json = {"description": text} if text else {}
    made |= {key: value for key, value in definition(name).items() if not _is_ours(key)}
    if made.get("format") == "quantity":
        del made["format"], made["type"]
        made["oneOf"] = [{"type": "string"}, {"type": "number"}]
    if made.get("format") == "int-or-string":
        del made["type"]
        made["oneOf"] = [{"type": "integer"}, {"type": "string"}]
    if "properties" in made:
        made["properties"] = {
            key: _field_v3(child, of_fields.get(key, "")) for key, child in made["properties"].items()
        }
    return made


def _is_ours(key: str) -> bool:
    return key in ("x-omit-zero", "x-null-when-empty", "x-always-written")


def _field_v3(node: Json, text: str = "") -> Json:
    """A field: a reference beside anything else is wrapped, for it would hide the rest."""
    made: Json = {"description": text} if text else {}
    made |= {key: value for key, value in node.items() if not _is_ours(key)}
    for key in ("items", "additionalProperties"):
        if isinstance(made.get(key), dict):
            made[key] = _field_v3(made[key])
    reference = made.pop("$ref", None)
    if isinstance(reference, str):
        target = {"$ref": REF + reference}
        return {**made, "allOf": [target]} if made else target
    return made
