"""Content-addressed blobs, trees, names, leases, locks and garbage collection below one root directory.

The store never learns what the bytes it keeps mean.  Names are resolved on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from container_kit._lazy import resolver

if TYPE_CHECKING:
    from container_kit.store.blobs import Ingest
    from container_kit.store.collect import Collected
    from container_kit.store.fsck import Problem, Report
    from container_kit.store.layout import default_root
    from container_kit.store.leases import Lease
    from container_kit.store.store import Store
    from container_kit.store.trees import TreeDraft
    from container_kit.store.usage import Usage

__all__ = [
    "Collected",
    "Ingest",
    "Lease",
    "Problem",
    "Report",
    "Store",
    "TreeDraft",
    "Usage",
    "default_root",
]

_HOME = {
    "Collected": ".collect",
    "Ingest": ".blobs",
    "Lease": ".leases",
    "Problem": ".fsck",
    "Report": ".fsck",
    "Store": ".store",
    "TreeDraft": ".trees",
    "Usage": ".usage",
    "default_root": ".layout",
}

__getattr__ = resolver(__name__, _HOME)
