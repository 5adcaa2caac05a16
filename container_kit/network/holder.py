"""The network of an ordinary user's containers: a namespace of the user's own, which a small process holds.

It has the bridges of all networks of one root.  The holder is a role of the static helper
(``_native/init/holder.c``): it passes on what comes to published ports, and ends with the last container.  A
program that is no part of this library, pasta or slirp4netns, leads from there to the outside.

Each container on a network keeps a connection to the holder.  On it, a message ``P`` with an address and the
socket that holds a port of the host opens that port; the answer is an i32, 0 or a negative errno.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_interface

import attrs

from container_kit.errors import KernelError, UnsupportedFeature
from container_kit.native.descriptors import Descriptor, open_path, open_process, socket_pair
from container_kit.native.monitor import spawn_daemon
from container_kit.native.namespaces import NetworkNamespace
from container_kit.native.process import init_fd
from container_kit.native.user_namespace import adopt
from container_kit.network.guide import lead_outside
from container_kit.network.site import resolver_file
from container_kit.network.values import PublishedPort
from container_kit.store import files

__all__ = ["Lifeline", "join", "open_doors"]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
_DOOR = struct.Struct("<cBxxI28s")
_ANSWER = struct.Struct("<i")
_SOCKET = "holder.sock"
_TRIES = 3


@attrs.define(eq=False)
class Lifeline:
    """One container's connection to the holder; while a copy of it is open, the holder and its doors stay.

    Attributes:
        namespace: The network namespace that the holder holds.
    """

    connection: socket.socket
    namespace: NetworkNamespace

    def publish(self, port: PublishedPort, held: Descriptor, address: IPv4Address | IPv6Address) -> None:
        """Pass what comes to *port*, which the socket *held* keeps, on to the container's *address*.

        Raises:
            UnsupportedFeature: Nobody passes on this protocol.
            KernelError: The holder could not.
        """
        if port.protocol not in ("tcp", "udp"):
            raise UnsupportedFeature(
                f"cannot publish port {port.container_port}/{port.protocol}: of an ordinary user's "
                "containers TCP and UDP are passed on; run it as root"
            )
        target = _packed(address, port.container_port)
        wanted = _DOOR.pack(b"P", port.protocol == "udp", len(target), target)
        socket.send_fds(self.connection, [wanted], [held.fileno()])
        answer = self.connection.recv(_ANSWER.size)
        error = -_ANSWER.unpack(answer)[0] if len(answer) == _ANSWER.size else errno.ECONNRESET
        if error:
            raise KernelError.of(error, f"cannot publish port {port.host_port}/{port.protocol}")

    def give_up(self) -> Descriptor:
        """The connection as a descriptor, for who outlives this process."""
        from container_kit.native.descriptors import duplicate

        held = duplicate(self.connection.fileno())
        self.connection.close()
        return held


def _packed(address: IPv4Address | IPv6Address, port: int) -> bytes:
    """A ``struct sockaddr_in`` or ``sockaddr_in6``."""
    head = struct.pack("=H", socket.AF_INET if address.version == 4 else socket.AF_INET6)
    number = struct.pack("!H", port)
    if address.version == 4:
        return head + number + address.packed + bytes(8)
    return head + number + bytes(4) + address.packed + bytes(4)


def address_of(text: str) -> IPv4Address | IPv6Address:
    """The address of ``10.89.1.2/24``."""
    return ip_interface(text).ip


def join(root: str) -> Lifeline:
    """A connection to the holder of this root's networks, which is started if there is none.

    This process uses the holder's user namespace from then on, which is one like its own.

    Raises:
        PermissionMissing: This user can have no namespaces.
        KernelError: The holder cannot be started.
    """
    directory = f"{root}/networks"
    files.ensure_directory(directory)
    with open_path(directory, _DIRECTORY) as folder, _alone(directory):
        for _ in range(_TRIES):
            connection = _connect(folder)
            if connection is None:
                _start(root, folder)
                continue
            try:
                return Lifeline(connection, _namespace(directory))
            except BaseException:
                connection.close()
                raise
    raise KernelError.of(errno.ECHILD, "the holder of this user's networks ends as soon as it is started")


@contextlib.contextmanager
def _alone(directory: str) -> Iterator[None]:
    """Nobody else starts a holder meanwhile."""
    with open_path(f"{directory}/holder.start", os.O_CREAT | os.O_RDWR, 0o600) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _connect(folder: Descriptor) -> socket.socket | None:
    """A connection that the holder has answered on; None when there is no holder, or it is about to end."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.connect(f"/proc/self/fd/{folder.fileno()}/{_SOCKET}")
        connection.send(b"?".ljust(_DOOR.size, b"\0"))
        if connection.recv(_ANSWER.size):
            return connection
    except (FileNotFoundError, ConnectionError, BrokenPipeError):
        pass
    except BaseException:
        connection.close()
        raise
    connection.close()
    return None


def _holder_pid(directory: str) -> int:
    with open(f"{directory}/holder.lock", encoding="ascii") as file:
        return int(file.read())


def _namespace(directory: str) -> NetworkNamespace:
    """The holder's network namespace; its user namespace becomes the one of this process."""
    pid = _holder_pid(directory)
    with open_path(f"/proc/{pid}/ns/user", os.O_RDONLY) as user:
        own = adopt(user)
        return NetworkNamespace.at(f"/proc/{pid}/ns/net", own)


def _start(root: str, folder: Descriptor) -> None:
    directory = f"{root}/networks"
    ours, theirs = socket_pair()
    with ours, open_path(f"{directory}/holder.lock", os.O_CREAT | os.O_RDWR, 0o600) as lock:
        with theirs, open_path(os.devnull, os.O_RDWR) as nothing:
            given = [nothing.fileno()] * 3 + [theirs.fileno(), lock.fileno(), folder.fileno()]
            spawn_daemon(init_fd(), ("ckit-holder", root), given)
        answer = ours.recv(_ANSWER.size)
    error = -_ANSWER.unpack(answer)[0] if len(answer) == _ANSWER.size else errno.ECHILD
    if error:
        raise KernelError.of(error, "the holder of this user's networks cannot start")
    _guide(directory, folder)


def _guide(directory: str, folder: Descriptor) -> None:
    """Have a program lead to the outside for as long as the holder lives."""
    pid = _holder_pid(directory)
    guide = lead_outside(pid, resolver_file(os.path.dirname(directory)))
    if guide is None:
        return
    connection = _connect(folder)
    if connection is None:
        return
    with connection, open_process(guide) as process:
        socket.send_fds(connection, [b"G".ljust(_DOOR.size, b"\0")], [process.fileno()])


def open_doors(
    lifeline: Lifeline, ports: Sequence[PublishedPort], held: Sequence[Descriptor], addresses: Sequence[str]
) -> None:
    """Publish *ports*, kept by the sockets *held*, for a container that has *addresses*."""
    found = [address_of(text) for text in addresses]
    for port, socket_held in zip(ports, held, strict=True):
        version = 6 if ":" in port.host_ip else 4
        target = next((one for one in found if one.version == version), found[0])
        lifeline.publish(port, socket_held, target)
