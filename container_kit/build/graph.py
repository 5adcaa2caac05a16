"""From a Dockerfile to stages and what each needs: a pure function, so that it is tested without building.

Which image a base is, and what it triggers, is known only later; everything else is decided here: bases with
their arguments, which stage a name means, which stages are built at all, and that no stage waits for itself.

Source: Dockerfile reference; moby/buildkit, frontend/dockerfile/dockerfile2llb.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Set

import attrs

from container_kit.build.dockerfile import Copy, Dockerfile, DockerfileError, Instruction, Run, Stage
from container_kit.build.dockerfile.errors import closest
from container_kit.build.dockerfile.expansion import LexMode, lex
from container_kit.build.platforms import platform_arguments
from container_kit.errors import InvalidInput
from container_kit.oci import Platform, Reference

__all__ = ["SCRATCH", "Graph", "StageNode", "plan_graph"]

SCRATCH = "scratch"


@attrs.frozen(kw_only=True)
class StageNode:
    """One stage that may be built.

    Args:
        index: From 0.
        name: After AS, or ``stage-`` and its number.
        base: Image, named context or ``scratch``; unused when *base_stage* is a stage.
        platform: Of its base and of its steps.
        stage: As the Dockerfile has it.
        needs: Stages that it is based on, copies from or mounts.
    """

    index: int
    name: str
    base: str
    base_stage: int | None
    platform: Platform
    stage: Stage
    needs: frozenset[int] = frozenset()

    @property
    def instructions(self) -> tuple[Instruction, ...]:
        """What it does, in order."""
        return self.stage.instructions


@attrs.frozen(kw_only=True)
class Graph:
    """All stages, and which of them are built for the target.

    Args:
        nodes: In the order of the Dockerfile.
        target: The stage whose result is wanted.
        reachable: The stages that it needs, itself too, in the order of the Dockerfile.
        global_args: Arguments before the first FROM and predefined ones, with their values.
        dockerfile: All of it.
    """

    nodes: tuple[StageNode, ...]
    target: int
    reachable: tuple[int, ...]
    global_args: Mapping[str, str]
    dockerfile: Dockerfile

    @property
    def file(self) -> str:
        """Name of the Dockerfile, for errors."""
        return self.dockerfile.name

    @property
    def escape(self) -> str:
        """Its escape character."""
        return self.dockerfile.directives.escape

    def stage_called(self, name: str, before: int) -> int | None:
        """The stage that *name* (or its number) means in the stage *before*; None when it means no stage.

        Raises:
            DockerfileError: It is the stage itself, or a later one.
        """
        found = _stage_called(self.nodes, name)
        if found is not None and found >= before:
            raise DockerfileError(_wrong_order(self.nodes, before, found))
        return found


def plan_graph(
    dockerfile: Dockerfile,
    *,
    build_args: Mapping[str, str],
    target: str | None,
    platform: Platform,
    contexts: Set[str] = frozenset(),
) -> Graph:
    """The stages of *dockerfile*, and which are to be built.

    Args:
        build_args: What the caller set.
        target: Name or number of the stage that is wanted; None is the last one.
        platform: The target platform.
        contexts: Names of contexts; one that is called like a stage or a base takes its place.

    Raises:
        DockerfileError: A base has no name, a stage needs itself or a later one, there is no such target.
    """
    wanted = _target(dockerfile, target)
    predefined = platform_arguments(platform, wanted.name or "")
    global_args = _global_args(dockerfile, {**predefined, **_known(build_args, predefined)}, build_args)
    nodes = tuple(_node(dockerfile, stage, global_args, platform, contexts) for stage in dockerfile.stages)
    nodes = tuple(_with_needs(dockerfile, nodes, node) for node in nodes)
    return Graph(
        nodes=nodes,
        target=wanted.index,
        reachable=tuple(sorted(_reachable(nodes, wanted.index))),
        global_args=global_args,
        dockerfile=dockerfile,
    )


def _known(build_args: Mapping[str, str], names: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in build_args.items() if name in names}


def _target(dockerfile: Dockerfile, target: str | None) -> Stage:
    stages = dockerfile.stages
    if target is None:
        return stages[-1]
    named = {stage.name: stage for stage in stages if stage.name}
    if target.lower() in named:
        return named[target.lower()]
    if target.isascii() and target.isdigit() and int(target) < len(stages):
        return stages[int(target)]
    names = ", ".join(named) or "none has a name"
    raise DockerfileError(
        f"there is no stage {target!r} in {dockerfile.name}: its stages are {names}",
        suggestion=closest(target, named),
    )


def _global_args(
    dockerfile: Dockerfile, predefined: Mapping[str, str], build_args: Mapping[str, str]
) -> dict[str, str]:
    """Arguments before the first FROM: each sees those above it."""
    found = dict(predefined)
    for arg in dockerfile.args:
        if arg.name in build_args:
            found[arg.name] = build_args[arg.name]
        elif arg.default is not None:
            found[arg.name] = _expanded(dockerfile, arg.default, found, arg.line)[0]
    return found


def _expanded(
    dockerfile: Dockerfile, word: str, env: Mapping[str, str], line: int
) -> tuple[str, frozenset[str]]:
    """A word with its variables replaced, and the names that nobody has set."""
    try:
        result = lex(word, env, LexMode(dockerfile.directives.escape))
    except DockerfileError as error:
        raise error.located(dockerfile.name, line) from None
    return result.text, result.unset


def _node(
    dockerfile: Dockerfile, stage: Stage, args: Mapping[str, str], target: Platform, contexts: Set[str]
) -> StageNode:
    base, unset = _expanded(dockerfile, stage.base, args, stage.line)
    name = stage.name or f"stage-{stage.index}"
    if stage.name and stage.name in contexts:
        return StageNode(
            index=stage.index, name=name, base=stage.name, base_stage=None, platform=target,
            stage=attrs.evolve(stage, instructions=()),
        )  # fmt: skip
    earlier = {one.name: one.index for one in dockerfile.stages[: stage.index] if one.name}
    base_stage = None if base in contexts else earlier.get(base.lower())
    if base_stage is None and base not in contexts:
        _require_reference(dockerfile, stage, base, unset, args)
    platform = _platform(dockerfile, stage, args) or target
    return StageNode(
        index=stage.index, name=name, base=base, base_stage=base_stage, platform=platform, stage=stage
    )


def _require_reference(
    dockerfile: Dockerfile, stage: Stage, base: str, unset: frozenset[str], args: Mapping[str, str]
) -> None:
    """Raise DockerfileError when *base* cannot be the name of an image."""
    try:
        if base and base != SCRATCH:
            Reference.parse(base)
        if base:
            return
        why = "it comes to nothing"
    except InvalidInput as error:
        why = str(error)
    missing = sorted(unset)
    hint = (
        f"; nobody has set {', '.join(missing)}: declare it with ARG before the first FROM, or pass it as a "
        "build argument"
        if missing
        else ""
    )
    raise DockerfileError(
        f"the base of FROM {stage.base} is no image: {why}{hint}",
        file=dockerfile.name,
        line=stage.line,
        suggestion=closest(missing[0], args) if missing else None,
    )


def _platform(dockerfile: Dockerfile, stage: Stage, args: Mapping[str, str]) -> Platform | None:
    if not stage.platform:
        return None
    text, unset = _expanded(dockerfile, stage.platform, args, stage.line)
    try:
        return Platform.parse(text)
    except InvalidInput as error:
        hint = f"; nobody has set {', '.join(sorted(unset))}" if unset else ""
        raise DockerfileError(
            f"--platform={stage.platform} of FROM is no platform: {error}{hint}",
            file=dockerfile.name,
            line=stage.line,
        ) from None


def _with_needs(dockerfile: Dockerfile, nodes: tuple[StageNode, ...], node: StageNode) -> StageNode:
    needs = set() if node.base_stage is None else {node.base_stage}
    for instruction in node.instructions:
        try:
            needs |= set(_earlier(nodes, node.index, instruction))
        except DockerfileError as error:
            raise error.located(dockerfile.name, instruction.line) from None
    return attrs.evolve(node, needs=frozenset(needs))


def _earlier(nodes: tuple[StageNode, ...], index: int, instruction: Instruction) -> Iterator[int]:
    """The stages that an instruction of stage *index* takes files from."""
    for name in _sources(instruction):
        found = _stage_called(nodes, name)
        if found is not None:
            if found >= index:
                raise DockerfileError(_wrong_order(nodes, index, found))
            yield found


def _stage_called(nodes: tuple[StageNode, ...], name: str) -> int | None:
    for node in nodes:
        if node.stage.name == name.lower():
            return node.index
    if name.isascii() and name.isdigit() and len(name) < 6:
        if int(name) < len(nodes):
            return int(name)
        raise DockerfileError(f"there is no stage number {name}: the last one is {len(nodes) - 1}")
    return None


def _wrong_order(nodes: tuple[StageNode, ...], index: int, source: int) -> str:
    mine, other = nodes[index].name, nodes[source].name
    if index == source:
        return f"stage {mine!r} needs itself: the stages form a circle"
    if _needs_stage(nodes, source, index):
        return f"stage {mine!r} needs stage {other!r}, which needs {mine!r}: the stages form a circle"
    return f"stage {mine!r} needs stage {other!r}, which comes after it: move {other!r} in front of it"


def _needs_stage(nodes: tuple[StageNode, ...], index: int, wanted: int) -> bool:
    """Whether stage *index* needs stage *wanted*, directly or not; stages may be in any order."""
    seen: set[int] = set()
    queue = [index]
    while queue:
        node = nodes[queue.pop()]
        if node.index == wanted:
            return True
        if node.index not in seen:
            seen.add(node.index)
            queue += [] if node.base_stage is None else [node.base_stage]
            names = (name for one in node.instructions for name in _sources(one))
            queue += [found for name in names if (found := _stage_called(nodes, name)) is not None]
    return False


def _sources(instruction: Instruction) -> Iterator[str]:
    """What an instruction takes files from, as far as it says so without variables."""
    if isinstance(instruction, Copy) and instruction.from_:
        yield instruction.from_
    elif isinstance(instruction, Run):
        for mount in instruction.mounts:
            yield from _mount_source(mount.text)


def _mount_source(text: str) -> Iterator[str]:
    for row in csv.reader([text]):
        for field in row:
            key, _, value = field.partition("=")
            if key.strip().lower() == "from" and value:
                yield value


def _reachable(nodes: tuple[StageNode, ...], target: int) -> set[int]:
    found: set[int] = set()
    queue = [target]
    while queue:
        index = queue.pop()
        if index not in found:
            found.add(index)
            queue.extend(nodes[index].needs)
    return found
