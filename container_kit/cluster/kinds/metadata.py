"""What metadata must look like, at creation and when it changes; the same for all kinds.

Source: apimachinery api/validation (ObjectMeta), API conventions "Metadata".
"""

from collections.abc import Callable
from typing import Any

from container_kit.cluster.kinds.go import go_list, go_owners, invalid_as
from container_kit.cluster.meta import FieldError, Object
from container_kit.cluster.meta.names import (
    dns1123_label_problems,
    label_value_problems,
    qualified_name_problems,
)

__all__ = [
    "NameRule",
    "check_annotations",
    "check_labels",
    "check_metadata",
    "check_metadata_update",
    "immutable",
]

NameRule = Callable[[str], list[str]]
Metadata = dict[str, Any]

_ANNOTATIONS_MAX_BYTES = 256 * 1024
_STANDARD_FINALIZERS = frozenset(("kubernetes", "orphan", "foregroundDeletion"))
_UNCHANGING = (
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)


def check_metadata(
    obj: Object, name_rule: NameRule, namespaced: bool, *, core_finalizers: bool = True
) -> list[FieldError]:
    """The problems of the metadata of an object that is to be created.

    Args:
        obj: The object, with its generated name.
        name_rule: What a name must look like.
        namespaced: Whether it must have a namespace, or must not.
        core_finalizers: Whether finalizers without a domain must be standard ones.
    """
    metadata = obj.get("metadata") or {}
    errors = _name_problems(metadata, name_rule) + _namespace_problems(metadata, namespaced)
    errors += _changing_parts(metadata)
    finalizers = metadata.get("finalizers") or ()
    for finalizer in finalizers:
        errors += [
            FieldError.invalid("metadata.finalizers", finalizer, problem)
            for problem in qualified_name_problems(finalizer)
        ]
    if core_finalizers:
        errors += _foreign_finalizers(finalizers)
    return errors


def check_metadata_update(new: Object, old: Object) -> list[FieldError]:
    """The problems of a change of metadata."""
    fresh, stale = new.get("metadata") or {}, old.get("metadata") or {}
    errors = _new_finalizers(fresh, stale)
    if (fresh.get("generation") or 0) < (stale.get("generation") or 0):
        errors.append(
            FieldError.invalid("metadata.generation", fresh.get("generation") or 0, "must not be decremented")
        )
    for key in _UNCHANGING:
        if (fresh.get(key) or None) != (stale.get(key) or None):
            errors.append(FieldError.invalid(f"metadata.{key}", fresh.get(key) or "", "field is immutable"))
    return errors + _changing_parts(fresh)


def immutable(field: str, new: Any, old: Any) -> list[FieldError]:
    """An error when a field that must not change did."""
    return [] if new == old else [FieldError.invalid(field, new, "field is immutable")]


def _name_problems(metadata: Metadata, name_rule: NameRule) -> list[FieldError]:
    name, prefix = metadata.get("name") or "", metadata.get("generateName") or ""
    errors = [
        FieldError.invalid("metadata.generateName", prefix, problem)
        for problem in (name_rule(_without_trailing_dash(prefix)) if prefix else ())
    ]
    if not name:
        return [*errors, FieldError.required("metadata.name", "name or generateName is required")]
    return errors + [FieldError.invalid("metadata.name", name, problem) for problem in name_rule(name)]


def _without_trailing_dash(prefix: str) -> str:
    """A prefix may end where no name may, as more characters follow."""
    return prefix[:-1] + "a" if len(prefix) > 1 and prefix.endswith("-") else prefix


def _namespace_problems(metadata: Metadata, namespaced: bool) -> list[FieldError]:
    namespace = metadata.get("namespace") or ""
    if not namespaced:
        return [FieldError.forbidden("metadata.namespace", "not allowed on this type")] if namespace else []
    if not namespace:
        return [FieldError.required("metadata.namespace")]
    return [
        FieldError.invalid("metadata.namespace", namespace, problem)
        for problem in dns1123_label_problems(namespace)
    ]


def _changing_parts(metadata: Metadata) -> list[FieldError]:
    """Labels, annotations and owners, which are checked whenever they are written."""
    return (
        check_labels(metadata.get("labels"), "metadata.labels")
        + check_annotations(metadata.get("annotations"), "metadata.annotations")
        + _owner_problems(metadata.get("ownerReferences") or ())
    )


def check_labels(labels: dict[str, str] | None, field: str) -> list[FieldError]:
    """The problems of labels, or of a selector that consists of labels."""
    errors = []
    for key, value in (labels or {}).items():
        errors += [FieldError.invalid(field, key, problem) for problem in qualified_name_problems(key)]
        errors += [FieldError.invalid(field, value, problem) for problem in label_value_problems(value)]
    return errors


def check_annotations(annotations: dict[str, str] | None, field: str) -> list[FieldError]:
    """The problems of annotations, which may be as long together as 256 KiB."""
    errors, total = [], 0
    for key, value in (annotations or {}).items():
        errors += [
            FieldError.invalid(field, key, problem) for problem in qualified_name_problems(key.lower())
        ]
        total += len(key.encode()) + len(value.encode())
    if total > _ANNOTATIONS_MAX_BYTES:
        errors.append(FieldError.too_long(field, _ANNOTATIONS_MAX_BYTES))
    return errors


def _owner_problems(references: Any) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, reference in enumerate(references):
        field = f"metadata.ownerReferences[{index}]"
        if not reference.get("apiVersion"):
            errors.append(FieldError.invalid(f"{field}.apiVersion", "", "version must not be empty"))
        for key in ("kind", "name", "uid"):
            if not reference.get(key):
                errors.append(FieldError.invalid(f"{field}.{key}", "", "must not be empty"))
        if (reference.get("apiVersion"), reference.get("kind")) in (
            ("v1", "Event"),
            ("events.k8s.io/v1", "Event"),
        ):
            shown = f"{reference['apiVersion']}, Kind={reference['kind']} is disallowed from being an owner"
            errors.append(FieldError.invalid(field, reference, shown))
    controllers = [reference for reference in references if reference.get("controller")]
    if len(controllers) > 1:
        errors.append(_two_controllers(references, controllers))
    return errors


def _two_controllers(references: Any, controllers: list[dict[str, Any]]) -> FieldError:
    first, second = (f"{each.get('kind')}/{each.get('name')}" for each in controllers[:2])
    found = f'Found "true" in references for {first} and {second}'
    detail = f"Only one reference can have Controller set to true. {found}"
    return invalid_as("metadata.ownerReferences", go_owners(references), detail)


def _foreign_finalizers(finalizers: Any) -> list[FieldError]:
    detail = "name is neither a standard finalizer name nor is it fully qualified"
    return [
        FieldError.invalid(f"metadata.finalizers[{index}]", finalizer, detail)
        for index, finalizer in enumerate(finalizers)
        if "/" not in finalizer and finalizer not in _STANDARD_FINALIZERS
    ]


def _new_finalizers(new: Metadata, old: Metadata) -> list[FieldError]:
    """An object that is being deleted gets no finalizers any more."""
    if not old.get("deletionTimestamp"):
        return []
    added = [each for each in new.get("finalizers") or () if each not in (old.get("finalizers") or ())]
    if not added:
        return []
    found = f"found new finalizers {go_list(added)}"
    detail = f"no new finalizers can be added if the object is being deleted, {found}"
    return [FieldError.forbidden("metadata.finalizers", detail)]
