"""/version, /healthz, /livez, /readyz: whether the server is there and what it is.

Source: apiserver server/healthz; the checks are those of the original, so that tools find them.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any

from container_kit._version import __version__
from container_kit.cluster.api.encoding import text_response
from container_kit.cluster.api.messages import Request, Response
from container_kit.cluster.api.routing import is_true

__all__ = ["CHECKS", "check_health", "root_paths", "version_document"]

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def version_document() -> dict[str, str]:
    """What kind of server this is: as clients compare it, Kubernetes 1.32."""
    return {
        "major": "1",
        "minor": "32",
        "gitVersion": "v1.32.12",
        "gitCommit": f"container-kit-{__version__}",
        "gitTreeState": "clean",
        "buildDate": "2026-01-01T00:00:00Z",
        "goVersion": "go1.24.11",
        "compiler": "gc",
        "platform": f"linux/{_MACHINES.get(platform.machine(), platform.machine())}",
    }


_HOOKS = [
    "start-apiserver-admission-initializer",
    "generic-apiserver-start-informers",
    "priority-and-fairness-config-consumer",
    "priority-and-fairness-filter",
    "storage-object-count-tracker-hook",
    "start-apiextensions-informers",
    "start-apiextensions-controllers",
    "crd-informer-synced",
    "start-system-namespaces-controller",
    "start-cluster-authentication-info-controller",
    "start-kube-apiserver-identity-lease-controller",
    "start-kube-apiserver-identity-lease-garbage-collector",
    "start-legacy-token-tracking-controller",
    "start-service-ip-repair-controllers",
    "rbac/bootstrap-roles",
    "scheduling/bootstrap-system-priority-classes",
    "priority-and-fairness-config-producer",
    "bootstrap-controller",
    "aggregator-reload-proxy-client-cert",
    "start-kube-aggregator-informers",
    "apiservice-status-local-available-controller",
    "apiservice-status-remote-available-controller",
    "apiservice-registration-controller",
    "apiservice-wait-for-first-sync",
    "apiservice-discovery-controller",
    "kube-apiserver-autoregistration",
]
_LATE_HOOKS = ["apiservice-openapi-controller", "apiservice-openapiv3-controller"]


def _checks(*first: str) -> list[str]:
    hooks = [f"poststarthook/{hook}" for hook in _HOOKS]
    late = [f"poststarthook/{hook}" for hook in _LATE_HOOKS]
    return [*first, *hooks, "autoregister-completion", *late]


CHECKS = {
    "healthz": _checks("ping", "log", "etcd"),
    "livez": _checks("ping", "log", "etcd"),
    "readyz": [*_checks("ping", "log", "informer-sync"), "shutdown"],
}


def check_health(request: Request, kind: str, check: str, is_ready: Callable[[], bool]) -> Response:
    """All checks of a kind, or one of them.

    Args:
        kind: ``healthz``, ``livez`` or ``readyz``.
        check: One of its checks; empty for all.
    """
    known = CHECKS[kind]
    if check:
        return text_response("ok") if check in known else text_response("404 page not found\n", 404)
    failed = {"informer-sync"} if kind == "readyz" and not is_ready() else set()
    excluded = set(request.query.get("exclude", []))
    verbose = request.query.get("verbose")
    if not failed - excluded and not (verbose is not None and is_true(verbose[0])):
        return text_response("ok")
    lines = [_line(name, name in excluded, name in failed) for name in known]
    unknown = sorted(excluded - set(known))
    if unknown:
        lines.append(f"warn: some health checks cannot be excluded: no matches for {_quoted(unknown)}")
    is_failed = bool(failed - excluded)
    lines.append(f"{kind} check {'failed' if is_failed else 'passed'}\n")
    return text_response("\n".join(lines), 500 if is_failed else 200)


def _line(name: str, is_excluded: bool, is_failed: bool) -> str:
    if is_excluded:
        return f"[+]{name} excluded: ok"
    return f"[-]{name} failed: reason withheld" if is_failed else f"[+]{name} ok"


def _quoted(names: list[str]) -> str:
    return ",".join(f'"{name}"' for name in names)


_PATHS = (
    "/.well-known/openid-configuration",
    "/api",
    "/api/v1",
    "/apis",
    "/apis/",
    "/metrics",
    "/metrics/slis",
    "/openapi/v2",
    "/openapi/v3",
    "/openapi/v3/",
    "/openid/v1/jwks",
    "/version",
)


def root_paths(groups: dict[str, list[str]]) -> dict[str, Any]:
    """What / answers: the paths that there are."""
    paths = set(_PATHS)
    for group, versions in groups.items():
        paths |= {f"/apis/{group}", *(f"/apis/{group}/{version}" for version in versions)}
    for kind, checks in CHECKS.items():
        paths |= {f"/{kind}", *(f"/{kind}/{check}" for check in checks)}
    return {"paths": sorted(paths)}
