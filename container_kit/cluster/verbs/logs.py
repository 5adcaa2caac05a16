"""What the containers of pods have written.

Source: Kubernetes API, ``read log of the specified Pod``.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator
from typing import Any

from container_kit._values import frozen
from container_kit.cluster.client.client import Client
from container_kit.cluster.client.errors import ApiError
from container_kit.cluster.client.watch import Lines
from container_kit.cluster.verbs.execution import container_of
from container_kit.cluster.verbs.targets import Target, pods_of
from container_kit.errors import NotFound
from container_kit.native.interrupts import hooked

__all__ = ["LogWish", "follow_logs", "read_logs"]

Object = dict[str, Any]
_MOST_WAITING = 1000  # lines that nobody has taken yet


@frozen(kw_only=True)
class LogWish:
    """Which lines.

    Attributes:
        container: Its name; empty means the pod's first, or the one its annotation
            ``kubectl.kubernetes.io/default-container`` names; ``*`` means all.
        tail: At most so many of the last lines of each container.
        since_s: Only what is younger than so many seconds.
        previous: Of the container before its last restart.
        timestamps: Begin each line with when it was written.
    """

    container: str = ""
    tail: int | None = None
    since_s: int | None = None
    previous: bool = False
    timestamps: bool = False

    def query(self, container: str) -> dict[str, str]:
        """As the server reads it."""
        words = {
            "container": container,
            "tailLines": "" if self.tail is None else str(self.tail),
            "sinceSeconds": "" if self.since_s is None else str(self.since_s),
            "previous": "true" if self.previous else "",
            "timestamps": "true" if self.timestamps else "",
        }
        return {key: value for key, value in words.items() if value}


def read_logs(client: Client, target: Target, wish: LogWish) -> str:
    """The lines until now, one pod after the other; of several, each line begins with ``[pod/container]``."""
    sources = _sources(client, target, wish)
    texts = []
    for pod, container in sources:
        reply = client.request("GET", _path(client, pod), wish.query(container))
        text = reply.body.decode(errors="replace")
        texts.append(_marked(text, pod, container) if len(sources) > 1 else text)
    return "".join(texts)


def follow_logs(client: Client, target: Target, wish: LogWish) -> Iterator[str]:
    """Lines as they come, of all pods and containers that are meant, until the last of them has ended."""
    sources = _sources(client, target, wish)
    streams = [
        client.lines(_path(client, pod), wish.query(container) | {"follow": "true"})
        for pod, container in sources
    ]
    arrived: queue.Queue[str | None] = queue.Queue(_MOST_WAITING)
    is_over = threading.Event()

    def read(lines: Lines, mark: str) -> None:
        try:
            for line in lines:
                _put(arrived, mark + line.decode(errors="replace"), is_over)
        except ApiError:
            pass  # the pod went away: its end, like any other
        finally:
            _put(arrived, None, is_over)

    marks = [f"[{pod['metadata']['name']}/{name}] " if len(sources) > 1 else "" for pod, name in sources]
    threads = [
        threading.Thread(target=read, args=(stream, mark), name=f"logs {target}", daemon=True)
        for stream, mark in zip(streams, marks, strict=True)
    ]
    for thread in threads:
        thread.start()
    try:
        left = len(threads)
        with hooked(lambda: _close(streams)):
            while left:
                line = arrived.get()
                left -= line is None
                if line is not None:
                    yield line
    finally:
        is_over.set()
        _close(streams)
        for thread in threads:
            thread.join()


def _close(streams: list[Lines]) -> None:
    for stream in streams:
        stream.close()


def _put(arrived: queue.Queue[str | None], line: str | None, is_over: threading.Event) -> None:
    """Give a line to whoever reads; wait while too many are waiting, but not for a reader that has gone."""
    while not is_over.is_set():
        with contextlib.suppress(queue.Full):
            arrived.put(line, timeout=0.2)
            return


def _sources(client: Client, target: Target, wish: LogWish) -> list[tuple[Object, str]]:
    pods = pods_of(client, target)
    if not pods:
        raise NotFound("pod", str(target), "it has no pods (yet)", where="to read logs of")
    return [(pod, name) for pod in pods for name in _containers(pod, wish.container)]


def _containers(pod: Object, wanted: str) -> list[str]:
    names = [one["name"] for one in pod["spec"]["containers"]]
    if wanted == "*":
        return [one["name"] for one in pod["spec"].get("initContainers") or ()] + names
    return [wanted or container_of(pod)]


def _path(client: Client, pod: Object) -> str:
    meta = pod["metadata"]
    return client.resource("pods").path(meta["namespace"], meta["name"], "log")


def _marked(text: str, pod: Object, container: str) -> str:
    mark = f"[{pod['metadata']['name']}/{container}] "
    return "".join(f"{mark}{line}\n" for line in text.splitlines())
