"""A pod's life while this process supervises it: what `deciding` decides is done here.

Called by the thread of all pods, which waits for nothing: what takes long is done by workers, whose results
come back as calls.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from threading import Condition
from typing import TYPE_CHECKING, Literal

import attrs

from container_kit.containers.container import Container
from container_kit.containers.removal import end_all
from container_kit.containers.state_file import read_state
from container_kit.errors import NotFound
from container_kit.pods import ending, starting
from container_kit.pods.deciding import Steps, next_steps
from container_kit.pods.loop import Workers
from container_kit.pods.making import PodWorld
from container_kit.pods.member import Member, open_link
from container_kit.pods.record import ContainerNote, write_pod_record
from container_kit.pods.seam import Handling, NotReady, Object, PodEvent
from container_kit.pods.spec import ContainerSpec, PodSpec, ProbeKind
from container_kit.pods.status import pod_status, terminated

if TYPE_CHECKING:
    from container_kit.containers.engine import Engine
    from container_kit.containers.shared_world import SharedWorld
    from container_kit.pods.pod import Pod
    from container_kit.pods.supervisor import Supervisor

__all__ = ["Runner"]

_PROBES_AT_ONCE = 8  # that are commands, of one pod


class Runner:
    """One pod that is supervised.

    Attributes:
        snapshot: Its status as it was published last; replaced as a whole.
        outcome: How it has ended for good.
        fate: Reason and message of a pod that is made to fail.
    """

    def __init__(self, pod: Pod, world: PodWorld, supervisor: Supervisor, handling: Handling) -> None:
        self.pod, self.world = pod, world
        self.record, self.spec = record, spec = world.record, world.spec
        self.provider, self.times, self._observer = handling.provider, handling.times, handling.observer
        self.engine: Engine = pod.engine
        self.loop, self.signalling, self._starting = (
            supervisor.loop,
            supervisor.signalling,
            supervisor.starting,
        )
        self.probing = Workers("container-kit-probe", _PROBES_AT_ONCE)
        notes = record.containers
        self.members = {
            one.name: Member(one, notes.get(one.name, ContainerNote())) for one in spec.containers
        }
        self.outcome: Literal["Succeeded", "Failed"] | None = record.outcome or None  # type: ignore[assignment]
        self.fate = ("", "")
        self.is_stopping = self.is_gone = False
        self.stop_by: float | None = None
        self.changed = Condition()
        self.snapshot: Object = {}
        self._is_settling = self._has_begun = False
        self._at_work = 0

    @property
    def shared(self) -> SharedWorld | None:
        """The pod's namespaces."""
        return self.world.shared

    @property
    def address(self) -> str:
        """Where probes reach it."""
        return self.world.ips[0] if self.world.ips else "127.0.0.1"

    # Beginning.

    def begin(self) -> None:
        """Take it on: find what lives already, then do what is next."""
        for member in self.members.values():
            self._find(member)
        if self.world.is_new:
            self._begin_anew()
        else:
            self._has_begun = any(self.members[one.name].has_run for one in self.spec.of_kind("main"))
        if self.spec.deadline_s is not None and self.outcome is None:
            self.loop.after(self._deadline_left(self.spec.deadline_s), self._on_deadline)
        self.settle()

    def _find(self, member: Member) -> None:
        """The container that an earlier supervisor has left, if there is one."""
        if not member.note.id:
            return
        directory = self.engine.catalogue.directory(member.note.id)
        state = read_state(directory)
        member.container = Container(self.engine, member.note.id)
        try:
            member.image_id = self.engine.record(member.note.id).image_digest
        except NotFound:
            member.has_run = True
            return
        if not state.started_at:
            return
        member.has_run = True
        link = open_link(directory) if state.is_live else None
        if link is None:
            member.state = read_state(directory)
            member.exit_code = member.state.exit_code
            member.ended = terminated(self, member)
            return
        member.stage, member.is_hooked, member.began = "live", True, time.monotonic()
        member.state = state
        member.follow(self, link)
        member.begin_probes(self)

    def _begin_anew(self) -> None:
        """In namespaces of its own a pod of an earlier life begins again with its init containers."""
        for one in self.spec.of_kind("init"):
            member = self.members[one.name]
            member.note, member.has_run = attrs.evolve(member.note, is_done=False), False

    def _deadline_left(self, deadline_s: float) -> float:
        begun = datetime.fromisoformat(self.record.started_at)
        return deadline_s - (datetime.now(UTC) - begun).total_seconds()

    def _on_deadline(self) -> None:
        if self.outcome is None:
            message = "Pod was active on the node longer than the specified deadline"
            self.tell("Normal", "DeadlineExceeded", message)
            self.stop(None, "DeadlineExceeded", message)

    # Deciding, and doing it.

    def settle(self) -> None:
        """Do what is next, and let everybody know what is."""
        if self.is_gone or self._is_settling:
            return
        self._is_settling = True
        try:
            if self.outcome is None:
                self._do(self._steps())
        finally:
            self._is_settling = False
        self.publish()

    def _steps(self) -> Steps:
        views = {name: member.view for name, member in self.members.items()}
        return next_steps(self.spec, views, is_stopping=self.is_stopping, has_begun=self._has_begun)

    def _do(self, steps: Steps) -> None:
        if steps.outcome is not None:
            self.outcome = "Failed" if self.fate[0] else steps.outcome
            self.save()
            return
        for name in steps.stop:
            ending.stop_member(self, self.members[name], self._grace_left())
        if any(member.stage == "creating" or self._is_in_hook(member) for member in self.members.values()):
            return
        for name in steps.start:
            if self._start(self.members[name]):
                return

    def _is_in_hook(self, member: Member) -> bool:
        return member.stage == "live" and not member.is_hooked and not member.is_ending

    def _grace_left(self) -> float:
        if self.stop_by is None:
            return self.spec.grace_s
        return max(self.stop_by - time.monotonic(), 0.0)

    def _start(self, member: Member) -> bool:
        """Start it, unless it has to wait."""
        left = member.not_before - time.monotonic()
        if left > 0:
            return False
        member.stage = "creating"
        if not member.waiting[0]:
            member.waiting = ("ContainerCreating", "")
        self._at_work += 1
        self._starting.submit(lambda: self._make_start(member))
        return True

    def _make_start(self, member: Member) -> None:
        """The work of a worker: a new container, or what prevented it."""
        try:
            starting.start_member(self, member)
        except Exception as error:  # whatever a provider raises: the container waits, the pod goes on
            problem = error
            self.loop.post(lambda: self.on_not_started(member, problem))
        finally:
            with self.changed:
                self._at_work -= 1
                self.changed.notify_all()

    def wait_for(self, member: Member, seconds: float, reason: str, message: str) -> None:
        """Let it wait before its next start."""
        member.waiting = (reason, message)
        member.not_before = time.monotonic() + seconds
        self.loop.after(seconds, self.settle)

    # What workers tell.

    def on_started(self, member: Member) -> None:
        """It runs."""
        self._has_begun = self._has_begun or member.spec.kind == "main"
        self.save()
        self.tell("Normal", "Started", f"Started container {member.spec.name}", member.spec.name)
        if not member.is_hooked:
            ending.run_post_start(self, member)
        if self.is_stopping:
            ending.stop_member(self, member, self._grace_left())
        member.begin_probes(self)
        self.settle()

    def on_not_started(self, member: Member, error: Exception) -> None:
        """It could not be made, or its program not be executed."""
        if self.is_gone:
            return
        reason = "CreateContainerError"
        if isinstance(error, NotReady):
            reason = error.reason  # whoever raised it has told
        else:
            self.tell("Warning", "Failed", f"Error: {error}", member.spec.name)
        member.stage = "idle"
        member.backoff = member.backoff.after_start(self.times)
        self.wait_for(member, member.backoff.wait_s, reason, str(error))
        self.settle()

    def on_end(self, member: Member) -> None:
        """It has ended."""
        member.end_probes()
        ran_s = time.monotonic() - member.began
        member.stage, member.is_ending = "idle", False
        code = member.state.exit_code
        member.exit_code = 255 if code is None else code
        member.ended = terminated(self, member)
        if member.spec.kind == "init" and member.exit_code == 0:
            member.note = attrs.evolve(member.note, is_done=True)
        member.backoff = member.backoff.after_end(self.times, ran_s)
        self.save()
        if not self.is_stopping and member.spec.name in self._steps().start:
            self._put_off(member)
        self.settle()

    def _put_off(self, member: Member) -> None:
        """Let a container that is to be started again wait for it, the longer the oftener it has ended."""
        wait_s, name = member.backoff.wait_s, member.spec.name
        member.backoff = member.backoff.after_start(self.times)
        if wait_s:
            pod = f"{self.spec.name}_{self.spec.namespace}({self.spec.uid})"
            words = f"back-off {wait_s:g}s restarting failed container={name} pod={pod}"
            self.wait_for(member, wait_s, "CrashLoopBackOff", words)
            self.tell("Warning", "BackOff", f"Back-off restarting failed container {name} in pod {pod}", name)

    def end_remains(self, container: Container) -> None:
        """Kill what a container has left that lost its monitor."""
        self.signalling.submit(lambda: end_all(self.engine, container.id))

    def on_unwell(self, member: Member, kind: ProbeKind) -> None:
        """Its startup or liveness probe says that it is to be started again."""
        probe = member.spec.probes[kind]
        grace = self.spec.grace_s if probe.grace_s is None else probe.grace_s
        words = f"Container {member.spec.name} failed {kind} probe, will be restarted"
        self.tell("Normal", "Killing", words, member.spec.name)
        ending.stop_member(self, member, grace, quiet=True)

    # What callers ask.

    def stop(self, grace_s: float | None, reason: str = "", message: str = "") -> None:
        """End the pod; see :meth:`Pod.stop`."""
        by = time.monotonic() + (self.spec.grace_s if grace_s is None else grace_s)
        is_sooner = self.stop_by is None or by < self.stop_by
        self.is_stopping = True
        self.fate = (reason, message) if reason else self.fate
        if is_sooner:
            self.stop_by = by
            for member in self.members.values():
                if member.is_ending:
                    ending.hasten(self, member, self._grace_left())
        self.settle()

    def update(self, spec: PodSpec) -> None:
        """Take over another specification; see :meth:`Pod.update`."""
        before, self.spec = self.spec, spec
        self.record = attrs.evolve(self.record, manifest=spec.raw)
        for one in spec.containers:
            member = self.members.get(one.name)
            if member is None:
                self.members[one.name] = Member(one, ContainerNote())
            else:
                self._renew_spec(member, one)
        if spec.deadline_s is not None and spec.deadline_s != before.deadline_s:
            self.loop.after(self._deadline_left(spec.deadline_s), self._on_deadline)
        self.save()
        self.settle()

    def _renew_spec(self, member: Member, spec: ContainerSpec) -> None:
        before, member.spec = member.spec, spec
        if member.stage != "live" or member.container is None:
            return
        if spec.image != before.image:
            self.tell(
                "Normal", "Killing", f"Container {spec.name} definition changed, will be restarted", spec.name
            )
            ending.stop_member(self, member, self.spec.grace_s, quiet=True)
        elif spec.raw.get("resources") != before.raw.get("resources"):
            container = member.container
            self._starting.submit(lambda: starting.resize(self, container, spec))

    # Telling.

    def tell(
        self, kind: Literal["Normal", "Warning"], reason: str, message: str, container: str = ""
    ) -> None:
        """Tell the observer of something that happened."""
        event = PodEvent(type=kind, reason=reason, message=message, container=container)
        self._observer.event(self.pod, event)

    def save(self) -> None:
        """Write down what must not be forgotten."""
        notes = {name: member.note for name, member in self.members.items()}
        self.record = attrs.evolve(
            self.record, containers=notes, outcome=self.outcome or "", reaper=self.world.reaper
        )
        if not self.is_gone:
            write_pod_record(self.world.places.directory, self.record)

    def publish(self) -> None:
        """Let everybody know what is, if it is something else than before."""
        status = pod_status(self)
        with self.changed:
            if status == self.snapshot:
                return
            self.snapshot = status
            self.changed.notify_all()
        self._observer.changed(self.pod)

    def let_go(self) -> None:
        """Supervise it no longer: its containers go on.  No further one is made."""
        self.is_gone = True
        for member in self.members.values():
            member.end_probes()
            member.drop_link(self)
        with self.changed:
            self.changed.notify_all()

    def rest(self) -> None:
        """Return when no worker is at work on it any more; after `let_go`."""
        with self.changed:
            self.changed.wait_for(lambda: self._at_work == 0)
        self.probing.close()
