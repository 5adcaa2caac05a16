"""One step of a build: a command in the root that some layers make, whose changes wait to be packed.

It lives as a foreground container does: the caller is its parent, the guardian ends it when the caller is
killed, and nothing of it stays.  What it means, and what becomes of its changes, is the build layer's affair.
"""

from __future__ import annotations

import hashlib
import os
import select
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import attrs

from container_kit.containers.etc_files import ETC_FILES
from container_kit.containers.foreground_life import ForegroundContainer
from container_kit.containers.leftovers import leftover_paths, mount_points
from container_kit.containers.options import ContainerOptions
from container_kit.containers.recipes import make_recipe
from container_kit.containers.streams import Streams
from container_kit.errors import WrongState
from container_kit.images import RunDefaults
from container_kit.native.process import reap
from container_kit.oci.digest import Digest
from container_kit.oci.rootfs import Directory

if TYPE_CHECKING:
    from container_kit.containers.engine import Engine
    from container_kit.containers.mounts import Mount
    from container_kit.containers.recipes import Recipe
    from container_kit.runtime.profiles import Profile

__all__ = ["RunningStep", "Step", "StepStopped", "run_step"]

_CHUNK = 1 << 16
# Made in every root that lacks them, for the file systems that every container has.
_SYSTEM = ("/proc", "/dev", "/sys")


class StepStopped(WrongState):
    """A step did not come to its end because it was told to stop."""

    def __init__(self) -> None:
        super().__init__("the build was stopped: another part of it failed, or it was cancelled")


@attrs.frozen(kw_only=True)
class Step:
    """What to run and in which root.

    Args:
        layers: Diff ids, lowest first.
        command: The whole command line.
        env: ``NAME=value``, all of it but ``HOSTNAME`` and, where there is none, ``HOME``.
        secret_env: More of it, which is written down nowhere.
        user: ``user[:group]`` by name or number; empty means root.
        working_dir: Absolute; made when missing.
        network: ``none``, ``host`` or ``bridge``.
        name: What lists of containers show as its image.
    """

    layers: tuple[Digest, ...]
    command: tuple[str, ...]
    env: tuple[str, ...] = ()
    secret_env: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=False)
    user: str = ""
    working_dir: str = "/"
    hostname: str = ""
    mounts: tuple[Mount, ...] = ()
    network: str = "none"
    profile: str | Profile = "default"
    name: str = "build"

    @property
    def digest(self) -> Digest:
        """Names the layers together, as an image's digest would."""
        return Digest("sha256", hashlib.sha256(" ".join(map(str, self.layers)).encode()).hexdigest())

    @property
    def defaults(self) -> RunDefaults:
        """What an image would say."""
        return RunDefaults(env=self.env, user=self.user, working_dir=self.working_dir or "/")


class RunningStep:
    """A step in its container, within the block of :func:`run_step`."""

    def __init__(self, engine: Engine, step: Step, container: ForegroundContainer) -> None:
        self._engine, self._step, self._container = engine, step, container
        self._layers, self._upper = _directories(container)
        own = [f"/etc/{name}" for name in ETC_FILES] if step.network != "none" else []
        targets = [*_SYSTEM, *own, *(mount.target for mount in step.mounts)]
        self._points = mount_points(self._layers, targets)

    @property
    def directory(self) -> str:
        """The container's own directory, removed with it."""
        return self._container.directory

    def execute(self, on_output: Callable[[bytes], object], stop_fd: int = -1) -> int:
        """Run the command to its end; its exit code, 128+n for signal n.

        Args:
            on_output: Called with what it writes, both streams in their order.
            stop_fd: The command is killed as soon as this descriptor can be read; -1 for none.

        Raises:
            StartFailed: The program is not there (127), cannot be executed (126), or anything else (125).
            StepStopped: Through *stop_fd*.
        """
        container = self._container
        streams = Streams.open(None, subprocess.PIPE, subprocess.STDOUT)
        try:
            container.launch(streams)
            exit_code = _follow(container.launched.pidfd, streams.our_stdout, stop_fd, on_output)
            container.ended(exit_code)
            return exit_code
        finally:
            streams.close()

    @property
    def oom_killed(self) -> bool:
        """Whether the kernel killed it for its memory limit, after :meth:`execute`."""
        return self._container.oom_killed

    def pack(self, out_fd: int, latest: int | None) -> None:
        """Write what it changed as a layer tar to *out_fd*, no time in it after *latest*.

        What mounting left behind is not in it.
        """
        exclude = leftover_paths(self._upper, self._layers, self._points)
        self._engine.snapshotter.pack(self.directory, out_fd, exclude=exclude, latest=latest)


@contextmanager
def run_step(engine: Engine, step: Step) -> Iterator[RunningStep]:
    """A container for *step*; killed and cleared away at the end of the block.

    Raises:
        InvalidInput: A mount or the user cannot be used.
        StoreFull: There is no space for it.
    """
    engine.check_open()
    options = ContainerOptions(
        env=dict(step.secret_env),
        hostname=step.hostname,
        mounts=step.mounts,
        network=step.network,
        profile=step.profile,
    )
    with ForegroundContainer(engine, _recipe(step, options)) as container:
        yield RunningStep(engine, step, container)


def _recipe(step: Step, options: ContainerOptions) -> Recipe:
    recipe = make_recipe(step, step.name, step.command, options)
    return attrs.evolve(recipe, lease_trees=step.layers, recorded=attrs.evolve(options, env={}))


def _directories(container: ForegroundContainer) -> tuple[tuple[str, ...], str]:
    """Where the layers are to be looked at, uppermost first, and where the changes are."""
    root = container.root
    if isinstance(root, Directory):
        return (root.path,), root.path
    return container.layers, root.upper


def _follow(pidfd: int, output: int, stop_fd: int, on_output: Callable[[bytes], object]) -> int:
    """Pass on what the command writes until it has ended; its exit code."""
    poll = select.poll()
    for fd in (output, pidfd, stop_fd):
        if fd >= 0:
            poll.register(fd, select.POLLIN)
    while True:
        ready = {fd for fd, _ in poll.poll()}
        if stop_fd in ready:
            raise StepStopped
        if pidfd in ready:
            # What is in the pipe by now belongs to it; a process that it left behind has been killed with it.
            while _pass_on(output, on_output):
                pass
            exit_code = reap(pidfd)
            if exit_code is not None:
                return exit_code
        if output in ready and not _pass_on(output, on_output):
            with suppress(KeyError):
                poll.unregister(output)  # it closed its streams and goes on


def _pass_on(output: int, on_output: Callable[[bytes], object]) -> bool:
    """Read once; whether there may be more."""
    try:
        data = os.read(output, _CHUNK)
    except BlockingIOError:
        return False
    if data:
        on_output(data)
    return bool(data)
