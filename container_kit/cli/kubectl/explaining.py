"""``explain``: what a field of a kind is, from the schema that the server publishes.

Source: OpenAPI 3 as served below ``/openapi/v3``; kubectl explain.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click
import msgspec

from container_kit.cli.kubectl.access import pass_cluster, say
from container_kit.errors import InvalidInput

if TYPE_CHECKING:
    from container_kit.cluster import Cluster
    from container_kit.cluster.client.resources import ResourceInfo

__all__ = ["explain"]

Object = dict[str, Any]
_WIDTH = 76
_DEEPEST = 20
_MOST = 4  # values of an enumeration that are named among other fields


@click.command()
@click.argument("path", metavar="KIND[.FIELD...]")
@click.option("--recursive", is_flag=True, help="All fields below, without their descriptions.")
@pass_cluster
def explain(cluster: Cluster, path: str, recursive: bool) -> None:
    """Show what a kind, or a field of it, is."""
    kind, *fields = path.split(".")
    info = cluster.client.resource(kind)
    schemas = _schemas(cluster, info)
    lines = [f"GROUP:      {info.group}"] if info.group else []
    lines += [f"KIND:       {info.kind}", f"VERSION:    {info.version}", ""]
    place = _schema_of(schemas, info)
    for field in fields:
        properties = _item(schemas, place).get("properties") or {}
        if field not in properties:
            say("\n".join(lines))
            raise InvalidInput(f'field "{field}" does not exist')
        place = properties[field]
    if fields:
        lines += [f"FIELD: {fields[-1]} <{_type(schemas, place)}>"]
        lines += ["ENUM:", *(f"    {one}" for one in place["enum"]), ""] if place.get("enum") else ["", ""]
    lines += ["DESCRIPTION:", *_wrapped(_descriptions(schemas, place)), "    "]
    below = list(_fields(schemas, place, recursive, 1))
    say("\n".join([*lines, "FIELDS:", *below] if below else lines) + "\n")


def _schemas(cluster: Cluster, info: ResourceInfo) -> Object:
    reply = cluster.client.request("GET", f"/openapi/v3{info.root}")
    found: Object = msgspec.json.decode(reply.body)["components"]["schemas"]
    return found


def _schema_of(schemas: Object, info: ResourceInfo) -> Object:
    wanted = {"group": info.group, "kind": info.kind, "version": info.version}
    for schema in schemas.values():
        if wanted in (schema.get("x-kubernetes-group-version-kind") or ()):
            return dict(schema)
    raise InvalidInput(f"the server publishes no schema of {info.kind}")


def _descriptions(schemas: Object, schema: Object) -> str:
    """Its own, and that of what it refers to."""
    inner = schema.get("items") or schema.get("additionalProperties")
    referred = _referred(schemas, inner if isinstance(inner, dict) else schema)
    texts = [schema.get("description"), referred.get("description")]
    return "\n".join(text for text in texts if text) or "<empty>"


def _referred(schemas: Object, schema: Object) -> Object:
    reference = (schema.get("allOf") or [schema])[0].get("$ref", "")
    found: Object = schemas.get(reference.rpartition("/")[2], {})
    return found


def _item(schemas: Object, schema: Object) -> Object:
    """What has the fields: what it refers to, or what is in it, if it is a list or a map."""
    inner = schema.get("items") or schema.get("additionalProperties")
    if isinstance(inner, dict):
        return _item(schemas, inner)
    return _referred(schemas, schema) or schema


def _type(schemas: Object, schema: Object) -> str:
    if schema.get("type") == "array":
        return f"[]{_type(schemas, schema['items'])}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"map[string]{_type(schemas, schema['additionalProperties'])}"
    referred = _referred(schemas, schema)
    if referred.get("type", "object") != "object":
        return str(referred["type"])
    reference = (schema.get("allOf") or [schema])[0].get("$ref", "")
    return str(reference.rpartition(".")[2] or schema.get("type") or "Object")


def _fields(schemas: Object, schema: Object, deep: bool, depth: int) -> Iterator[str]:
    owner = _item(schemas, schema)
    needed = owner.get("required") or ()
    for name, place in sorted((owner.get("properties") or {}).items()):
        kind = _type(schemas, place)
        yield f"{'  ' * depth}{name}\t<{kind}>{' -required-' if name in needed else ''}"
        if place.get("enum"):
            more = ["...."] if len(place["enum"]) > _MOST else []
            yield f"{'  ' * depth}enum: {', '.join([*place['enum'][:_MOST], *more])}"
        if not deep:
            yield from _wrapped(place.get("description") or "<no description>")
            yield ""
        elif depth < _DEEPEST and "JSONSchemaProps" not in kind:
            yield from _fields(schemas, place, True, depth + 1)


def _wrapped(text: str) -> Iterator[str]:
    for paragraph in text.split("\n"):
        lines = textwrap.wrap(
            paragraph,
            _WIDTH,
            break_long_words=False,
            break_on_hyphens=False,
            expand_tabs=False,
            replace_whitespace=False,
        )
        yield from (f"    {line}" for line in lines or [""])
