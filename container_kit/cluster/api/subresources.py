"""Which resource and subresource is handled by what, where it is not the plain handler of the verb:
tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from container_kit.cluster.api.binding import bind
from container_kit.cluster.api.core import Call
from container_kit.cluster.api.eviction import evict
from container_kit.cluster.api.messages import Response
from container_kit.cluster.api.parts import approval, finalizing
from container_kit.cluster.api.patching import patch
from container_kit.cluster.api.pod_streams import attach, exec_, log, port_forward
from container_kit.cluster.api.proxying import proxy_to_node, proxy_to_pod, proxy_to_service
from container_kit.cluster.api.reading import get
from container_kit.cluster.api.scaling import get_scale, patch_scale, update_scale
from container_kit.cluster.api.token_requests import request_token
from container_kit.cluster.api.writing import update

__all__ = ["SUBRESOURCES"]

Handlers = Mapping[str, Callable[[Call], Response]]

# Parts of the object itself: what may change is for the strategy to say.
_WHOLE: Handlers = {"get": get, "update": update, "patch": patch}
_PROXIED = ("create", "delete", "get", "patch", "update")

# By the store's name of the resource (empty: of any) and the subresource.
SUBRESOURCES: dict[tuple[str, str], Handlers] = {
    ("", "status"): _WHOLE,
    ("", "scale"): {"get": get_scale, "update": update_scale, "patch": patch_scale},
    ("namespaces", "finalize"): finalizing,
    ("certificatesigningrequests.certificates.k8s.io", "approval"): approval,
    ("pods", "ephemeralcontainers"): _WHOLE,
    ("pods", "resize"): _WHOLE,
    ("pods", "binding"): {"create": bind},
    ("pods", "eviction"): {"create": evict},
    ("pods", "log"): {"get": log},
    ("pods", "exec"): {"get": exec_, "create": exec_},
    ("pods", "attach"): {"get": attach, "create": attach},
    ("pods", "portforward"): {"get": port_forward, "create": port_forward},
    ("serviceaccounts", "token"): {"create": request_token},
    ("pods", "proxy"): dict.fromkeys(_PROXIED, proxy_to_pod),
    ("services", "proxy"): dict.fromkeys(_PROXIED, proxy_to_service),
    ("nodes", "proxy"): dict.fromkeys(_PROXIED, proxy_to_node),
}
