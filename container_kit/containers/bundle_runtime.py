"""The life of a container made from an OCI bundle, as other engines drive it: create, start, kill, delete.

Each verb runs in its own short process; between them the kernel holds the container and the state root
holds the facts.  Whoever called ``create`` (conmon, a shim) becomes the parent of the container's process.

Source: OCI runtime-spec 1.2, runtime.md.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pwd import getpwuid
from typing import Any

import attrs

from container_kit.containers.bundle import Bundle, cgroup_place, with_home
from container_kit.containers.bundle_hooks import run_hooks, run_hooks_leniently
from container_kit.containers.bundle_state import Place, Record, StateRoot, Status, process_start_ticks
from container_kit.errors import (
    ContainerKitError,
    InvalidInput,
    NotFound,
    TimedOut,
    UnsupportedFeature,
    WrongState,
)
from container_kit.oci.runtime_spec import Resources, Spec
from container_kit.runtime.cgroups import DEFAULT_PARENT, Cgroup, Cgroups
from container_kit.runtime.compile import compile_plan
from container_kit.runtime.host import Host
from container_kit.runtime.launch import Launched, failure_of, launch
from container_kit.runtime.plan import Op, Plan
from container_kit.runtime.resources import device_rules, limits_of
from container_kit.runtime.seccomp import compile_seccomp

__all__ = ["CONFIG_COPY", "OciRuntime", "seccomp_filter", "send_terminal", "write_pid_file"]

CONFIG_COPY = "config.json"
_KILL_WAIT_S = 10.0
_LONGEST_ANSWER = 4096


@attrs.frozen
class OciRuntime:
    """The verbs of an OCI runtime on one state root.

    Args:
        state: Where the facts about containers are kept.
        warn: Called with a sentence about what went wrong without being an error.
        systemd_cgroup: Whether ``linux.cgroupsPath`` has the form ``slice:prefix:name``.
    """

    state: StateRoot
    warn: Callable[[str], None]
    systemd_cgroup: bool = False

    # -- making

    def create(
        self,
        container_id: str,
        bundle: Bundle,
        *,
        console_socket: str | None = None,
        pid_file: str | None = None,
        preserve_fds: int = 0,
        keyring: bool = True,
        holds_terminal: bool = False,
    ) -> Launched:
        """Build the container of *bundle* up to the point where only its program is missing.

        Its streams are those of this process.  A terminal goes to whoever listens on *console_socket*; with
        *holds_terminal* the caller keeps it.  When anything fails nothing is left.

        Raises:
            NameInUse: There is a container with this id.
            StartFailed: A wall could not be built, or the program cannot be executed.
            HookFailed: A hook ended with an error.
        """
        process = bundle.spec.process
        if process is None:
            raise InvalidInput(f"bundle {bundle.path!r}: config.json has no process to create")
        if process.terminal and console_socket is None and not holds_terminal:
            raise InvalidInput("process.terminal is true: give --console-socket to receive the terminal")
        place = self.state.claim(container_id)
        # Held while it is being made: whoever finds it free and no process knows that the maker died.
        with place.locked():
            birth = _Birth(self, place, bundle, keyring)
            try:
                launched = birth.launch(preserve_fds)
                if console_socket is not None and launched.terminal_fd >= 0:
                    send_terminal(console_socket, launched.terminal_fd)
                if pid_file is not None:
                    write_pid_file(pid_file, launched.pid)
            except BaseException:
                birth.undo()
                raise
        return launched

    def start(self, container_id: str) -> None:
        """Let the program of a created container begin.

        Raises:
            WrongState: It is not in the state ``created``.
            StartFailed: The program could not be executed after all.
        """
        place = self.state.place(container_id)
        with place.locked():
            record = place.read()
            self._require(record, "start", "created")
            with place.connect() as connection:
                # From here on it counts as started: an answer can be lost, a start cannot be taken back.
                place.write(attrs.evolve(record, started=True))
                answer = connection.recv(_LONGEST_ANSWER)
            if answer:  # it closes its side without a word when the program has been executed
                raise failure_of(answer)
        hooks = self._spec(place).hooks.poststart
        for problem in run_hooks_leniently("poststart", hooks, record.state("running")):
            self.warn(problem)

    # -- looking

    def status(self, record: Record) -> Status:
        """The state of a container at this moment."""
        if record.pid == 0:
            return "creating" if self.state.place(record.id).is_locked() else "stopped"
        if not record.is_alive():
            return "stopped"
        if not record.started:
            return "created"
        cgroup = self.cgroup(record)
        return "paused" if cgroup is not None and cgroup.is_frozen() else "running"

    def state_of(self, container_id: str) -> dict[str, Any]:
        """What ``state`` prints: the specification's document, and what runc adds to it.

        Raises:
            NotFound: There is no such container.
        """
        record = self.state.place(container_id).read()
        more = {"rootfs": record.root, "created": record.created, "owner": record.owner}
        return {**record.state(self.status(record)), **more}

    def states(self) -> list[dict[str, Any]]:
        """The states of all containers."""
        found = []
        for place in self.state.places():
            with contextlib.suppress(NotFound):
                found.append(self.state_of(place.id))
        return found

    def pids(self, container_id: str) -> list[int]:
        """The processes of a container."""
        cgroup = self.cgroup(self.state.place(container_id).read())
        return cgroup.pids() if cgroup is not None else []

    # -- changing

    def kill(self, container_id: str, number: int, *, everything: bool = False) -> None:
        """Send a signal to the first process, or with *everything* to all.

        Raises:
            WrongState: It does not run any more.
        """
        record = self.state.place(container_id).read()
        if everything:
            self._signal_all(record, number)
            return
        self._require(record, "kill", "created", "running", "paused")
        send_signal(record, number)

    def _signal_all(self, record: Record, number: int) -> None:
        cgroup = self.cgroup(record)
        if cgroup is None or not cgroup.exists():
            return
        if number == signal.SIGKILL:
            cgroup.kill()
            return
        for pid in cgroup.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def pause(self, container_id: str) -> None:
        """Freeze all processes.

        Raises:
            WrongState: It does not run.
        """
        with self._steady(container_id, "pause", "created", "running") as cgroup:
            cgroup.freeze()

    def resume(self, container_id: str) -> None:
        """Let the processes of a paused container go on.

        Raises:
            WrongState: It is not paused.
        """
        with self._steady(container_id, "resume", "paused") as cgroup:
            cgroup.thaw()

    def update(self, container_id: str, resources: Resources) -> None:
        """Change the limits of a container."""
        with self._steady(container_id, "update", "created", "running", "paused") as cgroup:
            cgroup.update(limits_of(resources))

    @contextlib.contextmanager
    def _steady(self, container_id: str, verb: str, *allowed: Status) -> Iterator[Cgroup]:
        place = self.state.place(container_id)
        with place.locked():
            record = place.read()
            self._require(record, verb, *allowed)
            cgroup = self.cgroup(record)
            if cgroup is None:
                raise WrongState(f"cannot {verb} container {container_id}: it has no cgroup")
            yield cgroup

    # -- ending

    def delete(self, container_id: str, *, force: bool = False) -> None:
        """Remove what is left of a container; with *force* it is killed first, and may be missing.

        Raises:
            WrongState: It still runs, and *force* was not given.
        """
        place = self.state.place(container_id)
        try:
            with place.locked():
                self._delete(place, force)
        except NotFound:
            if not force:
                raise
            place.remove()

    def _delete(self, place: Place, force: bool) -> None:
        record = place.read()
        if not force and record.pid:
            self._require(record, "delete", "created", "stopped")
        self._end(record)
        cgroup = self.cgroup(record)
        if cgroup is not None:
            cgroup.remove()
            forget_parent(record)
        hooks = self._spec(place).hooks.poststop
        place.remove()
        for problem in run_hooks_leniently("poststop", hooks, record.state("stopped")):
            self.warn(problem)

    def _end(self, record: Record) -> None:
        """Kill whatever is left of the container and wait until its first process has ended."""
        cgroup = self.cgroup(record)
        if cgroup is not None and cgroup.exists():
            cgroup.kill()
            with contextlib.suppress(ContainerKitError):
                cgroup.thaw()  # a frozen v1 cgroup does not even die
        if record.is_alive():
            with contextlib.suppress(WrongState):
                send_signal(record, signal.SIGKILL)
        deadline = time.monotonic() + _KILL_WAIT_S
        while record.is_alive():
            if time.monotonic() > deadline:
                raise TimedOut(f"container {record.id} did not end within {_KILL_WAIT_S} s of SIGKILL")
            time.sleep(0.005)

    # -- helpers

    def cgroup(self, record: Record) -> Cgroup | None:
        """The cgroup of a container, or None when it has none."""
        if not record.cgroup_name:
            return None
        return Cgroups(Host.probe().cgroups, record.cgroup_parent).open(record.cgroup_name)

    def _spec(self, place: Place) -> Spec:
        return Spec.parse(place.kept(CONFIG_COPY))

    def _require(self, record: Record, verb: str, *allowed: Status) -> None:
        status = self.status(record)
        if status in allowed:
            return
        hint = "container not running" if status == "stopped" else f"it is {status}"
        raise WrongState(f"cannot {verb} container {record.id}: {hint}")


class _Birth:
    """One create: what has been made so far, so that it can be undone."""

    def __init__(self, runtime: OciRuntime, place: Place, bundle: Bundle, keyring: bool) -> None:
        self._runtime, self._place, self._bundle, self._keyring = runtime, place, bundle, keyring
        spec = bundle.spec
        parent, name = cgroup_place(spec, place.id, systemd=runtime.systemd_cgroup)
        self._cgroup: Cgroup | None = None
        self._record = Record(
            id=place.id,
            bundle=bundle.path,
            root=bundle.root,
            created=datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            owner=_user_name(),
            oci_version=spec.oci_version,
            cgroup_parent=parent,
            cgroup_name=name,
            annotations=spec.annotations,
        )

    def launch(self, preserve_fds: int) -> Launched:
        """Start the process that waits; its record is complete when this returns."""
        spec = self._bundle.spec
        self._place.keep(CONFIG_COPY, self._bundle.document)
        self._place.write(self._record)
        cgroups = Cgroups(Host.probe().cgroups, self._record.cgroup_parent)
        limits = limits_of(spec.linux.resources)
        self._cgroup = cgroups.create(self._record.cgroup_name, limits, device_rules(spec.linux.resources))
        with self._place.listen() as listener:
            launched = launch(
                self._plan(self._cgroup),
                stdin=0,
                stdout=1,
                stderr=2,
                slots=(listener.fileno(),),
                preserve_fds=tuple(range(3, 3 + preserve_fds)),
                cgroup_fd=self._cgroup.v2_fd if self._cgroup.v2 else -1,
                on_sync=self._meet,
            )
        self._born(launched.pid)
        return launched

    def _plan(self, cgroup: Cgroup) -> Plan:
        spec = self._bundle.spec
        assert spec.process is not None
        program, flags = seccomp_filter(spec)
        plan = compile_plan(
            attrs.evolve(spec, process=with_home(spec.process, self._bundle.root)),
            self._bundle.rootfs,
            host=Host.probe(),
            cgroup_tasks=cgroup.tasks_files,
            seccomp=program,
            seccomp_flags=flags,
            wait_for_start=True,
        )
        if self._keyring:
            return plan
        return attrs.evolve(plan, steps=tuple(step for step in plan.steps if step.op != Op.KEYRING))

    def _meet(self, number: int, pid: int) -> bytes:
        """The namespaces exist and the root is not entered yet: the hooks beside the container run."""
        if self._record.pid == 0:
            self._born(pid)
            state = self._record.state("creating")
            hooks = self._bundle.spec.hooks
            run_hooks("prestart", hooks.prestart, state)
            run_hooks("createRuntime", hooks.create_runtime, state)
        return json.dumps(self._record.state("creating")).encode()

    def _born(self, pid: int) -> None:
        self._record = attrs.evolve(self._record, pid=pid, start_ticks=process_start_ticks(pid))
        self._place.write(self._record)

    def undo(self) -> None:
        """Leave nothing of a container that could not be created; its poststop hooks still run."""
        if self._record.is_alive():
            with contextlib.suppress(WrongState):
                send_signal(self._record, signal.SIGKILL)
        if self._cgroup is not None:
            self._cgroup.kill()
            self._cgroup.try_remove(timeout_s=_KILL_WAIT_S)
            forget_parent(self._record)
        self._place.remove()
        if self._record.pid:
            hooks = self._bundle.spec.hooks.poststop
            for problem in run_hooks_leniently("poststop", hooks, self._record.state("stopped")):
                self._runtime.warn(problem)


def forget_parent(record: Record) -> None:
    """Remove the cgroup above the container's if it is ours and empty; that of another engine stays."""
    if record.cgroup_parent == DEFAULT_PARENT:
        Cgroups(Host.probe().cgroups, record.cgroup_parent).remove_parent()


def seccomp_filter(spec: Spec) -> tuple[bytes, int]:
    """The filter that a specification asks for, and its flags.

    Raises:
        UnsupportedFeature: It wants a listener, for which there is no way out of here.
    """
    if spec.linux.seccomp is None:
        return b"", 0
    found = compile_seccomp(spec.linux.seccomp, Host.probe().machine)
    if found.notifies:
        raise UnsupportedFeature("linux.seccomp.listenerPath is not supported: leave out SCMP_ACT_NOTIFY")
    return found.program, found.flags


def send_signal(record: Record, number: int) -> None:
    """Send a signal to the very process of *record*, never to another one with its number.

    Raises:
        WrongState: It has ended.
    """
    try:
        pidfd = os.pidfd_open(record.pid)
    except ProcessLookupError:
        raise WrongState(f"cannot kill container {record.id}: container not running") from None
    try:
        if not record.is_alive():
            raise WrongState(f"cannot kill container {record.id}: container not running")
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        raise WrongState(f"cannot kill container {record.id}: container not running") from None
    finally:
        os.close(pidfd)


def send_terminal(path: str, terminal_fd: int) -> None:
    """Hand the master side of a terminal to whoever listens on the unix socket *path*.

    Raises:
        InvalidInput: Nobody listens there.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as connection:
        try:
            connection.connect(path)
            socket.send_fds(connection, [b"/dev/ptmx"], [terminal_fd])
        except OSError as error:
            raise InvalidInput(f"cannot send the terminal to {path!r}: {error.strerror or error}") from error


def write_pid_file(path: str, pid: int) -> None:
    """Write a process number to a file; whoever waits for the file never sees it without its number."""
    draft = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}")
    with open(draft, "w", encoding="ascii") as file:
        file.write(str(pid))
    os.rename(draft, path)


def _user_name() -> str:
    try:
        return getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
