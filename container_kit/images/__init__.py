"""Image and Layer: unpack, diff, snapshot, archives, and images made of host programs.

`Image` is the face; `snapshotter` gives the root file system of a container from an image's layers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from container_kit.images.defaults import RunDefaults
    from container_kit.images.describe import HistoryEntry
    from container_kit.images.image import HasStore, Image, Pruned, Removed
    from container_kit.images.save import save_images
    from container_kit.images.snapshot import Change, Snapshotter, Usage, snapshotter

_HOME = {
    "Change": "container_kit.images.snapshot",
    "HasStore": "container_kit.images.image",
    "HistoryEntry": "container_kit.images.describe",
    "Image": "container_kit.images.image",
    "Pruned": "container_kit.images.image",
    "Removed": "container_kit.images.image",
    "RunDefaults": "container_kit.images.defaults",
    "Snapshotter": "container_kit.images.snapshot",
    "Usage": "container_kit.images.snapshot",
    "save_images": "container_kit.images.save",
    "snapshotter": "container_kit.images.snapshot",
}

__all__ = [
    "Change",
    "HasStore",
    "HistoryEntry",
    "Image",
    "Pruned",
    "Removed",
    "RunDefaults",
    "Snapshotter",
    "Usage",
    "save_images",
    "snapshotter",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value
