"""The keeper of a network: the process that answers names, and clears the network away at its end.

It is a role of the static helper (``_native/init/keeper*.c``).  There is at most one for each network: it
holds ``keeper.lock`` in the network's directory.  The first member starts it, and it outlives whoever did; it
ends when ``endpoints/`` has been empty for a while, and takes the network out of the kernel as it goes.

It is told of members by the files in ``endpoints/``, of whose lines it reads

- ``ipv4``, ``ipv6``: addresses with prefix length; what comes from them is the endpoint's question;
- ``name``: a name that others find it by, lower case;
- ``dns``: a server to ask for this endpoint, instead of the network's;
- ``resolve``: a name that this endpoint may have asked of servers.  With any such line it may have no others:
  questions for names can carry secrets out.

Descriptors it is given: 0 to 2 ``/dev/null``; 3 a SOCK_SEQPACKET to the starter; 4 the configuration; 5
``keeper.lock``; 6 and 7 the network and user namespaces to enter, if any.  On 3 it sends one message: ``S``
when it listens, or ``F`` and after three bytes an i32, a negative errno.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import struct
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from container_kit._values import frozen
from container_kit.errors import KernelError, TimedOut
from container_kit.native.descriptors import (
    Descriptor,
    memory_file,
    open_path,
    open_process,
    socket_pair,
)
from container_kit.native.fields import encode_fields, number, text
from container_kit.native.monitor import spawn_daemon
from container_kit.native.process import init_fd

if TYPE_CHECKING:
    import socket

__all__ = [
    "DNS_PORT",
    "LINGER_S",
    "MOST_SERVERS",
    "KeeperConfig",
    "StartedKeeper",
    "has_keeper",
    "hold_keeper_lock",
    "start_keeper",
    "stop_keeper",
]

LINGER_S = 0.5
MOST_SERVERS = 3
DNS_PORT = 53
_UNDO = 20
_IN_NETWORK_NAMESPACE, _IN_USER_NAMESPACE = 1, 2
_REPORT = struct.Struct("<c3xi")
_AGAIN_S = 0.002
_PATIENCE_S = 5.0
_FLOCK = struct.Struct("hhqqi4x")  # struct flock of 64-bit kernels
_WHOLE_FILE = _FLOCK.pack(fcntl.F_WRLCK, 0, 0, 0, 0)


@frozen(kw_only=True)
class KeeperConfig:
    """What a keeper is told.

    Args:
        directory: Absolute path of the network's directory; its last part is the network's id.
        domain: The network's name in lower case: ``db.shop`` means ``db`` in the network ``shop``.  Empty for
            a name that is none of DNS.
        listen: The gateways with prefix length: where it answers, and to which addresses.
        internal: Whether nothing is asked of servers.
        servers: Who is asked for what the network does not know; at most three.
        resolv_conf: The file that names them when *servers* is empty, read again when it changes.
        undo: Netlink messages that take the network out of the kernel, each with the protocol of its socket.
        table: What the names of the network's nftables tables begin with.
        restore: Batches of netlink messages that are sent again, and those in ``endpoints/*.nft`` after them,
            when somebody else deletes one of the tables.
        own: Batches that make a table which is the keeper's own from then on.
        linger_s: How long it stays when nobody is there.
        port: Where it listens, over UDP and TCP.
    """

    directory: str
    domain: str = ""
    listen: tuple[str, ...] = ()
    internal: bool = False
    servers: tuple[str, ...] = ()
    resolv_conf: str = "/etc/resolv.conf"
    undo: tuple[tuple[int, bytes], ...] = ()
    table: str = ""
    restore: bytes = b""
    own: bytes = b""
    linger_s: float = LINGER_S
    port: int = DNS_PORT

    def encode(self, namespaces: int = 0) -> bytes:
        """The bytes that the keeper reads."""
        return encode_fields(self._fields(namespaces))

    def _fields(self, namespaces: int) -> Iterator[tuple[int, bytes]]:
        yield 2, text(self.directory)
        yield from ((_UNDO, struct.pack("<Q", protocol) + message) for protocol, message in self.undo)
        yield 32, text(self.domain)
        yield from ((33, text(gateway)) for gateway in self.listen)
        yield 34, number(self.port)
        yield from ((35, text(server)) for server in self.servers)
        yield 36, text(self.resolv_conf)
        yield 37, number(self.internal)
        yield 38, number(round(self.linger_s * 1000))
        if self.table:
            yield 39, self.restore
            yield 40, text(self.table)
            yield 42, self.own
        yield 41, number(namespaces)


class StartedKeeper:
    """A keeper that has been executed; `wait` until it listens."""

    def __init__(self, directory: str, starter: socket.socket) -> None:
        self._directory, self._starter = directory, starter

    def wait(self) -> None:
        """Return when it listens.

        Raises:
            KernelError: It could not; ``errno`` is EADDRINUSE when another server has the gateway's port.
        """
        with self._starter as starter:
            message = starter.recv(_REPORT.size)
        if len(message) != _REPORT.size:
            raise KernelError.of(errno.ECHILD, f"the keeper of {self._directory!r} ended at once")
        kind, error = _REPORT.unpack(message)
        if kind == b"F":
            raise KernelError.of(-error, f"the keeper of {self._directory!r} cannot serve names")


def hold_keeper_lock(directory: str) -> Descriptor | None:
    """The lock that makes its holder the keeper of the network; None when there is a keeper.

    To be called with the network's own lock held.
    """
    lock = open_path(f"{directory}/keeper.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.fcntl(lock, fcntl.F_OFD_SETLK, _WHOLE_FILE)
    except BlockingIOError:
        lock.close()
        return None
    except BaseException:
        lock.close()
        raise
    return lock


def has_keeper(directory: str) -> bool:
    """Whether the network has a keeper at this moment."""
    try:
        with open_path(f"{directory}/keeper.lock", os.O_RDONLY) as lock:
            answer = fcntl.fcntl(lock, fcntl.F_OFD_GETLK, _WHOLE_FILE)
    except FileNotFoundError:
        return False
    return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)


def start_keeper(
    config: KeeperConfig,
    lock: Descriptor,
    *,
    network_namespace: int | None = None,
    user_namespace: int | None = None,
) -> StartedKeeper:
    """Start the keeper of a network; it may be told before the network is in the kernel.

    Args:
        lock: From `hold_keeper_lock`; the keeper's from now on, and closed here.
        network_namespace: Descriptor of the namespace with the gateways; None for the caller's own.
        user_namespace: Descriptor of the user namespace that owns that one, if the caller needs it.

    Raises:
        KernelError: The process could not be started.
    """
    spaces = [fd for fd in (network_namespace, user_namespace) if fd is not None]
    flags = _IN_NETWORK_NAMESPACE if network_namespace is not None else 0
    flags |= _IN_USER_NAMESPACE if user_namespace is not None else 0
    ours, theirs = socket_pair()
    try:
        with (
            lock,
            theirs,
            memory_file("ckit-config") as document,
            open_path(os.devnull, os.O_RDWR) as nothing,
        ):
            os.write(document.fileno(), config.encode(flags))
            given = [nothing.fileno()] * 3 + [theirs.fileno(), document.fileno(), lock.fileno(), *spaces]
            spawn_daemon(init_fd(), ("ckit-keeper", config.domain or "-", config.directory), given)
    except BaseException:
        ours.close()
        raise
    return StartedKeeper(config.directory, ours)


def stop_keeper(directory: str) -> None:
    """Stop the keeper of a network that nobody is on; what it would have undone is the caller's to undo.

    To be called with the network's lock held: without it the keeper might be at work.

    Raises:
        TimedOut: It cannot be reached from here, as one that was started in another PID namespace.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while has_keeper(directory):
        if time.monotonic() > deadline:
            raise TimedOut(
                f"the keeper of the network in {directory!r} cannot be stopped from here: remove the network "
                "where its containers were started"
            )
        if not _kill_keeper(directory):
            time.sleep(_AGAIN_S)  # it has begun just now and not written its number yet, or has just ended


def _kill_keeper(directory: str) -> bool:
    try:
        with open(f"{directory}/keeper.lock", encoding="ascii") as file:
            pid = int(file.read())
        process = open_process(pid)
    except (FileNotFoundError, ValueError, ProcessLookupError):
        return False
    with process:
        if not _is_keeper(pid):
            return False
        signal.pidfd_send_signal(process.fileno(), signal.SIGKILL)
        select.select([process], [], [])
    return True


def _is_keeper(pid: int) -> bool:
    """A number may be another process's by now; a descriptor that was opened before stays one process's."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read() == "ckit-keeper\n"
    except (FileNotFoundError, ProcessLookupError):
        return False
