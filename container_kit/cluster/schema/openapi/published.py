"""Custom types as OpenAPI documents show them: with what every object has, and lists of them.

Source: apiextensions, the builder of OpenAPI documents for CustomResourceDefinitions.
"""

from __future__ import annotations

from typing import Any, Protocol

from container_kit.cluster.schema.openapi.operations import type_name
from container_kit.cluster.schema.openapi.types import META, REF, Json, type_v3

__all__ = ["Named", "published_type"]


class Named(Protocol):
    """A resource, as far as its types are named by it."""

    @property
    def group(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def list_kind(self) -> str: ...


def published_type(resource: Named, spec: Any) -> dict[str, Json]:
    """The definitions of a custom kind and of its list, by name.

    Args:
        resource: The kind.
        spec: Its OpenAPI schema, as the CRD has it.
    """
    name = type_name(resource.group, resource.version, resource.kind)
    list_kind = resource.list_kind or f"{resource.kind}List"
    return {
        name: _object_type(resource, spec),
        type_name(resource.group, resource.version, list_kind): _list_type(resource, list_kind, name),
    }


def _common() -> Json:
    """The two fields that say what an object is, with their texts."""
    fields = type_v3("io.k8s.api.core.v1.ConfigMap")["properties"]
    return {key: fields[key] for key in ("apiVersion", "kind")}


def _object_type(resource: Named, spec: Any) -> Json:
    shown: Json = _shown(spec)
    properties = {**shown.get("properties", {}), **_common()}
    metadata = type_v3("io.k8s.api.core.v1.ConfigMap")["properties"]["metadata"]
    properties["metadata"] = {key: value for key, value in metadata.items() if key != "default"}
    return {**shown, "type": "object", "properties": properties, **_kind(resource, resource.kind)}


def _shown(spec: Any) -> Any:
    """The schema as it is shown: without what only the server reads."""
    if isinstance(spec, list):
        return [_shown(item) for item in spec]
    if not isinstance(spec, dict):
        return spec
    return {key: _shown(value) for key, value in spec.items() if key != "x-kubernetes-validations"}


def _list_type(resource: Named, list_kind: str, name: str) -> Json:
    items = {
        "description": f"List of {resource.kind.lower()}s. More info: https://git.k8s.io/community/contributors/"
        "devel/sig-architecture/api-conventions.md",
        "type": "array",
        "items": {"$ref": REF + name},
    }
    metadata = {
        "description": "Standard list metadata. More info: https://git.k8s.io/community/contributors/devel/"
        "sig-architecture/api-conventions.md#types-kinds",
        "allOf": [{"$ref": f"{REF}{META}ListMeta"}],
    }
    return {
        "description": f"{list_kind} is a list of {resource.kind}",
        "type": "object",
        "required": ["items"],
        "properties": {**_common(), "items": items, "metadata": metadata},
        **_kind(resource, list_kind),
    }


def _kind(resource: Named, kind: str) -> Json:
    gvk = {"group": resource.group, "kind": kind, "version": resource.version}
    return {"x-kubernetes-group-version-kind": [gvk]}
