"""All controllers of workloads and of what every namespace needs, ready to run.

Those of one kind of workload sleep until there is one.
"""

from __future__ import annotations

from container_kit.cluster.controllers.accounts import RootCaPublisher, ServiceAccountController
from container_kit.cluster.controllers.contents import Contents
from container_kit.cluster.controllers.endings import NodeTtlController, PodCollector, TtlController
from container_kit.cluster.controllers.framework import Manager, Waker, anything
from container_kit.cluster.controllers.garbage import GarbageCollector
from container_kit.cluster.controllers.namespaces import NamespaceController
from container_kit.cluster.controllers.sleeping import add_sleeping
from container_kit.cluster.controllers.tokens import Sign, TokenController
from container_kit.cluster.meta import Object

__all__ = ["add_workload_controllers"]


def _waits_for_job(pod: Object) -> bool:
    """A pod may wait for the controller of a Job that is gone."""
    return "batch.kubernetes.io/job-tracking" in (pod["metadata"].get("finalizers") or ())


_OF_WORKLOADS: dict[str, dict[str, Waker]] = {
    "deployments:DeploymentController": {"deployments.apps": anything},
    "replicasets:ReplicaSetController": {"replicasets.apps": anything},
    "replicasets:replication_controllers": {"replicationcontrollers": anything},
    "statefulsets:StatefulSetController": {"statefulsets.apps": anything},
    "daemonsets:DaemonSetController": {"daemonsets.apps": anything},
    "jobs:JobController": {"jobs.batch": anything, "pods": _waits_for_job},
    "cronjobs:CronJobController": {"cronjobs.batch": anything},
}


def add_workload_controllers(
    manager: Manager, certificate: str, sign: Sign, *, namespace_delay_s: float = 0.0
) -> None:
    """Let *manager* run them.

    Args:
        certificate: That of the server's authority, PEM; every namespace gets it.
        sign: Makes the token of an account (its first argument) for a Secret (the second).
        namespace_delay_s: For how long a namespace that is to go keeps what is in it.
    """
    contents = Contents(manager)
    for controller in (
        contents,
        ServiceAccountController(manager),
        RootCaPublisher(manager, certificate),
        TokenController(manager, certificate, sign),
        NamespaceController(manager, contents, namespace_delay_s),
        GarbageCollector(manager, contents),
        TtlController(manager),
        PodCollector(manager),
        NodeTtlController(manager),
    ):
        manager.add(controller)
    add_sleeping(manager, _OF_WORKLOADS)
