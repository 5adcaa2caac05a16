"""``pull``: an image from a registry into the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from container_kit.errors import UnsupportedFeature
from container_kit.images import records
from container_kit.oci import Platform, ProgressCallback

if TYPE_CHECKING:
    from container_kit.images.image import Image, PullPolicy
    from container_kit.registry.client import RegistryOptions
    from container_kit.store import Store

__all__ = ["pull"]


def pull(
    store: Store,
    reference: str,
    platform: Platform | str | None,
    policy: PullPolicy,
    progress: ProgressCallback | None,
    options: RegistryOptions,
) -> Image:
    """See `container_kit.images.image.Image.pull`."""
    if policy == "always":
        raise UnsupportedFeature(f"cannot pull {reference!r}: this build has no registry client")
    return records.handle(store, records.resolve(store, reference))
