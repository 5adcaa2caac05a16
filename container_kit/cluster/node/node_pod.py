"""One pod of a node: brings what runs nearer to what the API asks for, and tells the API what runs.

`NodePod.sync` may be called at any time, by one thread at a time; everything that happens (the object
changed, a container ended, a ConfigMap changed, time went by) only leads to another call of it.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from container_kit.cluster.client import ApiConflict, ApiNotFound, Client
from container_kit.cluster.controllers.framework import EventRecorder
from container_kit.cluster.meta import Clock, Object, is_deleting
from container_kit.cluster.node.errors import VolumeNotReady
from container_kit.cluster.node.lookup import TokenSource
from container_kit.cluster.node.pod_network import dns_of
from container_kit.cluster.node.projection import references
from container_kit.cluster.node.provisioning import Provisioner
from container_kit.cluster.node.status import FINAL, Sight, pod_status, waiting_statuses
from container_kit.cluster.node.volumes import Volumes
from container_kit.errors import ContainerKitError, NotFound

if TYPE_CHECKING:
    from container_kit.containers import Engine
    from container_kit.pods import Pod, PodEvent, Provision

__all__ = ["NodePod", "NodeWorld"]

_FIRST_MOUNT_DELAY_S, _LONGEST_MOUNT_DELAY_S = 0.5, 122.0
_USUAL_GRACE_S = 30.0
_SOON_S = 1.0
_CONTAINER_FIELDS = ("containers", "initContainers", "ephemeralContainers")


class NodeWorld(Protocol):
    """What the pods of one node share."""

    client: Client
    engine: Engine
    clock: Clock
    recorder: EventRecorder
    volumes: Volumes
    tokens: TokenSource
    network: str
    address: str
    owned: bool
    cluster_dns: str
    cluster_domain: str

    @property
    def provisioner(self) -> Provisioner:
        """What gives its pods their images, volumes and environment."""

    def wake(self, uid: str) -> None:
        """Have the pod with this uid looked at soon."""

    def expect_pod(self) -> None:
        """A pod is about to be, or has come, onto the node: what it needs of it has to be in place."""


class NodePod:
    """One pod, from when it was bound to the node until nothing of it is left.

    Attributes:
        uid: Never another's.
        desired: As the API has it; None when the API has forgotten it.
        pod: What runs; None before, and when nothing is left.
        ended: Set when nothing of it runs any more, and the API knows.
        volumes: Paths by name.
    """

    def __init__(self, world: NodeWorld, desired: Object) -> None:
        self._world = world
        self.uid: str = desired["metadata"]["uid"]
        self.desired: Object | None = desired
        self.last: Object = desired
        self.pod: Pod | None = None
        self.volumes: Mapping[str, str] = {}
        self.failed: tuple[str, str] | None = None
        self._first_ips: tuple[str, ...] = ()
        self._taken_over: Object | None = None
        self._written: Object | None = None
        self._started_at = ""
        self._mount_delay_s = _FIRST_MOUNT_DELAY_S
        self._grace_s: float | None = None
        self._time_left_s = 0.0
        self._is_stale = False
        self.ended = threading.Event()

    # What is wished.

    def wish(self, desired: Object | None) -> None:
        """The API has the pod like this now, or has it no more."""
        self.desired = desired
        if desired is not None:
            self.last = desired

    def touch(self) -> None:
        """Something that its volumes show has changed."""
        self._is_stale = True

    def fail(self, reason: str, message: str, *, within_s: float = 0.0) -> None:
        """Let it end as failed: ``Evicted`` at once, ``Terminated`` within a while; see `sync`."""
        if self.failed is None:
            self.failed, self._time_left_s = (reason, message), within_s
            self._tell("Warning", reason, message)

    @property
    def is_gone(self) -> bool:
        """Whether nothing of it is left, here or there."""
        return self.desired is None and self.pod is None

    def refers_to(self, resource: str, namespace: str, name: str) -> bool:
        """Whether a volume of it shows this ConfigMap or Secret."""
        return self.last["metadata"]["namespace"] == namespace and (resource, name) in references(self.last)

    @property
    def manifest(self) -> Object:
        """As the API has it, with the addresses that it has here."""
        status = dict(self.last.get("status") or {})
        status["hostIP"] = self._world.address
        status["hostIPs"] = [{"ip": self._world.address}]
        if ips := self._ips():
            status |= {"podIP": ips[0], "podIPs": [{"ip": ip} for ip in ips]}
        return {**self.last, "status": status}

    # One step.

    def sync(self) -> float | None:
        """Take the steps that can be taken now; returns after how many seconds to look again, if at all."""
        desired = self.desired
        if desired is None:
            self._clear_away()
            return None
        if is_deleting(desired):
            return self._end(desired)
        if self._phase(desired) in FINAL or self.failed is not None:
            own_s = desired["spec"].get("terminationGracePeriodSeconds", self._time_left_s)
            self._stop(min(own_s, self._time_left_s))
            self._report()
            return None
        if self.pod is None:
            return self._start()
        self._update(self.pod, desired)
        self._report()
        return self._world.tokens.next_due_s(self.uid)

    def _phase(self, desired: Object) -> str:
        return (desired.get("status") or {}).get("phase") or "Pending"

    def _start(self) -> float | None:
        self._started_at = self._started_at or self._world.clock.stamp()
        try:
            self._world.expect_pod()
            self._world.volumes.claim(self.uid)
            self.volumes = self._world.volumes.prepare(self.manifest)
            self._run()
        except VolumeNotReady as error:
            return self._not_yet("FailedMount", str(error))
        except ContainerKitError as error:
            return self._not_yet("FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}")
        self._world.expect_pod()
        self._report()
        return self._world.tokens.next_due_s(self.uid)

    def _not_yet(self, reason: str, message: str) -> float:
        self._tell("Warning", reason, message)
        self._report()
        delay_s, self._mount_delay_s = (
            self._mount_delay_s,
            min(self._mount_delay_s * 2, _LONGEST_MOUNT_DELAY_S),
        )
        return delay_s

    def _run(self) -> None:
        from container_kit.pods import Pod

        world, spec, namespace = self._world, self.last["spec"], self.last["metadata"]["namespace"]
        self._taken_over = self.last
        self.pod = Pod.start(
            self.last,
            engine=world.engine,
            provider=self._provide,
            observer=self,
            owned=world.owned,
            network=world.network,
            cgroup=f"{world.network}/{_quality(self.last)}",
            dns=dns_of(spec, namespace, server=world.cluster_dns, domain=world.cluster_domain),
        )

    def adopt(self, pod_id: str) -> None:
        """Take over what an agent before this one has left running."""
        from container_kit.pods import Pod

        self.volumes = self._world.volumes.prepare(self.manifest)
        self._started_at = (self.last.get("status") or {}).get("startTime") or self._world.clock.stamp()
        self._taken_over = self.last
        self.pod = Pod.adopt(pod_id, engine=self._world.engine, provider=self._provide, observer=self)
        self._world.expect_pod()

    def _provide(self, pod: Pod, container: Object) -> Provision:
        name, self._first_ips = container["name"], pod.ips  # it may ask before `Pod.start` has returned
        return self._world.provisioner.provide(
            self, container, lambda kind, reason, message: self._tell(kind, reason, message, name)
        )

    def _update(self, pod: Pod, desired: Object) -> None:
        """Take over what may change while it runs."""
        before, self._taken_over = self._taken_over or desired, desired
        if before["spec"] != desired["spec"]:
            pod.update(desired)
        due_s = self._world.tokens.next_due_s(self.uid)
        is_due = due_s is not None and due_s <= _SOON_S
        if self._is_stale or is_due or _told_to_itself(before) != _told_to_itself(desired):
            self._is_stale = False
            self._world.volumes.refresh(self.manifest)

    def _end(self, desired: Object) -> float | None:
        """It is being deleted: end it, tell how it ended, and have the API forget it."""
        grace_s = desired["metadata"].get("deletionGracePeriodSeconds")
        self._stop(grace_s)
        self._report()
        if not self._has_ended():
            return None  # it tells when it has
        metadata = desired["metadata"]
        with contextlib.suppress(ApiNotFound, ApiConflict):  # it is gone; there may be another of its name
            self._world.client.delete(
                "pods", metadata["name"], metadata["namespace"], grace_s=0, uid=self.uid
            )
        if metadata.get("finalizers"):
            self._remove_pod()
        return None

    def _stop(self, grace_s: float | None) -> None:
        """Have it end; again only with a shorter grace period."""
        if self.pod is None or self._has_ended():
            return
        wanted_s = _USUAL_GRACE_S if grace_s is None else float(grace_s)
        if self._grace_s is None or wanted_s < self._grace_s:
            self._grace_s = wanted_s
            reason, message = self.failed or ("", "")
            self.pod.stop(wanted_s, reason=reason, message=message, wait=False)

    def close(self, *, remove: bool) -> None:
        """Look after it no more; with *remove* it ends at once, and nothing of it stays on this machine."""
        if remove:
            self._clear_away()
        elif self.pod is not None:
            self.pod.close()
            self.pod = None

    def _clear_away(self) -> None:
        self._remove_pod()
        self._world.volumes.remove(self.uid)
        self._world.tokens.forget(self.uid)
        self._world.provisioner.images.forget(self.uid)

    def _remove_pod(self) -> None:
        if self.pod is not None:
            with contextlib.suppress(NotFound):  # somebody else has removed it
                self.pod.remove(force=True)
            self.pod = None

    # What is.

    def _ips(self) -> tuple[str, ...]:
        if self.last["spec"].get("hostNetwork"):
            return (self._world.address,)
        return self.pod.ips if self.pod is not None else self._first_ips

    def _has_ended(self) -> bool:
        return self.pod is None or self.pod.status().get("phase") in FINAL

    def _report(self) -> None:
        """Write the status, if it is another than the one written last."""
        desired = self.desired
        if desired is None or (self.pod is None and self._phase(desired) in FINAL):
            return  # there is nobody to tell, or nothing new to be told
        status = pod_status(desired, self._sight(), self._world.clock.stamp())
        comparable = {**status, "conditions": [_timeless(one) for one in status["conditions"]]}
        if comparable == self._written:
            return
        patch = {"metadata": {"uid": self.uid}, "status": status}
        metadata = desired["metadata"]
        try:
            self._world.client.patch(
                "pods", metadata["name"], patch, metadata["namespace"], subresource="status"
            )
        except (ApiNotFound, ApiConflict):
            return  # it is gone
        self._written = comparable
        if status["phase"] in FINAL:
            self.ended.set()

    def _sight(self) -> Sight:
        spec = self.last["spec"]
        found = self.pod.status() if self.pod is not None else None
        if found is None:
            reason = "PodInitializing" if spec.get("initContainers") else "ContainerCreating"
            found = {"phase": "Failed" if self.failed else "Pending", **waiting_statuses(spec, reason)}
        why, message = self.failed or (found.get("reason", ""), found.get("message", ""))
        return Sight(
            phase=found["phase"],
            statuses=found,
            host_ip=self._world.address,
            pod_ips=self._ips(),
            started_at=self._started_at,
            has_sandbox=self.pod is not None and found["phase"] not in FINAL,
            reason=why if found["phase"] in FINAL else "",
            message=message,
            extra_conditions=_disruption(self.failed, self._world.clock.stamp()),
        )

    # The observer of what runs.

    def changed(self, pod: Pod) -> None:
        """See `Observer`."""
        self._world.wake(self.uid)

    def event(self, pod: Pod, event: PodEvent) -> None:
        """See `Observer`."""
        self._tell(event.type, event.reason, event.message, event.container)

    def _tell(self, kind: Any, reason: str, message: str, container: str = "") -> None:
        self._world.recorder.event(self.last, kind, reason, message, self._field(container))

    def _field(self, container: str) -> str:
        for field in _CONTAINER_FIELDS if container else ():
            if any(one["name"] == container for one in self.last["spec"].get(field) or ()):
                return f"spec.{field}{{{container}}}"
        return ""


def _told_to_itself(pod: Object) -> tuple[Any, Any]:
    """What a pod may be shown of itself that changes while it runs."""
    return pod["metadata"].get("labels"), pod["metadata"].get("annotations")


def _quality(pod: Object) -> str:
    """The part of the node's cgroup in which it is: by its quality of service."""
    return str((pod.get("status") or {}).get("qosClass") or "BestEffort").lower()


def _disruption(failed: tuple[str, str] | None, now: str) -> tuple[Object, ...]:
    """The condition of a pod that its node ends."""
    if failed is None:
        return ()
    words = {"reason": "TerminationByKubelet", "message": failed[1]}
    return ({"type": "DisruptionTarget", "status": "True", **words, "lastTransitionTime": now},)


def _timeless(condition: Object) -> Object:
    return {key: value for key, value in condition.items() if key != "lastTransitionTime"}
