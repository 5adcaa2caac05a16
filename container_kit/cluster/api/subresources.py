"""Which subresource is handled by what: a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from container_kit.cluster.api.core import Call
from container_kit.cluster.api.messages import Response
from container_kit.cluster.api.patching import patch
from container_kit.cluster.api.reading import get
from container_kit.cluster.api.writing import update

__all__ = ["SUBRESOURCES"]

Handlers = Mapping[str, Callable[[Call], Response]]

# Parts of the object itself: what may change is for the strategy to say.
_WHOLE: Handlers = {"get": get, "update": update, "patch": patch}

SUBRESOURCES: dict[tuple[str, str], Handlers] = {
    ("", "status"): _WHOLE,
    ("namespaces", "finalize"): _WHOLE,
    ("pods", "ephemeralcontainers"): _WHOLE,
    ("pods", "resize"): _WHOLE,
    ("certificatesigningrequests.certificates.k8s.io", "approval"): _WHOLE,
}
