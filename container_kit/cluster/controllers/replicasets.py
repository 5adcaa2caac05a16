"""ReplicaSets and ReplicationControllers: as many pods as asked for, and a word on how they are.

One controller serves both, since they differ in little but their selector (`ReplicaKind`).

Source: Kubernetes documentation, "ReplicaSet"; API reference, apps/v1 ReplicaSet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from container_kit._values import frozen
from container_kit.cluster.client import ApiError
from container_kit.cluster.controllers.claims import Claims, index_owners, owned_by
from container_kit.cluster.controllers.framework import Informer, Manager, Mapper, keys_of
from container_kit.cluster.controllers.making import create_all
from container_kit.cluster.controllers.pods import (
    available_in_s,
    is_active,
    is_ready,
    pod_from_template,
    victims_first,
)
from container_kit.cluster.controllers.statuses import as_written, write_status
from container_kit.cluster.meta import (
    Key,
    LabelSelector,
    Object,
    controller_of,
    is_deleting,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
)

__all__ = [
    "REPLICATION_CONTROLLERS",
    "REPLICA_SETS",
    "ReplicaKind",
    "ReplicaSetController",
    "replication_controllers",
]

_MOST_AT_ONCE = 500


@frozen
class ReplicaKind:
    """In what the two kinds differ.

    Attributes:
        account: The service account with whose rights the controller acts.
        selector_of: How to read ``spec.selector``.
    """

    resource: str
    kind: str
    component: str
    account: str
    selector_of: Callable[[Any], LabelSelector]


REPLICA_SETS = ReplicaKind(
    "replicasets.apps",
    "ReplicaSet",
    "replicaset-controller",
    "replicaset-controller",
    LabelSelector.from_spec,
)
REPLICATION_CONTROLLERS = ReplicaKind(
    "replicationcontrollers",
    "ReplicationController",
    "replication-controller",
    "replication-controller",
    LabelSelector.from_labels,
)


class ReplicaSetController:
    """Keeps as many pods as each ReplicaSet asks for."""

    def __init__(self, manager: Manager, kind: ReplicaKind = REPLICA_SETS) -> None:
        self.name, self._kind, self._clock = kind.account, kind, manager.clock
        self._client = manager.client_of(kind.account)
        self._events = manager.recorder(kind.component, kind.account)
        self._sets, self._pods = manager.informer(kind.resource), manager.informer("pods")
        self._claims = Claims(self._client, kind.resource, self._pods)
        index_owners(self._sets)

    def watches(self) -> Mapping[str, Mapper]:
        return {
            self._kind.resource: keys_of(lambda obj: (key_of(self._kind.resource, obj),)),
            "pods": keys_of(lambda pod: owners_of(pod, self._kind.kind, self._sets, self._selector_of)),
        }

    def reconcile(self, key: Key) -> float | None:
        wish = self._sets.get(key.namespace, key.name)
        if wish is None:
            return None
        selector = self._selector_of(wish)
        pods = [pod for pod in self._claims.of(wish, selector.matches) if is_active(pod)]
        failure: _Failure | None = None
        if not is_deleting(wish):
            pods, failure = self._change_number(wish, pods)
        status = self._status(wish, pods, failure)
        write_status(self._client, wish, status)
        if failure is not None and failure.error is not None:
            raise failure.error
        return self._next_available_s(wish, pods)

    def _change_number(self, wish: Object, pods: list[Object]) -> tuple[list[Object], _Failure | None]:
        """Make or delete pods; returns those that there are now."""
        missing = wish["spec"].get("replicas", 1) - len(pods)
        if missing > 0:
            made, failure = self._create(wish, min(missing, _MOST_AT_ONCE))
            return [*pods, *made], failure
        if missing < 0:
            return self._delete(wish, pods, min(-missing, _MOST_AT_ONCE))
        return pods, None

    def _create(self, wish: Object, count: int) -> tuple[list[Object], _Failure | None]:
        template = wish["spec"]["template"]
        made, error = create_all(
            self._client, (pod_from_template(template, wish) for _ in range(count)), count
        )
        for pod in made:
            self._events.event(wish, "Normal", "SuccessfulCreate", f"Created pod: {name_of(pod)}")
        if error is None:
            return made, None
        self._events.event(wish, "Warning", "FailedCreate", f"Error creating: {error}")
        return made, _Failure("FailedCreate", str(error), error)

    def _delete(self, wish: Object, pods: list[Object], count: int) -> tuple[list[Object], _Failure | None]:
        victims = pods
        if count < len(pods):
            victims = victims_first(pods, self._company(wish), self._clock.now())[:count]
        gone = set[str]()
        failure: _Failure | None = None
        for pod in victims:
            try:
                self._client.delete("pods", name_of(pod), namespace_of(pod), uid=pod["metadata"]["uid"])
            except ApiError as error:
                if error.code != 404:
                    self._events.event(wish, "Warning", "FailedDelete", f"Error deleting: {error}")
                    failure = _Failure("FailedDelete", str(error), error)
                    break
            else:
                self._events.event(wish, "Normal", "SuccessfulDelete", f"Deleted pod: {name_of(pod)}")
            gone.add(uid_of(pod))
        return [pod for pod in pods if uid_of(pod) not in gone], failure

    def _company(self, wish: Object) -> list[Object]:
        """The pods of all ReplicaSets that belong to the same owner."""
        owner = controller_of(wish)
        if owner is None:
            return owned_by(self._pods, wish)
        sets = (other for other in self._sets.by_index("controller", owner["uid"]))
        return [pod for other in sets for pod in owned_by(self._pods, other)]

    def _status(self, wish: Object, pods: list[Object], failure: _Failure | None) -> Object:
        now, template_labels = self._clock.now(), LabelSelector.from_labels(_template_labels(wish))
        min_ready_s = wish["spec"].get("minReadySeconds") or 0
        counts = {
            "fullyLabeledReplicas": sum(template_labels.matches(labels_of(pod)) for pod in pods),
            "readyReplicas": sum(map(is_ready, pods)),
            "availableReplicas": sum(available_in_s(pod, min_ready_s, now) == 0 for pod in pods),
            "observedGeneration": wish["metadata"].get("generation", 0),
        }
        conditions = self._conditions(wish, failure)
        return {"replicas": len(pods), **as_written(counts | {"conditions": conditions})}

    def _conditions(self, wish: Object, failure: _Failure | None) -> list[Object]:
        """ReplicaFailure, for as long as the failure lasts; the first message of it stays."""
        old = wish.get("status", {}).get("conditions") or []
        others = [condition for condition in old if condition["type"] != "ReplicaFailure"]
        if failure is None:
            return others
        known = next((condition for condition in old if condition["type"] == "ReplicaFailure"), None)
        if known is not None:
            return [*others, known]
        now = self._clock.stamp()
        new = {"type": "ReplicaFailure", "status": "True", "lastTransitionTime": now}
        return [*others, {**new, "reason": failure.reason, "message": failure.message}]

    def _next_available_s(self, wish: Object, pods: list[Object]) -> float | None:
        """When the next ready pod has been ready for long enough."""
        min_ready_s = wish["spec"].get("minReadySeconds") or 0
        if not min_ready_s:
            return None
        now = self._clock.now()
        delays = (available_in_s(pod, min_ready_s, now) for pod in pods)
        return min((delay for delay in delays if delay), default=None)

    def _selector_of(self, wish: Object) -> LabelSelector:
        return self._kind.selector_of(wish["spec"].get("selector"))


def replication_controllers(manager: Manager) -> ReplicaSetController:
    """The same for ReplicationControllers."""
    return ReplicaSetController(manager, REPLICATION_CONTROLLERS)


@frozen
class _Failure:
    """Why there are not as many pods as there should be."""

    reason: str
    message: str
    error: Exception | None


def owners_of(
    obj: Object, kind: str, owners: Informer, selector_of: Callable[[Object], LabelSelector]
) -> Iterable[Key]:
    """Whom a change of *obj* concerns: its owner, and if it has none all who would take it."""
    reference = controller_of(obj)
    namespace = namespace_of(obj)
    if reference is not None:
        return (Key(owners.resource, namespace, reference["name"]),) if reference["kind"] == kind else ()
    if is_deleting(obj):
        return ()
    labels = labels_of(obj)
    found = owners.in_namespace(namespace)
    return [key_of(owners.resource, owner) for owner in found if selector_of(owner).matches(labels)]


def _template_labels(wish: Object) -> dict[str, str]:
    labels: dict[str, str] = (wish["spec"]["template"].get("metadata") or {}).get("labels") or {}
    return labels
