"""Custom resources in OpenAPI documents: types with what every object has, lists of them, and operations.

What is told of operations on them is a little less than of built-in ones.

Source: apiextensions, the builder of OpenAPI documents for CustomResourceDefinitions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from container_kit.cluster.schema.openapi.documents import document
from container_kit.cluster.schema.openapi.operations import LISTING, PATCHES, Operations, Served, type_name
from container_kit.cluster.schema.openapi.types import META, REF, Json, type_v3

__all__ = ["Named", "custom_document", "published_type"]

_MARK = "x-kubernetes-group-version-kind"
_OF_OTHER_SERVERS = (
    "admission.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "imagepolicy.k8s.io",
)


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


class _CustomOperations(Operations):
    """Operations on a custom resource: no protobuf, no strategic merge patch, no old ways to watch."""

    _plain = ("application/json", "application/yaml")
    _watched = _plain
    _bodies = _plain
    _patches = PATCHES[:3]
    _reading = ("resourceVersion",)
    _patched_codes = ("200",)
    _deleting_many = LISTING

    def _watches(self) -> Json:
        return {}

    def _or_watch(self) -> str:
        return ""

    def _body_of_deleting_many(self) -> None:
        return None

    def _kind_of_part(self, gvk: tuple[str, str, str]) -> Json:
        resource = self._resource
        return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def custom_document(resources: Iterable[Served], types: Json) -> Json:
    """The document of a group and version of custom resources; *types* has their definitions."""
    paths: Json = {}
    for resource in resources:
        paths.update(_CustomOperations(resource).paths())
    made = document(paths, types)
    del made["components"]["securitySchemes"]
    options = made["components"]["schemas"].get(META + "DeleteOptions")
    if options is not None:
        made["components"]["schemas"][META + "DeleteOptions"] = _known_to_its_server(options)
    return {**made, "info": {"title": "Kubernetes CRD Swagger", "version": "v0.1.0"}}


def _known_to_its_server(options: Json) -> Json:
    """Options of deletions, with the groups of which the part that serves custom resources knows."""
    marks = [gvk for gvk in options[_MARK] if gvk["group"] not in _OF_OTHER_SERVERS]
    return {**options, _MARK: marks}


def published_type(resource: Named, spec: Any, selectable: Iterable[str] = ()) -> dict[str, Json]:
    """The definitions of a custom kind and of its list, by name.

    Args:
        resource: The kind.
        spec: Its OpenAPI schema, as the CRD has it.
        selectable: The fields by which it can be selected.
    """
    fields = [{"fieldPath": field} for field in selectable]
    more = {"x-kubernetes-selectable-fields": fields} if fields else {}
    name = type_name(resource.group, resource.version, resource.kind)
    list_kind = resource.list_kind or f"{resource.kind}List"
    return {
        name: _object_type(resource, spec) | more,
        type_name(resource.group, resource.version, list_kind): _list_type(resource, list_kind, name) | more,
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
    return {_MARK: [gvk]}
