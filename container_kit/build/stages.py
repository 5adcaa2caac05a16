"""One stage: its base, then its instructions one after the other, each step from the cache or done anew."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import attrs

from container_kit.build import metadata
from container_kit.build.arguments import argument_values
from container_kit.build.cache import Layer
from container_kit.build.copies import copy_files
from container_kit.build.dockerfile import (
    Add,
    ArgDecl,
    Copy,
    DockerfileError,
    Instruction,
    Run,
    Workdir,
    evaluate,
    mounts_of,
    parse_trigger,
    stage_variable_checks,
)
from container_kit.build.failures import failure_of
from container_kit.build.keys import directory_key
from container_kit.build.mount_sources import resolve_mounts
from container_kit.build.running import plan_run, run_command
from container_kit.build.scratch import writable_root
from container_kit.build.state import State
from container_kit.build.warnings import tell_warnings
from container_kit.containers.identity import resolve_in_root
from container_kit.errors import ContainerKitError
from container_kit.images.layers import build_layer
from container_kit.native.trees import mkdirs_beneath, open_beneath
from container_kit.native.user_namespace import with_rights
from container_kit.oci import Digest
from container_kit.oci.progress import Action, Progress

if TYPE_CHECKING:
    from container_kit.build.graph import Graph, StageNode
    from container_kit.build.session import Session
    from container_kit.build.solve import Solver

__all__ = ["StageBuild"]

_STEPS = (Run, Copy, Add, Workdir)


class StageBuild:
    """One stage while it is built, in a thread of its own."""

    def __init__(self, solver: Solver, node: StageNode) -> None:
        self._solver, self._node = solver, node
        self._session: Session = solver.session
        self._graph: Graph = solver.graph
        self._number = self._count = 0
        self._ignores_cache = self._session.options.ignores_cache(node.name)

    def build(self) -> State:
        """The state after the last instruction.

        Raises:
            BuildFailed: A step could not be done; says which line.
            DockerfileError: An instruction makes no sense.
        """
        node = self._node
        own = sum(isinstance(one, _STEPS) for one in node.instructions)
        self._count = own + (node.base_stage is None)
        state, triggers = self._base()
        self._check_variables(state)
        for instruction in (*self._triggered(triggers), *node.instructions):
            self._session.check_going_on()
            try:
                state = self._do(instruction, state)
            except ContainerKitError as error:
                failure = failure_of(error, self._graph.file, node.name, instruction)
                raise failure from (None if failure is error else error)
        return state

    def _check_variables(self, state: State) -> None:
        """Tell of variables that nobody has set, now that those of the base are known."""
        stage = self._node.stage
        found, _ = stage_variable_checks(stage, state.env, escape=self._graph.escape)
        tell_warnings(self._session.report, self._graph.dockerfile, found)

    def _base(self) -> tuple[State, tuple[str, ...]]:
        """What the stage begins with, and the instructions that its base triggers."""
        node = self._node
        if node.base_stage is not None:
            below = self._solver.result(node.base_stage)
            return below.inherited(), below.config.on_build
        self._number += 1
        name = f"FROM {node.base}"
        self._tell(name, name, "start")
        try:
            found = self._solver.base(node)
        except ContainerKitError as error:
            self._tell(name, name, "failed", str(error))
            raise failure_of(error, self._graph.file, node.name, _from_line(node)) from error
        self._tell(name, name, "done")
        return found

    def _triggered(self, triggers: Iterable[str]) -> list[Instruction]:
        """ONBUILD of the base as instructions of this stage, told with the line of FROM."""
        found = [
            attrs.evolve(
                parse_trigger(text, name=f"ONBUILD of {self._node.base}"), line=self._node.stage.line
            )
            for text in triggers
        ]
        self._count += sum(isinstance(one, _STEPS) for one in found)
        return found

    def _do(self, instruction: Instruction, state: State) -> State:
        if isinstance(instruction, ArgDecl):
            options = self._session.options
            values = argument_values(
                instruction, state.env, options.build_args, self._graph.global_args, self._graph.escape
            )
            return metadata.declare(state, instruction, values)
        ready = evaluate(instruction, state.env, escape=self._graph.escape, file=self._graph.file)
        match ready:
            case Run():
                return self._run(ready, state)
            case Copy() | Add():
                return self._copy(ready, state)
            case Workdir():
                return self._workdir(ready, state)
        return metadata.apply(state, ready)

    def _run(self, run: Run, state: State) -> State:
        mounts = mounts_of(run, state.env, escape=self._graph.escape, file=self._graph.file)
        resolved = resolve_mounts(self._session, mounts, state.config.working_dir or "/", self._layers_of)
        plan = plan_run(run, state, resolved, self._session.options)

        def make(on_line: Callable[[str], object]) -> Layer | None:
            return run_command(self._session, plan, on_line)

        layer = self._step(plan.key, run, make)
        return state.with_layer(layer, plan.created_by)

    def _copy(self, copy: Copy | Add, state: State) -> State:
        with copy_files(self._solver, self._node, copy, state) as plan:
            layer = self._step(plan.key, copy, lambda _: plan.make())
        return state.with_layer(layer, plan.created_by)

    def _workdir(self, workdir: Workdir, state: State) -> State:
        if not workdir.path:
            raise DockerfileError("WORKDIR needs a path: its word is empty")
        moved = metadata.set_working_dir(state, workdir.path)
        path = moved.config.working_dir
        layer = None
        if path != "/":
            key = directory_key(layers=state.diff_ids, path=path, user=state.config.user, epoch=state.epoch)
            layer = self._step(key, workdir, lambda _: self._directory(moved))
        return moved.with_layer(layer, f"WORKDIR {path}")

    def _directory(self, state: State) -> Layer | None:
        """A layer with the working directory, if the image has none there."""
        engine, path = self._session.engine, state.config.working_dir
        with writable_root(engine, state.diff_ids) as (directory, root):
            os.close(mkdirs_beneath(root, path))
            changes = engine.snapshotter.changes(directory, state.diff_ids)
            new = [change.path for change in changes if change.kind == "A"]
            if not new:
                return None
            if state.config.user:
                described = engine.snapshotter.describe(directory, state.diff_ids)
                owner = resolve_in_root(described, state.config.user, ())
                for one in new:
                    _give(root, one, owner.uid, owner.gid)
            made = build_layer(
                engine.store, lambda fd: engine.snapshotter.pack(directory, fd, latest=state.epoch)
            )
        return Layer(*made)

    def _layers_of(self, name: str) -> tuple[Digest, ...]:
        """The layers of what ``from=`` names; of the build context for an empty name."""
        return self._solver.source(name, self._node).diff_ids

    def _step(
        self,
        key: Digest,
        instruction: Instruction,
        make: Callable[[Callable[[str], object]], Layer | None],
    ) -> Layer | None:
        """The layer of one step, with its progress told."""
        self._number += 1
        id, name = str(key), _shown(instruction.source)
        number = self._number
        self._tell(id, name, "start", number=number)

        def on_line(line: str) -> None:
            self._tell(id, name, "output", line, number)

        try:
            layer, was_cached = self._session.layer_for(
                key, name, lambda: make(on_line), ignore_cache=self._ignores_cache
            )
        except BaseException as error:
            self._tell(id, name, "failed", str(error).partition("\n")[0], number)
            raise
        self._tell(id, name, "cached" if was_cached else "done", number=number)
        return layer

    def _tell(self, id: str, name: str, action: Action, message: str = "", number: int | None = None) -> None:
        many = len(self._graph.reachable) > 1
        self._session.report(
            Progress(
                id=id,
                action=action,
                name=f"{self._node.name}: {name}" if many else name,
                step=self._number if number is None else number,
                steps=self._count,
                message=message,
            )
        )


def _from_line(node: StageNode) -> Instruction:
    return Instruction(line=node.stage.line, end_line=node.stage.line, source=node.stage.source)


def _shown(source: str) -> str:
    line = source.partition("\n")[0]
    return line if len(line) <= 100 else line[:99] + "…"


@with_rights
def _give(root: int, path: str, uid: int, gid: int) -> None:
    fd = open_beneath(root, path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fchown(fd, uid, gid)
    finally:
        os.close(fd)
