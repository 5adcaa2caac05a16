"""Roles and bindings decide who may do what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from container_kit.cluster.api import Request, User
from container_kit.cluster.api.authorization import RbacAuthorizer, reviews
from container_kit.cluster.api.authorization.bootstrap import bootstrap_rbac
from container_kit.cluster.api.authorization.escalation import NoEscalation
from container_kit.cluster.api.authorization.rules import allows, missing_rules, shown
from container_kit.cluster.api.routing import Route
from tests.cluster.api.conftest import Asking, document

ALICE = User("alice", ("dev", "system:authenticated"))
USER = {"kind": "User", "name": "alice"}
ROLES = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles"
BINDINGS = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings"


def pods(verb: str, name: str = "", namespace: str = "default", sub: str = "") -> Route:
    return Route(verb, "", True, "", "v1", namespace, "pods", name, sub)


class Guarded(Asking):
    """An API that asks for rights."""

    def __init__(self) -> None:
        super().__init__()
        for obj in bootstrap_rbac():
            self.do("POST", f"/apis/rbac.authorization.k8s.io/v1/{obj['kind'].lower()}s", obj)
        self.rbac = RbacAuthorizer(self.store)
        self.api.authorizer = self.rbac
        self.api.admission.use([NoEscalation(self.rbac)])

    def grant(self, rules: list[Any], subject: dict[str, str] = USER) -> None:
        """A role in the namespace default, bound to a subject."""
        self.do("POST", ROLES, {"metadata": {"name": "r"}, "rules": rules})
        role = {"kind": "Role", "name": "r"}
        self.do("POST", BINDINGS, {"metadata": {"name": "r"}, "roleRef": role, "subjects": [subject]})

    def as_alice(self, method: str, path: str, body: Any = b"") -> tuple[int, str]:
        answer = self.api.handle(Request(method, path, {}, {}, body, ALICE))
        return answer.status, str(document(answer).get("message", ""))


@pytest.fixture
def guarded() -> Iterator[Guarded]:
    found = Guarded()
    yield found
    found.rbac.close()


GET_PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}


def test_nobody_may_anything_without_a_binding(guarded: Guarded) -> None:
    """The refusal names user, verb, resource, group and place; members of system:masters may everything."""
    assert guarded.as_alice("GET", "/api/v1/namespaces/default/pods") == (
        403,
        'pods is forbidden: User "alice" cannot list resource "pods" in API group ""'
        ' in the namespace "default"',
    )
    assert guarded.as_alice("GET", "/metrics")[1] == 'forbidden: User "alice" cannot get path "/metrics"'
    assert guarded.as_alice("GET", "/version")[0] == 200
    assert guarded.rbac.decide(User("root", ("system:masters",)), pods("delete")).allowed


def test_a_binding_gives_the_rights_of_its_role_in_its_namespace(guarded: Guarded) -> None:
    """A right begins with its binding, ends with it, and ends at the namespace."""
    guarded.grant([GET_PODS])
    assert guarded.rbac.decide(ALICE, pods("get", "p")).reason == (
        'RBAC: allowed by RoleBinding "r/default" of Role "r" to User "alice"'
    )
    assert not guarded.rbac.decide(ALICE, pods("get", "p", "other")).allowed

    guarded.do("DELETE", f"{BINDINGS}/r")
    assert not guarded.rbac.decide(ALICE, pods("get", "p")).allowed


@pytest.mark.parametrize(
    ("subject", "user"),
    [
        ({"kind": "Group", "name": "dev"}, ALICE),
        ({"kind": "ServiceAccount", "name": "bot"}, User("system:serviceaccount:default:bot")),
        ({"kind": "ServiceAccount", "name": "bot", "namespace": "x"}, User("system:serviceaccount:x:bot")),
    ],
)
def test_subjects_are_users_groups_and_accounts(
    guarded: Guarded, subject: dict[str, str], user: User
) -> None:
    """A service account is the user of its long name, of the binding's namespace if it names none."""
    guarded.grant([GET_PODS], subject)
    assert guarded.rbac.decide(user, pods("list")).allowed


RULES = [
    ({"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}, pods("get"), True),
    ({"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}, pods("get", sub="log"), False),
    ({"apiGroups": [""], "resources": ["*/log"], "verbs": ["get"]}, pods("get", sub="log"), True),
    ({"apiGroups": [""], "resources": ["pods/*"], "verbs": ["get"]}, pods("get", sub="log"), False),
    (
        {"apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"], "verbs": ["get"]},
        pods("get", "b"),
        False,
    ),
    (
        {"apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"], "verbs": ["*"]},
        pods("get", "a"),
        True,
    ),
    ({"apiGroups": ["apps"], "resources": ["*"], "verbs": ["*"]}, pods("get"), False),
    ({"nonResourceURLs": ["/healthz/*"], "verbs": ["get"]}, Route("get", "/healthz/ping"), True),
    ({"nonResourceURLs": ["/healthz"], "verbs": ["get"]}, Route("get", "/healthz/ping"), False),
]


@pytest.mark.parametrize(("rule", "route", "allowed"), RULES)
def test_a_rule_allows_what_it_names(rule: dict[str, Any], route: Route, allowed: bool) -> None:
    """Stars mean all; a subresource is no part of its resource; names limit."""
    assert allows(rule, route) is allowed


def test_what_is_missing_is_named_by_resource() -> None:
    """Parts that are not allowed are put together again, one line for each resource."""
    wanted = [
        {"apiGroups": [""], "resources": ["pods", "secrets"], "verbs": ["get", "list"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["watch"]},
    ]
    assert [shown(rule) for rule in missing_rules([GET_PODS], wanted)] == [
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}',
        '{APIGroups:[""], Resources:["pods"], Verbs:["watch"]}',
    ]
    assert missing_rules([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}], wanted) == []


def test_nobody_grants_what_they_do_not_have(guarded: Guarded) -> None:
    """Who may write roles cannot give themselves more by it, nor by a binding to a stronger role."""
    rbac = {
        "apiGroups": ["rbac.authorization.k8s.io"],
        "resources": ["roles", "rolebindings"],
        "verbs": ["*"],
    }
    own = {**rbac, "verbs": ["create"]}
    guarded.grant([GET_PODS, own])

    more = {"metadata": {"name": "more"}, "rules": [{**GET_PODS, "resources": ["secrets"]}]}
    status, message = guarded.as_alice("POST", ROLES, more)
    assert status == 403 and 'Resources:["secrets"], Verbs:["get" "list"]' in message
    role = {"kind": "ClusterRole", "name": "cluster-admin"}
    binding = {"metadata": {"name": "b"}, "roleRef": role, "subjects": [{"kind": "User", "name": "alice"}]}
    assert guarded.as_alice("POST", BINDINGS, binding)[0] == 403
    assert guarded.as_alice("POST", ROLES, {"metadata": {"name": "same"}, "rules": [GET_PODS]})[0] == 201


def test_reviews_answer_from_the_same_rules(guarded: Guarded) -> None:
    """A review says what a request would be told, and lists the rules it would be told it by."""
    guarded.grant([GET_PODS])

    def asked(verb: str) -> dict[str, Any]:
        about = {"namespace": "default", "verb": verb, "resource": "pods"}
        review = {"kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": about}}
        return reviews.access(review, ALICE, guarded.rbac)

    assert (asked("list")["allowed"], asked("delete")) == (True, {"allowed": False})
    rules = reviews.rules({"spec": {"namespace": "default"}}, ALICE, guarded.rbac)
    assert {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]} in rules["resourceRules"]


def test_admin_is_edit_is_view_and_more() -> None:
    """The three roles for people contain one another."""
    roles = {obj["metadata"]["name"]: obj for obj in bootstrap_rbac() if obj["kind"] == "ClusterRole"}

    assert missing_rules(roles["edit"]["rules"], roles["view"]["rules"]) == []
    assert missing_rules(roles["admin"]["rules"], roles["edit"]["rules"]) == []
    assert missing_rules(roles["view"]["rules"], roles["edit"]["rules"]) != []
