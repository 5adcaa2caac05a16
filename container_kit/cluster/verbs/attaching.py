"""The standard streams of a container's own process.

Source: Kubernetes API, ``connect GET requests to attach of Pod``; the subprotocols are those of exec.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator
from typing import Literal

from container_kit.cluster.client.client import Client
from container_kit.cluster.client.transport import Stream
from container_kit.cluster.verbs.execution import (
    ERROR,
    STDERR,
    STDIN,
    STDOUT,
    container_of,
    end_input,
    exit_code_of,
    interruptible,
    open_stream,
    pod_of,
)
from container_kit.cluster.verbs.targets import Target

__all__ = ["Input", "Output", "attach"]

Input = str | bytes | Iterable[bytes] | None
Output = tuple[Literal["stdout", "stderr"], bytes]
_NAMES: dict[int, Literal["stdout", "stderr"]] = {STDOUT: "stdout", STDERR: "stderr"}


def attach(client: Client, target: Target, container: str, input: Input) -> Iterator[Output]:
    """What the process writes from now on, until it ends or the iterator is closed.

    Raises:
        ApiError: The server could not attach; the container may not take input (``stdin: true``).
    """
    pod = pod_of(client, target)
    query: dict[str, str | list[str]] = {
        "container": container or container_of(pod),
        "stdout": "true",
        "stderr": "true",
    }
    if input is not None:
        query["stdin"] = "true"
    stream = open_stream(client, pod, "attach", query)
    if input is not None:
        pieces = (
            [input.encode()] if isinstance(input, str) else [input] if isinstance(input, bytes) else input
        )
        threading.Thread(target=_send, args=(stream, pieces), name=f"attach {target}", daemon=True).start()
    return _outputs(stream)


def _outputs(stream: Stream) -> Iterator[Output]:
    status = b""
    try:
        with interruptible(stream):
            while (message := stream.receive()) is not None:
                channel, data = message
                if channel in _NAMES:
                    yield _NAMES[channel], data
                elif channel == ERROR:
                    status += data
    finally:
        stream.close()
    exit_code_of(status)


def _send(stream: Stream, pieces: Iterable[bytes]) -> None:
    with contextlib.suppress(OSError):  # the process has ended, and did not want the rest
        for piece in pieces:
            stream.send(STDIN, piece)
        end_input(stream)
