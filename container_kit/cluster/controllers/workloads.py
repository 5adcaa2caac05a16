"""All controllers of workloads and of what every namespace needs, ready to run."""

from __future__ import annotations

from container_kit.cluster.controllers.accounts import RootCaPublisher, ServiceAccountController
from container_kit.cluster.controllers.contents import Contents
from container_kit.cluster.controllers.cronjobs import CronJobController
from container_kit.cluster.controllers.daemonsets import DaemonSetController
from container_kit.cluster.controllers.deployments import DeploymentController
from container_kit.cluster.controllers.endings import NodeTtlController, PodCollector, TtlController
from container_kit.cluster.controllers.framework import Manager
from container_kit.cluster.controllers.garbage import GarbageCollector
from container_kit.cluster.controllers.jobs import JobController
from container_kit.cluster.controllers.namespaces import NamespaceController
from container_kit.cluster.controllers.replicasets import REPLICATION_CONTROLLERS, ReplicaSetController
from container_kit.cluster.controllers.statefulsets import StatefulSetController
from container_kit.cluster.controllers.tokens import Sign, TokenController

__all__ = ["add_workload_controllers"]


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
        DeploymentController(manager),
        ReplicaSetController(manager),
        ReplicaSetController(manager, REPLICATION_CONTROLLERS),
        StatefulSetController(manager),
        DaemonSetController(manager),
        JobController(manager),
        CronJobController(manager),
        TtlController(manager),
        PodCollector(manager),
        NodeTtlController(manager),
    ):
        manager.add(controller)
