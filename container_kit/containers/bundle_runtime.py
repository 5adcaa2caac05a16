"""The life of a container made from an OCI bundle, as other engines drive it: create, start, kill, delete.

Each verb runs in its own short process; between them the kernel holds the container and the state root
holds the facts.  Whoever called ``create`` (conmon, a shim) becomes the parent of the container's process.

Source: OCI runtime-spec 1.2, runtime.md.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import attrs

from container_kit.containers.bundle import Bundle
from container_kit.containers.bundle_birth import Birth
from container_kit.containers.bundle_hooks import run_hooks_leniently
from container_kit.containers.bundle_process import (
    CONFIG_COPY,
    forget_parent,
    send_signal,
    send_terminal,
    write_pid_file,
)
from container_kit.containers.bundle_state import Place, Record, StateRoot, Status
from container_kit.errors import ContainerKitError, InvalidInput, NotFound, TimedOut, WrongState
from container_kit.oci.runtime_spec import Resources, Spec
from container_kit.runtime.cgroups import Cgroup, Cgroups
from container_kit.runtime.host import Host
from container_kit.runtime.launch import Launched, failure_of
from container_kit.runtime.resources import limits_of

__all__ = ["OciRuntime"]

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
            birth = Birth(place, bundle, keyring=keyring, systemd_cgroup=self.systemd_cgroup)
            try:
                launched = birth.launch(preserve_fds)
                if console_socket is not None and launched.terminal_fd >= 0:
                    send_terminal(console_socket, launched.terminal_fd)
                if pid_file is not None:
                    write_pid_file(pid_file, launched.pid)
            except BaseException:
                for problem in birth.undo():
                    self.warn(problem)
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
