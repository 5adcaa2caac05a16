"""The reviews that the API answers itself, by asking whoever decides about rights.

Source: Kubernetes API reference, authorization.k8s.io/v1.
"""

from collections.abc import Callable

from container_kit.cluster.api.authorization import reviews
from container_kit.cluster.api.authorization.rbac import Decision
from container_kit.cluster.api.authorization.rules import Rule
from container_kit.cluster.api.core import Call
from container_kit.cluster.api.messages import Response, User
from container_kit.cluster.api.routing import Route
from container_kit.cluster.api.virtual import answered, read_question
from container_kit.cluster.meta import Object

__all__ = ["QUESTIONS_OF_RIGHTS"]


class Everybody:
    """The judge of an API that asks nobody for rights."""

    def decide(self, user: User, route: Route) -> Decision:
        """Yes."""
        return Decision(True)

    def rules_of(self, user: User, namespace: str) -> list[Rule]:
        """Everything."""
        whole = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
        return [whole, {"verbs": ["*"], "nonResourceURLs": ["*"]}]


def _judge(call: Call) -> reviews.Judge:
    return call.core.judge or Everybody()


def _question(call: Call) -> Object:
    """What is asked, without what says nothing."""
    question = {**read_question(call), "kind": call.resource.kind, "apiVersion": call.resource.api_version}
    call.resource.strategy.default(question)
    return question


def _review_access(call: Call) -> Response:
    question = _question(call)
    return answered(call, question, reviews.access(question, call.user, _judge(call), call.route.namespace))


def _review_rules(call: Call) -> Response:
    question = _question(call)
    status = reviews.rules(question, call.user, _judge(call))
    return answered(call, question | {"metadata": {"creationTimestamp": None}, "spec": {}}, status)


QUESTIONS_OF_RIGHTS: dict[str, Callable[[Call], Response]] = {
    "localsubjectaccessreviews.authorization.k8s.io": _review_access,
    "selfsubjectaccessreviews.authorization.k8s.io": _review_access,
    "selfsubjectrulesreviews.authorization.k8s.io": _review_rules,
    "subjectaccessreviews.authorization.k8s.io": _review_access,
}
