"""Persistent volumes: binding them to claims, making and removing local ones, and keeping those in use.

Which volume a claim may have is in `meta.volumes`, which the scheduler shares.
"""

from container_kit.cluster.controllers.volumes.binder import VolumeBinder as VolumeBinder
from container_kit.cluster.controllers.volumes.ephemeral import EphemeralVolumes as EphemeralVolumes
from container_kit.cluster.controllers.volumes.protection import ClaimProtection as ClaimProtection
from container_kit.cluster.controllers.volumes.protection import VolumeProtection as VolumeProtection
from container_kit.cluster.controllers.volumes.provisioner import LOCAL_PROVISIONER as LOCAL_PROVISIONER
from container_kit.cluster.controllers.volumes.provisioner import LocalProvisioner as LocalProvisioner

__all__ = [
    "LOCAL_PROVISIONER",
    "ClaimProtection",
    "EphemeralVolumes",
    "LocalProvisioner",
    "VolumeBinder",
    "VolumeProtection",
]
