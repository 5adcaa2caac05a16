"""CustomResourceDefinitions themselves: their first status, what they must say, and how they go.

Source: apiextensions-apiserver, registry/customresourcedefinition and its validation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from container_kit.cluster.kinds.custom.go import go_versions
from container_kit.cluster.kinds.custom.schema_rules import faults_of_schema
from container_kit.cluster.kinds.strategy import Context, Strategy
from container_kit.cluster.meta import FieldError, Object, copy_of, name_of, set_condition
from container_kit.cluster.meta.names import dns1035_label_problems, dns1123_subdomain_problems
from container_kit.cluster.schema import go_form, schema_of

__all__ = ["FINALIZER", "DefinitionStrategy", "with_condition"]

FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
_SCOPES = ("Cluster", "Namespaced")
_COLUMN_TYPES = ("integer", "number", "string", "boolean", "date")
_MOST_SELECTABLE = 8


def with_condition(definition: Object, kind: str, status: str, reason: str, text: str, now: str) -> Object:
    """A copy of *definition* with a condition set; its spec, which may be large, is the same."""
    parts = {part: copy_of(definition.get(part) or {}) for part in ("metadata", "status")}
    made: Object = {**definition, **parts}
    state = made["status"]
    state["conditions"] = state.get("conditions") or []
    condition = {"type": kind, "status": status, "reason": reason, "message": text}
    set_condition(state["conditions"], condition, now)
    return made


class DefinitionStrategy(Strategy):
    """What a CustomResourceDefinition must say."""

    def default(self, obj: Object) -> None:
        """Schemas, too, are written without what is empty in them."""
        super().default(obj)
        schema = schema_of(("apiextensions.k8s.io", "v1", "CustomResourceDefinition"))
        assert schema is not None
        obj["spec"] = go_form(obj.get("spec") or {}, schema.properties["spec"])

    def prepare_create(self, obj: Object, ctx: Context) -> None:
        """Nothing is accepted yet; the storage version is the first that is stored."""
        super().prepare_create(obj, ctx)
        names = {"plural": "", "kind": ""}
        obj["status"] = {"conditions": None, "acceptedNames": names, "storedVersions": _storage_names(obj)}

    def prepare_update(self, new: Object, old: Object, ctx: Context, subresource: str = "") -> None:
        """A new storage version is one more in which objects are stored."""
        super().prepare_update(new, old, ctx, subresource)
        if subresource:
            return
        wanted = _storage_names(new)
        if len(wanted) == 1:
            status = new["status"] = dict(new.get("status") or {})
            stored = list(status.get("storedVersions") or ())
            status["storedVersions"] = stored + [name for name in wanted if name not in stored]

    def prepare_delete(self, obj: Object, ctx: Context) -> Object | None:
        """It stays until its objects are gone, and says so."""
        if obj["metadata"].get("deletionTimestamp"):
            return None
        text = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
        made = with_condition(obj, "Terminating", "True", "InstanceDeletionPending", text, ctx.now)
        made["metadata"]["deletionTimestamp"] = ctx.now
        finalizers = made["metadata"].setdefault("finalizers", [])
        if FINALIZER not in finalizers:
            finalizers.append(FINALIZER)
        return made

    def check(self, obj: Object) -> list[FieldError]:
        """Names, scope, versions and their schemas."""
        return list(_faults(obj))

    def validate_update(
        self, new: Object, old: Object, ctx: Context, subresource: str = ""
    ) -> list[FieldError]:
        """What identifies the resource stays."""
        errors = super().validate_update(new, old, ctx, subresource)
        return errors if subresource else errors + list(_changed(new, old))


def _storage_names(obj: Object) -> list[str]:
    versions = (obj.get("spec") or {}).get("versions") or ()
    return [version["name"] for version in versions if version.get("storage")]


def _changed(new: Object, old: Object) -> Iterator[FieldError]:
    """Group, scope and kind of an established definition do not change."""
    for path in (("scope",), ("names", "kind"), ("group",), ("names", "plural")):
        was, now = _at(old["spec"], path), _at(new["spec"], path)
        if was != now:
            yield FieldError.invalid("spec." + ".".join(path), now, "field is immutable")


def _at(node: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        node = (node or {}).get(name)
    return node


def _faults(obj: Object) -> Iterator[FieldError]:
    spec = obj.get("spec") or {}
    names, group = spec.get("names") or {}, spec.get("group") or ""
    if name_of(obj) != f"{names.get('plural', '')}.{group}":
        yield FieldError.invalid("metadata.name", name_of(obj), 'must be spec.names.plural+"."+spec.group')
    yield from _faults_of_group(group)
    if spec.get("scope") not in _SCOPES:
        yield FieldError.not_supported("spec.scope", spec.get("scope") or "", _SCOPES)
    versions = spec.get("versions") or []
    for place, version in enumerate(versions):
        yield from _faults_of_version(version, f"spec.versions[{place}]", alone=len(versions) == 1)
    known = [version.get("name") for version in versions]
    if len(set(known)) < len(known):
        text = f"Invalid value: {go_versions(versions)}: must contain unique version names"
        yield FieldError("spec.versions", "FieldValueInvalid", text)
    if spec.get("preserveUnknownFields"):
        text = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in "
        text += "spec.versions[*].schema instead"
        yield FieldError.invalid("spec.preserveUnknownFields", True, text)
    yield from _faults_of_storage(obj, versions)
    yield from _faults_of_names(names)
    yield from _faults_of_conversion(spec.get("conversion") or {})


def _faults_of_group(group: str) -> Iterator[FieldError]:
    if not group:
        yield FieldError.required("spec.group")
        return
    for problem in dns1123_subdomain_problems(group):
        yield FieldError.invalid("spec.group", group, problem)
    if "." not in group:
        yield FieldError.invalid("spec.group", group, "should be a domain with at least one dot")


def _faults_of_storage(obj: Object, versions: list[Any]) -> Iterator[FieldError]:
    stored = (obj.get("status") or {}).get("storedVersions") or []
    if len(_storage_names(obj)) != 1:
        problem = "must have exactly one version marked as storage version"
        text = f"Invalid value: {go_versions(versions)}: {problem}"
        yield FieldError("spec.versions", "FieldValueInvalid", text)
    if not stored:
        text = "Invalid value: []string(nil): must have at least one stored version"
        yield FieldError("status.storedVersions", "FieldValueInvalid", text)
    for name in _storage_names(obj)[-1:]:
        if stored and name not in stored:
            shown = "[]string{" + ", ".join(f'"{each}"' for each in stored) + "}"
            text = f"Invalid value: {shown}: must have the storage version {name}"
            yield FieldError("status.storedVersions", "FieldValueInvalid", text)
    known = {version.get("name") for version in versions}
    for place, name in enumerate(stored):
        if name not in known:
            field = f"status.storedVersions[{place}]"
            yield FieldError.invalid(field, name, "missing from spec.versions; " + _STILL_STORED)


_STILL_STORED = (
    "must not remove a version until all persisted objects are migrated and its name is removed from "
    "status.storedVersions"
)


def _faults_of_names(names: Mapping[str, Any]) -> Iterator[FieldError]:
    for field in ("plural", "singular", "kind", "listKind"):
        value = names.get(field) or ""
        if not value:
            yield FieldError.required(f"spec.names.{field}")
            continue
        for problem in dns1035_label_problems(value.lower()):
            yield FieldError.invalid(f"spec.names.{field}", value, problem)
    if names.get("kind") and names.get("kind") == names.get("listKind"):
        text = "kind and listKind may not be the same"
        yield FieldError.invalid("spec.names.listKind", names["listKind"], text)


def _faults_of_conversion(conversion: Mapping[str, Any]) -> Iterator[FieldError]:
    strategy = conversion.get("strategy") or ""
    if strategy not in ("None", "Webhook"):
        yield FieldError.not_supported("spec.conversion.strategy", strategy, ("None", "Webhook"))
    if strategy != "Webhook":
        return
    webhook = conversion.get("webhook") or {}
    if not webhook.get("clientConfig"):
        text = "required when strategy is set to Webhook"
        yield FieldError.required("spec.conversion.webhook.clientConfig", text)
    if not webhook.get("conversionReviewVersions"):
        yield FieldError.required("spec.conversion.webhook.conversionReviewVersions")


def _faults_of_version(version: Mapping[str, Any], path: str, *, alone: bool) -> Iterator[FieldError]:
    for problem in dns1035_label_problems(version.get("name") or ""):
        yield FieldError.invalid(f"{path}.name", version.get("name") or "", problem)
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    if schema is None:
        yield FieldError.required(f"{path}.schema.openAPIV3Schema", "schemas are required")
    else:
        # A definition with one version is validated as those were that had but one.
        yield from faults_of_schema(
            schema, "spec.validation.openAPIV3Schema" if alone else f"{path}.schema.openAPIV3Schema"
        )
    for place, column in enumerate(version.get("additionalPrinterColumns") or ()):
        yield from _faults_of_column(column, f"{path}.additionalPrinterColumns[{place}]")
    scale = (version.get("subresources") or {}).get("scale")
    if scale is not None:
        yield from _faults_of_scale(scale, f"{path}.subresources.scale")
    yield from _faults_of_selectable(
        version.get("selectableFields") or (), schema or {}, f"{path}.selectableFields"
    )


def _faults_of_column(column: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    if not column.get("name"):
        yield FieldError.required(f"{path}.name")
    if not column.get("type"):
        yield FieldError.required(f"{path}.type", f"must be one of {','.join(_COLUMN_TYPES)}")
    elif column["type"] not in _COLUMN_TYPES:
        yield FieldError.not_supported(f"{path}.type", column["type"], _COLUMN_TYPES)
    if not column.get("jsonPath"):
        yield FieldError.required(f"{path}.jsonPath")


def _faults_of_scale(scale: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    """Where the numbers of replicas stand."""
    for name, places in (("specReplicasPath", (".spec.",)), ("statusReplicasPath", (".status.",))):
        value = scale.get(name) or ""
        if not value:
            yield FieldError.required(f"{path}.{name}")
        elif not value.startswith(places):
            text = f"should be a json path under {places[0].rstrip('.')}"
            yield FieldError.invalid(f"{path}.{name}", value, text)
    selector = scale.get("labelSelectorPath") or ""
    if selector and not selector.startswith((".spec.", ".status.")):
        text = "should be a json path under either .status or .spec"
        yield FieldError.invalid(f"{path}.labelSelectorPath", selector, text)


def _faults_of_selectable(fields: Any, schema: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    if len(fields) > _MOST_SELECTABLE:
        yield FieldError.too_many(path, len(fields), _MOST_SELECTABLE)
    for place, entry in enumerate(fields):
        field, value = f"{path}[{place}].jsonPath", entry.get("jsonPath") or ""
        found: Any = schema
        for name in value.removeprefix(".").split("."):
            found = ((found or {}).get("properties") or {}).get(name)
        if not value:
            yield FieldError.required(field)
        elif value.startswith(".metadata."):
            yield FieldError.invalid(field, value, "must not point to fields in metadata")
        elif found is None:
            text = "is an invalid path: does not refer to a valid field"
            yield FieldError.invalid(field, value, text)
        elif found.get("type") not in ("string", "boolean", "integer"):
            text = "must point to a field of type string, boolean or integer"
            yield FieldError.invalid(field, value, text)
