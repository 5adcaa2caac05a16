"""Running a program in a container of a pod.

Source: Kubernetes API, ``connect GET requests to exec of Pod``; subprotocols ``v5.channel.k8s.io`` and
``v4.channel.k8s.io``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import IO, Any

import msgspec

from container_kit.cluster.client.client import Client
from container_kit.cluster.client.errors import api_error
from container_kit.cluster.client.transport import Stream
from container_kit.cluster.verbs.explaining import is_ready, state_of
from container_kit.cluster.verbs.targets import Target, pods_of
from container_kit.containers.results import ExecResult
from container_kit.errors import CommandFailed, NotFound
from container_kit.native.interrupts import hooked

__all__ = ["container_of", "end_input", "execute", "exit_code_of", "interruptible", "open_stream", "pod_of"]

Object = dict[str, Any]
PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)
_CLOSE = 255  # v5: the channel named by the first byte is at its end
_LAST_WORDS = 64 << 10
_PIECE = 1 << 15
_DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


def pod_of(client: Client, target: Target) -> Object:
    """The pod that is meant: of a workload, one that is ready.

    Raises:
        NotFound: It has none that runs.
    """
    pods = pods_of(client, target)
    running = [pod for pod in pods if pod.get("status", {}).get("phase") == "Running"]
    ready = [pod for pod in running if is_ready(pod)]
    if not running:
        states = "; ".join(f"pod {pod['metadata']['name']}: {state_of(pod)}" for pod in pods[:3])
        hint = f"{states or 'it has no pods'}; wait(..., 'Ready') waits for one"
        raise NotFound("running pod", str(target), hint)
    return (ready or running)[0]


def open_stream(
    client: Client,
    pod: Object,
    verb: str,
    query: dict[str, str | list[str]],
    protocols: tuple[str, ...] = PROTOCOLS,
) -> Stream:
    """The stream of one verb of one pod: ``exec``, ``attach``, ``portforward``."""
    meta = pod["metadata"]
    return client.stream(
        client.resource("pods").path(meta["namespace"], meta["name"], verb), query, protocols
    )


def execute(
    client: Client,
    target: Target,
    command: Sequence[str],
    *,
    container: str = "",
    input: str | bytes | None = None,
    text: bool = True,
    check: bool = False,
    output: IO[bytes] | None = None,
) -> ExecResult:
    """Run *command* to its end, as `Container.exec` does.

    Args:
        output: Where to write its standard output, which is then not kept in memory, nor more than the end of
            its standard error.

    Raises:
        CommandFailed: With *check*, its exit code is not 0.
        ApiError: The server did not start it.
    """
    pod = pod_of(client, target)
    query: dict[str, str | list[str]] = {
        "command": list(command),
        "container": container or container_of(pod),
        "stdout": "true",
        "stderr": "true",
    }
    if input is not None:
        query["stdin"] = "true"
    begin = time.monotonic()
    stream = open_stream(client, pod, "exec", query)
    try:
        with interruptible(stream):
            code, out, err = _exchange(stream, input, output)
    finally:
        stream.close()
    result = _result(code, out, err, time.monotonic() - begin, text, tuple(command))
    if check and code:
        raise CommandFailed(command, code, stdout=result.stdout, stderr=result.stderr)
    return result


def _exchange(
    stream: Stream, input: str | bytes | None, output: IO[bytes] | None
) -> tuple[int, bytes, bytes]:
    sender = None
    if input is not None:
        data = input.encode() if isinstance(input, str) else input
        sender = threading.Thread(target=_send_input, args=(stream, data), daemon=True)
        sender.start()
    parts: dict[int, bytearray] = {STDOUT: bytearray(), STDERR: bytearray(), ERROR: bytearray()}
    while (message := stream.receive()) is not None:
        channel, data = message
        if channel == STDOUT and output is not None:
            output.write(data)
        elif channel in parts:
            parts[channel] += data
            if output is not None:
                del parts[channel][:-_LAST_WORDS]
    stream.close()
    if sender is not None:
        sender.join()
    return exit_code_of(bytes(parts[ERROR])), bytes(parts[STDOUT]), bytes(parts[STDERR])


def _send_input(stream: Stream, data: bytes) -> None:
    try:
        for start in range(0, len(data), _PIECE):
            stream.send(STDIN, data[start : start + _PIECE])
        end_input(stream)
    except OSError:
        pass  # the program ended and did not want the rest


def end_input(stream: Stream) -> None:
    """Let the program see the end of its input, where the protocol can say so."""
    if stream.protocol == PROTOCOLS[0]:
        stream.send(_CLOSE, bytes([STDIN]))


def interruptible(stream: Stream) -> AbstractContextManager[None]:
    """A block in which the stream ends when this thread is interrupted."""
    return hooked(lambda: threading.Thread(target=stream.close, daemon=True).start())


def container_of(pod: Object) -> str:
    """The container that is meant when none is named."""
    annotations = pod["metadata"].get("annotations") or {}
    return str(annotations.get(_DEFAULT_CONTAINER) or pod["spec"]["containers"][0]["name"])


def exit_code_of(status: bytes) -> int:
    """What the status on the error channel says.

    Raises:
        ApiError: The program did not run.
    """
    document: Object = msgspec.json.decode(status) if status else {"status": "Success"}
    if document.get("status") == "Success":
        return 0
    for cause in (document.get("details") or {}).get("causes") or ():
        if cause.get("reason") == "ExitCode":
            return int(cause["message"])
    raise api_error(document)


def _result(
    code: int, out: bytes, err: bytes, duration_s: float, text: bool, command: tuple[str, ...]
) -> ExecResult:
    stdout, stderr = (part.decode(errors="replace") if text else part for part in (out, err))
    return ExecResult(exit_code=code, stdout=stdout, stderr=stderr, duration_s=duration_s, command=command)
