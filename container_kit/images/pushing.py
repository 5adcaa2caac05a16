"""``push``: an image of the store to a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from container_kit.errors import UnsupportedFeature

if TYPE_CHECKING:
    from container_kit.images.image import Image, PushCompression, Pushed
    from container_kit.oci import ProgressCallback
    from container_kit.registry.client import RegistryOptions

__all__ = ["push"]


def push(
    image: Image,
    target: str | None,
    compression: PushCompression,
    progress: ProgressCallback | None,
    options: RegistryOptions,
) -> Pushed:
    """See `container_kit.images.image.Image.push`."""
    raise UnsupportedFeature(f"cannot push {target or image!r}: this build has no registry client")
