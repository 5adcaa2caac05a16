"""Role-based access control: roles say what may be done, bindings say by whom.

Which rules a user has is worked out once and kept until a role or a binding changes.

Source: Kubernetes, "Using RBAC Authorization"; recorded answers of a real server.
"""

import threading
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from container_kit.cluster.api.authorization.rules import Rule, allows
from container_kit.cluster.api.messages import User
from container_kit.cluster.api.routing import Route
from container_kit.cluster.meta import Object, StatusError, name_of, namespace_of
from container_kit.cluster.meta.status import forbidden, go_quoted
from container_kit.cluster.store import Store

__all__ = ["MASTERS", "Decision", "Grant", "RbacAuthorizer"]

MASTERS = "system:masters"  # may do everything, whatever roles say
_ACCOUNT = "system:serviceaccount:"
_GROUP = "rbac.authorization.k8s.io"
_WATCHED = tuple(
    f"{plural}.{_GROUP}" for plural in ("roles", "rolebindings", "clusterroles", "clusterrolebindings")
)

Subject = tuple[str, str]  # kind and name; service accounts by their user name


class Decision(NamedTuple):
    """Whether something is allowed, and by what."""

    allowed: bool
    reason: str = ""


class Grant(NamedTuple):
    """One subject of one binding, and the rules of the role that it gives."""

    rules: tuple[Rule, ...]
    namespace: str  # empty: everywhere
    reason: str


class RbacAuthorizer:
    """Decides by the roles and bindings in a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._grants: dict[Subject, list[Grant]] | None = None
        self._watches = [store.watch(resource, store.revision, self._forget) for resource in _WATCHED]

    def close(self) -> None:
        """Follow the store no longer."""
        for watch in self._watches:
            watch.close()

    def authorize(self, user: User, route: Route) -> None:
        """Return if *user* may do what *route* says.

        Raises:
            StatusError: 403.
        """
        decision = self.decide(user, route)
        if not decision.allowed:
            raise _refusal(user, route, decision)

    def decide(self, user: User, route: Route) -> Decision:
        """Whether *user* may do what *route* says, and why."""
        if MASTERS in user.groups:
            return Decision(True)
        for grant in self.grants_of(user, route.namespace):
            if any(allows(rule, route) for rule in grant.rules):
                return Decision(True, f"RBAC: allowed by {grant.reason}")
        return Decision(False)

    def may_sign(self, user: User, verb: str, signer: str) -> bool:
        """Whether *user* may ``approve`` or ``sign`` certificates of a signer."""
        group = "certificates.k8s.io"
        return self.decide(user, Route(verb, "", True, group, "v1", "", "signers", signer)).allowed

    def rules_of(self, user: User, namespace: str) -> list[Rule]:
        """All rules that *user* has in *namespace*, those of the whole cluster first."""
        return [rule for grant in self.grants_of(user, namespace) for rule in grant.rules]

    def grants_of(self, user: User, namespace: str) -> Iterator[Grant]:
        """What is given to *user* in a namespace, cluster-wide bindings first."""
        found = [grant for subject in _subjects_of(user) for grant in self._known().get(subject, ())]
        yield from (grant for grant in found if not grant.namespace)
        if namespace:
            yield from (grant for grant in found if grant.namespace == namespace)

    def rules_of_role(self, kind: str, namespace: str, name: str) -> list[Rule] | None:
        """The rules of a Role or ClusterRole; None if there is none of this name."""
        plural, place = ("clusterroles", "") if kind == "ClusterRole" else ("roles", namespace)
        record = self._store.get(f"{plural}.{_GROUP}", place, name)
        return None if record is None else list(record.object.get("rules") or ())

    def _forget(self, event: object) -> None:
        """Something changed; called under the store's lock, so nothing is worked out here."""
        self._grants = None

    def _known(self) -> dict[Subject, list[Grant]]:
        grants = self._grants
        if grants is None:
            with self._lock:
                # Whatever changes from here on makes it forgotten again.
                self._grants = grants = {}
                found: dict[Subject, list[Grant]] = {}
                for subject, grant in self._all_grants():
                    found.setdefault(subject, []).append(grant)
                if self._grants is grants:
                    self._grants = found
                grants = found
        return grants

    def _all_grants(self) -> Iterator[tuple[Subject, Grant]]:
        for kind, plural in (("ClusterRoleBinding", "clusterrolebindings"), ("RoleBinding", "rolebindings")):
            for record in self._store.list(f"{plural}.{_GROUP}").records:
                yield from self._grants_by(kind, record.object)

    def _grants_by(self, kind: str, binding: Object) -> Iterator[tuple[Subject, Grant]]:
        role, namespace = binding.get("roleRef") or {}, namespace_of(binding)
        rules = self.rules_of_role(role.get("kind", ""), namespace, role.get("name", ""))
        if rules is None:
            return
        place = f"{name_of(binding)}/{namespace}" if namespace else name_of(binding)
        start = f"{kind} {go_quoted(place)} of {role.get('kind')} {go_quoted(role.get('name'))} to "
        for subject in binding.get("subjects") or ():
            yield (
                _key_of(subject, namespace),
                Grant(tuple(rules), namespace, start + _shown_subject(subject, namespace)),
            )


def _key_of(subject: dict[str, Any], namespace: str) -> Subject:
    if subject.get("kind") == "ServiceAccount":
        return "User", f"{_ACCOUNT}{subject.get('namespace') or namespace}:{subject.get('name')}"
    return subject.get("kind", ""), subject.get("name", "")


def _shown_subject(subject: dict[str, Any], namespace: str) -> str:
    name = subject.get("name", "")
    if subject.get("kind") == "ServiceAccount":
        name = f"{name}/{subject.get('namespace') or namespace}"
    return f"{subject.get('kind')} {go_quoted(name)}"


def _subjects_of(user: User) -> Iterable[Subject]:
    yield "User", user.name
    for group in user.groups:
        yield "Group", group


def _refusal(user: User, route: Route, decision: Decision) -> StatusError:
    """The 403 for a request, naming user, verb and what it is about."""
    who = f"User {go_quoted(user.name)} cannot {route.verb}"
    if not route.is_resource:
        error = forbidden("", "", f"{who} path {go_quoted(route.path)}")
        error.message = error.message.removeprefix(" is ")
        return error
    resource = f"{route.resource}/{route.subresource}" if route.subresource else route.resource
    place = f"in the namespace {go_quoted(route.namespace)}" if route.namespace else "at the cluster scope"
    problem = f"{who} resource {go_quoted(resource)} in API group {go_quoted(route.group)} {place}"
    return forbidden(route.resource, route.name, problem, route.group)
