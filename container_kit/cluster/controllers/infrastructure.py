"""All controllers of what workloads stand on, ready to run: nodes, services, volumes, limits, load."""

from __future__ import annotations

from container_kit.cluster.controllers.aggregation import ClusterRoleAggregation
from container_kit.cluster.controllers.autoscaling import HorizontalPodAutoscaler
from container_kit.cluster.controllers.certificates import CertificateController, Sign
from container_kit.cluster.controllers.disruption import DisruptionController
from container_kit.cluster.controllers.framework import Manager
from container_kit.cluster.controllers.nodes import NodeLifecycleController, TaintEvictionController
from container_kit.cluster.controllers.policies import PolicyStatus
from container_kit.cluster.controllers.quotas import QuotaController
from container_kit.cluster.controllers.services import (
    EndpointsController,
    EndpointSliceController,
    EndpointSliceMirroringController,
)
from container_kit.cluster.controllers.volumes import (
    ClaimProtection,
    EphemeralVolumes,
    LocalProvisioner,
    VolumeBinder,
    VolumeProtection,
)

__all__ = ["add_infrastructure_controllers"]


def add_infrastructure_controllers(manager: Manager, sign: Sign, volumes_directory: str) -> None:
    """Let *manager* run them.

    Args:
        sign: The cluster's authority, for certificate signing requests.
        volumes_directory: Where the volumes of the class with provisioner ``container-kit/local`` are.
    """
    for controller in (
        NodeLifecycleController(manager),
        TaintEvictionController(manager),
        QuotaController(manager),
        DisruptionController(manager),
        EndpointsController(manager),
        EndpointSliceController(manager),
        EndpointSliceMirroringController(manager),
        VolumeBinder(manager),
        LocalProvisioner(manager, volumes_directory),
        ClaimProtection(manager),
        EphemeralVolumes(manager),
        VolumeProtection(manager),
        HorizontalPodAutoscaler(manager),
        ClusterRoleAggregation(manager),
        CertificateController(manager, sign),
        PolicyStatus(manager),
    ):
        manager.add(controller)
