"""Reviews: questions that are asked as objects: may I, may they, what may I.

Source: Kubernetes API reference, authorization.k8s.io/v1 reviews.
"""

from typing import Any, Protocol

from container_kit.cluster.api.authorization.rbac import Decision
from container_kit.cluster.api.authorization.rules import Rule
from container_kit.cluster.api.messages import User
from container_kit.cluster.api.routing import Route
from container_kit.cluster.meta import FieldError, Object
from container_kit.cluster.meta.status import bad_request, invalid

__all__ = ["Judge", "access", "rules"]

_GROUP = "authorization.k8s.io"
_BOTH_OR_NONE = "exactly one of nonResourceAttributes or resourceAttributes must be specified"


class Judge(Protocol):
    """Who decides; `RbacAuthorizer` is one."""

    def decide(self, user: User, route: Route) -> Decision:
        """Whether *user* may do what *route* says."""

    def rules_of(self, user: User, namespace: str) -> list[Rule]:
        """All rules that *user* has in *namespace*."""


def access(review: Object, asker: User, judge: Judge, namespace: str = "") -> Object:
    """The status of a SubjectAccessReview, its local or its own form.

    Args:
        review: What is asked.
        asker: Whose rights a SelfSubjectAccessReview is about.
        judge: Who decides.
        namespace: Of the request, for a LocalSubjectAccessReview.

    Raises:
        StatusError: 422: the review does not say what it is about.
    """
    spec = review.get("spec") or {}
    errors = _problems(review, spec, namespace)
    if errors:
        raise invalid("", "", errors, _GROUP)
    user = asker if review.get("kind") == "SelfSubjectAccessReview" else _user_of(spec)
    decision = judge.decide(user, _route_of(spec))
    return {"allowed": decision.allowed} | ({"reason": decision.reason} if decision.reason else {})


def _problems(review: Object, spec: dict[str, Any], namespace: str) -> list[FieldError]:
    about, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    errors = []
    if (about is None) == (path is None):
        error = FieldError(
            "spec.resourceAttributes", "FieldValueInvalid", f'Invalid value: "null": {_BOTH_OR_NONE}'
        )
        errors.append(error)
    if review.get("kind") != "SelfSubjectAccessReview" and not spec.get("user") and not spec.get("groups"):
        value = spec.get("user") or ""
        errors.append(
            FieldError.invalid("spec.user", value, "at least one of user or group must be specified")
        )
    if review.get("kind") == "LocalSubjectAccessReview" and about is not None:
        given = about.get("namespace") or ""
        if given != namespace:
            problem = "must match metadata.namespace"
            errors.append(FieldError.invalid("spec.resourceAttributes.namespace", given, problem))
    return errors


def _user_of(spec: dict[str, Any]) -> User:
    return User(
        spec.get("user") or "",
        tuple(spec.get("groups") or ()),
        spec.get("uid") or "",
        spec.get("extra") or {},
    )


def _route_of(spec: dict[str, Any]) -> Route:
    """The request that a review asks about."""
    path = spec.get("nonResourceAttributes")
    if path is not None:
        return Route(path.get("verb") or "", path.get("path") or "")
    about = spec.get("resourceAttributes") or {}
    words = ("group", "version", "namespace", "resource", "name", "subresource")
    return Route(about.get("verb") or "", "", True, **{word: about.get(word) or "" for word in words})


def rules(review: Object, asker: User, judge: Judge) -> Object:
    """The status of a SelfSubjectRulesReview: what the asker may do in a namespace.

    Raises:
        StatusError: 400: it names no namespace.
    """
    namespace = (review.get("spec") or {}).get("namespace") or ""
    if not namespace:
        raise bad_request("no namespace on request")
    found = judge.rules_of(asker, namespace)
    return {
        "resourceRules": [_part(rule, "resources") for rule in found if rule.get("resources")],
        "nonResourceRules": [_part(rule, "nonResourceURLs") for rule in found if rule.get("nonResourceURLs")],
        "incomplete": False,
    }


def _part(rule: Rule, key: str) -> Rule:
    keys = ("verbs", "apiGroups", "resources", "resourceNames") if key == "resources" else ("verbs", key)
    return {name: list(rule[name]) for name in keys if rule.get(name)}
