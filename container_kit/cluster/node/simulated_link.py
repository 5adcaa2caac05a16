"""What the API server gets when it asks a simulated node: no logs, no programs, and usage as annotations say.

``fake/cpu``, ``fake/memory``
    What a running pod uses, in all its containers together (``1m`` and ``1Mi``); may be changed at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn

from container_kit.cluster.api.messages import Duplex
from container_kit.cluster.api.nodes import LogOptions, StreamOptions
from container_kit.cluster.meta import (
    Clock,
    Object,
    annotations_of,
    name_of,
    namespace_of,
    parse_time,
    quantity,
    uid_of,
)
from container_kit.cluster.meta.status import bad_request

__all__ = ["SimulatedLink"]


class SimulatedLink:
    """One simulated node, as the API server sees it.

    Args:
        pods: The pods of the node, as they are now.
        clock: Processor time is counted by it.
    """

    def __init__(self, pods: Callable[[], Iterable[Object]], clock: Clock) -> None:
        self._pods, self._clock = pods, clock
        self._used: dict[str, tuple[float, float]] = {}  # by uid: when it was counted, seconds of a processor

    def logs(self, pod: Object, container: str, options: LogOptions) -> Iterator[bytes]:
        yield from ()

    def exec(
        self, pod: Object, container: str, command: list[str], options: StreamOptions, streams: Duplex
    ) -> int:
        _refuse(pod, "runs no program")

    def attach(self, pod: Object, container: str, options: StreamOptions, streams: Duplex) -> int:
        _refuse(pod, "has no process to attach to")

    def port_forward(self, pod: Object, port: int) -> Any:
        _refuse(pod, f"does not listen on port {port}")

    def stats(self) -> dict[str, Any]:
        running = [pod for pod in self._pods() if (pod.get("status") or {}).get("phase") == "Running"]
        found = [self._usage(pod) for pod in running]
        alive = {uid_of(pod) for pod in running}
        self._used = {uid: count for uid, count in self._used.items() if uid in alive}
        return {"node": {}, "pods": found}

    def _usage(self, pod: Object) -> dict[str, Any]:
        notes, containers = annotations_of(pod), pod["spec"]["containers"]
        memory = int(quantity(notes.get("fake/memory", "1Mi")))
        cpu_ns = int(self._cpu_s(pod, float(quantity(notes.get("fake/cpu", "1m")))) * 1e9)
        return {
            "namespace": namespace_of(pod),
            "name": name_of(pod),
            "containers": [
                {
                    "name": container["name"],
                    "cpu_ns": cpu_ns // len(containers),
                    "memory_bytes": memory // len(containers),
                }
                for container in containers
            ],
        }

    def _cpu_s(self, pod: Object, rate: float) -> float:
        """Seconds of a processor that the pod has used, which only ever grow."""
        now_s = self._clock.monotonic()
        age_s = (self._clock.now() - parse_time(pod["status"]["startTime"])).total_seconds()
        counted_s, used_s = self._used.get(uid_of(pod), (now_s - age_s, 0.0))
        used_s += rate * (now_s - counted_s)
        self._used[uid_of(pod)] = now_s, used_s
        return used_s


def _refuse(pod: Object, what: str) -> NoReturn:
    raise bad_request(f"pod {name_of(pod)} is on a simulated node and {what}")
