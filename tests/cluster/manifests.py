"""Pods and deployments of busybox, as dicts."""

from __future__ import annotations

from typing import Any

__all__ = ["config_map", "deployment", "pod"]


def pod(name: str, script: str = "sleep 1000", **spec: Any) -> dict[str, Any]:
    """One container ``main`` that runs *script*, and goes at once when it is deleted."""
    container = {
        "name": "main",
        "image": "box:1",
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", script],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0, **spec},
    }


def deployment(name: str, script: str = "sleep 1000", replicas: int = 2) -> dict[str, Any]:
    """Of such pods."""
    template = pod(name, script)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": template["spec"]},
        },
    }


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
