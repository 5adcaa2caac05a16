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
from container_kit.cluster.meta import FieldError, Object, StatusError, new_uid
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
            if answer is not None and answer.get("patch") and attributes.obj is not None:
                _apply(hook, attributes.obj, answer)


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


def _ask(attributes: Attributes, hook: Node) -> Node | None:
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
    for warning in answer.get("warnings") or ():
        attributes.warn(str(warning))
    if not answer.get("allowed"):
        raise _denial(hook, answer.get("status") or {})
    return answer


def _review(attributes: Attributes) -> Object:
    objects = {"object": attributes.obj, "oldObject": attributes.old}
    request = {"uid": new_uid(), **request_of(attributes), **objects}
    return {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request}


def _response(review: Any, uid: str) -> Node:
    """The response inside an answer, which must be to our question."""
    response = review.get("response") if isinstance(review, dict) else None
    if not isinstance(response, dict):
        raise CallFailed("webhook response is not an AdmissionReview with a response")
    if response.get("uid") != uid:
        raise CallFailed(f'expected response.uid="{uid}", got "{response.get("uid") or ""}"')
    return response


def _denial(hook: Node, status: Node) -> StatusError:
    """The webhook's no, in its own words and with its own code."""
    words = status.get("message") or status.get("reason")
    explanation = f": {words}" if words else " without explanation"
    message = f'admission webhook "{hook["name"]}" denied the request{explanation}'
    code = status.get("code") or 400
    return StatusError(max(int(code), 400), str(status.get("reason") or ""), message, status.get("details"))


def _failed(hook: Node, problem: str) -> StatusError:
    message = f'failed calling webhook "{hook["name"]}": {problem}'
    causes = [FieldError("", "", message)]
    return StatusError(500, "InternalError", f"Internal error occurred: {message}", causes=causes)


def _apply(hook: Node, obj: Object, answer: Node) -> None:
    """Change the object as the webhook wants, in place."""
    from container_kit.cluster.schema import json_patch

    try:
        patch = msgspec.json.decode(base64.b64decode(answer["patch"], validate=True))
        if not isinstance(patch, list) or len(patch) > _PATCH_LIMIT:
            raise ValueError(f"a patch is a list of at most {_PATCH_LIMIT} operations")
        changed = json_patch(obj, patch)
    except (ValueError, binascii.Error, msgspec.DecodeError, StatusError) as error:
        raise _failed(hook, f"its patch cannot be applied: {error}") from None
    obj.clear()
    obj.update(changed)
