"""Talking between network namespaces: sockets that are inside, and servers that say who called.

A socket stays in the namespace that it was made in, so one process can be all of a network's hosts.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence

from container_kit.native.namespaces import NetworkNamespace, new_network
from container_kit.network import EndpointRequest, Networks, NetworkSandbox, PortRequest, Shaping
from tests.network.inside import new_owner, run_in

__all__ = ["answering", "call", "member", "outside", "reaches", "rules", "socket_in", "tables"]

PATIENCE_S = 1.0
# Long enough for what is on its way in the same machine, for tests that expect nothing to arrive.
SILENCE_S = 0.3


def member(
    networks: Networks,
    network: str,
    *ports: PortRequest,
    name: str = "c",
    egress: Sequence[str] | None = None,
    shaping: Shaping | None = None,
    options: dict[str, str] | None = None,
) -> NetworkSandbox:
    """The network of a container that there is not."""
    return NetworkSandbox.open(
        networks,
        new_owner(),
        [EndpointRequest(network=network, options=options or {})],
        names=[name],
        ports=ports,
        egress=egress,
        shaping=shaping,
        announce=lambda undo: None,
    )


def socket_in(
    namespace: NetworkNamespace, kind: socket.SocketKind = socket.SOCK_STREAM, *, ipv6: bool = False
) -> socket.socket:
    """A socket inside of the namespace."""
    family = socket.AF_INET6 if ipv6 else socket.AF_INET
    return socket.socket(fileno=namespace.socket(family, kind).give_up())


@contextlib.contextmanager
def answering(
    namespace: NetworkNamespace,
    port: int,
    kind: socket.SocketKind = socket.SOCK_STREAM,
    *,
    ipv6: bool = False,
) -> Iterator[None]:
    """A server inside that tells each caller the address that it sees of him."""
    with socket_in(namespace, kind, ipv6=ipv6) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("::" if ipv6 else "0.0.0.0", port))
        if kind == socket.SOCK_STREAM:
            listener.listen(64)
        server = threading.Thread(target=_serve, args=(listener, kind))
        server.start()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            server.join()


def _serve(listener: socket.socket, kind: socket.SocketKind) -> None:
    with contextlib.suppress(OSError):
        while True:
            if kind == socket.SOCK_STREAM:
                connection, caller = listener.accept()
                with connection:
                    connection.sendall(caller[0].encode())
            else:
                _, caller = listener.recvfrom(2048)
                if not caller or not caller[1]:
                    return  # it has been shut down
                listener.sendto(caller[0].encode(), caller)


def call(
    namespace: NetworkNamespace,
    address: str,
    port: int,
    kind: socket.SocketKind = socket.SOCK_STREAM,
    *,
    patience_s: float = PATIENCE_S,
) -> str:
    """What a server answers to a caller in *namespace*; the error's name when none does."""
    with socket_in(namespace, kind, ipv6=":" in address) as caller:
        caller.settimeout(patience_s)
        try:
            caller.connect((address, port))
            if kind == socket.SOCK_DGRAM:
                caller.send(b"?")
            return caller.recv(100).decode()
        except OSError as error:
            return type(error).__name__


def reaches(namespace: NetworkNamespace, address: str, port: int) -> bool:
    """Whether somebody accepts a connection."""
    with socket_in(namespace) as caller:
        caller.settimeout(PATIENCE_S)
        return caller.connect_ex((address, port)) == 0


@contextlib.contextmanager
def outside(host: NetworkNamespace) -> Iterator[NetworkNamespace]:
    """Another machine: 198.51.100.2, on a wire with the host, which is 198.51.100.1 there."""
    with contextlib.closing(new_network()) as other:
        run_in(host, "ip", "link", "add", "wire", "type", "veth", "peer", "name", "far")
        _move(host, "far", other)
        for place, name, last in ((host, "wire", 1), (other, "far", 2)):
            run_in(place, "ip", "address", "add", f"198.51.100.{last}/24", "dev", name)
            run_in(place, "ip", "address", "add", f"2001:db8::{last}/64", "dev", name, "nodad")
            run_in(place, "ip", "link", "set", name, "up")
        for place, name in ((host, "wire"), (other, "far")):
            run_in(place, "ip", "link", "show", "dev", name)  # lets the kernel see at once that it is up
        for place, name, last in ((host, "wire", 1), (other, "far", 2)):
            # A worker of the kernel's does it; what neighbours ask before is lost, and asked a second later.
            while f"ff02::1:ff00:{last}" not in run_in(place, "ip", "-6", "maddress", "show", "dev", name):
                pass
        yield other


def _move(host: NetworkNamespace, link: str, other: NetworkNamespace) -> None:
    """Put a link into another namespace, by way of a process there: `ip` knows them by processes."""
    number = other.held.fileno()
    entered = ["nsenter", f"--net=/proc/self/fd/{number}", "cat"]
    with subprocess.Popen(entered, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[number]) as there:
        assert there.stdin and there.stdout
        there.stdin.write(b"\n")
        there.stdin.flush()
        there.stdout.read(1)  # it runs, so it is inside
        run_in(host, "ip", "link", "set", link, "netns", str(there.pid))
        there.stdin.close()


def tables(networks: Networks) -> str:
    """All of the packet filter."""
    return run_in(networks.site.host, "nft", "list", "ruleset")


def rules(networks: Networks) -> list[str]:
    """The same, whosever it is: lines and elements, in an order of their own."""
    text = tables(networks).replace("elements = {", "").replace("}", "")
    words = (word.partition(" # ")[0].strip() for line in text.splitlines() for word in line.split(","))
    return sorted(word for word in words if word and not word.startswith("flags"))
