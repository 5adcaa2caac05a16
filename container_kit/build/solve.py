"""Builds what the target needs: stages in threads, each waiting only for the stages that it uses.

A stage needs only earlier ones, so nobody waits for himself, whatever a base image triggers.
"""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from container_kit.build.bases import Bases
from container_kit.build.dockerfile.errors import closest
from container_kit.build.stages import StageBuild
from container_kit.build.state import State
from container_kit.containers.steps import StepStopped
from container_kit.errors import NotFound
from container_kit.native import interrupts

if TYPE_CHECKING:
    from container_kit.build.graph import Graph, StageNode
    from container_kit.build.session import Session

__all__ = ["Solver"]


class Solver:
    """One graph for one platform."""

    def __init__(self, session: Session, graph: Graph, bases: Bases) -> None:
        self.session, self.graph, self.bases = session, graph, bases
        self._futures: dict[int, Future[State]] = {}
        self._mutex = threading.Lock()
        self._pool = ThreadPoolExecutor(len(graph.nodes), "container-kit-stage")

    def solve(self) -> State:
        """The state of the target, which is built in this thread and the others in threads of their own.

        Raises:
            BuildFailed: A step failed; the others were stopped.
            DockerfileError: An instruction makes no sense.
        """
        try:
            for index in self.graph.reachable:
                if index != self.graph.target:
                    self._begin(index)
            return StageBuild(self, self.graph.nodes[self.graph.target]).build()
        except BaseException as error:
            self.session.stop()
            self._pool.shutdown(cancel_futures=True)
            cause = self._cause_of(error)
            if cause is error:
                raise
            raise cause from cause.__cause__
        finally:
            self._pool.shutdown(cancel_futures=True)

    def result(self, index: int) -> State:
        """The state of a stage, once it is built."""
        return self._begin(index).result()

    def base(self, node: StageNode) -> tuple[State, tuple[str, ...]]:
        """What a stage that is based on no stage begins with, and what its base triggers."""
        return self.bases.begin(node.base, node.platform)

    def source(self, name: str, node: StageNode) -> State:
        """What ``from=`` *name* means in a stage: an earlier stage, a named context or an image.

        Raises:
            DockerfileError: It is a stage that is not earlier.
            NotFound: It is none of these.
        """
        index = self.graph.stage_called(name, node.index) if name else None
        if index is not None:
            return self.result(index)
        try:
            return self.bases.source(name, node.platform)
        except NotFound as error:
            earlier = [one.stage.name for one in self.graph.nodes[: node.index] if one.stage.name]
            meant = closest(name, earlier)
            if meant is None:
                raise
            raise NotFound("stage", name, f"did you mean {meant!r}? And {error}") from error

    def _begin(self, index: int) -> Future[State]:
        with self._mutex:
            future = self._futures.get(index)
            if future is None:
                stage = StageBuild(self, self.graph.nodes[index])
                future = self._futures[index] = self._pool.submit(interrupts.carried(stage.build))
                future.add_done_callback(self._stop_after_failure)
            return future

    def _stop_after_failure(self, future: Future[State]) -> None:
        if not future.cancelled() and future.exception() is not None:
            self.session.stop()

    def _cause_of(self, error: BaseException) -> BaseException:
        """Why the build failed: who was stopped, or waited in vain, is not the reason."""
        if not isinstance(error, StepStopped | CancelledError):
            return error
        ended = [future for future in self._futures.values() if future.done() and not future.cancelled()]
        errors = [found for future in ended if (found := future.exception()) is not None]
        return next((found for found in errors if not isinstance(found, StepStopped)), error)
