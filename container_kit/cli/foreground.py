"""``run --rm`` without ``-d``: this process is the container's parent, so no monitor stands between.

The program writes straight to our streams, unless they are a terminal.  The container ends with this
process, whatever ends that.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from container_kit.cli.piped import relay_pipes, stream_kinds
from container_kit.cli.terminal import Patience, TerminalPeer, raw_terminal, relay, signals_to

if TYPE_CHECKING:
    from container_kit.containers import Engine
    from container_kit.runtime.launch import Launched

__all__ = ["Forwarder", "run_to_its_end", "wait_for_exit"]


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
    from container_kit.containers.finding import find_image, split_wishes
    from container_kit.containers.foreground_life import ForegroundContainer
    from container_kit.containers.recipes import recipe_for
    from container_kit.containers.streams import Streams
    from container_kit.native.process import wait

    words = None if command is None else tuple(command)
    finding, wishes = split_wishes(options)
    recipe = recipe_for(engine, find_image(engine, image, **finding), image, words, wishes)
    streams = Streams.open(*stream_kinds(stdin))
    forwarder = Forwarder()
    try:
        with signals_to(forwarder), ForegroundContainer(engine, recipe) as container:
            made(container.id)
            container.launch(streams)
            forwarder.aim(container.launched.pidfd)
            relay_pipes(
                container.launched.pidfd, streams.give_stdin(), streams.our_stdout, streams.our_stderr
            )
            exit_code = wait(container.launched.pidfd)
            container.ended(exit_code)
    finally:
        streams.close()
    return exit_code


class Forwarder:
    """A handler that sends signals on to a program; those that come before it runs are kept for it.

    As in docker, the third request to end is the last: a program that ignores them is killed.
    """

    def __init__(self) -> None:
        self._pidfd = -1
        self._early: list[int] = []
        self._patience = Patience()

    def __call__(self, number: int, _: object) -> None:
        if self._patience.ends_with(number):
            number = signal.SIGKILL
        if self._pidfd < 0:
            self._early.append(number)
        else:
            self._send(number)

    def aim(self, pidfd: int) -> None:
        """The program runs: this is it."""
        self._pidfd = pidfd
        while self._early:
            self._send(self._early.pop(0))

    def _send(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)


def wait_for_exit(launched: Launched) -> int:
    """Relay the terminal, if there is one, and forward signals until the program ends; its exit code."""
    from container_kit.native.process import wait

    if launched.terminal_fd >= 0:
        with raw_terminal():
            relay(TerminalPeer(launched.terminal_fd), stdin=True, terminal=True)
        launched.close_terminal()
        return wait(launched.pidfd)
    forwarder = Forwarder()
    with signals_to(forwarder):
        forwarder.aim(launched.pidfd)
        return wait(launched.pidfd)
