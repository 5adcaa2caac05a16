"""The guardian: a small process that clears away what its owner leaves behind when it is killed.

At most one for each owner process, started when the first owned container is.  It is a role of the static
helper (``_native/init/guardian.c``); it waits for the owner's pidfd and a SOCK_SEQPACKET socket, and each
message on that is

- ``a`` + fields in the monitor configuration's form (id, directory, cgroup2, cgroups, name_file, undo): guard
  this,
- ``p`` + fields (id, process), with a pidfd: this is its first process, which no cgroup holds,
- ``r`` + id: no longer.

When the owner ends it kills what runs in those cgroups, takes back what they have in the network, and removes
cgroups, names and directories.  When the socket closes and it guards nothing, it leaves.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from container_kit.containers.monitor_config import undo_fields
from container_kit.errors import KernelError, LimitExceeded
from container_kit.native.descriptors import open_path, open_process, socket_pair
from container_kit.native.fields import encode_fields, text
from container_kit.native.monitor import spawn_daemon
from container_kit.native.process import init_fd

if TYPE_CHECKING:
    from container_kit.network.values import Undo

__all__ = ["Guardian"]

_LARGEST = 127 * 1024  # LONGEST_MESSAGE in _native/init/guardian.c, less its head
_ADD, _PROCESS, _REMOVE = (kind.ljust(8, b"\0") for kind in (b"a", b"p", b"r"))


class Guardian:
    """Guards the owned containers of this process; safe to use from many threads, and after ``os.fork``.

    Args:
        label: What the process list shows beside ``ckit-guardian``, such as the store's root.
        owner_pid: Guard until that process ends, instead of this one.
    """

    def __init__(self, label: str = "", *, owner_pid: int | None = None) -> None:
        self._label, self._owner_pid = label, owner_pid
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._guarded: dict[str, bytes] = {}
        self._owner = os.getpid()

    def add(
        self,
        id: str,
        directory: str,
        *,
        cgroup2: str | None = None,
        cgroups: Iterable[str] = (),
        name_file: str | None = None,
    ) -> None:
        """Guard a container: to be called before anything of it exists in the kernel.

        Raises:
            KernelError: The guardian could not be started.
        """
        fields = [(1, id), (2, directory), *((6, path) for path in cgroups)]
        fields += [(5, cgroup2)] if cgroup2 is not None else []
        fields += [(14, name_file)] if name_file is not None else []
        self._add(id, encode_fields((tag, text(value)) for tag, value in fields))

    def add_undo(self, id: str, undo: Undo) -> None:
        """Guard what a container has in the network, under a name of its own: before it is there.

        Raises:
            KernelError: The guardian could not be started.
            LimitExceeded: It is more than one message can tell.
        """
        fields = encode_fields([(1, text(id)), *undo_fields(undo)])
        if len(fields) > _LARGEST:
            raise LimitExceeded(
                f"cannot guard a container with {len(fields)} bytes to be undone in the network, of which "
                f"{_LARGEST} can be told: publish fewer ports (some thousands can be)"
            )
        self._add(id, fields)

    def _add(self, id: str, fields: bytes) -> None:
        message = _ADD + fields
        with self._lock:
            self._forget_after_fork()
            self._guarded[id] = message
            self._send(message)

    def add_process(self, id: str, pidfd: int) -> None:
        """The first process of a guarded container for which no cgroup could be made."""
        fields = encode_fields(((1, text(id)), (30, bytes(4))))
        with self._lock:
            if self._owner == os.getpid() and self._socket is not None:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    socket.send_fds(self._socket, [_PROCESS + fields], [pidfd])

    def remove(self, id: str) -> None:
        """The container is gone, or no longer owned."""
        with self._lock:
            self._forget_after_fork()
            if self._guarded.pop(id, None) is not None:
                self._send(_REMOVE + text(id))

    def close_if_idle(self) -> bool:
        """Let the process leave when it guards nothing; whether there is no process now."""
        with self._lock:
            self._forget_after_fork()
            if not self._guarded:
                self._disconnect()
            return self._socket is None

    def _send(self, message: bytes) -> None:
        """Deliver *message*; a guardian that was killed is replaced and told everything again."""
        if self._socket is not None:
            try:
                self._socket.send(message)
                return
            except (BrokenPipeError, ConnectionResetError):
                self._disconnect()
        if self._guarded:
            self._socket = self._spawn()
            try:
                for known in self._guarded.values():
                    self._socket.send(known)
            except (BrokenPipeError, ConnectionResetError) as error:
                self._disconnect()
                number = error.errno or errno.EPIPE
                raise KernelError.of(number, "the guardian ended as soon as it was started") from None

    def _spawn(self) -> socket.socket:
        ours, theirs = socket_pair()
        try:
            with (
                theirs,
                open_process(self._owner_pid or os.getpid()) as owner,
                open_path(os.devnull, os.O_RDWR) as nothing,
            ):
                given = [nothing.fileno()] * 3 + [theirs.fileno(), owner.fileno()]
                spawn_daemon(init_fd(), ("ckit-guardian", self._label), given)
        except BaseException:
            ours.close()
            raise
        return ours

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _forget_after_fork(self) -> None:
        """A forked child owns nothing: the guardian and its containers are the parent's."""
        if self._owner != os.getpid():
            self._owner = os.getpid()
            self._guarded.clear()
            self._disconnect()
