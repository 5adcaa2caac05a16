"""`run` for coroutines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from container_kit.aio._work import call
from container_kit.containers import foreground

if TYPE_CHECKING:
    from container_kit.containers.engine import Engine
    from container_kit.containers.option_arguments import OptionArguments
    from container_kit.containers.options import Command
    from container_kit.containers.results import RunResult
    from container_kit.containers.streams import Stream
    from container_kit.images import Image, Snapshot

__all__ = ["run"]


async def run(
    image: Image | Snapshot | str,
    command: Command | None = None,
    *,
    check: bool = False,
    text: bool = True,
    input: str | bytes | None = None,
    timeout: float | None = None,
    capture_output: bool = True,
    stdin: Stream = None,
    stdout: Stream = None,
    stderr: Stream = None,
    engine: Engine | None = None,
    **options: Unpack[OptionArguments],
) -> RunResult:
    """Run a command in a new container, wait for its end, and remove the container.

    Arguments, result and errors are those of :func:`container_kit.run`.  Cancelled, the program has been
    killed and the container is gone.
    """
    return await call(
        lambda: foreground.run(
            image,
            command,
            check=check,
            text=text,
            input=input,
            timeout=timeout,
            capture_output=capture_output,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            engine=engine,
            **options,
        )
    )
