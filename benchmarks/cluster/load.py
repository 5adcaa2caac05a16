"""Load for any API server: ``python -m benchmarks.cluster.load KUBECONFIG VERB COUNT CLIENTS``.

As many connections as clients, each with one request on its way; prints the seconds that all took and the
latency of each request, as JSON.  It does as little as it can, as it shares the machine with the server.  The
verb ``prepare`` makes the namespace that the others need, with COUNT pods, and ``remove`` takes it away.
"""

from __future__ import annotations

import json
import os
import select
import socket
import ssl
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from urllib.parse import urlsplit

from container_kit.cluster.client.client import Client
from container_kit.cluster.client.http import Http
from container_kit.cluster.client.kubeconfig import Access, read_access

NAMESPACE = "bench"
LIST = f"/api/v1/namespaces/{NAMESPACE}/pods?limit=0"


class Connection:
    """One connection to the server of a kubeconfig."""

    def __init__(self, access: Access) -> None:
        parts = urlsplit(access.server)
        self.host = parts.hostname or ""
        sock = socket.create_connection((self.host, parts.port or 443))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = context_of(access).wrap_socket(sock, server_hostname=access.server_name or self.host)
        self.begun = 0.0

    def request(self, method: str, path: str, obj: object = None) -> bytes:
        """The bytes of a request."""
        body = json.dumps(obj).encode() if obj else b""
        head = f"{method} {path} HTTP/1.1\r\nHost: {self.host}\r\n"
        head += "Accept: application/json\r\nUser-Agent: bench\r\n"
        if body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return f"{head}\r\n".encode() + body

    def answer(self) -> bytes:
        """A whole answer with a length."""
        data = self.sock.recv(1 << 18)
        head, _, body = data.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 2"):
            raise SystemExit(f"the server refused: {data[:500]!r}")
        lower = head.lower()
        place = lower.find(b"content-length:")
        length = int(lower[place + 15 :].split(b"\r\n", 1)[0])
        parts, missing = [body], length - len(body)
        while missing > 0:
            data = self.sock.recv(1 << 18)
            parts.append(data)
            missing -= len(data)
        return b"".join(parts)


def context_of(access: Access) -> ssl.SSLContext:
    """Trusts the server and shows the client's certificate."""
    context = ssl.create_default_context(cadata=access.ca.decode())
    with tempfile.NamedTemporaryFile() as file:
        file.write(access.certificate + b"\n" + access.key)
        file.flush()
        context.load_cert_chain(file.name)
    return context


def config_map(name: str) -> dict[str, object]:
    """Half a kilobyte, as the published figures have it."""
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"key": "x" * 300}}


def pod(name: str) -> dict[str, object]:
    """A pod that no scheduler takes."""
    metadata = {"name": name, "namespace": NAMESPACE, "labels": {"app": "bench"}}
    container = {"name": "c", "image": "example.org/app:1", "env": [{"name": "A", "value": "1"}]}
    spec = {"schedulerName": "none", "containers": [container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def requests(connection: Connection, verb: str, count: int) -> Iterator[bytes]:
    """What to send; names are of this process, so that runs do not meet."""
    base, run = f"/api/v1/namespaces/{NAMESPACE}", os.getpid()
    make: dict[str, Callable[[int], bytes]] = {
        "create": lambda n: connection.request("POST", f"{base}/configmaps", config_map(f"c-{run}-{n}")),
        "pods": lambda n: connection.request("POST", f"{base}/pods", pod(f"p-{run}-{n}")),
        "get": lambda n: connection.request("GET", f"{base}/configmaps/known"),
        "list": lambda n: connection.request("GET", LIST),
    }
    return (make[verb](number) for number in range(count))


def run(access: Access, verb: str, count: int, clients: int) -> tuple[float, list[float]]:
    """Seconds for all, and for each."""
    connections = {one.sock.fileno(): one for one in (Connection(access) for _ in range(clients))}
    waiting = iter(list(requests(next(iter(connections.values())), verb, count)))
    poll, latencies = select.epoll(), list[float]()
    begun = time.perf_counter()
    for fd, connection in connections.items():
        poll.register(fd, select.EPOLLIN)
        send(connection, next(waiting, None))
    while len(latencies) < count:
        for fd, _ in poll.poll():
            connection = connections[fd]
            connection.answer()
            latencies.append(time.perf_counter() - connection.begun)
            send(connection, next(waiting, None))
    elapsed = time.perf_counter() - begun
    poll.close()
    for connection in connections.values():
        connection.sock.close()
    return elapsed, latencies


def send(connection: Connection, request: bytes | None) -> None:
    if request is not None:
        connection.begun = time.perf_counter()
        connection.sock.sendall(request)


def open_namespace(client: Client) -> None:
    """With a ConfigMap to get, and ready for pods: they need its service account."""
    client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    client.create(config_map("known"))
    while not client.list("serviceaccounts", NAMESPACE).items:
        time.sleep(0.01)


def prepare(client: Client, pods: int) -> None:
    open_namespace(client)
    for number in range(pods):
        client.create(pod(f"known-{number}"))


def main() -> None:
    kubeconfig, verb, count, clients = sys.argv[1:5]
    if verb in ("prepare", "remove"):
        with closing(Client(Http(read_access(kubeconfig)))) as client:
            prepare(client, int(count)) if verb == "prepare" else client.delete("namespaces", NAMESPACE)
        return
    elapsed, latencies = run(read_access(kubeconfig), verb, int(count), int(clients))
    print(json.dumps({"seconds": elapsed, "latencies": latencies}))


if __name__ == "__main__":
    main()
