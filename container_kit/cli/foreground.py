"""``run --rm`` without ``-d``: this process is the container's parent, so no monitor stands between.

The program writes straight to our streams, unless they are a terminal, or to a terminal that we hold.  The
container ends with this process, whatever ends that.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from container_kit.cli.piped import relay_pipes, stream_kinds
from container_kit.cli.terminal import TerminalPeer, raw_terminal, relay, signals_to

if TYPE_CHECKING:
    from container_kit.containers import Engine
    from container_kit.containers.streams import Streams
    from container_kit.runtime.launch import Launched

__all__ = ["run_to_its_end", "wait_for_exit"]


def run_to_its_end(
    engine: Engine,
    image: str,
    command: Sequence[str] | None,
    options: Mapping[str, Any],
    *,
    stdin: bool,
    made: Callable[[str], None],
) -> int:
    """Run a command in a new container, remove the container, and return the exit code.

    *made* is called with its id before it starts.

    Raises:
        NotFound: There is no such image.
        StartFailed: The program cannot be executed; nothing is left.
    """
    from container_kit.containers.creation import find_image
    from container_kit.containers.foreground_life import ForegroundContainer
    from container_kit.containers.recipes import recipe_for
    from container_kit.containers.streams import Streams

    words = None if command is None else tuple(command)
    recipe = recipe_for(engine, find_image(engine, image), image, words, dict(options))
    streams = Streams.open(*stream_kinds(stdin))
    try:
        with ForegroundContainer(engine, recipe) as container:
            made(container.id)
            container.launch(streams)
            exit_code = wait_for_exit(container.launched, stdin=stdin, streams=streams)
            container.ended(exit_code)
    finally:
        streams.close()
    return exit_code


def wait_for_exit(launched: Launched, *, stdin: bool = True, streams: Streams | None = None) -> int:
    """Relay the terminal or the pipes of *streams*, forward signals, return the exit code at the end."""
    from container_kit.native.process import send_signal, wait

    if launched.terminal_fd >= 0:
        with raw_terminal() if stdin else contextlib.nullcontext():
            relay(TerminalPeer(launched.terminal_fd), stdin=stdin, terminal=True)
        os.close(launched.terminal_fd)
        launched.terminal_fd = -1
        return wait(launched.pidfd)

    with signals_to(lambda number, _: send_signal(launched.pidfd, number)):
        if streams is not None:
            relay_pipes(launched.pidfd, streams.give_stdin(), streams.our_stdout, streams.our_stderr)
        return wait(launched.pidfd)
