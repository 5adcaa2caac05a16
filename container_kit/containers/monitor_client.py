"""Speaks to a container's monitor over ``monitor.sock`` in the container's directory.

A SOCK_SEQPACKET socket, mode 0600; the monitor serves only its own user and root.  Each message is one byte
of kind and its fields, numbers little-endian.  A connection is good for any of these, in any order:

===============  =====  ===========================================  =====================================
request          kind   fields                                       answer
===============  =====  ===========================================  =====================================
status           ``?``                                               one state
subscribe        ``w``                                               the state now and after every change
pidfd            ``p``                                               result, with a pidfd of the container
stop             ``s``  u32 signal, u32 milliseconds (below)         result when it has ended
kill             ``k``  u32 signal                                   result
resize           ``z``  u16 rows, u16 columns                        result
update restart   ``u``  u32 mode, u32 max retries                    result
pause mark       ``P``  u32 1 paused, 0 resumed                      result
rename           ``n``  JSON members that each event begins with     result
replace undo     ``N``  the undo fields of the configuration         result
attach           ``a``  u32 1 stdin, 2 stdout, 4 stderr, 8 lossless  result, then output until the end
                        and 16: each log file first
stdin            ``i``  bytes, at most 32 KiB                        none; not read while the pipe is full
end of stdin     ``e``                                               none
follow the log   ``l``                                               each log file, oldest first, and one
                                                                     more after every rotation
===============  =====  ===========================================  =====================================

Answers: ``r`` + i32 (0 or a negative errno); ``S`` + the text of the state file; ``o`` and ``e`` + bytes of
stdout and stderr; ``d`` + u32 stream + u64 count: so many bytes were dropped because this caller read too
slowly (never in lossless mode, where the program waits instead); ``f`` + u32 1 for the newest + u64 its size
now, with a descriptor of a log file.  In a stop, signal 0 is the container's own and 0xFFFFFFFF milliseconds
its own timeout.  The monitor closes every connection when the container has ended for good, after its last
state.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import attrs

from container_kit.containers.attachment import Attachment, attach_bits
from container_kit.containers.log_history import History, receive_fds
from container_kit.containers.monitor_config import undo_fields
from container_kit.containers.restart import RestartPolicy
from container_kit.containers.state_file import ContainerState, read_state
from container_kit.errors import KernelError, NotFound, TimedOut, WrongState
from container_kit.native import interrupts
from container_kit.native.descriptors import Descriptor, open_path
from container_kit.native.fields import encode_fields

if TYPE_CHECKING:
    from container_kit.network.values import Undo

__all__ = ["Attachment", "MonitorClient", "attach_bits", "connect", "send"]

LONGEST_MESSAGE = 64 * 1024
_OWN = 0xFFFFFFFF
_MODES = {"no": 0, "on-failure": 1, "always": 2, "unless-stopped": 3}


def connect(directory: str) -> socket.socket:
    """A connection to the monitor of the container in *directory*.

    Raises:
        WrongState: No monitor listens there: the container does not run.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        # The path of a socket has at most 107 bytes: go through the directory's descriptor.
        with open_path(directory, os.O_PATH | os.O_DIRECTORY) as folder:
            connection.connect(f"/proc/self/fd/{folder.fileno()}/monitor.sock")
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        connection.close()
        raise WrongState(
            f"container {os.path.basename(directory)[:12]} is not running: start it first"
        ) from None
    except OSError as error:
        connection.close()
        raise KernelError.of(error.errno or 0, "cannot reach the container's monitor", directory) from error
    return connection


@attrs.frozen
class MonitorClient:
    """Requests to the monitor of the container in *directory*; each makes its own connection.

    Methods raise WrongState when the container does not run and KernelError when the monitor refuses.
    """

    directory: str

    def status(self) -> ContainerState:
        """What the container is doing; once its monitor is gone, what the record says."""
        return read_state(self.directory)

    def subscribe(self) -> Iterator[ContainerState]:
        """The state now and after every change, until the container has ended for good."""
        with connect(self.directory) as connection:
            send(connection, b"w")
            while message := _receive(connection, None):
                yield ContainerState.parse(message[1:])

    def wait(self, timeout_s: float | None = None) -> ContainerState:
        """The state after the container has ended for good.

        Raises:
            TimedOut: It has not within *timeout_s*.
            NotFound: It had removed itself before, and its exit code with it.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        try:
            with connect(self.directory) as connection:
                send(connection, b"w")
                while message := _receive(connection, deadline):
                    state = ContainerState.parse(message[1:])
                    if not state.is_live:
                        return state  # what the monitor still clears away needs no waiting for
        except WrongState:
            pass  # it ended before, so there is a record
        if not os.path.isdir(self.directory):
            raise NotFound("container", os.path.basename(self.directory)[:12], "it removed itself")
        return read_state(self.directory)

    def pidfd(self) -> Descriptor:
        """A descriptor of the container's first process."""
        with connect(self.directory) as connection:
            send(connection, b"p")
            message, descriptors = receive_fds(connection)
            _check(message, "cannot get the container's process")
            return descriptors[0]

    def replace_undo(self, undo: Undo) -> None:
        """Tell it what takes the container off its networks in the end, instead of what it knew."""
        self._ask(b"N" + encode_fields(undo_fields(undo)), "cannot change the networks of the container")

    def stop(self, signal: int | None = None, timeout_s: float | None = None) -> None:
        """Send *signal*, kill after *timeout_s*, return at the end; None means the container's own.

        The restart policy does not apply afterwards.
        """
        milliseconds = _OWN if timeout_s is None else min(max(0, round(timeout_s * 1000)), _OWN - 1)
        try:
            self._ask(struct.pack("<cII", b"s", signal or 0, milliseconds), "cannot stop the container")
        except WrongState:
            if read_state(self.directory).is_live:
                raise

    def kill(self, signal: int) -> None:
        """Send *signal* to the container's first process."""
        self._ask(struct.pack("<cI", b"k", signal), f"cannot send signal {signal} to the container")

    def resize(self, rows: int, columns: int) -> None:
        """Tell the container's terminal its size."""
        self._ask(struct.pack("<cHH", b"z", rows, columns), "cannot resize the terminal")

    def update_restart(self, policy: RestartPolicy) -> None:
        """Change what happens when the container ends."""
        request = struct.pack("<cII", b"u", _MODES[policy.mode], policy.max_retries)
        self._ask(request, "cannot change the restart policy")

    def mark_paused(self, paused: bool) -> None:
        """Record that the container's cgroup has been frozen, or thawed."""
        self._ask(struct.pack("<cI", b"P", paused), "cannot record the pause")

    def rename(self, event_fields: str) -> None:
        """Begin its events with these JSON members from now on; see `Record.event_fields`."""
        self._ask(b"n" + event_fields.encode(), "cannot tell the monitor the container's name")

    def attach(
        self,
        *,
        stdin: bool = False,
        stdout: bool = True,
        stderr: bool = True,
        lossless: bool = True,
        logs: bool = False,
    ) -> Attachment:
        """Join the container's streams from now on; with *logs*, what it has logged so far comes first.

        *lossless* makes the program wait for this caller, as a pipe would; otherwise what a slow caller does
        not read in time is dropped for it and counted.
        """
        wants = attach_bits(stdin=stdin, stdout=stdout, stderr=stderr, lossless=lossless)
        connection = connect(self.directory)
        try:
            send(connection, struct.pack("<cI", b"a", wants | logs << 4))
            _check(_receive(connection, None), "cannot attach to the container")
            return Attachment(connection, History.receive(connection, wants) if logs else None)
        except BaseException:
            connection.close()
            raise

    def _ask(self, request: bytes, doing: str) -> None:
        with connect(self.directory) as connection:
            send(connection, request)
            _check(_receive(connection, None), doing)


def send(connection: socket.socket, request: bytes) -> None:
    """Send one request.

    Raises:
        WrongState: The monitor ended before it accepted the connection.
    """
    try:
        connection.send(request)
    except (BrokenPipeError, ConnectionResetError):
        raise WrongState("the container has just ended") from None


def _receive(connection: socket.socket, deadline: float | None) -> bytes:
    """The next message, empty at the end of the connection."""
    left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
    if not interrupts.await_readable(connection.fileno(), left):
        raise TimedOut("the container has not ended within the given time")
    try:
        return connection.recv(LONGEST_MESSAGE)
    except ConnectionResetError:
        return b""


def _check(message: bytes, doing: str) -> None:
    if not message:
        raise WrongState(f"{doing}: it has ended")
    error = -struct.unpack_from("<i", message, 1)[0]
    if error:
        raise KernelError.of(error, doing)
