"""How a build fails: with the line of the Dockerfile, the instruction, and for RUN the end of its output."""

from __future__ import annotations

from container_kit.build.dockerfile import DockerfileError, Instruction
from container_kit.containers.steps import StepStopped
from container_kit.errors import BuildFailed, ContainerKitError

__all__ = ["CommandEnded", "failure_of"]

_LONGEST_COMMAND = 200


class CommandEnded(ContainerKitError):
    """A command of RUN did not end well; becomes a BuildFailed with the place in the Dockerfile."""

    def __init__(
        self, command: tuple[str, ...], exit_code: int, output: tuple[str, ...], hint: str = ""
    ) -> None:
        self.command, self.exit_code, self.output = command, exit_code, output
        shown = " ".join(command)
        if len(shown) > _LONGEST_COMMAND:
            shown = shown[:_LONGEST_COMMAND] + "…"
        signal = f" (signal {exit_code - 128})" if exit_code > 128 else ""
        super().__init__(f"command {shown!r} ended with exit code {exit_code}{signal}{hint}")


def failure_of(
    error: ContainerKitError, file: str, stage: str, instruction: Instruction
) -> ContainerKitError:
    """*error* with the place where it happened; the lines of *file* count from 1."""
    if isinstance(error, BuildFailed | StepStopped):
        return error
    if isinstance(error, DockerfileError):
        return error.located(file, instruction.line)
    ended = error if isinstance(error, CommandEnded) else None
    return BuildFailed(
        str(error),
        file=file,
        line=instruction.line,
        instruction=instruction.source,
        stage=stage,
        command=ended.command if ended else (),
        exit_code=ended.exit_code if ended else None,
        output=ended.output if ended else (),
    )
