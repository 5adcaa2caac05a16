"""Pods that nobody supervises: their monitors start containers again, and hold what the pod shares.

For the command line, which ends when a pod has been started.  A monitor follows the restart policy and, as
its health check, the liveness probe where that is a command; the other probes and hooks need a supervisor.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import attrs

from container_kit.containers import names
from container_kit.containers.container import Container
from container_kit.containers.health import HealthCheck
from container_kit.containers.state_file import read_state
from container_kit.errors import CommandFailed, NotFound
from container_kit.native import interrupts
from container_kit.pods.making import PodWorld
from container_kit.pods.record import ContainerNote, PodRecord, write_pod_record
from container_kit.pods.seam import Object, Provider
from container_kit.pods.spec import ContainerSpec, Kind, PodSpec
from container_kit.pods.starting import make_container

if TYPE_CHECKING:
    from container_kit.containers.engine import Engine
    from container_kit.pods.pod import Pod

__all__ = ["create_detached", "detached_status", "start_detached", "stop_detached"]

_RESTARTS = {"Always": "always", "OnFailure": "on-failure", "Never": "no"}


def create_detached(engine: Engine, spec: PodSpec, **wishes: Any) -> PodRecord:
    """The record of a new pod that nobody supervises; nothing of it runs yet."""
    record = PodRecord(
        id=names.new_id(),
        manifest=spec.raw,
        created_ns=time.time_ns(),
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        owned=False,
        detached=True,
        **wishes,
    )
    world = PodWorld(engine, record, spec)
    try:
        world.make_directory()
        write_pod_record(world.places.directory, record)
    except BaseException:
        world.remove()
        raise
    world.let_go_of_lock()
    return record


def start_detached(pod: Pod, record: PodRecord, provider: Provider) -> None:
    """Start the pod's containers, in order; nothing happens to those that run.

    Raises:
        CommandFailed: An init container failed, and the pod never restarts.
        NotReady: A container lacks what it needs.
        StartFailed: A program could not be executed.
    """
    spec = PodSpec.of(record.manifest)
    world = PodWorld(pod.engine, record, spec)
    with _locked(world):
        if not world.join_living():
            world.take_back()
            world.make()
            record = attrs.evolve(record, containers=_without_initial(pod, spec, record))
        start = _Start(pod, world, spec, record, provider)
        try:
            start.run()
        finally:
            start.save()
            world.hand_over()


def _without_initial(pod: Pod, spec: PodSpec, record: PodRecord) -> Mapping[str, ContainerNote]:
    """What is known of the pod's containers, without those that run first, which do so at every start."""
    kept = dict(record.containers)
    for one in spec.of_kind("init"):
        note = kept.pop(one.name, None)
        if note is not None:
            Container(pod.engine, note.id).remove(force=True)
    return kept


@contextlib.contextmanager
def _locked(world: PodWorld) -> Iterator[None]:
    world.take_lock()
    try:
        yield
    finally:
        world.let_go_of_lock()


@attrs.define
class _Start:
    """One start of a pod."""

    pod: Pod
    world: PodWorld
    spec: PodSpec
    record: PodRecord
    provider: Provider

    def run(self) -> None:
        for one in self.spec.of_kind("init", "sidecar", "main"):
            note = self.record.containers.get(one.name, ContainerNote())
            if one.kind == "init":
                self._run_initial(one, note)
            else:
                self._ensure_runs(one, note)

    def _run_initial(self, one: ContainerSpec, note: ContainerNote) -> None:
        while not note.is_done:
            container = self._make(one, note)
            container.start()
            code = container.wait()
            note = ContainerNote(id=container.id, restarts=note.restarts + 1, is_done=code == 0)
            self._note(one, note)
            if code != 0 and self.spec.restart_policy == "Never":
                raise CommandFailed(
                    (one.name,), code, log_tail=[line.text for line in container.logs(tail=10)]
                )
            if code != 0:
                container.remove()
                interrupts.pause(min(0.1 * 2**note.restarts, 10.0))

    def _ensure_runs(self, one: ContainerSpec, note: ContainerNote) -> None:
        container = Container(self.pod.engine, note.id) if note.id else self._make(one, note)
        self._note(one, ContainerNote(id=container.id))
        container.start()

    def _make(self, one: ContainerSpec, note: ContainerNote) -> Container:
        provision = self.provider(self.pod, one.raw)
        options = {**provision.options, **_supervision(self.spec, one)}
        return make_container(
            self.pod.engine, self.record, self.spec, self.world, one, attrs.evolve(provision, options=options)
        )

    def _note(self, one: ContainerSpec, note: ContainerNote) -> None:
        self.record = attrs.evolve(self.record, containers={**self.record.containers, one.name: note})

    def save(self) -> None:
        self.record = attrs.evolve(self.record, reaper=self.world.reaper)
        write_pod_record(self.world.places.directory, self.record)


def _supervision(spec: PodSpec, one: ContainerSpec) -> Mapping[str, Any]:
    """What its monitor is to do, which nobody else does."""
    if one.kind == "init":
        return {}
    found: dict[str, Any] = {"restart": "always" if one.kind == "sidecar" else _RESTARTS[spec.restart_policy]}
    found["name"] = f"{spec.name}-{one.name}"
    liveness = one.probes.get("liveness")
    if liveness is not None and liveness.handler.action == "exec":
        found["health"] = HealthCheck(
            command=liveness.handler.command,
            interval_s=liveness.period_s,
            timeout_s=liveness.timeout_s,
            start_period_s=liveness.initial_delay_s,
            retries=liveness.failures,
        )
    return found


def stop_detached(pod: Pod, record: PodRecord, grace_s: float | None) -> None:
    """End the pod's containers, sidecars last, and what they share."""
    spec = PodSpec.of(record.manifest)
    world = PodWorld(pod.engine, record, spec)
    with _locked(world):
        for one in reversed(spec.containers):
            note = record.containers.get(one.name)
            with contextlib.suppress(NotFound):
                if note is not None and note.id:
                    Container(pod.engine, note.id).stop(spec.grace_s if grace_s is None else grace_s)
        world.take_back()
        write_pod_record(world.places.directory, attrs.evolve(record, reaper=(0, 0)))


def detached_status(pod: Pod, record: PodRecord) -> Object:
    """As much of a ``PodStatus`` as can be seen of a pod that nobody supervises."""
    spec = PodSpec.of(record.manifest)
    of_kind = {
        kind: [_container_status(pod, one, record) for one in spec.of_kind(kind)] for kind in _SHOWN.values()
    }
    found: Object = {"phase": _phase(of_kind), "startTime": f"{record.started_at[:19]}Z"}
    if ips := pod.ips:
        found["podIP"], found["podIPs"] = ips[0], [{"ip": address} for address in ips]
    return found | {field: of_kind[kind] for field, kind in _SHOWN.items() if of_kind[kind]}


_SHOWN: Mapping[str, Kind] = {"initContainerStatuses": "sidecar", "containerStatuses": "main"}


def _phase(of_kind: Mapping[Kind, list[Object]]) -> str:
    if any("running" in one["state"] for statuses in of_kind.values() for one in statuses):
        return "Running"
    ended = [one["state"].get("terminated") for one in of_kind["main"]]
    if not all(ended):
        return "Pending"
    return "Failed" if any(one["exitCode"] for one in ended) else "Succeeded"


def _container_status(pod: Pod, one: ContainerSpec, record: PodRecord) -> Object:
    note = record.containers.get(one.name, ContainerNote())
    found: Object = {"name": one.name, "image": one.image, "containerID": note.id}
    state = read_state(pod.engine.catalogue.directory(note.id)) if note.id else None
    found["restartCount"] = 0 if state is None else state.restarts
    is_live = state is not None and state.is_live
    found["ready"] = is_live and state is not None and state.health in ("none", "healthy")
    if is_live and state is not None:
        found["state"] = {"running": {"startedAt": state.started_at}}
    elif state is not None and state.exit_code is not None:
        found["state"] = {"terminated": {"exitCode": state.exit_code, "finishedAt": state.finished_at}}
    else:
        found["state"] = {"waiting": {"reason": "ContainerCreating"}}
    return found
