"""The garbage collector: objects whose owners are gone go, too.

`graph` knows who belongs to whom (pure), `collector` deletes.
"""

from container_kit.cluster.controllers.garbage.collector import GarbageCollector

__all__ = ["GarbageCollector"]
