"""Who manages which fields: metadata.managedFields on every write.

Source: Kubernetes, "Server-Side Apply"; the bookkeeping itself is `container_kit.cluster.schema`'s.
"""

from __future__ import annotations

from container_kit.cluster.api.core import Call
from container_kit.cluster.api.options import WriteOptions
from container_kit.cluster.meta.objects import Object

__all__ = ["track"]


def track(call: Call, old: Object | None, new: Object, options: WriteOptions) -> None:
    """Note in *new* that the manager of this request wrote what differs from *old*."""
