"""The controller of Deployments: finds the ReplicaSets, decides, writes.

Source: Kubernetes documentation, "Deployments"; API reference, apps/v1 Deployment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from container_kit._values import frozen
from container_kit.cluster.client import ApiError, ApiExists, ApiNotFound
from container_kit.cluster.controllers.claims import Claims, index_owners, owned_by
from container_kit.cluster.controllers.deployments import progress
from container_kit.cluster.controllers.deployments.revisions import (
    DESIRED,
    HASH_LABEL,
    REVISION,
    annotations_for,
    hash_of,
    newest_like,
    next_revision,
    revision_of,
    size_annotations,
)
from container_kit.cluster.controllers.deployments.scaling import (
    active,
    bounds_of,
    cut_old,
    in_proportion,
    is_saturated,
    new_size,
    replicas_of,
)
from container_kit.cluster.controllers.framework import Manager, Mapper, keys_of
from container_kit.cluster.controllers.pods import is_finished
from container_kit.cluster.controllers.replicasets import owners_of
from container_kit.cluster.controllers.statuses import as_written, write_status
from container_kit.cluster.meta import (
    Key,
    LabelSelector,
    Object,
    annotations_of,
    condition_of,
    controller_of,
    copy_of,
    is_controlled_by,
    is_deleting,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)

__all__ = ["DeploymentController"]

_RESOURCE, _SETS = "deployments.apps", "replicasets.apps"


@frozen
class _Sets:
    """The ReplicaSets of a Deployment: the one with its template, if there is one, and all others."""

    new: Object | None
    old: list[Object]

    @property
    def all(self) -> list[Object]:
        return [*self.old, self.new] if self.new is not None else self.old


class DeploymentController:
    """Keeps the ReplicaSets of each Deployment."""

    name = "deployment-controller"

    def __init__(self, manager: Manager) -> None:
        self._clock = manager.clock
        self._client = manager.client_of(self.name)
        self._events = manager.recorder(self.name)
        self._deployments, self._sets = manager.informer(_RESOURCE), manager.informer(_SETS)
        self._pods = manager.informer("pods")
        self._claims = Claims(self._client, _RESOURCE, self._sets)
        index_owners(self._pods)

    def watches(self) -> Mapping[str, Mapper]:
        return {
            _RESOURCE: keys_of(lambda obj: (key_of(_RESOURCE, obj),)),
            _SETS: keys_of(lambda obj: owners_of(obj, "Deployment", self._deployments, _selector_of)),
            "pods": self._recreated,
        }

    def reconcile(self, key: Key) -> float | None:
        deployment = self._deployments.get(key.namespace, key.name)
        if deployment is None:
            return None
        found = self._claims.of(deployment, _selector_of(deployment).matches)
        if is_deleting(deployment):
            return self._describe(deployment, _sorted(deployment, found), is_rollout=False)
        deployment = self._note_pause(deployment)
        if deployment["spec"].get("paused") or _is_resized(deployment, found):
            return self._resize(deployment, found)
        if deployment["spec"]["strategy"]["type"] == "Recreate":
            return self._recreate(deployment, found)
        return self._roll(deployment, found)

    def _roll(self, deployment: Object, found: list[Object]) -> float | None:
        """One step of a rolling update: either the new ReplicaSet grows, or old ones shrink."""
        deployment, sets = self._with_new(deployment, found)
        assert sets.new is not None
        size = new_size(deployment, sets.all, sets.new)
        if size != replicas_of(sets.new):
            sets = _Sets(self._scale(deployment, sets.new, size), sets.old)
        else:
            cuts = {name_of(each): size for each, size in cut_old(deployment, sets.old, sets.new)}
            sets = _Sets(sets.new, self._scale_all(deployment, sets.old, cuts))
        return self._describe(deployment, sets)

    def _recreate(self, deployment: Object, found: list[Object]) -> float | None:
        """All old pods go, and only when the last is gone the new ones come."""
        sets = _sorted(deployment, found)
        if active(sets.old):
            old = self._scale_all(deployment, sets.old, dict.fromkeys(map(name_of, sets.old), 0))
            return self._describe(deployment, _Sets(sets.new, old))
        if any(not is_finished(pod) for each in sets.old for pod in owned_by(self._pods, each)):
            return self._describe(deployment, sets)
        deployment, sets = self._with_new(deployment, found)
        assert sets.new is not None
        size = new_size(deployment, sets.all, sets.new)
        return self._describe(deployment, _Sets(self._scale(deployment, sets.new, size), sets.old))

    def _resize(self, deployment: Object, found: list[Object]) -> float | None:
        """The wished number changed, or nothing else may: those that there are get other sizes."""
        deployment, sets = self._with_new(deployment, found, create=False)
        scaled = {
            name_of(each): self._scale(deployment, each, size) for each, size in _resized(deployment, sets)
        }
        new = scaled.get(name_of(sets.new), sets.new) if sets.new is not None else None
        sets = _Sets(new, [scaled.get(name_of(each), each) for each in sets.old])
        if deployment["spec"].get("paused"):
            self._forget_history(deployment, sets.old)
        return self._describe(deployment, sets, is_rollout=False)

    def _describe(self, deployment: Object, sets: _Sets, *, is_rollout: bool = True) -> float | None:
        """Write the status; returns when to look whether the rollout still gets on."""
        moment, now = self._clock.now(), self._clock.stamp()
        if is_rollout:
            status = progress.rollout_status(deployment, sets.all, sets.new, moment, now)
        else:
            status = progress.status_of(deployment, sets.all, sets.new, now)
        if is_rollout and progress.is_complete(deployment, status):
            self._forget_history(deployment, sets.old)
        write_status(self._client, deployment, status)
        return progress.seconds_to_deadline(deployment, status, moment) if is_rollout else None

    def _with_new(
        self, deployment: Object, found: list[Object], *, create: bool = True
    ) -> tuple[Object, _Sets]:
        """The ReplicaSets with the new one, made if need be, and its revision written everywhere."""
        sets = _sorted(deployment, found)
        revision = next_revision(sets.old)
        if sets.new is not None:
            new = self._refresh(deployment, sets.new, revision)
            return self._note_new(deployment, new, "FoundNewReplicaSet", "Found new"), _Sets(new, sets.old)
        if not create:
            return deployment, sets
        new, is_ours = self._create(deployment, sets.old, revision)
        reason, verb = (
            ("NewReplicaSetCreated", "Created new") if is_ours else ("FoundNewReplicaSet", "Found new")
        )
        return self._note_new(deployment, new, reason, verb), _Sets(new, sets.old)

    def _refresh(self, deployment: Object, new: Object, revision: int) -> Object:
        """Annotations and minReadySeconds of the Deployment, on its ReplicaSet."""
        annotations = annotations_for(deployment, new, revision)
        seconds = deployment["spec"].get("minReadySeconds", 0)
        if annotations == annotations_of(new) and new["spec"].get("minReadySeconds", 0) == seconds:
            return new
        changed = copy_of(new)
        changed["metadata"]["annotations"] = annotations
        changed["spec"]["minReadySeconds"] = seconds
        return self._client.update(changed)

    def _create(self, deployment: Object, old: list[Object], revision: int) -> tuple[Object, bool]:
        """A ReplicaSet for the template; False if it was there already."""
        wish = _new_set(deployment, new_size(deployment, old, None), revision)
        try:
            made = self._client.create(wish)
        except ApiExists:
            return self._same_or_collision(deployment, wish), False
        except ApiError as error:
            self._note_failure(deployment, wish, error)
            raise
        if replicas_of(made):
            self._tell_scaled(deployment, made, 0, replicas_of(made))
        return made, True

    def _same_or_collision(self, deployment: Object, wish: Object) -> Object:
        """Who has the name: our own ReplicaSet that was not seen yet, or another one with the same hash."""
        found = self._client.get(_SETS, name_of(wish), namespace_of(wish))
        if is_controlled_by(found, deployment) and newest_like(deployment, [found]) is not None:
            return found
        status = dict(deployment.get("status", {}))
        status["collisionCount"] = status.get("collisionCount", 0) + 1
        write_status(self._client, deployment, status)
        raise ApiExists(
            {"message": f"another ReplicaSet has the name {name_of(wish)!r}: the next one differs"}
        )

    def _note_new(self, deployment: Object, new: Object, reason: str, verb: str) -> Object:
        """The revision, and that progress began, on the Deployment itself."""
        status = dict(deployment.get("status", {}))
        if progress.has_deadline(deployment) and (
            condition_of(deployment, "Progressing") is None or reason == "NewReplicaSetCreated"
        ):
            message = f'{verb} replica set "{name_of(new)}"'
            status["conditions"] = progress.with_condition(
                status.get("conditions") or [], "Progressing", "True", reason, message, self._clock.stamp()
            )
        revision = annotations_of(new).get(REVISION, "")
        if revision == annotations_of(deployment).get(REVISION) and status == deployment.get("status", {}):
            return deployment
        meta = {**deployment["metadata"], "annotations": {**annotations_of(deployment), REVISION: revision}}
        return self._client.update_status({**deployment, "metadata": meta, "status": status})

    def _note_failure(self, deployment: Object, wish: Object, error: ApiError) -> None:
        message = f'Failed to create new replica set "{name_of(wish)}": {error}'
        if progress.has_deadline(deployment):
            status = dict(deployment.get("status", {}))
            status["conditions"] = progress.with_condition(
                status.get("conditions") or [],
                "Progressing",
                "False",
                "ReplicaSetCreateError",
                message,
                self._clock.stamp(),
            )
            write_status(self._client, deployment, status)
        self._events.event(deployment, "Warning", "ReplicaSetCreateError", message)

    def _note_pause(self, deployment: Object) -> Object:
        """While it is paused, the deadline stands still."""
        progressing = condition_of(deployment, "Progressing")
        if not progress.has_deadline(deployment):
            return deployment
        reason = progressing.get("reason") if progressing is not None else None
        paused = bool(deployment["spec"].get("paused"))
        if reason == progress.DEADLINE_EXCEEDED or paused == (reason == "DeploymentPaused"):
            return deployment
        word, message = ("Paused", "paused") if paused else ("Resumed", "resumed")
        status = dict(deployment.get("status", {}))
        status["conditions"] = progress.with_condition(
            status.get("conditions") or [],
            "Progressing",
            "Unknown",
            f"Deployment{word}",
            f"Deployment is {message}",
            self._clock.stamp(),
        )
        return write_status(self._client, deployment, status)

    def _scale_all(
        self, deployment: Object, sets: Sequence[Object], sizes: Mapping[str, int]
    ) -> list[Object]:
        return [
            self._scale(deployment, each, sizes[name_of(each)]) if name_of(each) in sizes else each
            for each in sets
        ]

    def _scale(self, deployment: Object, replica_set: Object, size: int) -> Object:
        """Give a ReplicaSet a size, and write down for which wish."""
        bounds = bounds_of(deployment)
        wanted = annotations_of(replica_set) | size_annotations(bounds.replicas, bounds.surge)
        before = replicas_of(replica_set)
        if before == size and annotations_of(replica_set) == wanted:
            return replica_set
        changed = copy_of(replica_set)
        changed["spec"]["replicas"], changed["metadata"]["annotations"] = size, wanted
        changed = self._client.update(changed)
        if before != size:
            self._tell_scaled(deployment, changed, before, size)
        return changed

    def _tell_scaled(self, deployment: Object, replica_set: Object, before: int, size: int) -> None:
        direction = "up" if size > before else "down"
        message = f"Scaled {direction} replica set {name_of(replica_set)} from {before} to {size}"
        self._events.event(deployment, "Normal", "ScalingReplicaSet", message)

    def _forget_history(self, deployment: Object, old: Iterable[Object]) -> None:
        """Old ReplicaSets without pods go, but for the youngest revisions."""
        limit = deployment["spec"].get("revisionHistoryLimit", 10)
        alive = sorted((each for each in old if not is_deleting(each)), key=revision_of)
        for each in alive[: max(0, len(alive) - limit)]:
            if _is_settled_at_zero(each):
                try:
                    self._client.delete(_SETS, name_of(each), namespace_of(each), uid=uid_of(each))
                except ApiNotFound:
                    continue

    def _recreated(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        """The end of a pod concerns a Deployment that waits for it before it makes new ones."""
        pod = new or old
        reference = controller_of(pod) if pod is not None else None
        if pod is None or reference is None or reference["kind"] != "ReplicaSet":
            return ()
        if new is not None and not is_finished(new):
            return ()
        replica_set = self._sets.get(namespace_of(pod), reference["name"])
        owner = controller_of(replica_set) if replica_set is not None else None
        deployment = self._deployments.get(namespace_of(pod), owner["name"]) if owner is not None else None
        if deployment is None or deployment["spec"]["strategy"]["type"] != "Recreate":
            return ()
        return (key_of(_RESOURCE, deployment),)


def _sorted(deployment: Object, found: Sequence[Object]) -> _Sets:
    new = newest_like(deployment, found)
    return _Sets(new, [each for each in found if new is None or uid_of(each) != uid_of(new)])


def _is_resized(deployment: Object, found: Iterable[Object]) -> bool:
    """Whether the wished number is another one than that for which the ReplicaSets were scaled."""
    wished = str(deployment["spec"].get("replicas", 1))
    return any(annotations_of(each).get(DESIRED, wished) != wished for each in active(found))


def _resized(deployment: Object, sets: _Sets) -> list[tuple[Object, int]]:
    with_pods = active(sets.all)
    wished = deployment["spec"].get("replicas", 1)
    if len(with_pods) <= 1:
        only = with_pods[0] if with_pods else sets.new or max(sets.old, key=revision_of, default=None)
        return [(only, wished)] if only is not None else []
    if is_saturated(deployment, sets.new):
        return [(each, 0) for each in active(sets.old)]
    if deployment["spec"]["strategy"]["type"] == "RollingUpdate":
        return in_proportion(deployment, with_pods)
    return []


def _new_set(deployment: Object, size: int, revision: int) -> Object:
    bounds, digest = bounds_of(deployment), hash_of(deployment)
    template = copy_of(deployment["spec"]["template"])
    meta = template.setdefault("metadata", {})
    meta["labels"] = {**(meta.get("labels") or {}), HASH_LABEL: digest}
    selector = copy_of(deployment["spec"]["selector"])
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), HASH_LABEL: digest}
    sizes = size_annotations(bounds.replicas, bounds.surge)
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{name_of(deployment)}-{digest}",
            "namespace": namespace_of(deployment),
            "labels": labels_of(template),
            "annotations": annotations_for(deployment, None, revision) | sizes,
            "ownerReferences": [owner_reference(deployment)],
        },
        "spec": {
            "replicas": size,
            "selector": selector,
            "template": template,
            **as_written({"minReadySeconds": deployment["spec"].get("minReadySeconds")}),
        },
    }


def _is_settled_at_zero(replica_set: Object) -> bool:
    status = replica_set.get("status", {})
    seen = status.get("observedGeneration", 0) >= replica_set["metadata"].get("generation", 0)
    return seen and replicas_of(replica_set) == 0 and status.get("replicas", 0) == 0


def _selector_of(deployment: Object) -> LabelSelector:
    return LabelSelector.from_spec(deployment["spec"].get("selector"))
