"""Words of the OCI specifications as frozen values.  Pure: no I/O.

Names are resolved on first use: defining an attrs class costs a third of a millisecond.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from container_kit._lazy import resolver

if TYPE_CHECKING:
    from container_kit.oci.descriptor import Descriptor
    from container_kit.oci.digest import Digest
    from container_kit.oci.image_config import ContainerConfig, Healthcheck, History, ImageConfig
    from container_kit.oci.manifest import Index, Manifest, parse_manifest
    from container_kit.oci.platform import Platform
    from container_kit.oci.progress import Progress, ProgressCallback, Reporter
    from container_kit.oci.reference import Reference
    from container_kit.oci.rootfs import Directory, Overlay, RootFs

__all__ = [
    "ContainerConfig",
    "Descriptor",
    "Digest",
    "Directory",
    "Healthcheck",
    "History",
    "ImageConfig",
    "Index",
    "Manifest",
    "Overlay",
    "Platform",
    "Progress",
    "ProgressCallback",
    "Reference",
    "Reporter",
    "RootFs",
    "parse_manifest",
]

_HOME = {
    "ContainerConfig": ".image_config",
    "Descriptor": ".descriptor",
    "Digest": ".digest",
    "Directory": ".rootfs",
    "Healthcheck": ".image_config",
    "History": ".image_config",
    "ImageConfig": ".image_config",
    "Index": ".manifest",
    "Manifest": ".manifest",
    "Overlay": ".rootfs",
    "Platform": ".platform",
    "Progress": ".progress",
    "ProgressCallback": ".progress",
    "Reference": ".reference",
    "Reporter": ".progress",
    "RootFs": ".rootfs",
    "parse_manifest": ".manifest",
}

__getattr__ = resolver(__name__, _HOME)
