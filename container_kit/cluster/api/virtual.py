"""Questions in the form of objects: created, answered, and never stored.

Who a token belongs to and who one is oneself; what one may do is `container_kit.cluster.api.authorization`'s,
which adds its own to `QUESTIONS`.

Source: authentication.k8s.io/v1.
"""

from __future__ import annotations

from collections.abc import Callable

from container_kit.cluster.api.core import Call
from container_kit.cluster.api.decoding import read_object
from container_kit.cluster.api.encoding import object_response
from container_kit.cluster.api.messages import Response
from container_kit.cluster.api.options import write_options
from container_kit.cluster.api.tracking import track
from container_kit.cluster.meta.objects import Object
from container_kit.cluster.meta.status import FieldError, StatusError, invalid

__all__ = ["QUESTIONS", "answered", "read_question"]


def read_question(call: Call) -> Object:
    """The question in the body; its metadata with what answers carry."""
    options = write_options(call.request, "CreateOptions")
    resource = call.resource
    obj = read_object(call, (resource.group, resource.version, resource.kind), options.validation)
    obj["metadata"] = {"creationTimestamp": None, **(obj.get("metadata") or {})}
    if resource.namespaced:
        obj["metadata"]["namespace"] = call.route.namespace
    track(call, None, obj, options)
    return obj


def answered(call: Call, question: Object, status: Object) -> Response:
    """The question with its answer."""
    document = {"kind": call.resource.kind, "apiVersion": call.resource.api_version, **question}
    return object_response({**document, "status": status}, call.form, 201, call.warnings)


def review_token(call: Call) -> Response:
    """Whose token it is."""
    question = read_question(call)
    spec = question.setdefault("spec", {})
    if not spec.get("token"):
        problem = FieldError.required("spec.token", "token is required")
        raise invalid("TokenReview", "", [problem], "authentication.k8s.io")
    review = call.core.review_token
    if review is None:
        raise StatusError(501, "NotImplemented", "this server knows no tokens")
    return answered(call, question, review(spec["token"], spec.get("audiences") or ()))


def review_self(call: Call) -> Response:
    """Who the caller is."""
    read_question(call)
    question = {"metadata": {"creationTimestamp": call.core.clock.stamp()}}
    return answered(call, question, {"userInfo": call.user.info()})


QUESTIONS: dict[str, Callable[[Call], Response]] = {
    "tokenreviews.authentication.k8s.io": review_token,
    "selfsubjectreviews.authentication.k8s.io": review_self,
}
