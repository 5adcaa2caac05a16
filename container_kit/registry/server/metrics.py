"""What the server counts, in the text form of Prometheus.  No names of repositories or users are in it."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from container_kit.registry.server.errors import Refusal
from container_kit.registry.server.routes import parse_route

__all__ = ["Metrics"]

_BUCKETS = (0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60)


class Metrics:
    """The figures of one server."""

    def __init__(self, connections: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        labels = ["endpoint", "method", "status"]
        self._requests = Counter("registry_requests", "Requests answered", labels, registry=self._registry)
        self._seconds = Histogram(
            "registry_request_seconds",
            "Time to answer a request",
            ["endpoint", "method"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._sent = Counter("registry_sent_bytes", "Bytes of bodies sent", registry=self._registry)
        self._received = Counter(
            "registry_received_bytes", "Bytes of bodies announced by clients", registry=self._registry
        )
        gauge = Gauge("registry_connections", "Open connections", registry=self._registry)
        gauge.set_function(connections)

    def count(self, request: web.BaseRequest, response: web.StreamResponse, seconds: float) -> None:
        """Add one answered request."""
        endpoint, method = _endpoint(request.rel_url.raw_path), _method(request.method)
        self._requests.labels(endpoint, method, str(response.status)).inc()
        self._seconds.labels(endpoint, method).observe(seconds)
        if request.method != "HEAD":
            self._sent.inc(response.content_length or 0)
        self._received.inc(request.content_length or 0)

    def text(self) -> bytes:
        """All figures."""
        return generate_latest(self._registry)


def _endpoint(path: str) -> str:
    try:
        return parse_route(path).endpoint
    except Refusal:
        return "other"


def _method(method: str) -> str:
    """A client cannot make new series by inventing methods."""
    return method if method in ("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE") else "other"
