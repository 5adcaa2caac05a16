"""A Dockerfile's bytes to its stages.

Source: Dockerfile reference; moby/buildkit, frontend/dockerfile/instructions.
"""

from __future__ import annotations

import re

import attrs

from container_kit.build.dockerfile.checks import file_checks, kept
from container_kit.build.dockerfile.commands import Request, parse_command, request_of
from container_kit.build.dockerfile.errors import DockerfileError
from container_kit.build.dockerfile.instructions import Arg, ArgDecl, Dockerfile, Instruction, Stage
from container_kit.build.dockerfile.lines import (
    LogicalLine,
    decode,
    logical_lines,
    parse_trigger_line,
    read_directives,
)
from container_kit.build.dockerfile.variable_checks import from_checks
from container_kit.build.dockerfile.words import split_words

__all__ = ["parse", "parse_trigger"]

_MAX_INSTRUCTIONS = 10_000
_STAGE_NAME = re.compile(r"[a-z][a-z0-9._-]*")


def parse(source: bytes | str, *, name: str = "Dockerfile") -> Dockerfile:
    """The Dockerfile that *source* is; *name* stands in its errors.

    Raises:
        DockerfileError: It cannot be understood; says where, and what was probably meant.
        LimitExceeded: It is larger than 2 MiB.

    Source: Dockerfile reference, as of the frontend docker/dockerfile:1.
    """
    lines = decode(source, name)
    directives = read_directives(lines, name)
    reading = _Reading(name, directives.escape)
    found: list[LogicalLine] = []
    for line in logical_lines(lines, directives.escape, name):
        found.append(line)
        if len(found) > _MAX_INSTRUCTIONS:
            raise DockerfileError(f"more than {_MAX_INSTRUCTIONS} instructions", file=name, line=line.first)
        reading.take(line)
    reading.end_stage()
    if not reading.stages:
        reason = "there is no FROM" if found else "the file has no instructions"
        raise DockerfileError(reason, file=name, line=max(1, len(lines)))
    dockerfile = Dockerfile(
        name=name, directives=directives, args=tuple(reading.args), stages=tuple(reading.stages)
    )
    warnings = sorted(
        (*file_checks(dockerfile, found), *from_checks(dockerfile)), key=lambda each: (each.line, each.rule)
    )
    return attrs.evolve(dockerfile, warnings=kept(directives.check, warnings))


def parse_trigger(trigger: str, *, escape: str = "\\", name: str = "ONBUILD") -> Instruction:
    """The instruction that an image asks to be run in builds based on it (``OnBuild`` of its config).

    Raises:
        DockerfileError: It is not one instruction, or one that cannot be triggered.
    """
    line = parse_trigger_line(trigger, escape, name)
    try:
        request = request_of(line, escape)
        if request.keyword in ("FROM", "ONBUILD", "MAINTAINER"):
            raise DockerfileError(f"{request.keyword} cannot be triggered by ONBUILD")
        return parse_command(request)
    except DockerfileError as error:
        raise error.located(name, 1) from None


class _Reading:
    """What was read so far."""

    def __init__(self, name: str, escape: str) -> None:
        self._name, self._escape = name, escape
        self.args: list[Arg] = []
        self.stages: list[Stage] = []
        self._open: list[Instruction] = []

    def take(self, line: LogicalLine) -> None:
        try:
            request = request_of(line, self._escape)
            if request.keyword == "FROM":
                self.end_stage()
                self.stages.append(_stage(request, len(self.stages)))
                return
            self._add(parse_command(request), request.keyword)
        except DockerfileError as error:
            raise error.located(self._name, line.first) from None

    def end_stage(self) -> None:
        """The stage that is open gets its instructions."""
        if self._open:
            self.stages[-1] = attrs.evolve(self.stages[-1], instructions=tuple(self._open))
            self._open = []

    def _add(self, instruction: Instruction, keyword: str) -> None:
        if self.stages:
            self._open.append(instruction)
        elif isinstance(instruction, ArgDecl):
            self.args += instruction.args
        else:
            raise DockerfileError(f"{keyword} stands before the first FROM, where only ARG may")


def _stage(request: Request, index: int) -> Stage:
    words = split_words(request.rest)
    as_written = ""
    if len(words) == 3 and words[1].upper() == "AS":
        as_written = words[2]
        if not _STAGE_NAME.fullmatch(as_written.lower()):
            reason = (
                f"a stage's name begins with a letter and has letters, digits, . _ - only: {as_written!r}"
            )
            raise DockerfileError(reason)
    elif len(words) != 1:
        raise DockerfileError(f"FROM takes an image, or image AS name, not {request.rest!r}")
    return Stage(
        index=index,
        name=as_written.lower() or None,
        base=words[0],
        platform=request.flags.text("platform"),
        line=request.line.first,
        source=request.line.text,
        comment=request.line.comment,
        name_as_written=as_written,
    )
