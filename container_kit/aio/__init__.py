"""The same library for programs that run an event loop: everything that waits is awaited.

Names, arguments, results and errors are those of `container_kit`; values (images, results, options, wait
strategies) are the same objects.  What is cancelled has ended, and left nothing, when CancelledError comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from container_kit._lazy import resolver

if TYPE_CHECKING:
    from container_kit.aio.cluster import Cluster
    from container_kit.aio.container import Container
    from container_kit.aio.image import Image
    from container_kit.aio.pod import Pod
    from container_kit.aio.processes import ExecProcess
    from container_kit.aio.running import run
    from container_kit.aio.sandbox import Sandbox

_HOME = {
    "Cluster": ".cluster",
    "Container": ".container",
    "ExecProcess": ".processes",
    "Image": ".image",
    "Pod": ".pod",
    "Sandbox": ".sandbox",
    "run": ".running",
}

__all__ = ["Cluster", "Container", "ExecProcess", "Image", "Pod", "Sandbox", "run"]

__getattr__ = resolver(__name__, _HOME)
