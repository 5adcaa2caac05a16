"""What the API asks of this node: logs, programs in containers, connections into pods, and what they use."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from container_kit.cluster.api.messages import Duplex
from container_kit.cluster.api.nodes import LogOptions, StreamOptions
from container_kit.cluster.meta import Object
from container_kit.cluster.meta.status import StatusError, bad_request, internal_error, not_found
from container_kit.cluster.meta.times import parse_time
from container_kit.cluster.node.client_streams import (
    AttachedEnd,
    PodIO,
    ProcessEnd,
    Reader,
    Stream,
    outputs,
    pump,
)
from container_kit.errors import ContainerKitError, NotFound, WrongState
from container_kit.native import interrupts

if TYPE_CHECKING:
    from container_kit.cluster.node.agent import NodeAgent
    from container_kit.containers import Container
    from container_kit.containers.execution import ExecProcess
    from container_kit.containers.logs import LogLine
    from container_kit.pods import Pod

__all__ = ["AgentLink", "LogStream"]

_STREAMS: dict[str, Stream] = {"Stdout": "stdout", "Stderr": "stderr"}
_STATUS_LISTS = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")


class AgentLink:
    """The `NodeLink` of one agent."""

    def __init__(self, agent: NodeAgent) -> None:
        self._agent = agent

    # Logs

    def logs(self, pod: Object, container: str, options: LogOptions) -> LogStream:
        """See `NodeLink`."""
        found = self._container(pod, container, previous=options.previous)
        lines = found.logs(
            follow=options.follow,
            since=_moment(options),
            tail=options.tail_lines,
            stream=_STREAMS.get(options.stream),
        )
        pieces = map(_stamped if options.timestamps else _plain, lines)
        return LogStream(_limited(pieces, options.limit_bytes))

    def _container(self, pod: Object, name: str, *, previous: bool = False) -> Container:
        try:
            return self._pod(pod).container(name, previous=previous)
        except (NotFound, WrongState) as error:
            raise self._why_not(pod, name, previous) from error

    def _running(self, pod: Object, name: str, absent: str) -> Container:
        """One that streams can be opened to; for a kubelet, one that has ended is as one that never was."""
        try:
            found = self._pod(pod).container(name)
        except (NotFound, WrongState):
            found = None
        if found is None or found.status != "running":
            raise internal_error(f"Internal error occurred: unable to upgrade connection: {absent}")
        return found

    def _pod(self, pod: Object) -> Pod:
        one = self._agent.find(pod["metadata"]["uid"])
        if one is None:
            raise not_found("pods", pod["metadata"]["name"])
        if one.pod is None:
            raise NotFound("pod", pod["metadata"]["name"], "it is not started yet")
        return one.pod

    def _why_not(self, pod: Object, name: str, previous: bool) -> StatusError:
        """Why there is no such container, in the kubelet's words."""
        where = f'container "{name}" in pod "{pod["metadata"]["name"]}"'
        if previous:
            return bad_request(f"previous terminated {where} not found")
        one = self._agent.find(pod["metadata"]["uid"])
        found = one.pod.status() if one is not None and one.pod is not None else pod.get("status") or {}
        statuses = [one for listed in _STATUS_LISTS for one in found.get(listed) or ()]
        state = next((one.get("state") or {} for one in statuses if one["name"] == name), {})
        waiting = (state.get("waiting") or {}).get("reason") or "ContainerCreating"
        return bad_request(f"{where} is waiting to start: {waiting}")

    # Programs

    def exec(
        self, pod: Object, container: str, command: Sequence[str], options: StreamOptions, streams: Duplex
    ) -> int:
        """See `NodeLink`."""
        io = PodIO(streams, options)
        process = self._popen(pod, container, command, io)
        with process:
            reader = Reader(io, ProcessEnd(process))
            pumps = [pump(io, name, fd) for name, fd in outputs(process)]
            reader.start()
            code = process.wait()
            for one in pumps:
                one.join()
            return code

    def _popen(self, pod: Object, container: str, command: Sequence[str], io: PodIO) -> ExecProcess:
        def stream(name: str) -> int:
            return subprocess.PIPE if io.wants(name) and not io.tty else subprocess.DEVNULL

        found = self._running(pod, container, f'container not found ("{container}")')
        try:
            return found.popen(
                list(command),
                stdin=stream("stdin"),
                stdout=stream("stdout"),
                stderr=stream("stderr"),
                text=False,
                tty=io.tty,
            )
        except ContainerKitError as error:
            words = f"Internal error occurred: error executing command in container: {error}"
            raise internal_error(words) from error

    def attach(self, pod: Object, container: str, options: StreamOptions, streams: Duplex) -> int:
        """See `NodeLink`."""
        metadata = pod["metadata"]
        absent = f"container {container} not found in pod {metadata['name']}_{metadata['namespace']}"
        found = self._running(pod, container, absent)
        io, interrupt = PodIO(streams, options), interrupts.Interrupt()
        with found.attach(stdin=options.stdin, stdout=options.stdout, stderr=options.stderr) as attached:
            Reader(io, AttachedEnd(found, attached, interrupt)).start()
            try:
                with interrupts.working_for(interrupt):
                    for name, data in attached:
                        io.send("stderr" if name == "stderr" else "stdout", data)
            except (OSError, interrupts.Interrupted):
                return 0  # the client has gone
        return found.exit_code or 0

    # Connections

    def port_forward(self, pod: Object, port: int) -> socket.socket:
        """See `NodeLink`."""
        try:
            return self._pod(pod).connect(port)
        except (OSError, ContainerKitError) as error:
            raise bad_request(
                f"failed to connect to localhost:{port} inside the namespace of pod "
                f"{pod['metadata']['name']!r}: {error}"
            ) from error

    # Figures

    def stats(self) -> dict[str, Any]:
        """See `NodeLink`; processor time in nanoseconds, memory in bytes."""
        pods = [_pod_usage(one.last, one.pod) for one in self._agent.pods() if one.pod is not None]
        everything = [container for one in pods for container in one["containers"]]
        whole = {key: sum(one[key] for one in everything) for key in ("cpu_ns", "memory_bytes")}
        return {"node": {"name": self._agent.name, **whole}, "pods": pods}


def _pod_usage(manifest: Object, pod: Pod) -> dict[str, Any]:
    metadata = manifest["metadata"]
    try:
        stats = pod.stats()
    except ContainerKitError:
        stats = {}  # it has just ended
    containers = [
        {
            "name": name,
            "cpu_ns": one.cpu.usage_ns if one.cpu else 0,
            "memory_bytes": one.memory.working_set if one.memory else 0,
        }
        for name, one in stats.items()
    ]
    return {"namespace": metadata["namespace"], "name": metadata["name"], "containers": containers}


def _moment(options: LogOptions) -> datetime | None:
    """From when on lines are wanted.

    Raises:
        StatusError: The client's time cannot be read.
    """
    if options.since_s is not None:
        return datetime.now(UTC) - timedelta(seconds=options.since_s)
    try:
        return parse_time(options.since) if options.since else None
    except ValueError:
        raise bad_request(f"sinceTime {options.since!r} is no time such as 2026-01-31T12:00:00Z") from None


def _plain(line: LogLine) -> bytes:
    return line.data + b"\n" if line.complete else line.data


def _stamped(line: LogLine) -> bytes:
    return line.timestamp.encode() + b" " + _plain(line)


def _limited(pieces: Iterator[bytes], limit: int | None) -> Iterator[bytes]:
    left = limit
    for piece in pieces:
        if left is not None and len(piece) >= left:
            yield piece[:left]
            return
        left = None if left is None else left - len(piece)
        yield piece


class LogStream:
    """Pieces of a log; `close` ends it from any thread, also while another waits for the next piece."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._interrupt = pieces, interrupts.Interrupt()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            with interrupts.working_for(self._interrupt):
                return next(self._pieces)
        except interrupts.Interrupted:
            raise StopIteration from None

    def close(self) -> None:
        """See the class; may be repeated."""
        self._interrupt.set()
