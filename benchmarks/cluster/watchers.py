"""Many watchers of one namespace: ``python -m benchmarks.cluster.watchers KUBECONFIG WATCHERS EVENTS``.

Creates one ConfigMap after the other and waits until every watcher has seen it; prints, as JSON, how long
after the request was sent each of the events arrived.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time

from benchmarks.cluster.load import NAMESPACE, Connection, config_map
from container_kit.cluster.client.kubeconfig import Access, read_access

_PATH = f"/api/v1/namespaces/{NAMESPACE}/configmaps"


def run(access: Access, watchers: int, events: int) -> list[float]:
    """Seconds from each request to each delivery."""
    writer = Connection(access)
    since = json.loads(_ask(writer, writer.request("GET", f"{_PATH}?limit=1")))["metadata"]["resourceVersion"]
    watching = [Connection(access) for _ in range(watchers)]
    poll, by_fd = select.epoll(), {}
    for connection in watching:
        connection.sock.sendall(connection.request("GET", f"{_PATH}?watch=true&resourceVersion={since}"))
        connection.sock.recv(1 << 16)  # the head
        by_fd[connection.sock.fileno()] = connection
        poll.register(connection.sock.fileno(), select.EPOLLIN)
    delays: list[float] = []
    for number in range(events):
        name = f"w-{os.getpid()}-{number}"
        request = writer.request("POST", _PATH, config_map(name))
        begun = time.perf_counter()
        writer.sock.sendall(request)
        missing = watchers
        while missing:
            for fd, _ in poll.poll():
                if name.encode() in by_fd[fd].sock.recv(1 << 16):
                    delays.append(time.perf_counter() - begun)
                    missing -= 1
        writer.answer()
    return delays


def _ask(connection: Connection, request: bytes) -> bytes:
    connection.sock.sendall(request)
    return connection.answer()


def main() -> None:
    kubeconfig, watchers, events = sys.argv[1:4]
    print(json.dumps(run(read_access(kubeconfig), int(watchers), int(events))))


if __name__ == "__main__":
    main()
