"""A program that was started in a running container, for coroutines."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from container_kit.aio._work import call, finish, stream
from container_kit.errors import InvalidInput
from container_kit.native.interrupts import await_readable

if TYPE_CHECKING:
    from container_kit.containers.execution import ExecProcess as SyncProcess

__all__ = ["ExecProcess"]

_PIECE = 64 * 1024


class ExecProcess:
    """A command that runs in a container; as an async context manager it is killed at the end of the block.

    Attributes:
        sync: The same for code that waits by blocking, with ``pid``, ``stdin``, ``stdout`` and ``stderr``.
    """

    def __init__(self, sync: SyncProcess) -> None:
        self.sync = sync

    @property
    def args(self) -> tuple[str, ...]:
        """The command."""
        return self.sync.args

    @property
    def pid(self) -> int:
        """Its number as this host sees it."""
        return self.sync.pid

    @property
    def returncode(self) -> int | None:
        """None until its end has been seen, then 0 to 255, or 128+n for signal n."""
        return self.sync.returncode

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        return self.sync.poll()

    async def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; returns the exit code. Cancelled, it goes on.

        Raises:
            TimedOut: It still runs after *timeout* seconds.
        """
        return await call(lambda: self.sync.wait(timeout))

    async def communicate(
        self, input: str | bytes | None = None, timeout: float | None = None
    ) -> tuple[Any, Any]:
        """Write *input*, read everything to the end, wait; returns what came from stdout and stderr.

        Raises:
            TimedOut: It did not end within *timeout* seconds; it still runs.
        """
        return await call(lambda: self.sync.communicate(input, timeout))

    def output(self) -> AsyncIterator[bytes]:
        """What it writes to stdout, as it comes, until it has closed that.

        Raises:
            InvalidInput: It was not started with ``stdout=subprocess.PIPE``.
        """
        if self.sync.stdout is None:
            raise InvalidInput("there is no output to read: start the command with stdout=subprocess.PIPE")
        number = self.sync.stdout.fileno()
        return stream(lambda: _pieces(number))

    def send_signal(self, signal: str | int) -> None:
        """Send a signal, by name or number; nothing happens when it has ended."""
        self.sync.send_signal(signal)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.sync.terminate()

    def kill(self) -> None:
        """Send SIGKILL."""
        self.sync.kill()

    async def close(self) -> None:
        """Kill it if it still runs and close everything; may be repeated."""
        await finish(self.sync.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _pieces(number: int) -> Iterator[bytes]:
    while True:
        await_readable(number, None)
        try:
            piece = os.read(number, _PIECE)
        except BlockingIOError:
            continue
        if not piece:
            return
        yield piece
