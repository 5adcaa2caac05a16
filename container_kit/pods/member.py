"""One container of a pod in the hands of whoever supervises it: what is known of it, and its probes.

A container that is started again is a new container, with a fresh root; the one before is kept for its logs.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from typing import TYPE_CHECKING, Literal, NamedTuple

from container_kit.containers.monitor_client import LONGEST_MESSAGE, connect, send
from container_kit.containers.state_file import ContainerState, read_state
from container_kit.errors import ContainerKitError
from container_kit.pods.asking import Asking
from container_kit.pods.backoff import BackOff
from container_kit.pods.counting import Count, next_look_s
from container_kit.pods.deciding import View
from container_kit.pods.loop import Timer
from container_kit.pods.record import ContainerNote
from container_kit.pods.seam import Object
from container_kit.pods.spec import ContainerSpec, ProbeKind

if TYPE_CHECKING:
    from container_kit.containers.container import Container
    from container_kit.pods.running import Runner

__all__ = ["Member", "Stage", "open_link"]

Stage = Literal["idle", "creating", "live"]


class Look(NamedTuple):
    """One look of a probe.

    Attributes:
        due: When the regular look is, or was to be.
        is_regular: Else it is one before its time.
        number: How many there were before.
    """

    kind: ProbeKind
    due: float
    is_regular: bool = True
    number: int = 0


class Member:
    """One container of a pod; everything here is changed by the loop's thread only.

    Attributes:
        stage: ``idle`` (nothing of it lives), ``creating`` (a worker is at it) or ``live``.
        is_hooked: Its ``postStart`` hook has returned, or it has none.
        waiting: Reason and message, while it is idle and shall be started.
        ended: Its last ``terminated`` state, and `before` the one before that.
    """

    def __init__(self, spec: ContainerSpec, note: ContainerNote) -> None:
        self.spec, self.note = spec, note
        self.stage: Stage = "idle"
        self.container: Container | None = None
        self.image_id = ""
        self.state = ContainerState()
        self.is_hooked = self.is_ending = self.has_run = False
        self.exit_code: int | None = None
        self.waiting = ("", "")
        self.ended: Object | None = None
        self.before: Object | None = None
        self.backoff = BackOff()
        self.not_before = 0.0
        self.began = 0.0
        self.counts: dict[ProbeKind, Count] = {}
        self.timers: list[Timer] = []
        self.askings: list[Asking] = []
        self.link: socket.socket | None = None

    # What is known.

    @property
    def has_started_up(self) -> bool:
        """Whether it runs, its hook has returned and its startup probe, if it has one, has succeeded."""
        if self.stage != "live" or not self.is_hooked:
            return False
        return "startup" not in self.spec.probes or self._verdict("startup") is True

    @property
    def is_ready(self) -> bool:
        """Whether it may be sent work."""
        if not self.has_started_up:
            return False
        return "readiness" not in self.spec.probes or self._verdict("readiness") is True

    def _verdict(self, kind: ProbeKind) -> bool | None:
        return self.counts.get(kind, _UNKNOWN).verdict

    @property
    def view(self) -> View:
        """What decisions are made by."""
        return View(
            is_live=self.stage != "idle",
            is_ending=self.is_ending,
            is_started=self.has_started_up,
            exit_code=self.exit_code,
            has_run=self.has_run,
            is_done=self.note.is_done,
        )

    # The connection to its monitor, which tells every change of its state.

    def follow(self, runner: Runner, link: socket.socket | None) -> None:
        """Hear of its states from now on; None: it has ended already."""
        self.link = link
        if link is None:
            self._take_final(runner)
            return
        link.setblocking(False)
        runner.loop.watch(link.fileno(), selectors.EVENT_READ, lambda: self._hear(runner))

    def _hear(self, runner: Runner) -> None:
        assert self.link is not None
        try:
            while message := self.link.recv(LONGEST_MESSAGE):
                self.state = ContainerState.parse(message[1:])
                if not self.state.is_live:
                    break
            else:
                self._take_final(runner)
                return
        except BlockingIOError:
            return
        except (OSError, ValueError):
            self._take_final(runner)
            return
        self.drop_link(runner)
        runner.on_end(self)

    def _take_final(self, runner: Runner) -> None:
        self.drop_link(runner)
        assert self.container is not None
        self.state = read_state(runner.engine.catalogue.directory(self.container.id))
        if self.state.status == "dead":  # somebody has killed its monitor: what it left running goes too
            runner.end_remains(self.container)
        runner.on_end(self)

    def drop_link(self, runner: Runner) -> None:
        """Hear of it no longer; may be repeated."""
        if self.link is not None:
            runner.loop.unwatch(self.link.fileno())
            self.link.close()
            self.link = None

    # Its probes.

    def begin_probes(self, runner: Runner) -> None:
        """Begin those that are due: the startup probe alone, as long as it has not succeeded."""
        kinds: list[ProbeKind] = ["startup"] if not self.has_started_up else ["liveness", "readiness"]
        for kind in kinds:
            probe = self.spec.probes.get(kind)
            if probe is not None:
                at = max(self.began + probe.initial_delay_s, time.monotonic())
                self._look_at(runner, Look(kind, due=at), at)

    def _look_at(self, runner: Runner, look: Look, at: float) -> None:
        self.timers = [timer for timer in self.timers if not timer.is_past]
        self.timers.append(runner.loop.after(at - time.monotonic(), lambda: self._ask(runner, look)))

    def _ask(self, runner: Runner, look: Look) -> None:
        if not self._is_asked(runner):
            return
        probe = self.spec.probes[look.kind]

        def done(is_well: bool, words: str) -> None:
            self.askings.remove(asking)
            if self._is_asked(runner):
                self._take(runner, look, is_well, words)

        asking = Asking(runner.loop, runner.probing, probe.handler, probe.timeout_s, done)
        self.askings.append(asking)
        assert self.container is not None and runner.shared is not None
        asking.begin(self.container, runner.shared, runner.address)

    def _is_asked(self, runner: Runner) -> bool:
        return self.stage == "live" and not self.is_ending and runner.shared is not None

    def _take(self, runner: Runner, look: Look, is_well: bool, words: str) -> None:
        """What has been seen; a look before its time counts only if all is well."""
        kind, probe = look.kind, self.spec.probes[look.kind]
        before = self.counts.get(kind, _UNKNOWN)
        if look.is_regular or is_well:
            self.counts[kind] = before.after(probe, is_well)
        if look.is_regular and not is_well:
            runner.tell("Warning", "Unhealthy", f"{kind.capitalize()} probe failed: {words}", self.spec.name)
        now = self._verdict(kind)
        if kind == "startup" and now is True:
            self.begin_probes(runner)
        elif kind != "readiness" and now is False:
            runner.on_unwell(self, kind)
        else:
            self._go_on_asking(runner, look, is_awaited=kind != "liveness" and now is not True)
        if now != before.verdict:
            runner.settle()

    def _go_on_asking(self, runner: Runner, look: Look, *, is_awaited: bool) -> None:
        probe, now = self.spec.probes[look.kind], time.monotonic()
        due = look.due + probe.period_s if look.is_regular else look.due
        early = now + next_look_s(probe, is_awaited, look.number)
        following = Look(look.kind, due=max(due, now), is_regular=early >= due, number=look.number + 1)
        self._look_at(runner, following, min(early, following.due))

    def end_probes(self) -> None:
        """Ask no more; may be repeated."""
        for timer in self.timers:
            timer.cancel()
        for asking in self.askings:
            asking.close()
        self.timers.clear()
        self.askings.clear()

    # From one life to the next.

    def renew(self, container: Container, image_id: str) -> None:
        """It has been started (again), as a new container."""
        self.end_probes()
        previous = self.note.id
        restarts = self.note.restarts + (1 if previous else 0)
        self.note = ContainerNote(
            id=container.id, previous=previous, restarts=restarts, is_done=self.note.is_done
        )
        self.container, self.image_id = container, image_id
        self.before, self.ended = self.ended, None
        self.stage, self.has_run = "live", True
        self.is_ending, self.is_hooked = False, self.spec.post_start is None
        self.waiting, self.exit_code, self.counts = ("", ""), None, {}
        self.began = time.monotonic()


_UNKNOWN = Count()


def open_link(directory: str) -> socket.socket | None:
    """A connection on which the monitor tells the container's states; None when it has ended already."""
    with contextlib.suppress(ContainerKitError):
        link = connect(directory)
        try:
            send(link, b"w")
        except BaseException:
            link.close()
            raise
        return link
    return None
