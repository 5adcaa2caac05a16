"""Container: one object for the whole life of a container.

A handle: it holds the id and asks the directory of the container each time, so that several handles, in
several processes, always see the same truth.  The work is done by the modules beside this one.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Literal, Self, Unpack

from container_kit._lazy import borrowed
from container_kit.containers.checking import as_timeout
from container_kit.containers.networked import Networked
from container_kit.containers.results import ContainerInfo, ExecResult, Process, RunResult, Status
from container_kit.containers.starting import Start
from container_kit.errors import with_typed_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from os import PathLike

    from container_kit.containers.engine import Engine
    from container_kit.containers.events import Event
    from container_kit.containers.exec_options import ExecArguments
    from container_kit.containers.execution import ExecProcess
    from container_kit.containers.files import ContainerFiles
    from container_kit.containers.logs import LogLine
    from container_kit.containers.monitor_client import Attachment
    from container_kit.containers.option_arguments import OptionArguments
    from container_kit.containers.options import Command, ContainerOptions
    from container_kit.containers.restart import RestartPolicy
    from container_kit.containers.statistics import Stats
    from container_kit.containers.strategy import Strategy
    from container_kit.images import Change, Image, Snapshot
    from container_kit.runtime.limits import Limits

__all__ = ["Container"]


@with_typed_errors
class Container(Networked):
    """A container of an :class:`Engine`: look at it, change its state, execute in it, copy from it.

    Get one from :meth:`create`, :meth:`start`, :meth:`get` or :meth:`list`.  As a context manager, the
    container is stopped and removed at the end of the block.

    Attributes:
        id: 64 hexadecimal digits.
        engine: The engine whose root directory it lives in.
    """

    start = Start()

    def __init__(self, engine: Engine, container_id: str) -> None:
        self.engine, self.id = engine, container_id

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
    ) -> Container:
        """A new container that is not started yet; it stays until it is removed.

        Args:
            command: Words, or a string that is split as a shell does; None means what the image says.
            detach: False makes it owned: removed when this process ends.
            options: See :class:`ContainerOptions`.

        Raises:
            NotFound, NameInUse, InvalidInput: As for :meth:`start`.
        """
        return _engine(engine).create(image, command, detach=detach, **options)

    @classmethod
    def run(
        cls, image: Image | Snapshot | str, command: Command | None = None, **arguments: Any
    ) -> RunResult:
        """Run a command in a new container to its end; the same as :func:`container_kit.run`."""
        from container_kit.containers.foreground import run

        return run(image, command, **arguments)

    @classmethod
    def get(cls, name: str, *, engine: Engine | None = None) -> Container:
        """The container with this name, id or unique beginning of an id.

        Raises:
            NotFound: There is none.
            InvalidInput: Several ids begin like this.
        """
        return _engine(engine).container(name)

    @classmethod
    def list(cls, *, all: bool = False, engine: Engine | None = None) -> list[Container]:
        """The running containers, newest first; with *all* also those that are not running."""
        return _engine(engine).containers(all=all)

    @classmethod
    def from_bundle(cls, path: str, *, engine: Engine | None = None, **options: Any) -> Container:
        """A new container from an OCI runtime bundle: a directory with ``config.json`` and a root.

        Source: OCI runtime-spec, bundle.md.
        """
        from container_kit.containers.bundle import container_from_bundle

        return container_from_bundle(path, engine=_engine(engine), **options)

    # Looking.

    @property
    def short_id(self) -> str:
        """The first 12 digits of the id."""
        return self.id[:12]

    @property
    def name(self) -> str:
        """Its name at this moment."""
        return self.engine.record(self.id).name

    @property
    def options(self) -> ContainerOptions:
        """What was asked for when it was made, with later updates."""
        return self.engine.record(self.id).options

    @property
    def status(self) -> Status:
        """``created``, ``running``, ``paused``, ``restarting``, ``exited`` or ``dead``."""
        return self.info().status

    @property
    def pid(self) -> int:
        """Of its first process as this host sees it; 0 when it is not running."""
        return self.info().pid

    @property
    def exit_code(self) -> int | None:
        """Of the last end; None while it has never ended."""
        return self.info().exit_code

    def info(self) -> ContainerInfo:
        """What it is and the state that it is in now.

        Raises:
            NotFound: It has been removed.
        """
        return self.engine.info(self.id)

    def inspect(self) -> dict[str, Any]:
        """Everything known about it in the shape of ``docker inspect``."""
        from container_kit.containers.inspection import inspect

        return inspect(self)

    def top(self) -> builtins.list[Process]:
        """Its processes, in the order of their numbers.

        Raises:
            WrongState: It is not running.
        """
        from container_kit.containers.statistics import processes

        return processes(self)

    def stats(self) -> Stats:
        """What it uses now: memory, processor time, processes, disk, with pressure where the kernel has it.

        Raises:
            WrongState: It is not running.
        """
        from container_kit.containers.statistics import sample

        return sample(self)

    def stats_stream(self, interval_s: float = 1.0) -> Iterator[Stats]:
        """A sample now and one after each interval, until it ends; later ones know ``cpu_percent``."""
        from container_kit.containers.statistics import stream

        return stream(self, interval_s)

    def events(self, *, since: datetime | float | None = None, follow: bool = False) -> Iterator[Event]:
        """What happened to it, oldest first; with *follow* until it is removed."""
        return self.engine.events(since=since, follow=follow, container=self.id)

    def logs(
        self,
        *,
        follow: bool = False,
        since: datetime | float | None = None,
        until: datetime | float | None = None,
        tail: int | None = None,
        stream: Literal["stdout", "stderr"] | None = None,
    ) -> Iterator[LogLine]:
        """The lines it wrote, oldest first; following ends when the container ends."""
        from container_kit.containers.lifecycle import read_logs

        return read_logs(self, follow=follow, since=since, until=until, tail=tail, stream=stream)

    # Changing its state.

    def _start(self) -> Self:
        """Start it, from ``created`` or after it has ended; nothing happens when it is running.

        Raises:
            StartFailed: With 127 (program not found), 126 (not executable) or 125 (all else).
            WrongState: It is paused.
        """
        from container_kit.containers.lifecycle import start

        start(self)
        return self

    def stop(self, timeout: float | None = None, signal: str | int | None = None) -> int | None:
        """Ask it to end, wait, then kill all of it; nothing happens when it is not running.

        Args:
            timeout: Seconds before SIGKILL; None means its ``stop_timeout_s``; negative means for ever.
            signal: None means its stop signal, else the image's, else SIGTERM.

        Returns:
            Its exit code.
        """
        from container_kit.containers.lifecycle import stop

        return stop(self, as_timeout(timeout, least=None), signal)

    def kill(self, signal: str | int = "KILL") -> None:
        """Send a signal to its first process.

        Raises:
            WrongState: It is not running.
        """
        from container_kit.containers.lifecycle import kill

        kill(self, signal)

    def pause(self) -> None:
        """Freeze all its processes where they are.

        Raises:
            WrongState: It is not running, or paused already.
        """
        from container_kit.containers.lifecycle import pause

        pause(self)

    def resume(self) -> None:
        """Let a paused container go on.

        Raises:
            WrongState: It is not paused.
        """
        from container_kit.containers.lifecycle import resume

        resume(self)

    unpause = resume

    def restart(self, timeout: float | None = None) -> Self:
        """Stop it, if it is running, and start it; *timeout* as in :meth:`stop`."""
        from container_kit.containers.lifecycle import restart

        restart(self, as_timeout(timeout, least=None))
        return self

    def wait(
        self,
        timeout: float | None = None,
        condition: Literal["not-running", "removed"] = "not-running",
        *,
        check: bool = False,
    ) -> int:
        """Wait until it has ended; returns its exit code, at once when it is not running.

        Args:
            timeout: Seconds; None waits for ever.
            condition: ``removed`` waits until it has been removed as well.
            check: Raise when the exit code is not 0.

        Raises:
            TimedOut: It is still running.
            CommandFailed: With *check*; has the exit code, whether memory ran out, and the last lines.
        """
        from container_kit.containers.lifecycle import wait

        return wait(self, as_timeout(timeout, least=0), condition, check)

    def wait_healthy(self, timeout: float | None = None) -> None:
        """Wait until its health check succeeds.

        Raises:
            TimedOut: It did not in time.
            WrongState: It has no health check, has ended, or became unhealthy.
        """
        from container_kit.containers.lifecycle import wait_healthy

        wait_healthy(self, as_timeout(timeout, least=0))

    def wait_for(
        self,
        strategy: Strategy | int | Callable[[Container], object] | Sequence[Strategy],
        timeout: float | None = 60.0,
    ) -> Self:
        """Wait until something of it has come about: see :mod:`container_kit.wait`.

        Args:
            strategy: Such as ``ck.wait.http("/health", port=8000)``; a number means that port, a function is
                called until it returns something true, and of a list all is waited for.
            timeout: Seconds; None waits for ever.

        Raises:
            TimedOut: It has not; says what was seen instead, and the container's last lines.
            ContainerEnded: The container has ended, so that it never will.
            WrongState: It has not been started.
        """
        borrowed("container_kit.wait.driving:wait_for")(self, strategy, timeout)
        return self

    def remove(self, *, force: bool = False, volumes: bool = False) -> None:
        """Remove it with its files and logs; with *force* it is killed first. May be repeated with *force*.

        Args:
            volumes: Also its anonymous volumes, unless another container uses them.

        Raises:
            WrongState: It is running and *force* was not given.
            NotFound: It has been removed already.
        """
        from container_kit.containers.lifecycle import remove

        remove(self, force=force, volumes=volumes)

    def rename(self, name: str) -> None:
        """Give it another name.

        Raises:
            NameInUse, InvalidInput: The name is taken, or cannot be a name.
        """
        self.engine.rename(self.id, name)

    def update(self, *, limits: Limits | None = None, restart: RestartPolicy | str | None = None) -> None:
        """Change limits and restart policy, at once when it is running; fields left None stay.

        Raises:
            InvalidInput: A limit is below what it uses or the kernel's minimum.
        """
        from container_kit.containers.lifecycle import update

        update(self, limits, restart)

    # Executing and talking.

    def exec(
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
        """Execute a command inside and return how it ended; arguments as in :func:`container_kit.run`.

        Args:
            options: See :class:`ExecOptions`: env, user, working_dir, tty, privileged.

        Raises:
            WrongState: The container is not running, or paused.
            StartFailed: 127 when the program is not found, 126 when it cannot be executed.
            CommandFailed: It ended with another code than 0 and *check* was given.
            TimedOut: It did not end within *timeout* seconds; it has been killed.
        """
        from container_kit.containers.exec_options import ExecOptions
        from container_kit.containers.execution import execute

        return execute(
            self,
            command,
            ExecOptions.of(options, "exec", ("check", "text", "input", "timeout", "capture_output")),
            check=check,
            text=text,
            input=input,
            timeout=as_timeout(timeout),
            capture=capture_output,
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
    ) -> ExecProcess:
        """Start a command inside and return at once; like ``subprocess.Popen``.

        Args:
            stdin, stdout, stderr: None inherits, or subprocess.PIPE, DEVNULL, STDOUT, a file or descriptor.
            options: See :class:`ExecOptions`; with ``tty=True`` ``process.terminal`` is the other end of its
                terminal, and the streams are not used.

        Raises:
            WrongState, StartFailed: As for :meth:`exec`.
        """
        from container_kit.containers.exec_options import ExecOptions
        from container_kit.containers.execution import popen

        wishes = ExecOptions.of(options, "popen", ("text", "stdin", "stdout", "stderr"))
        return popen(self, command, wishes, text=text, stdin=stdin, stdout=stdout, stderr=stderr)

    def attach(
        self,
        *,
        stdin: bool = False,
        stdout: bool = True,
        stderr: bool = True,
        lossless: bool = True,
        logs: bool = False,
    ) -> Attachment:
        """The streams of its first process from now on.

        Args:
            logs: What it wrote before comes first, without a gap or a repetition.
            stdin: Also write to it; it must have been made with ``stdin_open=True`` or a terminal.
            lossless: Let the program wait while we do not read; else what is not read in time is dropped.

        Raises:
            WrongState: It is not running.
        """
        from container_kit.containers.lifecycle import attach

        return attach(self, stdin=stdin, stdout=stdout, stderr=stderr, lossless=lossless, logs=logs)

    def resize(self, rows: int, columns: int) -> None:
        """Tell its terminal the size of the window.

        Raises:
            WrongState: It is not running or has no terminal.
        """
        from container_kit.containers.lifecycle import resize

        resize(self, rows, columns)

    # Files.

    @property
    def fs(self) -> ContainerFiles:
        """Its files, with reads and writes like pathlib's: ``c.fs.read_text("/etc/hosts")``.

        Works in every state; paths are resolved inside its root, links and all.
        """
        from container_kit.containers.files import ContainerFiles

        return ContainerFiles(self)

    def copy_in(self, source: str | PathLike[str] | IO[bytes], path: str) -> None:
        """Copy a file or directory of the host, or a tar stream, to *path* inside, as ``docker cp`` does.

        Raises:
            NotFound: The source, or the directory that *path* lies in, is not there.
        """
        from container_kit.containers.copying import copy_in

        copy_in(self, source, path)

    def copy_out(self, path: str, destination: str | PathLike[str] | IO[bytes]) -> None:
        """Copy a file or directory from inside to the host, or into a file object as a tar stream.

        Nothing is written outside *destination*, whatever the container does meanwhile.

        Raises:
            NotFound: There is nothing at *path*.
        """
        from container_kit.containers.copying import copy_out

        copy_out(self, path, destination)

    def diff(self) -> builtins.list[Change]:
        """The paths that differ from the image, sorted."""
        from container_kit.containers.changes import diff

        return diff(self)

    def commit(
        self,
        tag: str | None = None,
        *,
        message: str = "",
        author: str = "",
        changes: Iterable[str] = (),
        pause: bool = True,
    ) -> Image:
        """An image of its files as they are now: the layers below it and one more.

        Args:
            changes: Instructions such as ``CMD ["sh"]`` or ``ENV A=1`` for the image's config.
            pause: Freeze it meanwhile, so that files are consistent.
        """
        from container_kit.containers.changes import commit

        return commit(self, tag, message=message, author=author, changes=tuple(changes), pause=pause)

    def snapshot(self, name: str | None = None, *, pause: bool = True) -> Snapshot:
        """Its files as they are now, to start other containers from within milliseconds: a copy for each.

        What it changed is copied once, and nothing is packed or digested.  New containers run the same
        program with the same variables, user and directory unless told otherwise; limits, mounts, networks
        and profile are those of each call.  Its anonymous volumes are taken along and become part of the
        files; what is in other volumes, tmpfs and binds is not.

        Args:
            name: Keeps it until it is removed; None keeps it for this process, and for what is made from it.
            pause: Freeze the container meanwhile, so that the files are of one moment.

        Raises:
            NameInUse: Another snapshot has the name.
            StoreFull: There is no space for the copy.
        """
        from container_kit.containers.snapshots import snapshot

        return snapshot(self, name, pause)

    def export(self, destination: str | PathLike[str] | IO[bytes]) -> None:
        """Write all its files as one plain tar to a path or a file object."""
        from container_kit.containers.changes import export

        export(self, destination)

    # Ending.

    def close(self) -> None:
        """Stop and remove it, at once and whatever its state; may be repeated."""
        from container_kit.containers.lifecycle import close

        close(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Container) and (self.id, self.engine.root) == (other.id, other.engine.root)

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"Container({self.short_id!r})"


def _engine(engine: Engine | None) -> Engine:
    if engine is not None:
        return engine
    from container_kit.containers.engine import Engine

    return Engine.default()
