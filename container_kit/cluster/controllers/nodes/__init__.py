"""Nodes: are they still there, what must be known of them, and what becomes of their pods when they are not.

Pure words on conditions and taints are in `health`; the controllers are `NodeLifecycleController` and
`TaintEvictionController`, which sleeps until there is something to drive away.
"""

from typing import TYPE_CHECKING

from container_kit._lazy import resolver
from container_kit.cluster.controllers.nodes.lifecycle import (
    NodeLifecycleController as NodeLifecycleController,
)

if TYPE_CHECKING:
    from container_kit.cluster.controllers.nodes.eviction import (
        TaintEvictionController as TaintEvictionController,
    )

__all__ = ["NodeLifecycleController", "TaintEvictionController"]

__getattr__ = resolver(__name__, {"TaintEvictionController": ".eviction"})
