"""Starts a container under its monitor: the small process that is its parent and outlives the caller.

The monitor is a role of the static helper (``_native/init/monitor*.c``).  It launches the container from the
same launch block at the first start and at every restart, writes its logs, state and exit record, and serves
``monitor.sock`` (see :mod:`container_kit.containers.monitor_client`).

Descriptors it is given: 0 to 2 ``/dev/null``; 3 a SOCK_SEQPACKET to the starter; 4 the configuration; 5 the
container's lock; 6, when owned, a pidfd of the owner; with a network, 7 its namespace, 8 the user namespace
that owns it, and 9 a socket with its published ports in it; in a pod, 10 and more the IPC, UTS and PID
namespaces that it shares.  On 3 it sends one message and closes (or, with
``attach``, goes on as with any attached caller):

- ``S`` + u32 pid, with a pidfd of the container's first process: it runs;
- ``I`` + init's status record: it could not be started, and the record says why;
- ``F`` + i32, a negative errno: the monitor itself could not do its part.
"""

from __future__ import annotations

import os
import socket
import struct

import attrs

from container_kit.containers.monitor_client import Attachment, MonitorClient
from container_kit.containers.monitor_config import HealthProbe, LogOptions, MonitorConfig
from container_kit.containers.state_file import ContainerState, HeldLock, hold_lock, read_state, write_state
from container_kit.errors import KernelError, StartFailed
from container_kit.native.descriptors import (
    Descriptor,
    memory_file,
    open_path,
    open_process,
    receive,
    socket_pair,
)
from container_kit.native.monitor import spawn_daemon
from container_kit.native.process import init_fd
from container_kit.runtime.start_errors import start_failed

__all__ = [
    "ContainerState",
    "HealthProbe",
    "HeldLock",
    "LogOptions",
    "MonitorClient",
    "MonitorConfig",
    "MonitorHandle",
    "hold_lock",
    "read_state",
    "start_monitor",
    "write_state",
]

_LONGEST_REPORT = 16 * 1024
_NETWORK, _HELD = 7, 9


@attrs.frozen
class MonitorHandle:
    """A container that has been started under a monitor.

    Attributes:
        pid: Its first process, as this process's pid namespace numbers it.
        pidfd: A descriptor of that process.
        client: Speaks to the monitor.
        attachment: The streams from their beginning, when the configuration asked for them.
    """

    pid: int
    pidfd: Descriptor
    client: MonitorClient
    attachment: Attachment | None = None

    def close(self) -> None:
        """Give back the descriptors; the container goes on."""
        self.pidfd.close()
        if self.attachment is not None:
            self.attachment.close()


def start_monitor(
    config: MonitorConfig, lock: HeldLock | None = None, *, owner_pid: int | None = None
) -> MonitorHandle:
    """Start the container that *config* describes and leave a monitor with it.

    Returns when the program has been executed.  *lock* is the container's lock if the caller holds it
    already; it is let go here, the monitor holds it from then on.  One that is owned ends with the process
    *owner_pid*, or with this one.

    Raises:
        StartFailed: The program could not be executed; ``exit_code`` is 125, 126 or 127.  Nothing runs then;
        the
            monitor has removed the cgroups.
        WrongState: The container is running or being changed.
        KernelError: The monitor could not be started.
    """
    lock = lock or hold_lock(config.directory)
    ours, theirs = socket_pair()
    try:
        with theirs:
            _spawn(config, theirs.fileno(), lock.fileno(), owner_pid or os.getpid())
        lock.hand_over()
        return _await_start(config, ours)
    except BaseException:
        ours.close()
        raise
    finally:
        lock.close()


def _spawn(config: MonitorConfig, starter_fd: int, lock_fd: int, owner_pid: int) -> None:
    owner = open_process(owner_pid) if config.owned else Descriptor()
    with owner, _in_memory(config.encode()) as document, open_path(os.devnull, os.O_RDWR) as nothing:
        given = [nothing.fileno()] * 3 + [starter_fd, document.fileno(), lock_fd]
        given += [owner.fileno()] if config.owned else []
        arguments = ("ckit-monitor", config.id, config.directory)
        if config.network is None:
            spawn_daemon(init_fd(), arguments, given)
            return
        with config.network.pack_ports() as ports:
            # Its numbers are fixed: what there is none of is nothing.
            given += [nothing.fileno()] * (_NETWORK - len(given)) + config.network.slots
            given += [nothing.fileno()] * (_HELD - len(given)) + [ports.fileno()]
            given += config.network.shared
            spawn_daemon(init_fd(), arguments, given)
            config.network.hand_over()


def _in_memory(data: bytes) -> Descriptor:
    """A memfd holding *data*."""
    held = memory_file("ckit-config")
    view = memoryview(data)
    while view:
        view = view[os.write(held.fileno(), view) :]
    return held


def _await_start(config: MonitorConfig, starter: socket.socket) -> MonitorHandle:
    message, descriptors = receive(starter, _LONGEST_REPORT, 1)
    if message[:1] == b"S":
        pid = struct.unpack_from("<I", message, 1)[0]
        attachment = Attachment(starter) if config.attach else None
        if attachment is None:
            starter.close()
        return MonitorHandle(pid, descriptors[0], MonitorClient(config.directory), attachment)
    while starter.recv(1):
        continue  # until it has cleared away and ended
    if message[:1] == b"I":
        raise _init_error(message[1:])
    if message[:1] == b"F":
        error = -struct.unpack_from("<i", message, 1)[0]
        raise KernelError.of(error, f"cannot start container {config.id[:12]}: its monitor failed")
    raise StartFailed(f"cannot start container {config.id[:12]}: its monitor ended at once (killed?)")


def _init_error(record: bytes) -> StartFailed:
    """The error that init reported, see ``struct status_record`` in ``_native/init/plan.h``."""
    _, error, op = struct.unpack_from("<IiI", record)
    return start_failed(op, error, record[24:].split(b"\0")[0].decode("utf-8", "replace"))
