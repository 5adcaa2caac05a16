"""The parameters of requests: read, checked, and refused in the server's words.

Source: meta/v1 ListOptions, CreateOptions, UpdateOptions, PatchOptions, DeleteOptions and their validation.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from container_kit.cluster.api.messages import Request
from container_kit.cluster.api.routing import is_true
from container_kit.cluster.meta.fields import EVERY_FIELD, FieldSelector
from container_kit.cluster.meta.labels import EVERYTHING, LabelSelector, SelectorError
from container_kit.cluster.meta.objects import Object
from container_kit.cluster.meta.status import FieldError, StatusError, bad_request, go_quoted, invalid

__all__ = [
    "DeleteOptions",
    "ListOptions",
    "WriteOptions",
    "delete_options",
    "list_options",
    "optional_integer",
    "revision_of",
    "write_options",
]

_GROUP = "meta.k8s.io"
_MAX_MANAGER_BYTES = 128
_VALIDATIONS = ("", "Ignore", "Strict", "Warn")
_POLICIES = ("Foreground", "Background", "Orphan")
_MATCHES = ("Exact", "NotOlderThan", "")


def _invalid(kind: str, *errors: FieldError) -> StatusError:
    return invalid(kind, "", errors, _GROUP)


def optional_integer(request: Request, name: str) -> int | None:
    """An integer parameter; None if it is not given.

    Raises:
        StatusError: It is no integer.
    """
    text = request.parameter(name)
    if not text:
        return None
    if not re.fullmatch(r"[+-]?\d{1,18}", text):
        raise bad_request(f"strconv.ParseInt: parsing {go_quoted(text)}: invalid syntax")
    return int(text)


def revision_of(text: str) -> int:
    """The number that a resourceVersion is here.

    Raises:
        StatusError: It is none.
    """
    if not re.fullmatch(r"\d{1,19}", text):
        detail = (
            f"Invalid value: {go_quoted(text)}: strconv.ParseUint: parsing {go_quoted(text)}: invalid syntax"
        )
        raise StatusError(500, "", f"resourceVersion: {detail}")
    return int(text)


class ListOptions(msgspec.Struct, frozen=True):
    """What a list or a watch wants.

    Attributes:
        resource_version: As given; empty for none.
        initial_events: Whether a watch begins with what is there; None: as the version says.
    """

    labels: LabelSelector = EVERYTHING
    fields: FieldSelector = EVERY_FIELD
    limit: int = 0
    continue_: str = ""
    resource_version: str = ""
    match: str = ""
    bookmarks: bool = False
    initial_events: bool | None = None
    timeout_s: float | None = None

    @property
    def selects_all(self) -> bool:
        """Whether no selector narrows it."""
        return self.labels.is_everything and self.fields.is_everything


def list_options(request: Request, *, watch: bool = False) -> ListOptions:
    """The options of a list, a watch, or a deletion of a collection.

    Raises:
        StatusError: 400, 422 or 500, as the original.
    """
    timeout_s = optional_integer(request, "timeoutSeconds")
    initial = request.query.get("sendInitialEvents")
    try:
        options = ListOptions(
            labels=LabelSelector.parse(request.parameter("labelSelector")),
            fields=FieldSelector.parse(request.parameter("fieldSelector")),
            limit=max(0, optional_integer(request, "limit") or 0),
            continue_=request.parameter("continue"),
            resource_version=request.parameter("resourceVersion"),
            match=request.parameter("resourceVersionMatch"),
            bookmarks=is_true(request.parameter("allowWatchBookmarks", "false")),
            initial_events=is_true(initial[0]) if initial else None,
            timeout_s=float(timeout_s) if timeout_s else None,
        )
    except SelectorError as error:
        raise bad_request(str(error)) from None
    problems = _watch_problems(options) if watch else _list_problems(options)
    if problems:
        raise _invalid("ListOptions", *problems)
    return options


def _list_problems(options: ListOptions) -> list[FieldError]:
    if options.initial_events is not None:
        return [FieldError.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list")]
    if not options.match:
        return []
    field, version = "resourceVersionMatch", options.resource_version
    found = []
    if not version:
        found.append(
            FieldError.forbidden(
                field, "resourceVersionMatch is forbidden unless resourceVersion is provided"
            )
        )
    if options.continue_:
        found.append(
            FieldError.forbidden(field, "resourceVersionMatch is forbidden when continue is provided")
        )
    if options.match not in _MATCHES:
        found.append(FieldError.not_supported(field, options.match, _MATCHES))
    if options.match == "Exact" and version == "0":
        detail = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
        found.append(FieldError.forbidden(field, detail))
    return found


def _watch_problems(options: ListOptions) -> list[FieldError]:
    field = "resourceVersionMatch"
    if options.initial_events is None:
        if options.match:
            detail = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            return [FieldError.forbidden(field, detail)]
        return []
    found = []
    if options.match != "NotOlderThan":
        detail = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        found.append(FieldError.forbidden(field, detail))
    if options.continue_:
        found.append(
            FieldError.forbidden(field, "resourceVersionMatch is forbidden when continue is provided")
        )
    return found


class WriteOptions(msgspec.Struct, frozen=True):
    """How a create, update or patch is meant.

    Attributes:
        manager: Who the written fields belong to.
        validation: ``Strict``, ``Warn`` or ``Ignore``: what becomes of unknown fields.
        force: Of an apply: take fields from their managers.
    """

    dry_run: bool = False
    manager: str = ""
    validation: str = "Warn"
    force: bool = False


def write_options(request: Request, kind: str, *, apply: bool = False) -> WriteOptions:
    """Options of a write; *kind* is ``CreateOptions``, ``UpdateOptions`` or ``PatchOptions``.

    Raises:
        StatusError: 422.
    """
    query = request.query
    if not query and not apply:
        return WriteOptions(manager=_user_agent(request))
    manager, validation = request.parameter("fieldManager"), request.parameter("fieldValidation")
    force = is_true(request.parameter("force", "false"))
    problems = _dry_run_problems(query.get("dryRun", [])) + _manager_problems(manager)
    if apply and not manager:
        problems.append(FieldError.required("fieldManager", "is required for apply patch"))
    if force and not apply:
        problems.append(FieldError.forbidden("force", "may not be specified for non-apply patch"))
    if validation not in _VALIDATIONS:
        problems.append(FieldError.not_supported("fieldValidation", validation, _VALIDATIONS))
    if problems:
        raise _invalid(kind, *problems)
    return WriteOptions(
        bool(query.get("dryRun")), manager or _user_agent(request), validation or "Warn", force
    )


def _user_agent(request: Request) -> str:
    name = request.headers.get("user-agent", "").partition("/")[0]
    return "".join(char for char in name if char.isprintable())[:_MAX_MANAGER_BYTES] or "unknown"


def _dry_run_problems(values: list[str]) -> list[FieldError]:
    if all(value == "All" for value in values):
        return []
    shown = "[]string{" + ", ".join(map(go_quoted, values)) + "}"
    detail = f'Unsupported value: {shown}: supported values: "All"'
    return [FieldError("dryRun", "FieldValueNotSupported", detail)]


def _manager_problems(manager: str) -> list[FieldError]:
    found = []
    if len(manager.encode()) > _MAX_MANAGER_BYTES:
        found.append(FieldError.too_long("fieldManager", _MAX_MANAGER_BYTES))
    for index, char in enumerate(manager):
        if not char.isprintable():
            detail = f"invalid character U+{ord(char):04X} (at position {index})"
            found.append(FieldError.invalid("fieldManager", manager, detail))
    return found


class DeleteOptions(msgspec.Struct, frozen=True):
    """How a deletion is meant.

    Attributes:
        grace_s: None: as the kind has it.
        propagation: ``Foreground``, ``Background``, ``Orphan``; empty: as the kind has it.
        uid, resource_version: What the object must have.
    """

    grace_s: int | None = None
    propagation: str = ""
    orphan_dependents: bool | None = None
    uid: str = ""
    resource_version: str = ""
    dry_run: bool = False


def delete_options(request: Request, body: Object | None) -> DeleteOptions:
    """From the body if there is one, otherwise from the query.

    Raises:
        StatusError: 422, or 500 for a body of another kind.
    """
    fields = body if body else _from_query(request)
    if fields.get("kind") not in (None, "", "DeleteOptions"):
        raise _unregistered(fields)
    policy, orphan = fields.get("propagationPolicy"), fields.get("orphanDependents")
    dry_run = fields.get("dryRun") or []
    problems = _dry_run_problems(dry_run) + _propagation_problems(policy, orphan)
    if problems:
        raise _invalid("DeleteOptions", *problems)
    conditions = fields.get("preconditions") or {}
    return DeleteOptions(
        grace_s=fields.get("gracePeriodSeconds"),
        propagation=policy or "",
        orphan_dependents=orphan,
        uid=conditions.get("uid") or "",
        resource_version=conditions.get("resourceVersion") or "",
        dry_run=bool(dry_run),
    )


def _from_query(request: Request) -> dict[str, Any]:
    orphan = request.query.get("orphanDependents")
    return {
        "gracePeriodSeconds": optional_integer(request, "gracePeriodSeconds"),
        "propagationPolicy": request.parameter("propagationPolicy"),
        "orphanDependents": is_true(orphan[0]) if orphan else None,
        "dryRun": request.query.get("dryRun"),
    }


def _propagation_problems(policy: str | None, orphan: bool | None) -> list[FieldError]:
    if policy and orphan is not None:
        detail = "orphanDependents and deletionPropagation cannot be both set"
        return [FieldError.invalid("propagationPolicy", policy, detail)]
    if policy and policy not in _POLICIES:
        return [FieldError.not_supported("propagationPolicy", policy, [*_POLICIES, "nil"])]
    return []


def _unregistered(body: Object) -> StatusError:
    scheme = "k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:27"
    kind, version = go_quoted(body.get("kind") or ""), go_quoted(body.get("apiVersion") or "")
    return StatusError(500, "", f'no kind {kind} is registered for version {version} in scheme "{scheme}"')
