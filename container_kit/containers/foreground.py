"""`run`: a command in a new container, to its end; the short way that starts in milliseconds.

The caller is the container's parent, so there is no monitor; the guardian sees to it that nothing stays when
the caller is killed.  What is the same for every run of an image with the same options is worked out once
(see `recipes`), what has to be written down is written while the program runs already, and what is to be
cleared away is left to the janitor.
"""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING, Unpack

from container_kit._values import frozen
from container_kit.containers.checking import as_timeout
from container_kit.containers.finding import find_image, split_wishes
from container_kit.containers.foreground_life import ForegroundContainer
from container_kit.containers.options import as_command
from container_kit.containers.recipes import recipe_for
from container_kit.containers.results import RunResult
from container_kit.containers.streams import Stream, Streams, as_bytes, as_output, last_lines
from container_kit.errors import CommandFailed, TimedOut
from container_kit.native.process import Completed, Talk

if TYPE_CHECKING:
    from container_kit.containers.engine import Engine
    from container_kit.containers.option_arguments import OptionArguments
    from container_kit.containers.options import Command
    from container_kit.containers.recipes import Recipe
    from container_kit.images import Image, Snapshot

__all__ = ["run"]

_PIPE = subprocess.PIPE


def run(
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

    Args:
        image: An Image, or its name, digest or id; or a Snapshot.
        command: Words, or a string that is split as a shell does; None means what the image says.
        check: Raise CommandFailed when the exit code is not 0.
        text: Output and *input* are str (UTF-8); False makes them bytes.
        input: What the program reads from its standard input; else it reads nothing, or *stdin*.
        timeout: Seconds until it is killed.
        capture_output: Keep what it writes; False lets it write where this process does.
        stdin, stdout, stderr: A file, a descriptor, subprocess.DEVNULL or STDOUT: instead of the above.
        options: See :class:`ContainerOptions`; those about a life without its caller have no meaning here.

    Returns:
        ``exit_code`` (128+n for signal n), ``stdout``, ``stderr``, ``duration_s``, ``oom_killed``.

    Raises:
        NotFound: There is no such image.
        InvalidInput: An option cannot be used; names it.
        StartFailed: 127 when the program is not in the image, 126 when it cannot be executed, else 125.
        CommandFailed: With *check*.
        TimedOut: It did not end in time and was killed.

    The container ends with this process, whatever ends that.
    """
    began, timeout = time.monotonic(), as_timeout(timeout)
    if engine is None:
        from container_kit.containers.engine import Engine

        engine = Engine.default()
    engine.check_open()
    call = _Call(as_bytes(input, text), text, check, timeout, began)
    finding, wishes = split_wishes(options)
    found = find_image(engine, image, **finding)
    recipe = recipe_for(engine, found, image, as_command(command), wishes)
    captured = _PIPE if capture_output else None
    streams = Streams.open(
        stdin if call.input is None else _PIPE,
        captured if stdout is None else stdout,
        captured if stderr is None else stderr,
    )
    try:
        return _run(engine, recipe, streams, call)
    finally:
        streams.close()


@frozen
class _Call:
    """What a caller asked for beside the container: see :func:`run`; *began* is on the monotonic clock."""

    input: bytes | None
    text: bool
    check: bool
    timeout: float | None
    began: float

    @property
    def left_s(self) -> float | None:
        """How long the program may still run; None for ever."""
        return None if self.timeout is None else self.began + self.timeout - time.monotonic()


def _run(engine: Engine, recipe: Recipe, streams: Streams, call: _Call) -> RunResult:
    with engine.spares.take(recipe) as container:
        try:
            container.launch(streams)
            engine.spares.order(recipe, missed=not container.was_spare)
            done = _talk(container, streams, call)
            container.ended(done.exit_code)
        finally:
            engine.spares.left(container.id)
    return _result(container, streams, done, call)


def _talk(container: ForegroundContainer, streams: Streams, call: _Call) -> Completed:
    """Feed and drain until the program has ended.

    Raises:
        TimedOut: It did not in time.
    """
    talk = Talk(
        container.launched.pidfd,
        stdin_fd=streams.give_stdin(),
        stdout_fd=streams.our_stdout,
        stderr_fd=streams.our_stderr,
        input=call.input or b"",
    )
    try:
        return talk.run(call.left_s)
    except TimedOut:
        words = list(container.recipe.command)
        raise TimedOut(
            f"command {words!r} did not end within {call.timeout} s and was killed: give a longer timeout"
        ) from None


def _result(container: ForegroundContainer, streams: Streams, done: Completed, call: _Call) -> RunResult:
    result = RunResult(
        exit_code=done.exit_code,
        stdout=as_output(done.stdout, call.text) if streams.our_stdout >= 0 else None,
        stderr=as_output(done.stderr, call.text) if streams.our_stderr >= 0 else None,
        duration_s=time.monotonic() - call.began,
        command=container.recipe.command,
        oom_killed=container.oom_killed,
        container_id=container.id,
    )
    if call.check and result.exit_code != 0:
        raise CommandFailed(
            result.command,
            result.exit_code,
            oom_killed=result.oom_killed,
            stdout=result.stdout,
            stderr=result.stderr,
            log_tail=last_lines(done.stderr or done.stdout),
        )
    return result
