"""/metrics: what the server has done and what it holds, in the text format of Prometheus.

The names are those of the original, so that its dashboards work.

Source: Kubernetes Metrics Reference; Prometheus exposition format 0.0.4.
"""

from __future__ import annotations

import resource
import threading
import time
from collections import Counter

from container_kit.cluster.api.messages import Request, Response, User
from container_kit.cluster.api.resources import Registry
from container_kit.cluster.api.routing import Route
from container_kit.cluster.store import Store

__all__ = ["Metrics"]

_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counts requests, and tells about them and the store."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store, self._registry = store, registry
        self._requests: Counter[tuple[str, str, str, str, int]] = Counter()
        self._lock = threading.Lock()
        self._began_s = time.time()

    def count(self, route: Route, code: int) -> None:
        """One more request was answered."""
        key = (*self._known(route), code)
        with self._lock:
            self._requests[key] += 1

    def _known(self, route: Route) -> tuple[str, str, str, str]:
        """What is counted: only what there is, as names that clients make up would never end."""
        found = self._registry.find(route.group, route.version, route.resource) if route.is_resource else None
        if found is None or route.subresource not in ("", *found.subresources):
            return ("OTHER", "", "", "")
        return (route.verb.upper(), route.group, route.resource, route.subresource)

    def answer(self, request: Request, user: User) -> Response:
        """The page."""
        text = "\n".join([*self._request_lines(), *self._object_lines(), *self._process_lines()])
        return Response(200, {"Content-Type": _TYPE}, f"{text}\n".encode())

    def _request_lines(self) -> list[str]:
        with self._lock:
            counts = sorted(self._requests.items())
        lines = [
            "# HELP apiserver_request_total Requests by verb, group, resource, subresource and code.",
            "# TYPE apiserver_request_total counter",
        ]
        for (verb, group, plural, subresource, code), count in counts:
            labels = (
                f'code="{code}",group="{group}",resource="{plural}",subresource="{subresource}",verb="{verb}"'
            )
            lines.append(f"apiserver_request_total{{{labels}}} {count}")
        return lines

    def _object_lines(self) -> list[str]:
        lines = [
            "# HELP apiserver_storage_objects Stored objects by resource.",
            "# TYPE apiserver_storage_objects gauge",
        ]
        for key in sorted({each.key for each in self._registry if "list" in each.verbs}):
            lines.append(
                f'apiserver_storage_objects{{resource="{key}"}} {len(self._store.list(key).records)}'
            )
        return lines

    def _process_lines(self) -> list[str]:
        used = resource.getrusage(resource.RUSAGE_SELF)
        return [
            "# TYPE process_cpu_seconds_total counter",
            f"process_cpu_seconds_total {used.ru_utime + used.ru_stime:.3f}",
            "# TYPE process_start_time_seconds gauge",
            f"process_start_time_seconds {self._began_s:.3f}",
        ]
