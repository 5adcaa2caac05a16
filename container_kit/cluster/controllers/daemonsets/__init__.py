"""DaemonSets: one pod on each node that fits.

`nodes` knows which nodes fit and what a pod for one looks like, `steps` decides what to create and delete,
both pure; `controller` reads, asks them and writes.
"""

from container_kit.cluster.controllers.daemonsets.controller import DaemonSetController

__all__ = ["DaemonSetController"]
