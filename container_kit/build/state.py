"""The state of a stage between two instructions: its layers, the image's configuration, what steps see.

A frozen value.  Instructions give a new one; nothing here touches the store.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs

from container_kit.build.cache import Layer
from container_kit.oci import ContainerConfig, Digest, History, Platform

if TYPE_CHECKING:
    from container_kit.images import Image

__all__ = ["DEFAULT_EPOCH", "DEFAULT_PATH", "State", "environment", "rfc3339"]

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_EPOCH = 315_532_800
"""1980-01-01, the first moment that ZIP archives can hold: the time where no input names a better one."""

_COMMENT = "buildkit.dockerfile.v0"  # what programs that read histories know Dockerfiles by


@attrs.frozen(kw_only=True)
class State:
    """One stage so far.

    Args:
        layers: Lowest first; *base_layers* of them come from the base image.
        config: What the image will say about running it.
        env: What steps see: the image's variables and the arguments, the later of one name winning.
        arguments: ARG of this stage so far, for the history of RUN: name and the value it had.
        epoch: Seconds since 1970: what is new gets this time.
        cmd_set: A CMD of this stage stands, which a later ENTRYPOINT leaves alone.
    """

    platform: Platform
    epoch: int = DEFAULT_EPOCH
    layers: tuple[Layer, ...] = ()
    base_layers: int = 0
    config: ContainerConfig = attrs.field(factory=ContainerConfig)
    env: Mapping[str, str] = attrs.field(factory=dict, hash=False)
    arguments: Mapping[str, str] = attrs.field(factory=dict, hash=False)
    history: tuple[History, ...] = ()
    author: str = ""
    cmd_set: bool = False

    @classmethod
    def scratch(cls, platform: Platform, epoch: int | None) -> State:
        """A stage of nothing."""
        path = f"PATH={DEFAULT_PATH}"
        return cls(
            platform=platform,
            epoch=DEFAULT_EPOCH if epoch is None else epoch,
            config=ContainerConfig(env=(path,), working_dir="/"),
            env={"PATH": DEFAULT_PATH},
        )

    @classmethod
    def of_image(cls, image: Image, platform: Platform, epoch: int | None) -> State:
        """A stage on *image*; its time is the image's own unless *epoch* says another."""
        layers = zip(image.layers, image.manifest.layers, strict=True)
        config = attrs.evolve(image.config.config, on_build=())
        env = environment(config.env)
        if "PATH" not in env:
            env["PATH"] = DEFAULT_PATH
            config = attrs.evolve(config, env=(*config.env, f"PATH={DEFAULT_PATH}"))
        return cls(
            platform=platform,
            epoch=_made_at(image) if epoch is None else epoch,
            layers=tuple(Layer(diff_id, descriptor) for diff_id, descriptor in layers),
            base_layers=len(image.layers),
            config=config,
            env=env,
            history=image.config.history,
            author=image.config.author,
        )

    def inherited(self) -> State:
        """What a stage begins with that is based on this one."""
        return attrs.evolve(self, config=attrs.evolve(self.config, on_build=()), cmd_set=False)

    @property
    def diff_ids(self) -> tuple[Digest, ...]:
        """Of the layers, lowest first."""
        return tuple(layer.diff_id for layer in self.layers)

    @property
    def created(self) -> str:
        """The epoch as images write it."""
        return rfc3339(self.epoch)

    def with_history(self, created_by: str, *, empty_layer: bool = True) -> State:
        """The same with one more entry of the history."""
        step = History(created=self.created, created_by=created_by, comment=_COMMENT, empty_layer=empty_layer)
        return attrs.evolve(self, history=(*self.history, step))

    def with_layer(self, layer: Layer | None, created_by: str) -> State:
        """The same with one more layer; None when the step changed nothing."""
        added = self if layer is None else attrs.evolve(self, layers=(*self.layers, layer))
        return added.with_history(created_by, empty_layer=layer is None)


def environment(words: tuple[str, ...]) -> dict[str, str]:
    """``NAME=value`` words as a mapping; the last of one name wins."""
    pairs = (word.partition("=") for word in words)
    return {name: value for name, _, value in pairs}


def rfc3339(seconds: int) -> str:
    """A time as image configurations write it."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.isoformat().replace("+00:00", "Z")


def _made_at(image: Image) -> int:
    """When the image says that it was made; a fixed time when it does not."""
    try:
        seconds = int(image.created.timestamp())
    except (OverflowError, ValueError, OSError):
        return DEFAULT_EPOCH
    return seconds if 0 < seconds < 1 << 33 else DEFAULT_EPOCH
