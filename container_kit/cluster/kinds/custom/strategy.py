"""The strategy of custom resources: whatever their definition says.

One strategy serves all versions of a definition: an object is completed and judged by the schema of the
version that it is in.

Source: Kubernetes, "Extend the Kubernetes API with CustomResourceDefinitions".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from container_kit.cluster.kinds.custom.json_path import first
from container_kit.cluster.kinds.metadata import check_metadata_update
from container_kit.cluster.kinds.strategy import Context, Strategy
from container_kit.cluster.kinds.tables import Columns, columns_for
from container_kit.cluster.meta import FieldError, Object, StatusError, name_of
from container_kit.cluster.meta.times import parse_time, short_age
from container_kit.cluster.schema.check import check_against
from container_kit.cluster.schema.definitions import definition
from container_kit.cluster.schema.nodes import Schema
from container_kit.cluster.schema.rules import check_rules, has_rules
from container_kit.cluster.schema.structural import complete, validate_custom

__all__ = ["CustomStrategy", "schema_of_version"]

_BLOCKING = ("FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid")
_NOT_CHECKED = (
    "some validation rules were not checked because the object was invalid; correct the existing errors to "
    "complete validation"
)


_OF_EVERY_OBJECT = {
    "apiVersion": {"type": "string"},
    "kind": {"type": "string"},
    "metadata": {"$ref": "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"},
}


def schema_of_version(version: Mapping[str, Any]) -> Schema:
    """The type that a version of a definition has, with what every object has."""
    spec = (version.get("schema") or {}).get("openAPIV3Schema") or {}
    return Schema({**spec, "properties": {**(spec.get("properties") or {}), **_OF_EVERY_OBJECT}}, definition)


class CustomStrategy(Strategy):
    """The rules of one version of a custom resource.

    Args:
        definition: The CustomResourceDefinition.
        version: The entry in its ``spec.versions``.
        schemas: The types of all versions, by apiVersion.
    """

    def __init__(self, definition: Object, version: Mapping[str, Any], schemas: Mapping[str, Schema]) -> None:
        spec = definition["spec"]
        fields = {
            entry["jsonPath"].removeprefix("."): _reader(entry["jsonPath"])
            for entry in version.get("selectableFields") or ()
        }
        super().__init__(
            spec["group"],
            spec["names"]["kind"],
            namespaced=spec["scope"] == "Namespaced",
            status="status" in (version.get("subresources") or {}),
            fields=fields,
            columns=_columns(version.get("additionalPrinterColumns") or ()),
        )
        self._plural = spec["names"]["plural"]
        self._schemas = dict(schemas)
        self.terminating = "deletionTimestamp" in definition["metadata"]

    def default(self, obj: Object) -> None:
        """Put in the defaults of the object's version, and drop what is empty in its metadata."""
        schema = self._schemas.get(obj.get("apiVersion", ""))
        if schema is not None:
            own = {key: value for key, value in obj.items() if key not in _OF_EVERY_OBJECT}
            complete(own, schema)
            obj.update(own)
        metadata = obj.get("metadata")
        if isinstance(metadata, dict):
            for key in [key for key, value in metadata.items() if value in (None, "", [], {})]:
                del metadata[key]

    def prepare_create(self, obj: Object, ctx: Context) -> None:
        """Refused while the definition goes away."""
        if self.terminating:
            message = "create not allowed while custom resource definition is terminating"
            details = {"group": self.group, "kind": self._plural}
            raise StatusError(405, "MethodNotAllowed", message, details)
        super().prepare_create(obj, ctx)

    def is_new_generation(self, new: Object, old: Object) -> bool:
        """Without a status of its own, ``status`` is a field like any other."""
        if self.status:
            return super().is_new_generation(new, old)
        return any(new.get(key) != old.get(key) for key in {*new, *old} - {"metadata", "apiVersion", "kind"})

    def validate(self, obj: Object, ctx: Context) -> list[FieldError]:
        """Metadata, the schema, and its rules."""
        return self.check_metadata(obj) + self._judge(obj, None)

    def validate_update(
        self, new: Object, old: Object, ctx: Context, subresource: str = ""
    ) -> list[FieldError]:
        """As a new object, and rules that are about the change."""
        return check_metadata_update(new, old) + self._judge(new, old)

    def _keep_all_but_status(self, new: Object, old: Object) -> None:
        """Through its status nothing else of a custom object changes, labels included."""
        kept = {key: new["metadata"].get(key) for key in ("managedFields", "resourceVersion")}
        super()._keep_all_but_status(new, old)
        new["metadata"] = {**old["metadata"], **{key: value for key, value in kept.items() if value}}

    def pruned(self, obj: Object, api_version: str) -> Object:
        """*obj*, changed in place into another version by its name alone: what that does not know is gone."""
        obj["apiVersion"] = api_version
        schema = self._schemas.get(api_version)
        if schema is not None:
            check_against(obj, schema).clean(obj)
        return obj

    def _judge(self, new: Object, old: Object | None) -> list[FieldError]:
        schema = self._schemas.get(new.get("apiVersion", ""))
        if schema is None:
            return []
        errors = validate_custom(new, schema) if old is None else validate_custom(new, schema, old)
        if not has_rules(schema):
            return errors
        if any(error.reason in _BLOCKING for error in errors):
            return [
                *errors,
                FieldError("<nil>", "FieldValueInvalid", f'Invalid value: "null": {_NOT_CHECKED}'),
            ]
        return errors + check_rules(new, old, schema)


def _reader(path: str) -> Any:
    def read(obj: Object) -> str:
        value = first(obj, path)
        if value is None:
            return ""
        return ("true" if value else "false") if isinstance(value, bool) else str(value)

    return read


def _columns(entries: Any) -> Columns:
    """The columns that the definition asks for; name and age when it asks for none."""
    name, created = columns_for("", "").definitions[:2]
    if not entries:
        return Columns([name, {**created, "name": "Age"}], _name_and_age)
    definitions = [name, *(_column(entry) for entry in entries)]

    def fill(obj: Object, now: str) -> list[Any]:
        return [
            name_of(obj),
            *(_cell(first(obj, entry["jsonPath"]), entry["type"], now) for entry in entries),
        ]

    return Columns(definitions, fill)


def _name_and_age(obj: Object, now: str) -> list[Any]:
    return [name_of(obj), _age(obj["metadata"].get("creationTimestamp"), now)]


def _column(entry: Mapping[str, Any]) -> Object:
    text = f"Custom resource definition column (in JSONPath format): {entry['jsonPath']}"
    return {
        "name": entry["name"],
        "type": entry["type"],
        "format": entry.get("format", ""),
        "description": entry.get("description") or text,
        "priority": entry.get("priority", 0),
    }


def _cell(value: Any, kind: str, now: str) -> Any:
    """A cell of its column's type; None where the value is of another."""
    if value is None:
        return None
    if kind == "integer":
        return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    if kind == "number":
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    if kind == "date":
        return _age(value, now)
    return _shown(value)


def _age(value: Any, now: str) -> Any:
    try:
        return short_age((parse_time(now) - parse_time(str(value))).total_seconds())
    except ValueError:
        return "<invalid>"


def _shown(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        import msgspec

        return msgspec.json.encode(value).decode()
    return str(value)
