"""OpenAPI 3 documents: one for each group and version, made of the resources that are served there.

kubectl reads them before it creates or applies anything, `explain` shows them.  Types come from the published
definitions (or a CRD), operations follow from the verbs of the resources; parameters are data.

Source: OpenAPI 3.0.0; the documents of a 1.32 API server.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from container_kit.cluster.schema.openapi.operations import (
    PLAIN,
    UNAUTHORIZED,
    Operations,
    Served,
    answer,
    api_versions,
    group_words,
    tag,
    title,
)
from container_kit.cluster.schema.openapi.types import META, REF, Json, facts, type_v3

__all__ = ["discovery_document", "document", "group_document", "other_documents", "version_document"]


def version_document(
    group: str, version: str, resources: Iterable[Served], types: Json | None = None
) -> Json:
    """The document of one group and version.

    Args:
        group: Its name; empty for the core.
        version: Such as ``v1``.
        resources: What is served there.
        types: Definitions beside the published ones, by name; for custom resources.
    """
    paths = {f"{api_versions(group)}/{version}/": _discovery(group, version, "APIResourceList")}
    for resource in resources:
        paths.update(Operations(resource).paths())
    return document(paths, types or {})


def group_document(group: str) -> Json:
    """The document of a group: there is only what discovery answers."""
    path = f"{api_versions(group)}/"
    return document({path: _discovery(group, "", "APIGroup" if group else "APIVersions")}, {})


def discovery_document() -> Json:
    """The document of ``/apis``."""
    operation = _operation("get available API versions", "getAPIVersions", ["apis"], "APIGroupList")
    return document({"/apis/": {"get": operation}}, {})


def other_documents() -> dict[str, Json]:
    """The documents of paths that belong to no group, by their place in the index, such as ``version``."""
    found = {name: document(paths, {}) for name, paths in facts()["others"].items()}
    for made in found.values():
        if not made["components"]["schemas"]:
            del made["components"]["schemas"]
    return found


def _discovery(group: str, version: str, kind: str) -> Json:
    what = {"APIVersions": "API versions", "APIResourceList": "resources"}.get(kind)
    text = f"get available {what}" if what else "get information of a group"
    suffix = "APIResources" if kind == "APIResourceList" else kind
    word = tag(group, version) if version else group_words(group or "core", first_lower=True)
    return {"get": _operation(text, f"get{title(group, version)}{suffix}", [word], kind)}


def _operation(text: str, identifier: str, tags: list[str], kind: str) -> Json:
    responses = {"200": answer("OK", META + kind, PLAIN)} | UNAUTHORIZED
    return {"tags": tags, "description": text, "operationId": identifier, "responses": responses}


def document(paths: Json, types: Json) -> Json:
    """A whole document, with every type that its operations lead to."""
    schemas: Json = {}
    wanted = sorted(set(_references(paths)))
    while wanted:
        name = wanted.pop()
        if name not in schemas:
            schemas[name] = types[name] if name in types else type_v3(name)
            wanted += _references(schemas[name])
    security = {
        "BearerToken": {
            "type": "apiKey",
            "description": "Bearer Token authentication",
            "name": "authorization",
            "in": "header",
        }
    }
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "1.32"},
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": dict(sorted(schemas.items())), "securitySchemes": security},
    }


def _references(node: Any) -> Iterator[str]:
    """The names of all types that *node* refers to."""
    if isinstance(node, dict):
        reference = node.get("$ref")
        if isinstance(reference, str):
            yield reference.removeprefix(REF)
        for child in node.values():
            yield from _references(child)
    elif isinstance(node, list):
        for child in node:
            yield from _references(child)
