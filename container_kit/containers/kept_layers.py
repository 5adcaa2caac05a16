"""Mounts of layers that are images, kept from one foreground container to the next.

A mount of its own for each start would cost its time, and the page cache of the image's programs with it.  So
this process keeps a mount of each layer while it starts containers, and lets go when the janitor has been
idle.  They are attached nowhere and end with the process.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs

from container_kit.native.layer_mounts import is_image, open_layer
from container_kit.oci.rootfs import Overlay

if TYPE_CHECKING:
    from container_kit.native.descriptors import Descriptor
    from container_kit.oci.rootfs import RootFs

__all__ = ["KeptLayers", "KeptRoot"]

# So many images at a time: each keeps as many descriptors as it has layers.
_MOST_IMAGES = 16
# So many can be passed to ckit-init beside its own.
_MOST_LAYERS = 32


@attrs.frozen
class KeptRoot:
    """A root for one start, with layers that are mounted already.

    Args:
        whole: As the snapshotter describes it.
        mounted: The same; layers that are kept are named by their slots.
        mounts: What to pass to `runtime.launch.launch` in these slots; keep this object until it returns.
    """

    whole: RootFs
    mounted: RootFs
    mounts: tuple[Descriptor, ...] = ()

    @property
    def slots(self) -> Sequence[int]:
        """The numbers of the descriptors."""
        return [mount.fileno() for mount in self.mounts]

    @property
    def directories(self) -> tuple[str, ...]:
        """The layers as paths that need no mount for each look, uppermost first; valid as long as this."""
        if not isinstance(self.mounted, Overlay):
            return ()
        slots = self.slots
        return tuple(
            f"/proc/self/fd/{slots[int(lower[1:])]}" if lower.startswith("@") else lower
            for lower in self.mounted.lowers
        )


class KeptLayers:
    """The mounts of one engine."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, ...], _Mounts] = {}

    def of(self, root: RootFs) -> KeptRoot:
        """*root* with every layer that is an image mounted, now or earlier.

        Raises:
            KernelError: A layer cannot be mounted.
        """
        if not isinstance(root, Overlay) or not 0 < sum(map(is_image, root.lowers)) <= _MOST_LAYERS:
            return KeptRoot(root, root)
        kept = self._kept.get(root.lowers)
        if kept is None:
            if len(self._kept) >= _MOST_IMAGES:
                self._kept.clear()
            kept = self._kept[root.lowers] = _mount(root.lowers)
        return KeptRoot(root, attrs.evolve(root, lowers=kept.lowers), kept.mounts)

    def drop(self) -> None:
        """Let go of all; who starts a container at this moment holds what it needs."""
        self._kept = {}


@attrs.frozen
class _Mounts:
    lowers: tuple[str, ...]
    mounts: tuple[Descriptor, ...]


def _mount(layers: Sequence[str]) -> _Mounts:
    mounts: list[Descriptor] = []
    lowers = []
    for layer in layers:
        if is_image(layer):
            lowers.append(f"@{len(mounts)}")
            mounts.append(open_layer(layer))
        else:
            lowers.append(layer)
    return _Mounts(tuple(lowers), tuple(mounts))
