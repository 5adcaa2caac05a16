"""Webhooks: others are asked, over HTTPS, whether a write may happen and how it should be changed.

Source: Kubernetes, "Dynamic Admission Control"; API reference, admission.k8s.io/v1 AdmissionReview.
"""

import base64
import binascii
from collections.abc import Iterator
from typing import Any

import msgspec

from container_kit.cluster.api.admission.calling import CallFailed, post
from container_kit.cluster.api.admission.matching import is_meant, request_of
from container_kit.cluster.api.plugins import Attributes, Plugin
from container_kit.cluster.kinds.strategy import World
from container_kit.cluster.meta import FieldError, Object, StatusError, new_uid, split_group_version
from container_kit.cluster.schema.cel import CelError, compile_expression

__all__ = ["MutatingWebhook", "ValidatingWebhook"]

Node = dict[str, Any]
_GROUP = "admissionregistration.k8s.io"
_PATCH_LIMIT = 1000


class _Webhooks(Plugin):
    """The webhooks of one kind of configuration, which stand in the cluster itself."""

    plural = ""

    def __init__(self, world: World) -> None:
        self._world = world

    @property
    def is_slow(self) -> bool:
        """Whether anybody has to be asked at all."""
        return next(iter(self._world.list(f"{self.plural}.{_GROUP}")), None) is not None


class MutatingWebhook(_Webhooks):
    """Asks webhooks to change a write, one after the other."""

    name, plural = "MutatingAdmissionWebhook", "mutatingwebhookconfigurations"

    def admit(self, attributes: Attributes) -> None:
        for hook in _meant(attributes, self.plural):
            answer = _ask(attributes, hook)
            if answer is not None and answer.patch and attributes.obj is not None:
                _apply(hook, attributes, answer.patch)


class ValidatingWebhook(_Webhooks):
    """Asks webhooks whether a write may happen."""

    name, plural = "ValidatingAdmissionWebhook", "validatingwebhookconfigurations"

    def validate(self, attributes: Attributes) -> None:
        for hook in _meant(attributes, self.plural):
            _ask(attributes, hook)


def _meant(attributes: Attributes, plural: str) -> Iterator[Node]:
    """The webhooks that a write is for, by the name of their configuration."""
    for configuration in attributes.world.list(f"{plural}.{_GROUP}"):
        for hook in configuration.get("webhooks") or ():
            if is_meant(attributes, {"rules": [], **hook}, "rules") and _conditions_hold(attributes, hook):
                yield hook


def _conditions_hold(attributes: Attributes, hook: Node) -> bool:
    conditions = hook.get("matchConditions") or ()
    names = {"object": attributes.obj, "oldObject": attributes.old, "request": request_of(attributes)}
    try:
        return all(compile_expression(each["expression"]).evaluate(names) is True for each in conditions)
    except CelError as error:
        if hook.get("failurePolicy") == "Ignore":
            return False
        raise _failed(hook, str(error)) from None


class _Words(msgspec.Struct):
    """The part of a Status that a webhook may say."""

    message: str | None = None
    reason: str | None = None
    code: int | None = None
    details: dict[str, Any] | None = None


class _Answer(msgspec.Struct, rename="camel"):
    """An AdmissionResponse, as far as it counts."""

    uid: str | None = None
    allowed: bool = False
    status: _Words | None = None
    patch: str | None = None
    patch_type: str | None = None
    warnings: list[str] | None = None


class _Reviewed(msgspec.Struct):
    """An AdmissionReview with an answer."""

    response: _Answer | None = None


def _ask(attributes: Attributes, hook: Node) -> _Answer | None:
    """The answer of one webhook, None if it gives none and need not.

    Raises:
        StatusError: It says no; or it does not answer, and its failure policy is to fail.
    """
    if attributes.dry_run and hook.get("sideEffects") not in ("None", "NoneOnDryRun"):
        problem = f'admission webhook "{hook["name"]}" does not support dry run'
        raise StatusError(400, "BadRequest", problem)
    review = _review(attributes)
    try:
        answer = _response(post(attributes.world, hook, review), review["request"]["uid"])
    except CallFailed as failed:
        if hook.get("failurePolicy") == "Ignore":
            return None
        raise _failed(hook, f"failed to call webhook: {failed}") from None
    for warning in answer.warnings or ():
        attributes.warn(warning)
    if not answer.allowed:
        raise _denial(hook, answer.status or _Words())
    return answer


def _review(attributes: Attributes) -> Object:
    objects = {"object": attributes.obj, "oldObject": attributes.old}
    request = {"uid": new_uid(), **request_of(attributes), **objects}
    return {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request}


def _response(review: Any, uid: str) -> _Answer:
    """The response inside an answer, which must be to our question, and of the right types."""
    try:
        answer = msgspec.convert(review, _Reviewed).response
    except msgspec.ValidationError as error:
        raise CallFailed(f"received invalid webhook response: {error}") from None
    if answer is None:
        raise CallFailed("received invalid webhook response: webhook response was absent")
    if answer.uid != uid:
        problem = f'expected response.uid="{uid}", got "{answer.uid or ""}"'
        raise CallFailed(f"received invalid webhook response: {problem}")
    if answer.patch and answer.patch_type not in (None, "", "JSONPatch"):
        problem = f'invalid response.patchType of "{answer.patch_type}"'
        raise CallFailed(f"received invalid webhook response: {problem}")
    return answer


def _denial(hook: Node, status: _Words) -> StatusError:
    """The webhook's no, in its own words and with its own code, if that is one of an error."""
    words = status.message or status.reason
    explanation = f": {words}" if words else " without explanation"
    message = f'admission webhook "{hook["name"]}" denied the request{explanation}'
    code = status.code if status.code in range(400, 600) else 400
    return StatusError(code or 400, status.reason or "", message, status.details)


def _failed(hook: Node, problem: str) -> StatusError:
    message = f'failed calling webhook "{hook["name"]}": {problem}'
    causes = [FieldError("", "", message)]
    return StatusError(500, "InternalError", f"Internal error occurred: {message}", causes=causes)


def _apply(hook: Node, attributes: Attributes, encoded: str) -> None:
    """Change the object as the webhook wants, in place; what it becomes must be an object of its kind."""
    from container_kit.cluster.schema import json_patch

    obj = attributes.obj or {}
    try:
        patch = msgspec.json.decode(base64.b64decode(encoded, validate=True))
        if not isinstance(patch, list) or len(patch) > _PATCH_LIMIT:
            raise ValueError(f"a patch is a list of at most {_PATCH_LIMIT} operations")
        changed = json_patch(obj, patch)
        _check_kind(changed, obj)
    except (ValueError, RecursionError, binascii.Error, msgspec.DecodeError, StatusError) as error:
        raise _failed(hook, f"its patch cannot be applied: {error}") from None
    obj.clear()
    obj.update(changed)


def _check_kind(changed: Any, obj: Object) -> None:
    """Raise ValueError when a patch makes something else of an object; drop what its kind does not know."""
    from container_kit.cluster.schema import check

    same = ("apiVersion", "kind")
    if not isinstance(changed, dict) or any(changed.get(key) != obj.get(key) for key in same):
        raise ValueError("it makes an object of another kind")
    metadata = changed.get("metadata")
    if not isinstance(metadata, dict) or metadata.get("namespace") != obj["metadata"].get("namespace"):
        raise ValueError("it moves the object to another namespace")
    group, version = split_group_version(changed["apiVersion"])
    findings = check(changed, (group, version, changed["kind"]))
    if findings.errors:
        raise ValueError(findings.errors[0])
    findings.clean(changed)
