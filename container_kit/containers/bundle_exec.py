"""Executing a further program in a container that was made from a bundle.

Source: OCI runtime command line interface, "exec"; runc and crun.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

import attrs

from container_kit.containers.bundle import with_home
from container_kit.containers.bundle_process import (
    CONFIG_COPY,
    seccomp_filter,
    send_terminal,
    write_pid_file,
)
from container_kit.containers.bundle_runtime import OciRuntime
from container_kit.containers.bundle_state import Record
from container_kit.errors import InvalidInput, WrongState
from container_kit.native.descriptors import open_process
from container_kit.oci.runtime_spec import Capabilities, Process, Spec, User
from container_kit.runtime.capabilities import parse as parse_capability
from container_kit.runtime.compile import compile_exec
from container_kit.runtime.host import Host
from container_kit.runtime.launch import Launched, launch

__all__ = ["ExecRequest", "execute", "foreign_namespaces"]

_NAMESPACE_FILES = {
    "user": "user",
    "mount": "mnt",
    "pid": "pid",
    "network": "net",
    "ipc": "ipc",
    "uts": "uts",
    "cgroup": "cgroup",
    "time": "time_for_children",
}


@attrs.frozen(kw_only=True)
class ExecRequest:
    """What to execute: a whole process of the specification, or changes to the container's own.

    Args:
        process: ``process.json`` as bytes; the other fields then do not count.
        args: The program and its arguments.
        terminal: Whether it gets a terminal.
        user: ``uid[:gid]``.
        cap: Capabilities to add.
    """

    process: bytes | None = None
    args: tuple[str, ...] = ()
    terminal: bool = False
    cwd: str = ""
    env: tuple[str, ...] = ()
    user: str = ""
    additional_gids: tuple[int, ...] = ()
    cap: tuple[str, ...] = ()
    no_new_privs: bool = False

    def applied_to(self, container: Process) -> Process:
        """The process to execute.

        Raises:
            InvalidInput: There is no program, or a value cannot be read; names it.
        """
        if self.process is not None:
            return _parse_process(self.process)
        if not self.args:
            raise InvalidInput("there is no program to execute: give one after the container's id")
        more = tuple(parse_capability(name) for name in self.cap)
        held = container.capabilities or Capabilities()
        return attrs.evolve(
            container,
            args=self.args,
            terminal=self.terminal,
            cwd=self.cwd or container.cwd,
            env=(*container.env, *self.env),
            user=self._user(container.user),
            no_new_privileges=self.no_new_privs or container.no_new_privileges,
            capabilities=_with_capabilities(held, more),
        )

    def _user(self, container: User) -> User:
        user = container
        if self.user:
            uid, _, gid = self.user.partition(":")
            if not (_is_number(uid) and (not gid or _is_number(gid))):
                raise InvalidInput(f"user {self.user!r} cannot be read: write UID or UID:GID, as numbers")
            user = User(uid=int(uid), gid=int(gid) if gid else container.gid)
            if max(user.uid, user.gid) >= 2**32 - 1:
                raise InvalidInput(f"user {self.user!r} is out of range: ids are below {2**32 - 1}")
        return attrs.evolve(user, additional_gids=self.additional_gids) if self.additional_gids else user


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _parse_process(document: bytes) -> Process:
    try:
        value: Any = json.loads(document)
    except ValueError as error:
        raise InvalidInput(f"the process to execute is not JSON: {error}") from error
    process = Spec.parse({"ociVersion": "1.2.0", "process": value}).process
    if process is None or not process.args:
        raise InvalidInput("the process to execute has no args")
    return process


def _with_capabilities(held: Capabilities, more: tuple[str, ...]) -> Capabilities:
    """*more* in every set that gives power at once; ambient stays what it is."""

    def joined(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*names, *more)))

    return attrs.evolve(
        held,
        bounding=joined(held.bounding),
        effective=joined(held.effective),
        permitted=joined(held.permitted),
    )


def execute(
    runtime: OciRuntime,
    container_id: str,
    request: ExecRequest,
    *,
    console_socket: str | None = None,
    pid_file: str | None = None,
    preserve_fds: int = 0,
) -> Launched:
    """Start the program of *request* in a running container; returns when it runs.

    Its streams are those of this process, or the terminal that goes to *console_socket*.

    Raises:
        WrongState: The container does not run.
        StartFailed: The program cannot be executed; nothing of it is left.
    """
    place = runtime.state.place(container_id)
    record = place.read()
    if runtime.status(record) not in ("created", "running"):
        raise WrongState(f"cannot exec in container {container_id}: container not running")
    spec = Spec.parse(place.kept(CONFIG_COPY))
    process = request.applied_to(spec.process or Process())
    launched = _launch(runtime, record, spec, process, preserve_fds)
    if console_socket is not None and launched.terminal_fd >= 0:
        send_terminal(console_socket, launched.terminal_fd)
    if pid_file is not None:
        write_pid_file(pid_file, launched.pid)
    launched.let_go()
    return launched


def _launch(runtime: OciRuntime, record: Record, spec: Spec, process: Process, preserve_fds: int) -> Launched:
    cgroup = runtime.cgroup(record)
    program, flags = seccomp_filter(spec)
    plan = compile_exec(
        with_home(process, f"/proc/{record.pid}/root"),
        foreign_namespaces(record.pid),
        host=Host.probe(),
        cgroup_tasks=cgroup.tasks_files if cgroup else (),
        seccomp=program,
        seccomp_flags=flags,
    )
    with open_process(record.pid) as pidfd:
        if not record.is_alive():
            raise WrongState(f"cannot exec in container {record.id}: container not running")
        return launch(
            plan,
            stdin=0,
            stdout=1,
            stderr=2,
            slots=(pidfd.fileno(),),
            preserve_fds=tuple(range(3, 3 + preserve_fds)),
            cgroup_fd=cgroup.v2_fd if cgroup and cgroup.v2 else -1,
        )


def foreign_namespaces(pid: int) -> Sequence[str]:
    """The namespaces that the container does not share with us."""
    return [type_ for type_, file in _NAMESPACE_FILES.items() if _inode(pid, file) != _inode("self", file)]


def _inode(pid: int | str, file: str) -> tuple[int, int]:
    try:
        status = os.stat(f"/proc/{pid}/ns/{file}")
    except FileNotFoundError:
        return 0, 0
    return status.st_dev, status.st_ino
