"""Writing a status, if it changed.

Source: Kubernetes API conventions, "spec and status", "Optional vs. Required" (zero values are left out).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from container_kit.cluster.client import Client
from container_kit.cluster.meta import Object

__all__ = ["as_written", "write_status"]


def as_written(values: Mapping[str, Any]) -> Object:
    """*values* without those that are not written when they are empty: zero, none, empty lists and texts."""
    return {key: value for key, value in values.items() if value}


def write_status(client: Client, obj: Object, status: Object) -> Object:
    """Give *obj* the status, unless it has it; returns the object with it.

    Raises:
        ApiConflict: The object changed since it was seen: look again.
    """
    if obj.get("status", {}) == status:
        return obj
    return client.update_status({**obj, "status": status})
