"""patch: four ways to say what should be different.

Source: API Concepts, "Updates to existing resources"; apiserver endpoints/handlers/patch.go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from container_kit.cluster.api.core import Call
from container_kit.cluster.api.decoding import body_bytes
from container_kit.cluster.api.encoding import encode
from container_kit.cluster.api.messages import Response
from container_kit.cluster.api.options import WriteOptions, write_options
from container_kit.cluster.api.reading import respond_with
from container_kit.cluster.api.tracking import applied
from container_kit.cluster.api.writing import change, check_name, check_place, store_new
from container_kit.cluster.meta.objects import Object
from container_kit.cluster.meta.status import FieldError, StatusError, bad_request, invalid
from container_kit.cluster.schema import (
    DecodeError,
    Findings,
    as_conversion,
    check,
    check_against,
    decode_body,
    json_patch,
    merge_patch,
    read_patch,
    schema_of,
    strategic_merge,
    strict_errors,
)

__all__ = ["kind_of_patch", "patch", "patch_maker"]

_KINDS = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
    "application/apply-patch+yaml": "apply",
}
_OF_CUSTOM = ("application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml")


def patch(call: Call) -> Response:
    """Change a part of an object."""
    kind = kind_of_patch(call)
    options = write_options(call.request, "PatchOptions", apply=kind == "apply")
    if kind == "apply":
        return _apply(call, options)
    return respond_with(call, change(call, patch_maker(call, kind, options), options))


def _apply(call: Call, options: WriteOptions) -> Response:
    """Server-side apply: what is not there yet is created."""
    resource, route = call.resource, call.route
    config = _config(call)
    if (
        not route.subresource
        and call.core.store.get(resource.key, route.namespace_of_object, route.name) is None
    ):
        config["metadata"].pop("resourceVersion", None)  # of what is not there
        obj = applied(call, None, config, options)
        return respond_with(call, store_new(call, obj, options, tracks=False), 201)
    _refuse_other_uid(call, config)
    record = change(call, lambda current: applied(call, current, config, options), options, tracks=False)
    return respond_with(call, record)


def _refuse_other_uid(call: Call, config: Object) -> None:
    """An applied uid is that of the object, or none."""
    uid, resource = config["metadata"].get("uid"), call.resource
    if uid and uid != call.record().object["metadata"]["uid"]:
        problem = FieldError.invalid("metadata.uid", uid, "field is immutable")
        raise invalid(resource.kind, call.route.name, [problem, problem], resource.group)


def _config(call: Call) -> Object:
    """What is applied: YAML, of the right kind and name."""
    resource = call.resource
    try:
        config, duplicates = decode_body(body_bytes(call), "application/yaml")
    except DecodeError as error:
        raise bad_request(f"error decoding YAML: {error}") from None
    if not isinstance(config, dict):
        raise bad_request("error decoding YAML: the patch is no object")
    given = (config.get("apiVersion"), config.get("kind"))
    if given != (resource.api_version, resource.kind):
        raise _other_kind(given)
    for path in duplicates:
        raise bad_request(f'error decoding YAML: duplicate field "{path}"')
    metadata = config["metadata"] = config.get("metadata") or {}
    metadata.setdefault("name", call.route.name)
    check_name(call, metadata)
    check_place(call, dict(metadata))  # what is applied stays as it was sent: messages show it
    return config


def _other_kind(given: tuple[object, object]) -> StatusError:
    version = given[0] if isinstance(given[0], str) else ""
    shown = version if "/" in version or not version else f"/{version}"
    return bad_request(f"invalid object type: {shown or '/'}, Kind={given[1] or ''}")


def kind_of_patch(call: Call) -> str:
    media_type = call.request.headers.get("content-type", "").partition(";")[0].strip()
    kind = _KINDS.get(media_type)
    if kind is None:
        raise StatusError(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})
    if kind == "strategic" and not call.resource.is_typed:
        accepted = ", ".join(_OF_CUSTOM)
        message = (
            f"the body of the request was in an unknown format - accepted media types include: {accepted}"
        )
        raise StatusError(415, "UnsupportedMediaType", message)
    return kind


def patch_maker(
    call: Call, kind: str, options: WriteOptions, of: tuple[str, str, str] | None = None
) -> Callable[[Object], Object]:
    """The function that applies the patch in the body.

    Args:
        kind: ``json``, ``merge`` or ``strategic``.
        of: Group, version and kind of what is patched, when it is not the resource's own.
    """
    resource = call.resource
    gvk = of or (resource.group, resource.version, resource.kind)
    schema = schema_of(gvk) if of else resource.schema or schema_of(gvk)
    body, duplicates = read_patch(body_bytes(call), kind)

    def make(current: Object) -> Object:
        patched: Object = _patched(current, body, kind, schema)
        _check_patched(call, patched, kind, body, gvk, duplicates, options, schema)
        patched["metadata"] = patched.get("metadata") or {}
        check_name(call, patched["metadata"])
        check_place(call, patched["metadata"])
        return patched

    return make


def _patched(current: Object, body: Any, kind: str, schema: Any) -> Any:
    if kind == "json":
        return json_patch(current, body)
    if kind == "merge":
        return merge_patch(current, body)
    return strategic_merge(current, body, schema)


def _check_patched(
    call: Call,
    patched: Any,
    kind: str,
    body: Any,
    gvk: tuple[str, str, str],
    duplicates: list[str],
    options: WriteOptions,
    schema: Any,
) -> None:
    """What came out must still be of the kind.

    Raises:
        StatusError: 422 in the words of a patch.
    """
    found = _findings(patched, gvk, schema)
    if not (found.errors or found.unknown_fields or duplicates):
        found.clean(patched)
        return
    shown = encode(patched).decode() if kind != "strategic" else _go_map(body)
    if found.errors:
        problem = found.errors[0] if kind != "strategic" else as_conversion(found.errors[0])
        raise invalid("", "", [FieldError.invalid("patch", shown, problem)])
    prefix = "json patch " if kind == "json" else ""
    twice = [f'{prefix}duplicate field "{path}"' for path in duplicates]
    # The original decodes what came out with its keys in order.
    problems = twice + strict_errors(sorted(found.unknown_fields), [])
    if options.validation == "Strict":
        detail = f"strict decoding error: {', '.join(problems)}"
        raise invalid("", "", [FieldError.invalid("patch", shown, detail)])
    if options.validation == "Warn":
        for problem in problems:
            call.warn(problem)
    found.clean(patched)


def _findings(patched: Any, gvk: tuple[str, str, str], schema: Any) -> Findings:
    group, version, name = gvk
    expected = f"{group}/{version}" if group else version
    found = check_against(patched, schema) if schema is not None else check(patched, gvk)
    given = (patched.get("apiVersion"), patched.get("kind")) if isinstance(patched, dict) else ("", "")
    if isinstance(patched, dict) and given != (expected, name):
        found.errors[:0] = _of_other_kind(patched, (expected, name))
    return found


def _of_other_kind(patched: Object, expected: tuple[str, str]) -> list[str]:
    """What is wrong with a patch that changes the kind: it is decoded as one of the new kind first."""
    version, kind = patched.get("apiVersion"), patched.get("kind")
    group, _, short = str(version).rpartition("/")
    if schema_of((group, short, str(kind))) is None:
        return [f'no kind "{kind}" is registered for version "{version}" in scheme "{_SCHEME}"']
    changed = f"the object is now {kind} in {version}, not {expected[1]} in {expected[0]}"
    return [*check(patched, (group, short, str(kind))).errors, changed]


_SCHEME = "pkg/api/legacyscheme/scheme.go:30"


def _go_map(value: Any) -> str:
    from container_kit.cluster.schema import go_format

    return go_format(value)
