"""Custom kinds of the group ``clients.test``."""

from __future__ import annotations

from typing import Any

__all__ = ["definition"]


def definition(plural: str, kind: str, **version: Any) -> dict[str, Any]:
    """Namespaced, with ``spec.size``, a number, and any status; *version* has more of its one version."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    spec = {"type": "object", "properties": {"size": {"type": "integer", "minimum": 0}}}
    schema = {"type": "object", "properties": {"spec": spec, "status": anything}}
    served = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.clients.test"},
        "spec": {
            "group": "clients.test",
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind},
            "versions": [served | version],
        },
    }
