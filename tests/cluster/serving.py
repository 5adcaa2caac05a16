"""A pod with an HTTP server that busybox has, and a client for it."""

from __future__ import annotations

from typing import Any
from urllib.request import urlopen

__all__ = ["http_pod", "read_url"]


def http_pod(name: str, words: str = "it works", port: int = 8080) -> dict[str, Any]:
    """Serves *words* at ``/`` on *port*."""
    page = f"busybox mkdir /tmp/www; echo '{words}' > /tmp/www/index.html"
    script = f"{page}; exec busybox httpd -f -p {port} -h /tmp/www"
    container = {
        "name": "main",
        "image": "box:1",
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", script],
        "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }


def read_url(port: int) -> str:
    """What ``/`` of a port of this machine says."""
    with urlopen(f"http://127.0.0.1:{port}/", timeout=20) as answer:
        text: str = answer.read().decode()
    return text
