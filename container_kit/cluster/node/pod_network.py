"""How a pod finds names: what its ``dnsPolicy`` gives it, beside its own ``dnsConfig``.

Source: Kubernetes, "DNS for Services and Pods".
"""

from __future__ import annotations

from typing import Any

__all__ = ["dns_of"]

Object = dict[str, Any]


def dns_of(spec: Object, namespace: str, *, server: str, domain: str) -> dict[str, tuple[str, ...]]:
    """``servers``, ``search`` and ``options`` of the cluster; empty where this machine's are to be used.

    Args:
        server: The address of the cluster's DNS; empty when it has none.
        domain: The cluster's, ``cluster.local``.
    """
    policy = spec.get("dnsPolicy") or "ClusterFirst"
    on_host = spec.get("hostNetwork") and policy == "ClusterFirst"
    if not server or on_host or not policy.startswith("ClusterFirst"):
        return {}
    search = (f"{namespace}.svc.{domain}", f"svc.{domain}", domain)
    return {"servers": (server,), "search": search, "options": ("ndots:5",)}
