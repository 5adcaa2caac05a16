"""Container for coroutines: the same handle, whose verbs that wait are awaited."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Literal, Self, Unpack, overload

from container_kit.aio._work import Opening, call, finish, stream
from container_kit.aio.processes import ExecProcess
from container_kit.containers.container import Container as SyncContainer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from os import PathLike

    from container_kit.containers.engine import Engine
    from container_kit.containers.events import Event
    from container_kit.containers.exec_options import ExecArguments
    from container_kit.containers.logs import LogLine
    from container_kit.containers.option_arguments import OptionArguments
    from container_kit.containers.options import Command
    from container_kit.containers.restart import RestartPolicy
    from container_kit.containers.results import ContainerInfo, ExecResult, Status
    from container_kit.containers.statistics import Stats
    from container_kit.containers.strategy import Strategy
    from container_kit.images import Image, Snapshot
    from container_kit.runtime.limits import Limits

__all__ = ["Container"]


class _Start:
    """``Container.start(image, …)`` makes and starts one; ``container.start()`` starts this one."""

    @overload
    def __get__(self, instance: None, owner: type[Container]) -> _StartNew: ...

    @overload
    def __get__(self, instance: Container, owner: type[Container]) -> Callable[[], Opening[Container]]: ...

    def __get__(self, instance: Container | None, owner: type[Container]) -> Any:
        return _StartNew() if instance is None else instance._start


class _StartNew:
    """The form of ``start`` that is called on the class."""

    def __call__(
        self,
        image: Image | Snapshot | str,
        command: Command | None = None,
        *,
        engine: Engine | None = None,
        detach: bool = False,
        **options: Unpack[OptionArguments],
    ) -> Opening[Container]:
        """Make a container and start it; await this, or ``async with`` it to have it removed at the end.

        Arguments and errors are those of :meth:`container_kit.Container.start`.  Cancelled, no container is
        left.
        """
        return _opened(lambda: SyncContainer.start(image, command, engine=engine, detach=detach, **options))


class Container:
    """A container: look at it, change its state, execute in it, copy from it.

    As an async context manager, the container is stopped and removed at the end of the block.

    Attributes:
        sync: The same container for what does not wait: ``container.sync.inspect()``, ``container.sync.fs``.
    """

    start = _Start()

    def __init__(self, sync: SyncContainer) -> None:
        self.sync = sync

    # Making and finding.

    @classmethod
    def create(
        cls,
        image: Image | Snapshot | str,
        command: Command | None = None,
        *,
        engine: Engine | None = None,
        detach: bool = True,
        **options: Unpack[OptionArguments],
    ) -> Opening[Container]:
        """A new container that is not started yet: see :meth:`container_kit.Container.create`."""
        return _opened(lambda: SyncContainer.create(image, command, engine=engine, detach=detach, **options))

    @classmethod
    async def get(cls, name: str, *, engine: Engine | None = None) -> Container:
        """The container with this name, id or unique beginning of an id.

        Raises:
            NotFound: There is none.
            InvalidInput: Several ids begin like this.
        """
        return cls(await call(lambda: SyncContainer.get(name, engine=engine)))

    @classmethod
    async def list(cls, *, all: bool = False, engine: Engine | None = None) -> list[Container]:
        """The running containers, newest first; with *all* also those that are not running."""
        return [cls(one) for one in await call(lambda: SyncContainer.list(all=all, engine=engine))]

    # Looking.

    @property
    def id(self) -> str:
        """64 hexadecimal digits."""
        return self.sync.id

    @property
    def short_id(self) -> str:
        """The first 12 digits of the id."""
        return self.sync.short_id

    @property
    def name(self) -> str:
        """Its name at this moment."""
        return self.sync.name

    @property
    def status(self) -> Status:
        """``created``, ``running``, ``paused``, ``restarting``, ``exited`` or ``dead``."""
        return self.sync.status

    @property
    def exit_code(self) -> int | None:
        """Of the last end; None while it has never ended."""
        return self.sync.exit_code

    def info(self) -> ContainerInfo:
        """What it is and the state that it is in now."""
        return self.sync.info()

    def stats_stream(self, interval_s: float = 1.0) -> AsyncIterator[Stats]:
        """A sample now and one after each interval, until it ends; later ones know ``cpu_percent``."""
        return stream(lambda: self.sync.stats_stream(interval_s))

    def events(self, *, since: datetime | float | None = None, follow: bool = False) -> AsyncIterator[Event]:
        """What happened to it, oldest first; with *follow* until it is removed."""
        return stream(lambda: self.sync.events(since=since, follow=follow))

    def logs(
        self,
        *,
        follow: bool = False,
        since: datetime | float | None = None,
        until: datetime | float | None = None,
        tail: int | None = None,
        stream: Literal["stdout", "stderr"] | None = None,
    ) -> AsyncIterator[LogLine]:
        """The lines it wrote, oldest first; following ends when the container ends, or with the iteration."""
        return _stream(
            lambda: self.sync.logs(follow=follow, since=since, until=until, tail=tail, stream=stream)
        )

    # Changing its state.

    def _start(self) -> Opening[Container]:
        """Start it, from ``created`` or after it has ended; see :meth:`container_kit.Container.start`."""
        return Opening(self._started())

    async def _started(self) -> Container:
        await call(self.sync.start)
        return self

    async def stop(self, timeout: float | None = None, signal: str | int | None = None) -> int | None:
        """Ask it to end, wait, then kill all of it; cancelled, it is still being stopped.

        Arguments and result are those of :meth:`container_kit.Container.stop`.
        """
        return await call(lambda: self.sync.stop(timeout, signal))

    async def kill(self, signal: str | int = "KILL") -> None:
        """Send a signal to its first process."""
        await call(lambda: self.sync.kill(signal))

    async def pause(self) -> None:
        """Freeze all its processes where they are."""
        await call(self.sync.pause)

    async def resume(self) -> None:
        """Let a paused container go on."""
        await call(self.sync.resume)

    unpause = resume

    async def restart(self, timeout: float | None = None) -> Self:
        """Stop it, if it is running, and start it; *timeout* as in :meth:`stop`."""
        await call(lambda: self.sync.restart(timeout))
        return self

    async def wait(
        self,
        timeout: float | None = None,
        condition: Literal["not-running", "removed"] = "not-running",
        *,
        check: bool = False,
    ) -> int:
        """Wait until it has ended; returns its exit code: see :meth:`container_kit.Container.wait`."""
        return await call(lambda: self.sync.wait(timeout, condition, check=check))

    async def wait_healthy(self, timeout: float | None = None) -> None:
        """Wait until its health check succeeds: see :meth:`container_kit.Container.wait_healthy`."""
        await call(lambda: self.sync.wait_healthy(timeout))

    async def wait_for(
        self,
        strategy: Strategy | int | Callable[[SyncContainer], object] | Sequence[Strategy],
        timeout: float | None = 60.0,
    ) -> Self:
        """Wait until something has come about: see :meth:`container_kit.Container.wait_for`.

        It is waited for in the event loop; commands and functions are executed in a thread.
        """
        from container_kit.wait.driving import wait_for_async

        await wait_for_async(self.sync, strategy, timeout)
        return self

    async def remove(self, *, force: bool = False, volumes: bool = False) -> None:
        """Remove it with its files and logs: see :meth:`container_kit.Container.remove`."""
        await finish(lambda: self.sync.remove(force=force, volumes=volumes))

    async def update(
        self, *, limits: Limits | None = None, restart: RestartPolicy | str | None = None
    ) -> None:
        """Change limits and restart policy, at once when it is running; fields left None stay."""
        await call(lambda: self.sync.update(limits=limits, restart=restart))

    # Executing.

    async def exec(
        self,
        command: Command,
        *,
        check: bool = False,
        text: bool = True,
        input: str | bytes | None = None,
        timeout: float | None = None,
        capture_output: bool = True,
        **options: Unpack[ExecArguments],
    ) -> ExecResult:
        """Execute a command inside and return how it ended; cancelled, it has been killed.

        Arguments, result and errors are those of :meth:`container_kit.Container.exec`.
        """
        return await call(
            lambda: self.sync.exec(
                command,
                check=check,
                text=text,
                input=input,
                timeout=timeout,
                capture_output=capture_output,
                **options,
            )
        )

    def popen(
        self,
        command: Command,
        *,
        stdin: int | IO[Any] | None = None,
        stdout: int | IO[Any] | None = None,
        stderr: int | IO[Any] | None = None,
        text: bool = True,
        **options: Unpack[ExecArguments],
    ) -> Opening[ExecProcess]:
        """Start a command inside; await this, or ``async with`` it to have it killed at the end of the block.

        Arguments and errors are those of :meth:`container_kit.Container.popen`.
        """

        async def opened() -> ExecProcess:
            return ExecProcess(
                await call(
                    lambda: self.sync.popen(
                        command, stdin=stdin, stdout=stdout, stderr=stderr, text=text, **options
                    ),
                    undo=lambda process: process.close(),
                )
            )

        return Opening(opened())

    # Files.

    async def copy_in(self, source: str | PathLike[str] | IO[bytes], path: str) -> None:
        """Copy a file or directory of the host, or a tar stream, to *path* inside, as ``docker cp`` does."""
        await call(lambda: self.sync.copy_in(source, path))

    async def copy_out(self, path: str, destination: str | PathLike[str] | IO[bytes]) -> None:
        """Copy a file or directory from inside to the host, or into a file object as a tar stream."""
        await call(lambda: self.sync.copy_out(path, destination))

    async def commit(
        self,
        tag: str | None = None,
        *,
        message: str = "",
        author: str = "",
        changes: Iterable[str] = (),
        pause: bool = True,
    ) -> Image:
        """An image of its files as they are now: see :meth:`container_kit.Container.commit`."""
        lines = tuple(changes)
        return await call(
            lambda: self.sync.commit(tag, message=message, author=author, changes=lines, pause=pause)
        )

    async def snapshot(self, name: str | None = None, *, pause: bool = True) -> Snapshot:
        """Its files as they are now, to start others from: see :meth:`container_kit.Container.snapshot`."""
        return await call(
            lambda: self.sync.snapshot(name, pause=pause), undo=lambda kept: kept.remove(force=True)
        )

    async def export(self, destination: str | PathLike[str] | IO[bytes]) -> None:
        """Write all its files as one plain tar to a path or a file object."""
        await call(lambda: self.sync.export(destination))

    # Ending.

    async def close(self) -> None:
        """Stop and remove it, at once and whatever its state; may be repeated."""
        await finish(self.sync.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Container) and self.sync == other.sync

    def __hash__(self) -> int:
        return hash(self.sync)

    def __repr__(self) -> str:
        return f"aio.Container({self.short_id!r})"


_stream = stream  # which `Container.logs` has an argument of


def _opened(make: Callable[[], SyncContainer]) -> Opening[Container]:
    async def opened() -> Container:
        return Container(await call(make, undo=lambda one: one.remove(force=True)))

    return Opening(opened())
