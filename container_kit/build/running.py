"""RUN: from an instruction to the command in its container, and to the layer of what it changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import attrs

from container_kit.build.cache import Layer
from container_kit.build.dockerfile import DockerfileError, Run
from container_kit.build.dockerfile.heredocs import heredoc_of
from container_kit.build.failures import CommandEnded
from container_kit.build.keys import run_key
from container_kit.build.metadata import command_words
from container_kit.build.mount_sources import OpenMounts, ResolvedMount
from container_kit.build.platforms import can_run
from container_kit.containers.steps import RunningStep, Step, run_step
from container_kit.errors import InvalidInput, StartFailed, UnsupportedFeature
from container_kit.images.layers import build_layer
from container_kit.oci import Digest

if TYPE_CHECKING:
    from container_kit.build.options import BuildOptions
    from container_kit.build.session import Session
    from container_kit.build.state import State

__all__ = ["RunPlan", "plan_run", "run_command"]

_SCRIPT = "/dev/pipes"  # where BuildKit has the script of a heredoc
_EMPTY_TAR = 1024
_TAIL_BYTES, _TAIL_LINES = 32 << 10, 20
_LEAST_MASKED = 4


@attrs.frozen(kw_only=True)
class RunPlan:
    """One RUN, decided.

    Args:
        command: The whole command line.
        script: Text of a heredoc that is executed as a file, and its path; or nothing.
        network: ``bridge``, ``none`` or ``host``.
        proxies: Variables that are in no key.
    """

    command: tuple[str, ...]
    mounts: tuple[ResolvedMount, ...]
    state: State
    network: str
    security: str
    hostname: str
    script: tuple[str, str] | None = None
    proxies: dict[str, str] = attrs.field(factory=dict)

    @property
    def env(self) -> dict[str, str]:
        """All that it sees but secrets and proxies."""
        return {**self.state.env, "SOURCE_DATE_EPOCH": str(self.state.epoch)}

    @property
    def key(self) -> Digest:
        script = () if self.script is None else self.script
        return run_key(
            layers=self.state.diff_ids,
            command=(*self.command, *script),
            env=self.env,
            user=self.state.config.user,
            working_dir=self.state.config.working_dir,
            mounts=[mount.input for mount in self.mounts],
            network=self.network,
            security=self.security,
            hostname=self.hostname,
            platform=self.state.platform,
            epoch=self.state.epoch,
        )

    @property
    def created_by(self) -> str:
        """For the history, as BuildKit writes it: the arguments and the command, never a secret."""
        given = self.state.arguments
        words = [f"{name}={self.state.env.get(name, value)}" for name, value in given.items()]
        arguments = [f"|{len(words)}", *words] if words else []
        return f"RUN {' '.join([*arguments, *self.command])} # buildkit"


def plan_run(run: Run, state: State, mounts: tuple[ResolvedMount, ...], options: BuildOptions) -> RunPlan:
    """What *run* means in *state*.

    Raises:
        DockerfileError: There is no command.
        InvalidInput: It asks for the host's network, or for all rights, and the caller has not allowed that.
        UnsupportedFeature: Programs for its platform do not run here.
    """
    if not can_run(state.platform):
        raise UnsupportedFeature(
            f"cannot run programs for {state.platform} here: the kernel has no interpreter for them; install "
            "qemu-user-static with binfmt support, or build RUN steps for the build platform"
        )
    command, script = _command(run, state)
    if run.security == "insecure" and "security.insecure" not in options.allow:
        raise InvalidInput(
            "RUN --security=insecure gives all rights: allow it with allow=['security.insecure']"
        )
    return RunPlan(
        command=command,
        script=script,
        mounts=mounts,
        state=state,
        network=_network(run, options),
        security=run.security,
        hostname=options.build_args.get("BUILDKIT_SANDBOX_HOSTNAME", "buildkitsandbox"),
        proxies=options.proxies,
    )


def _command(run: Run, state: State) -> tuple[tuple[str, ...], tuple[str, str] | None]:
    """The command line, and the script with its path where the command is one."""
    line = run.command
    if not line.words or not line.words[0].strip():
        raise DockerfileError("RUN has no command")
    if not run.heredocs:
        return command_words(state, line), None
    only = heredoc_of(line.words[0].strip())
    if only is None:
        # The shell reads the documents itself.
        parts = [line.words[0], *(f"{one.content}{one.name}" for one in run.heredocs)]
        return command_words(state, attrs.evolve(line, words=("\n".join(parts),))), None
    text = run.heredocs[0].text
    if text.startswith("#!"):
        path = f"{_SCRIPT}/{run.heredocs[0].name}"
        return (path,), (path, text)
    return command_words(state, attrs.evolve(line, words=(text,))), None


def _network(run: Run, options: BuildOptions) -> str:
    """``bridge``, the default network, unless something else is asked for."""
    if run.network == "host":
        if options.network != "host" and "network.host" not in options.allow:
            raise InvalidInput(
                "RUN --network=host uses the network of this machine: allow it with allow=['network.host']"
            )
        return "host"
    asked = options.network if run.network == "default" else run.network
    return "bridge" if asked == "default" else asked


def run_command(session: Session, plan: RunPlan, on_line: Callable[[str], object]) -> Layer | None:
    """Run it to its end; the layer of what it changed, or None for nothing.  Call it within a lease.

    Raises:
        CommandEnded: With an exit code other than 0.
        StartFailed: It could not be started.
        StepStopped: The build was stopped.
    """
    with OpenMounts(session, plan.mounts) as mounts:
        if plan.script is not None:
            mounts.add_script(*plan.script)
        output = _Output(on_line, mounts.secret_values)
        with run_step(session.engine, _step(plan, mounts)) as step:
            _execute(session, plan, step, output)
            diff_id, descriptor = build_layer(session.store, lambda fd: step.pack(fd, plan.state.epoch))
    return None if descriptor.size <= _EMPTY_TAR else Layer(diff_id, descriptor)


def _step(plan: RunPlan, mounts: OpenMounts) -> Step:
    config = plan.state.config
    return Step(
        layers=plan.state.diff_ids,
        command=plan.command,
        env=tuple(f"{name}={value}" for name, value in {**plan.proxies, **plan.env}.items()),
        secret_env=tuple(mounts.secret_env.items()),
        user=config.user,
        working_dir=config.working_dir or "/",
        hostname=plan.hostname,
        mounts=tuple(mounts.mounts),
        network=plan.network,
        profile="privileged" if plan.security == "insecure" else "default",
        name="build",
    )


def _execute(session: Session, plan: RunPlan, step: RunningStep, output: _Output) -> None:
    try:
        exit_code = step.execute(output.take, session.stop_fd)
    except StartFailed as error:
        raise CommandEnded(plan.command, error.exit_code, (), f": {error}") from error
    output.end()
    if exit_code:
        raise CommandEnded(plan.command, exit_code, output.tail, _hint(plan, step))


def _hint(plan: RunPlan, step: RunningStep) -> str:
    if step.oom_killed:
        return " (killed: out of memory)"
    if plan.network == "none":
        return " (it had no network, as was asked for)"
    return ""


class _Output:
    """What a command writes, line by line; the values of secrets are not passed on."""

    def __init__(self, on_line: Callable[[str], object], secrets: Sequence[bytes]) -> None:
        self._on_line = on_line
        # Output is looked at line by line, so a secret of several lines, such as a key, is as many secrets.
        stripped = {line.strip() for value in secrets for line in value.splitlines()}
        self._secrets = sorted((one for one in stripped if len(one) >= _LEAST_MASKED), key=len, reverse=True)
        self._overlap = len(self._secrets[0]) - 1 if self._secrets else 0
        self._rest = b""
        self._tail: list[str] = []

    def take(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._pass_on(line)
        if len(self._rest) > _TAIL_BYTES + self._overlap:
            # What is not passed on yet may be the beginning of a secret.
            masked = self._masked(self._rest)
            cut = len(masked) - self._overlap
            self._rest = masked[cut:]
            self._pass_on(masked[:cut])

    def end(self) -> None:
        """What is left is a line too."""
        if self._rest:
            rest, self._rest = self._rest, b""
            self._pass_on(rest)

    @property
    def tail(self) -> tuple[str, ...]:
        """The last lines."""
        return tuple(self._tail[-_TAIL_LINES:])

    def _masked(self, line: bytes) -> bytes:
        for secret in self._secrets:
            line = line.replace(secret, b"***")
        return line

    def _pass_on(self, line: bytes) -> None:
        text = self._masked(line).decode("utf-8", "replace").rstrip("\r")
        self._tail = [*self._tail[-_TAIL_LINES:], text[-_TAIL_BYTES // _TAIL_LINES :]]
        self._on_line(text)
