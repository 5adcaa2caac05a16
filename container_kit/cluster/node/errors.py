"""What keeps a node from doing what a pod asks, in the words that the pod's status has for it."""

from __future__ import annotations

from container_kit.errors import ContainerKitError

__all__ = ["ConfigMissing", "VolumeNotReady"]


class ConfigMissing(ContainerKitError):
    """A container cannot be made: what its variables refer to is not there (CreateContainerConfigError)."""

    reason = "CreateContainerConfigError"


class VolumeNotReady(ContainerKitError):
    """A volume cannot be made yet: what it refers to is not there; it is tried again (FailedMount)."""

    reason = "FailedMount"
