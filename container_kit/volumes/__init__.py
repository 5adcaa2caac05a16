"""Volumes: directories with names that outlive the containers that mount them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from container_kit._lazy import resolver

if TYPE_CHECKING:
    from container_kit.volumes.drivers import VolumeDriver as VolumeDriver
    from container_kit.volumes.drivers import VolumeSource as VolumeSource
    from container_kit.volumes.record import VolumeRecord as VolumeRecord
    from container_kit.volumes.record import VolumeRequest as VolumeRequest
    from container_kit.volumes.volume import PrunedVolumes as PrunedVolumes
    from container_kit.volumes.volume import Volume as Volume
    from container_kit.volumes.volumes import Volumes as Volumes

_HOMES = {
    "VolumeDriver": ".drivers",
    "VolumeSource": ".drivers",
    "VolumeRecord": ".record",
    "VolumeRequest": ".record",
    "PrunedVolumes": ".volume",
    "Volume": ".volume",
    "Volumes": ".volumes",
}

__all__ = [
    "PrunedVolumes",
    "Volume",
    "VolumeDriver",
    "VolumeRecord",
    "VolumeRequest",
    "VolumeSource",
    "Volumes",
]

__getattr__ = resolver(__name__, _HOMES)
