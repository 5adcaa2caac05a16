"""All controllers of what workloads stand on, ready to run: nodes, services, volumes, limits, load.

Those for what few clusters have sleep until there is some of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from container_kit.cluster.controllers.aggregation import ClusterRoleAggregation
from container_kit.cluster.controllers.framework import Manager, Waker, anything
from container_kit.cluster.controllers.nodes import NodeLifecycleController
from container_kit.cluster.controllers.services import (
    EndpointsController,
    EndpointSliceController,
    EndpointSliceMirroringController,
)
from container_kit.cluster.controllers.sleeping import add_sleeping
from container_kit.cluster.meta import Object

if TYPE_CHECKING:
    from container_kit.cluster.controllers.certificates import Sign

__all__ = ["add_infrastructure_controllers"]

_CLAIMS, _VOLUMES = "persistentvolumeclaims", "persistentvolumes"


def _drives_away(node: Object) -> bool:
    return any(taint.get("effect") == "NoExecute" for taint in node["spec"].get("taints") or ())


def _brings_volumes(pod: Object) -> bool:
    return any("ephemeral" in volume for volume in pod["spec"].get("volumes") or ())


_OF_FEW: dict[str, dict[str, Waker]] = {
    "nodes:TaintEvictionController": {"nodes": _drives_away},
    "quotas:QuotaController": {"resourcequotas": anything},
    "disruption:DisruptionController": {"poddisruptionbudgets.policy": anything},
    "volumes:VolumeBinder": {_CLAIMS: anything, _VOLUMES: anything},
    "volumes:ClaimProtection": {_CLAIMS: anything},
    "volumes:EphemeralVolumes": {"pods": _brings_volumes},
    "volumes:VolumeProtection": {_VOLUMES: anything},
    "autoscaling:HorizontalPodAutoscaler": {"horizontalpodautoscalers.autoscaling": anything},
    "policies:PolicyStatus": {"validatingadmissionpolicies.admissionregistration.k8s.io": anything},
}
_PROVISIONER: dict[str, dict[str, Waker]] = {
    "volumes:LocalProvisioner": {_CLAIMS: anything, _VOLUMES: anything}
}
_SIGNER: dict[str, dict[str, Waker]] = {
    "certificates:CertificateController": {"certificatesigningrequests.certificates.k8s.io": anything}
}


def add_infrastructure_controllers(manager: Manager, sign: Sign, volumes_directory: str) -> None:
    """Let *manager* run them.

    Args:
        sign: The cluster's authority, for certificate signing requests.
        volumes_directory: Where the volumes of the class with provisioner ``container-kit/local`` are.
    """
    for controller in (
        NodeLifecycleController(manager),
        EndpointsController(manager),
        EndpointSliceController(manager),
        EndpointSliceMirroringController(manager),
        ClusterRoleAggregation(manager),
    ):
        manager.add(controller)
    add_sleeping(manager, _OF_FEW)
    add_sleeping(manager, _PROVISIONER, volumes_directory)
    add_sleeping(manager, _SIGNER, sign)
