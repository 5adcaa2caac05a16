"""Schema: one type of the API, as a node of a graph that is built while it is walked.

Built-in types come from the published definitions, those of custom resources from their CRD; both are the
same OpenAPI objects, so patches, apply and checks need not know where a type comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

__all__ = ["Resolve", "Schema"]

# Name of a definition -> its OpenAPI object; an inline schema refers to none.
Resolve = Callable[[str], Mapping[str, Any]]

_SCALARS = ("string", "integer", "number", "boolean")


class Schema:
    """A type: its kind of value, its fields, and how patches and appliers see its lists and maps.

    Attributes:
        name: The definition that it was made from, such as ``io.k8s.api.core.v1.PodSpec``; empty when inline.
        type: ``object`` (with ``properties``), ``map`` (of ``items``), ``array``, ``string``, ``integer``,
            ``number``, ``boolean``, ``int-or-string``, ``quantity``, or ``any`` (whatever JSON can say).
        format: Of a scalar: ``int32``, ``int64``, ``double``, ``byte``, ``date-time`` or nothing.

    Source: kube-openapi; Kubernetes API conventions, "Merge strategy".
    """

    def __init__(self, spec: Mapping[str, Any], resolve: Resolve, name: str = "") -> None:
        while isinstance(reference := spec.get("$ref"), str):
            name = reference
            spec = {**resolve(name), **{key: value for key, value in spec.items() if key != "$ref"}}
        self.name, self.spec, self._resolve = name, spec, resolve

    @cached_property
    def type(self) -> str:
        """Which kind of value this is; see the class."""
        declared, form = self.spec.get("type", ""), self.spec.get("format")
        if form in ("int-or-string", "quantity"):
            return str(form)
        if self.spec.get("x-kubernetes-int-or-string"):
            return "int-or-string"
        if declared == "array" or declared in _SCALARS:
            return str(declared)
        if self.spec.get("properties") or self.embedded:
            return "object"
        return "map" if isinstance(self.spec.get("additionalProperties"), Mapping) else "any"

    @cached_property
    def format(self) -> str:
        """The form of a scalar."""
        return str(self.spec.get("format", ""))

    @cached_property
    def properties(self) -> dict[str, Schema]:
        """The fields of an object."""
        found = self.spec.get("properties") or {}
        return {key: Schema(child, self._resolve) for key, child in found.items()}

    @cached_property
    def additional(self) -> Schema:
        """The type of fields that are not declared; anything, if it does not say."""
        inner = self.spec.get("additionalProperties")
        return Schema(inner if isinstance(inner, Mapping) else {}, self._resolve)

    def beside(self, spec: Mapping[str, Any]) -> Schema:
        """An alternative for the same value, such as a branch of ``oneOf``."""
        return Schema(spec, self._resolve)

    @cached_property
    def items(self) -> Schema:
        """What an array or a map holds; anything, if it does not say."""
        inner = self.spec.get("items" if self.type == "array" else "additionalProperties")
        return Schema(inner if isinstance(inner, Mapping) else {}, self._resolve)

    def child(self, key: str) -> Schema | None:
        """The type of field *key*; None when there is no such field."""
        if self.type == "object":
            declared = self.properties.get(key)
            if declared is None and isinstance(self.spec.get("additionalProperties"), Mapping):
                return self.additional
            return declared
        return self.items if self.type == "map" else None

    @property
    def embedded(self) -> bool:
        """Whether this is a whole object of the API inside another one."""
        return bool(self.spec.get("x-kubernetes-embedded-resource"))

    @property
    def open(self) -> bool:
        """Whether fields that are not declared are kept."""
        return bool(self.spec.get("x-kubernetes-preserve-unknown-fields"))

    @property
    def required(self) -> tuple[str, ...]:
        """The fields that an object must have."""
        return tuple(self.spec.get("required") or ())

    @property
    def default(self) -> Any:
        """The value of a field that is left out; None when it has none.  Not to be changed."""
        return self.spec.get("default")

    @property
    def patch_strategies(self) -> tuple[str, ...]:
        """How a strategic merge patch treats this field: ``merge``, ``replace``, ``retainKeys``."""
        return tuple(str(self.spec.get("x-kubernetes-patch-strategy") or "").split(","))

    @property
    def patch_merge_key(self) -> str:
        """The field by which a strategic merge patch knows the items of this list; empty for plain values."""
        return str(self.spec.get("x-kubernetes-patch-merge-key") or "")

    @cached_property
    def list_type(self) -> str:
        """How appliers share this list: ``atomic``, ``set`` or ``map``."""
        return str(self.spec.get("x-kubernetes-list-type") or "atomic")

    @cached_property
    def list_map_keys(self) -> tuple[str, ...]:
        """The fields that tell the items of a ``map`` list apart."""
        return tuple(self.spec.get("x-kubernetes-list-map-keys") or ())

    @cached_property
    def atomic(self) -> bool:
        """Whether a map or list has one owner as a whole."""
        if self.type == "array":
            return self.list_type == "atomic"
        if self.type == "any":
            return not self.open
        return self.spec.get("x-kubernetes-map-type") == "atomic"
