"""Nodes: are they still there, what must be known of them, and what becomes of their pods when they are not.

Pure words on conditions and taints are in `health`; the controllers are `NodeLifecycleController` and
`TaintEvictionController`.
"""

from container_kit.cluster.controllers.nodes.eviction import (
    TaintEvictionController as TaintEvictionController,
)
from container_kit.cluster.controllers.nodes.lifecycle import (
    NodeLifecycleController as NodeLifecycleController,
)

__all__ = ["NodeLifecycleController", "TaintEvictionController"]
