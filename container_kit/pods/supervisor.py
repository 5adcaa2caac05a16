"""Who supervises the pods of one engine in this process: a thread that decides, workers that come and go."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING

from container_kit.errors import ContainerKitError
from container_kit.pods.loop import Loop, Workers

if TYPE_CHECKING:
    from container_kit.containers.engine import Engine
    from container_kit.pods.running import Runner

__all__ = ["Supervisor", "supervisor_of"]

_STARTING = max(2, min(8, 2 * (os.cpu_count() or 1)))


class Supervisor:
    """The pods that this process looks after.

    Attributes:
        starting: Who makes containers: few, as each keeps a processor busy.
        signalling: Who signals containers.  What pods make us wait for (probes) is done by workers of each
            pod's own, so that no pod's end has to wait for another's probe.
    """

    def __init__(self) -> None:
        self.loop = Loop("container-kit-pods")
        self.starting = Workers("container-kit-start", _STARTING)
        self.signalling = Workers("container-kit-signal", _STARTING)
        self._runners: dict[str, Runner] = {}
        self._mutex = threading.Lock()
        self._process = os.getpid()

    def add(self, runner: Runner) -> None:
        """Look after one more pod."""
        with self._mutex:
            self._runners[runner.record.id] = runner
        self.loop.post(runner.begin)

    def find(self, pod_id: str) -> Runner | None:
        """The one that looks after this pod, if it is looked after here."""
        return self._runners.get(pod_id)

    def drop(self, runner: Runner) -> None:
        """Look after it no longer; returns when nobody is at work on it."""
        self.loop.ask(runner.let_go)
        runner.rest()
        with self._mutex:
            self._runners.pop(runner.record.id, None)

    def close(self) -> None:
        """Remove the pods that end with this process, and let go of the others; may be repeated."""
        if self._process != os.getpid():
            return
        for runner in list(self._runners.values()):
            with contextlib.suppress(ContainerKitError):
                runner.pod.close()
        self.starting.close()
        self.signalling.close()
        self.loop.close()

    def abandon(self) -> None:
        """In the child of a fork: the threads are the parent's."""


def supervisor_of(engine: Engine) -> Supervisor:
    """The supervisor of this engine's pods, begun on first use."""
    found: Supervisor = engine.kept("pods", Supervisor)
    return found
