"""The scheduler: finds a node for each pod.

From the outside there is `Scheduler`.  Inside, what is known (`state`, `nodes`, `pods`, `requests`) lies
apart from what is decided (`filters`, `scores`, `spread`, `affinity`, `volumes`, `placement`, `preemption`)
and from who is next (`queue`).
"""

from container_kit.cluster.scheduler.scheduler import Scheduler as Scheduler

__all__ = ["Scheduler"]
