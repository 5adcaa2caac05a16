"""An API server with its admission plugins."""

from __future__ import annotations

from typing import Any

import pytest

from container_kit.cluster.api.admission import default_plugins
from tests.cluster.api.conftest import Asking

__all__ = ["Admitting"]

PODS = "/api/v1/namespaces/default/pods"


class Admitting(Asking):
    """An API whose writes are judged; the namespace default is there, with its service account."""

    def __init__(self) -> None:
        super().__init__()
        self.namespace("default")
        self.api.admission.use(default_plugins(self.api.core))

    def namespace(self, name: str, **labels: str) -> None:
        """A namespace that pods can be made in."""
        named = {key.replace("_", "-"): value for key, value in labels.items()}
        prefixed = {f"pod-security.kubernetes.io/{key}": value for key, value in named.items()}
        self.do("POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": prefixed}})
        self.do("POST", f"/api/v1/namespaces/{name}/serviceaccounts", {"metadata": {"name": "default"}})

    def pod(self, name: str = "p", namespace: str = "default", **spec: Any) -> Any:
        """A pod of one container, as it was stored."""
        return self.do("POST", f"/api/v1/namespaces/{namespace}/pods", pod(name, **spec))


def pod(name: str = "p", **spec: Any) -> dict[str, Any]:
    """A pod of one container."""
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "busybox"}]} | spec}


@pytest.fixture
def admitting() -> Admitting:
    return Admitting()
