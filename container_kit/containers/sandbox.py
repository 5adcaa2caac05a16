"""Sandbox: code that nobody trusts, run to its end with everything limited, and its files in and out.

It has the walls of the profile ``sandbox``, and each of them is there or nothing is started.  What the code
does, whatever it is, is a result and no error: that it took too long, too much, or wrote too much.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import attrs

from container_kit.containers.checking import as_timeout
from container_kit.containers.finding import find_image
from container_kit.containers.foreground_life import ForegroundContainer
from container_kit.containers.options import as_command
from container_kit.containers.recipes import Recipe, recipe_for
from container_kit.containers.results import RunResult
from container_kit.containers.streams import Streams, as_bytes, as_output
from container_kit.containers.workspace import Contents, Workspace
from container_kit.errors import InvalidInput, KernelError, LimitExceeded, TimedOut, UnsupportedFeature
from container_kit.native.process import Talk
from container_kit.runtime.host import Host
from container_kit.runtime.landlock import BENEATH_ROOT, BENEATH_ROOT_WITHOUT_TCP, PortRule, Ruleset
from container_kit.runtime.limits import Limits, parse_size
from container_kit.runtime.profiles import Profile, profile

if TYPE_CHECKING:
    from container_kit.containers.engine import Engine
    from container_kit.containers.options import Command
    from container_kit.images import Image, Snapshot

__all__ = ["Reason", "Sandbox", "SandboxResult"]

Reason: TypeAlias = Literal["ended", "timeout", "memory", "output", "files"]

_KILLED = 137
_CONTROLLERS = ("cpu", "memory", "pids")
_CONNECT_TCP = 2
_DOMAIN = 53  # names are asked over TCP as well


@attrs.frozen(kw_only=True)
class SandboxResult(RunResult):
    """How sandboxed code ended; see :class:`RunResult`.

    Attributes:
        reason: ``ended`` by itself; or what ended it: ``timeout``, ``memory``, or too much ``output``; or
            ``files``: those that it left have more bytes than there is room for, and were not taken.
        files: By their paths in the workspace, what was to be collected.
    """

    reason: Reason = "ended"
    files: Mapping[str, bytes] = attrs.field(factory=dict)

    @property
    def ok(self) -> bool:
        """Whether it ended by itself and with exit code 0."""
        return self.reason == "ended" and self.exit_code == 0


def _size(value: int | str) -> Any:
    return parse_size(value, "a size of the sandbox")


def _words(value: Iterable[str]) -> tuple[str, ...]:
    if isinstance(value, str):
        raise InvalidInput(f"egress {value!r} must be a list, such as ['10.0.0.0/8', 'example.org:443']")
    return tuple(value)


@attrs.frozen
class Sandbox:
    """Limits and walls for code that nobody trusts; one value serves any number of runs.

    Args:
        image: An Image, its name, or a Snapshot: where the program comes from; the code cannot change it.
        timeout: Seconds from the call until everything is killed.
        memory: Of all processes together, with what they write to files: bytes or ``"256m"``; no swap.
        cpus: Processors' worth of time.
        pids: Processes and threads at once.
        output: The most that is taken of stdout and stderr together.
        workspace: Size of the directory that files go into and come out of.
        directory: Where it is, and where the program starts.
        egress: The only places it may connect to: ``["10.0.0.0/8", "example.org:443"]``; empty for none.
        env: Variables.
        user: ``user``, ``user:group``, names or numbers; empty means what the image says.
        engine: None means that of this process.

    Raises:
        InvalidInput: A value cannot be used; names it.
    """

    image: Image | Snapshot | str
    timeout: float = attrs.field(default=10.0, kw_only=True)
    memory: int = attrs.field(default=256 << 20, converter=_size, kw_only=True)
    cpus: float = attrs.field(default=1.0, kw_only=True)
    pids: int = attrs.field(default=64, kw_only=True)
    output: int = attrs.field(default=1 << 20, converter=_size, kw_only=True)
    workspace: int = attrs.field(default=64 << 20, converter=_size, kw_only=True)
    directory: str = attrs.field(default="/work", kw_only=True)
    egress: tuple[str, ...] = attrs.field(default=(), converter=_words, kw_only=True)
    env: Mapping[str, str] = attrs.field(factory=dict, kw_only=True)
    user: str = attrs.field(default="", kw_only=True)
    engine: Engine | None = attrs.field(default=None, kw_only=True, repr=False)

    def __attrs_post_init__(self) -> None:
        if as_timeout(self.timeout) is None:
            raise InvalidInput("a sandbox needs a timeout: give seconds")
        if self.output <= 0 or self.workspace <= 0:
            raise InvalidInput("output and workspace of a sandbox need a size, such as '1m'")
        if self.memory <= 0 or self.pids <= 0:
            raise InvalidInput("memory and pids of a sandbox cannot be without a limit")
        self.limits  # noqa: B018 - refuses what is out of range

    @property
    def limits(self) -> Limits:
        """What all its processes may use together."""
        return Limits(memory=self.memory, memory_swap=self.memory, cpus=self.cpus, pids=self.pids)

    def run(
        self,
        command: Command | None = None,
        *,
        files: Mapping[str, Contents] | None = None,
        collect: Iterable[str] = (),
        input: str | bytes | None = None,
        text: bool = True,
    ) -> SandboxResult:
        """Run *command* to its end, and leave nothing.

        Args:
            files: What goes into the workspace: text, bytes, or a path of this host, by relative path.
            collect: What comes out of it: patterns such as ``"out/*.json"``, where ``*`` stands for any
                characters. Regular files only.
            input, text: As for :func:`container_kit.run`.

        Raises:
            UnsupportedFeature: This host cannot build one of the walls; says which and what would bring it.
            NotFound: There is no such image, or a file is not on this host.
            InvalidInput, LimitExceeded: An argument cannot be used, or *files* need more room than there is.
            StartFailed: 127 when the program is not in the image, 126 when it cannot be executed, else 125.
        """
        if isinstance(collect, str):
            collect = (collect,)
        began, data = time.monotonic(), as_bytes(input, text)
        engine = self.engine or _default_engine()
        engine.check_open()
        self.require_walls()
        with contextlib.ExitStack() as stack:
            place = stack.enter_context(self._workspace()) if files or collect else None
            if place is not None:
                place.fill(files or {})
            ending = self._run(engine, self._recipe(engine, command, place), data, began)
            return self._result(ending, place, tuple(collect), text, began)

    def require_walls(self) -> None:
        """Refuse a host that cannot build one of the walls.

        Raises:
            UnsupportedFeature: Names it, and what would bring it.
        """
        host = Host.probe()
        profile("sandbox").require(host)
        missing = [name for name in _CONTROLLERS if host.cgroups.owner_of(name) is None]
        if missing:
            raise UnsupportedFeature(
                f"a sandbox promises limits of {', '.join(_CONTROLLERS)}, and no cgroup hierarchy here has "
                f"{', '.join(missing)}: boot with these controllers, or have them delegated to this user"
            )

    @property
    def walls(self) -> str | Profile:
        """The profile: with places to connect to, TCP to their ports and no others."""
        if not self.egress:
            return "sandbox"
        return attrs.evolve(profile("sandbox"), landlock=_ruleset(self.egress))

    def _workspace(self) -> Workspace:
        try:
            return Workspace(self.workspace)
        except KernelError as error:
            raise UnsupportedFeature(f"a workspace of limited size cannot be made here: {error}") from error

    def _recipe(self, engine: Engine, command: Command | None, place: Workspace | None) -> Recipe:
        wishes: dict[str, Any] = {
            "profile": self.walls,
            "limits": self.limits,
            "env": dict(self.env),
            "user": self.user,
        }
        if place is not None:
            wishes["mounts"] = [place.mount(self.directory, shift_owners=profile("sandbox").user_namespace)]
            wishes["working_dir"] = self.directory
        if self.egress:
            wishes["egress"] = list(self.egress)
        return recipe_for(engine, find_image(engine, self.image), self.image, as_command(command), wishes)

    def _run(self, engine: Engine, recipe: Recipe, data: bytes | None, began: float) -> _Ending:
        """Talk with it until it ends or has had enough; when this returns, no process of it lives."""
        streams = Streams.open(None if data is None else subprocess.PIPE, subprocess.PIPE, subprocess.PIPE)
        ending = _Ending(command=recipe.command)
        try:
            with ForegroundContainer(engine, recipe) as container:
                ending.container_id = container.id
                container.launch(streams)
                talk = Talk(
                    container.launched.pidfd,
                    stdin_fd=streams.give_stdin(),
                    stdout_fd=streams.our_stdout,
                    stderr_fd=streams.our_stderr,
                    input=data or b"",
                    most=self.output,
                )
                self._talk(talk, ending, container, began)
            return ending
        finally:
            streams.close()

    def _talk(self, talk: Talk, ending: _Ending, container: ForegroundContainer, began: float) -> None:
        try:
            done = talk.run(max(0.0, began + self.timeout - time.monotonic()))
        except TimedOut:
            ending.reason = "timeout"
        except LimitExceeded:
            ending.reason = "output"
        else:
            ending.exit_code = done.exit_code
            container.ended(done.exit_code)
            if container.oom_killed:
                ending.reason = "memory"
        ending.output = talk.output

    def _result(
        self, ending: _Ending, place: Workspace | None, collect: tuple[str, ...], text: bool, began: float
    ) -> SandboxResult:
        files: dict[str, bytes] = {}
        if place is not None:
            try:
                files = place.collect(collect)
            except LimitExceeded:
                ending.reason = "files" if ending.reason == "ended" else ending.reason
        stdout, stderr = ending.output
        return SandboxResult(
            exit_code=ending.exit_code,
            stdout=as_output(stdout[: self.output], text),
            stderr=as_output(stderr[: max(0, self.output - len(stdout))], text),
            duration_s=time.monotonic() - began,
            command=ending.command,
            oom_killed=ending.reason == "memory",
            container_id=ending.container_id,
            reason=ending.reason,
            files=files,
        )


@attrs.define(kw_only=True)
class _Ending:
    """How one run ended, as far as it is known."""

    command: tuple[str, ...]
    container_id: str = ""
    exit_code: int = _KILLED
    reason: Reason = "ended"
    output: tuple[bytes, bytes] = (b"", b"")


def _default_engine() -> Engine:
    from container_kit.containers.engine import Engine

    return Engine.default()


def _ruleset(egress: tuple[str, ...]) -> Ruleset:
    """No TCP but to the ports of *egress*; where a place has none, the firewall alone decides."""
    ports = [_port_of(place) for place in egress]
    if not all(ports):
        return BENEATH_ROOT
    rules = tuple(PortRule(port, _CONNECT_TCP) for port in sorted({_DOMAIN, *ports}))
    return attrs.evolve(BENEATH_ROOT_WITHOUT_TCP, ports=rules)


def _port_of(place: str) -> int:
    """The port of ``host:port`` or ``[address]:port``; 0 when there is none."""
    host, colon, port = place.rpartition(":")
    is_address = ":" in host and not host.endswith("]")  # the last part of an IPv6 address
    return int(port) if colon and port.isdecimal() and not is_address else 0
