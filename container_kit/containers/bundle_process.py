"""What the commands on a bundle's container share: its process, terminal, filter and parent cgroup."""

from __future__ import annotations

import os
import signal
import socket

from container_kit.containers.bundle import DEFAULT_PARENT
from container_kit.containers.bundle_state import Record
from container_kit.errors import InvalidInput, UnsupportedFeature, WrongState
from container_kit.native.descriptors import open_process
from container_kit.oci.runtime_spec import Spec
from container_kit.runtime.cgroups import Cgroups
from container_kit.runtime.host import Host
from container_kit.runtime.seccomp import compile_seccomp

__all__ = ["CONFIG_COPY", "forget_parent", "seccomp_filter", "send_signal", "send_terminal", "write_pid_file"]

CONFIG_COPY = "config.json"


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
        pidfd = open_process(record.pid)
    except ProcessLookupError:
        raise WrongState(f"cannot kill container {record.id}: container not running") from None
    try:
        with pidfd:
            if not record.is_alive():
                raise ProcessLookupError
            signal.pidfd_send_signal(pidfd.fileno(), number)
    except ProcessLookupError:
        raise WrongState(f"cannot kill container {record.id}: container not running") from None


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
