"""The ways to the nodes: what the API server asks of whoever runs the pods.

Source: the kubelet's API (containerLogs, exec, attach, portForward, stats/summary).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, Protocol

import msgspec

from container_kit.cluster.api.messages import Duplex
from container_kit.cluster.meta.objects import Object

__all__ = ["LogOptions", "NodeLink", "NodeLinks", "StreamOptions"]


class LogOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Which lines of a container's log.

    Attributes:
        since: RFC 3339; only what came later.
        tail_lines: Only so many of the last lines.
        limit_bytes: No more than so many bytes.
        stream: ``All``, ``Stdout`` or ``Stderr``.
    """

    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    since_s: int | None = None
    since: str = ""
    tail_lines: int | None = None
    limit_bytes: int | None = None
    stream: str = "All"


class StreamOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What of a process is connected."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False


class NodeLink(Protocol):
    """One node, as the API server sees it.

    Raises (all methods):
        StatusError: What the client is told.
    """

    def logs(self, pod: Object, container: str, options: LogOptions) -> Iterator[bytes]:
        """The log in pieces; with ``follow`` until the container ends. Has ``close`` (a generator does)."""

    def exec(
        self, pod: Object, container: str, command: list[str], options: StreamOptions, streams: Duplex
    ) -> int:
        """Run a program in a container, connected to *streams*; returns its exit code."""

    def attach(self, pod: Object, container: str, options: StreamOptions, streams: Duplex) -> int:
        """Connect *streams* to the container's own process; returns its exit code, or 0 when the client
        goes."""

    def port_forward(self, pod: Object, port: int) -> Any:
        """A socket that is connected to *port* of the pod (as seen from inside of it)."""

    def stats(self) -> dict[str, Any]:
        """Usage of the node and its pods: ``{"node": {...}, "pods": [...]}``, for metrics.k8s.io."""


class NodeLinks:
    """The link of each node that has one; agents set theirs."""

    def __init__(self) -> None:
        self._links: dict[str, NodeLink] = {}
        self._lock = threading.Lock()

    def set(self, node: str, link: NodeLink | None) -> None:
        """From now on *node* is reached by *link*; None: not at all."""
        with self._lock:
            links = dict(self._links)
            if link is None:
                links.pop(node, None)
            else:
                links[node] = link
            self._links = links

    def get(self, node: str) -> NodeLink | None:
        """The link of a node, if it has one."""
        return self._links.get(node)

    def all(self) -> dict[str, NodeLink]:
        """Every node with its link; not to be changed."""
        return self._links
