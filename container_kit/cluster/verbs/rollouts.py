"""Rollouts of deployments, stateful sets and daemon sets: their state, history, and the way back.

Source: kubectl rollout.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from container_kit._values import frozen
from container_kit.cluster.client.client import Client
from container_kit.cluster.verbs.targets import Target, selector_of
from container_kit.cluster.verbs.waiting import wait_for
from container_kit.errors import InvalidInput, NotFound, WrongState

__all__ = ["Revision", "Rollout"]

Object = dict[str, Any]
_REVISION = "deployment.kubernetes.io/revision"
_CAUSE = "kubernetes.io/change-cause"
_HASH = "pod-template-hash"


@frozen
class Revision:
    """One template that a workload has had.

    Attributes:
        number: The higher the later.
        cause: Its annotation ``kubernetes.io/change-cause``.
        template: Of its pods.
    """

    number: int
    cause: str
    template: Mapping[str, Any]


class Rollout:
    """The rollout of one workload; from `Cluster.rollout`."""

    def __init__(self, client: Client, target: Target) -> None:
        if target.info.full_name not in ("deployments.apps", "statefulsets.apps", "daemonsets.apps"):
            raise InvalidInput(f"{target} has no rollouts: deployments, statefulsets and daemonsets have")
        self._client, self._target = client, target

    def status(self) -> str:
        """How far it is, in a sentence."""
        return _progress(self._target.get(self._client))[1]

    def wait(self, timeout: float = 60) -> None:
        """Wait until every replica is of the latest template and available.

        Raises:
            TimedOut: It did not get there within *timeout* seconds.
            WrongState: It cannot: its progress deadline is over.
        """
        wait_for(self._client, self._target, _is_complete, timeout, "rolled out")

    def restart(self) -> None:
        """Replace all its pods, by and by."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        marks = {"annotations": {"kubectl.kubernetes.io/restartedAt": now}}
        self._target.patch(self._client, {"spec": {"template": {"metadata": marks}}})

    def pause(self) -> None:
        """Let changes of the template wait (deployments)."""
        self._pause(True)

    def resume(self) -> None:
        """Go on with what waits."""
        self._pause(None)

    def history(self) -> list[Revision]:
        """The templates it has had, the oldest first."""
        return sorted(self._revisions(), key=lambda revision: revision.number)

    def undo(self, to: int = 0) -> None:
        """Go back to the template of revision *to*, or to the one before the present one.

        Raises:
            NotFound: There is no such revision (any more).
        """
        known = self.history()
        if not to and len(known) < 2:
            raise NotFound("revision", "before this one", f"{self._target} has had one template only")
        found = known[-2] if not to else next((one for one in known if one.number == to), None)
        if found is None:
            numbers = ", ".join(str(one.number) for one in known)
            raise NotFound("revision", str(to), f"{self._target} has {numbers}")
        if self._target.info.plural == "deployments":
            patch = [{"op": "replace", "path": "/spec/template", "value": found.template}]
            self._target.patch(self._client, patch, kind="json")
        else:
            self._target.patch(self._client, {"spec": {"template": {"$patch": "replace", **found.template}}})

    def _pause(self, value: bool | None) -> None:
        if self._target.info.plural != "deployments":
            raise InvalidInput(f"{self._target} cannot be paused: only deployments can")
        self._target.patch(self._client, {"spec": {"paused": value}})

    def _revisions(self) -> list[Revision]:
        owner = self._target.get(self._client)
        is_deployment = self._target.info.plural == "deployments"
        kind = "replicasets.apps" if is_deployment else "controllerrevisions.apps"
        found = self._client.list(kind, self._target.namespace, labels=selector_of(owner)).items
        own = [one for one in found if _is_owned(one, owner)]
        return [_of_replica_set(one) if is_deployment else _of_controller_revision(one) for one in own]


def _is_owned(obj: Mapping[str, Any], owner: Mapping[str, Any]) -> bool:
    references = obj["metadata"].get("ownerReferences") or ()
    return any(one.get("controller") and one["uid"] == owner["metadata"]["uid"] for one in references)


def _of_replica_set(obj: Object) -> Revision:
    annotations = obj["metadata"].get("annotations") or {}
    template = obj["spec"]["template"]
    labels = {key: value for key, value in (template["metadata"].get("labels") or {}).items() if key != _HASH}
    template = {**template, "metadata": {**template["metadata"], "labels": labels}}
    return Revision(int(annotations.get(_REVISION, 0)), annotations.get(_CAUSE, ""), template)


def _of_controller_revision(obj: Object) -> Revision:
    cause = (obj["metadata"].get("annotations") or {}).get(_CAUSE, "")
    template = {key: value for key, value in obj["data"]["spec"]["template"].items() if key != "$patch"}
    return Revision(obj["revision"], cause, template)


def _is_complete(obj: Object | None) -> bool:
    return obj is not None and _progress(obj)[0]


def _progress(obj: Object) -> tuple[bool, str]:
    """Whether it is done, and a sentence."""
    name, state = obj["metadata"]["name"], obj.get("status") or {}
    if state.get("observedGeneration", 0) < obj["metadata"].get("generation", 0):
        return False, f"{name}: the controller has not seen the latest change yet"
    if obj["kind"] == "DaemonSet":
        wanted = state.get("desiredNumberScheduled", 0)
        updated, available = state.get("updatedNumberScheduled", 0), state.get("numberAvailable", 0)
    else:
        wanted = obj["spec"].get("replicas", 1)
        updated, available = state.get("updatedReplicas", 0), state.get("availableReplicas", 0)
    for condition in state.get("conditions") or ():
        if condition.get("reason") == "ProgressDeadlineExceeded":
            raise WrongState(f"{name} is over its progress deadline: {condition.get('message', '')}")
    if updated < wanted:
        return False, f"{name}: {updated} of {wanted} replicas are of the latest template"
    if state.get("replicas", updated) > updated and obj["kind"] == "Deployment":
        return False, f"{name}: {state['replicas'] - updated} old replicas are still ending"
    if available < updated:
        return False, f"{name}: {available} of {updated} replicas are available"
    return True, f"{name} is rolled out"
