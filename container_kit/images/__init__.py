"""Image and Layer: unpack, diff, snapshot, archives, and images made of host programs.

`Image` is the face; `snapshotter` gives the root file system of a container from an image's layers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from container_kit._lazy import resolver

if TYPE_CHECKING:
    from container_kit.images.container_snapshots import Snapshot
    from container_kit.images.defaults import RunDefaults
    from container_kit.images.describe import HistoryEntry
    from container_kit.images.image import Image
    from container_kit.images.manifest_lists import ListedImage, ManifestList
    from container_kit.images.save import save_images
    from container_kit.images.secrets import Secret
    from container_kit.images.signing import sign, verify
    from container_kit.images.snapshot import Change, Snapshotter, Usage, snapshotter
    from container_kit.images.views import view
    from container_kit.images.words import Copied, HasStore, Pruned, Pushed, Removed

_HOME = {
    "Change": ".snapshot",
    "Copied": ".words",
    "HasStore": ".words",
    "HistoryEntry": ".describe",
    "Image": ".image",
    "ListedImage": ".manifest_lists",
    "ManifestList": ".manifest_lists",
    "Pruned": ".words",
    "Pushed": ".words",
    "Removed": ".words",
    "RunDefaults": ".defaults",
    "Secret": ".secrets",
    "Snapshot": ".container_snapshots",
    "Snapshotter": ".snapshot",
    "Usage": ".snapshot",
    "save_images": ".save",
    "sign": ".signing",
    "snapshotter": ".snapshot",
    "verify": ".signing",
    "view": ".views",
}

__all__ = [
    "Change",
    "Copied",
    "HasStore",
    "HistoryEntry",
    "Image",
    "ListedImage",
    "ManifestList",
    "Pruned",
    "Pushed",
    "Removed",
    "RunDefaults",
    "Secret",
    "Snapshot",
    "Snapshotter",
    "Usage",
    "save_images",
    "sign",
    "snapshotter",
    "verify",
    "view",
]

__getattr__ = resolver(__name__, _HOME)
