"""token: a new token of a service account, perhaps bound to a pod, a secret or a node.

Source: authentication.k8s.io/v1 TokenRequest; "Managing Service Accounts".
"""

from __future__ import annotations

from typing import Any

from container_kit.cluster.api.core import Call
from container_kit.cluster.api.decoding import read_object
from container_kit.cluster.api.encoding import json_response
from container_kit.cluster.api.messages import Response
from container_kit.cluster.api.options import write_options
from container_kit.cluster.meta.objects import Object
from container_kit.cluster.meta.status import (
    FieldError,
    StatusError,
    bad_request,
    conflict,
    go_quoted,
    invalid,
    not_found,
)
from container_kit.cluster.meta.times import format_time

__all__ = ["request_token"]

_KIND = ("authentication.k8s.io", "v1", "TokenRequest")
_BOUND = {"Pod": "pods", "Secret": "secrets", "Node": "nodes"}
_DEFAULT_S, _SHORTEST_S, _LONGEST_S = 3600, 600, 1 << 32


def request_token(call: Call) -> Response:
    """Issue a token for the account in the path."""
    from datetime import timedelta

    from container_kit.cluster.api.authentication.tokens import ISSUER

    issuer = call.core.issuer
    if issuer is None:
        raise StatusError(501, "NotImplemented", "this server has no key to sign tokens with")
    options = write_options(call.request, "CreateOptions")
    wanted = read_object(call, _KIND, options.validation)
    spec = wanted.get("spec") or {}
    lifetime_s = _lifetime_s(spec)
    account = call.record().object["metadata"]
    audiences = spec.get("audiences") or [ISSUER]
    bound = _bound(call, spec.get("boundObjectRef"))
    namespace = call.route.namespace
    token = issuer.issue(
        namespace, call.route.name, account["uid"], audiences=audiences, lifetime_s=lifetime_s, bound=bound
    )
    now = call.core.clock.now()
    answer = {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"name": call.route.name, "namespace": namespace, "creationTimestamp": format_time(now)},
        "spec": {
            "audiences": audiences,
            "expirationSeconds": lifetime_s,
            "boundObjectRef": spec.get("boundObjectRef"),
        },
        "status": {
            "token": token,
            "expirationTimestamp": format_time(now + timedelta(seconds=lifetime_s)),
        },
    }
    return json_response(answer, 201, call.warnings)


def _lifetime_s(spec: Object) -> int:
    asked = spec.get("expirationSeconds")
    lifetime_s: int = _DEFAULT_S if asked is None else asked
    problem = ""
    if lifetime_s < _SHORTEST_S:
        problem = "may not specify a duration less than 10 minutes"
    elif lifetime_s > _LONGEST_S:
        problem = "may not specify a duration larger than 2^32 seconds"
    if problem:
        error = FieldError.invalid("spec.expirationSeconds", lifetime_s, problem)
        raise invalid("TokenRequest", "", [error], "authentication.k8s.io")
    return lifetime_s


def _bound(call: Call, reference: Object | None) -> list[Any]:
    """The object with which the token ends, and for a pod its node."""
    from container_kit.cluster.api.authentication.tokens import BoundTo

    if not reference:
        return []
    kind, name = reference.get("kind") or "", reference.get("name") or ""
    resource = _BOUND.get(kind)
    if resource is None:
        detail = f"cannot bind token for serviceaccount to object of kind {kind}"
        raise invalid("TokenRequest", "", [FieldError.invalid("spec.boundObjectRef.kind", kind, detail)])
    record = call.core.store.get(resource, "" if kind == "Node" else call.route.namespace, name)
    if record is None:
        raise not_found(resource, name)
    uid = record.object["metadata"]["uid"]
    if reference.get("uid") and reference["uid"] != uid:
        problem = (
            f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record. "
            "The object might have been deleted and then recreated"
        )
        raise conflict(resource, name, problem=problem)
    found = [BoundTo(kind, name, uid)]
    return found + _node_of(call, record.object) if kind == "Pod" else found


def _node_of(call: Call, pod: Object) -> list[Any]:
    from container_kit.cluster.api.authentication.tokens import BoundTo

    _check_account(call, pod)
    node = pod["spec"].get("nodeName") or ""
    record = call.core.store.get("nodes", "", node) if node else None
    return [BoundTo("Node", node, record.object["metadata"]["uid"])] if record else []


def _check_account(call: Call, pod: Object) -> None:
    account = pod["spec"].get("serviceAccountName") or ""
    if account != call.route.name:
        what = f"cannot bind token for serviceaccount {go_quoted(call.route.name)}"
        raise bad_request(f"{what} to pod running with different serviceaccount name.")
