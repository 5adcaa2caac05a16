"""``--squash``: the layers that a build has added become one, on top of those of its base."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import attrs

from container_kit.build.cache import Layer
from container_kit.build.scratch import writable_root
from container_kit.images.layers import build_layer, stream
from container_kit.native import layers as native

if TYPE_CHECKING:
    from container_kit.build.session import Session
    from container_kit.build.state import State

__all__ = ["squashed"]


def squashed(session: Session, state: State) -> State:
    """*state* with one layer in place of those above its base; what they remove of the base stays removed."""
    base, added = state.layers[: state.base_layers], state.layers[state.base_layers :]
    if len(added) < 2:
        return state
    layer = _merged(session, base, added, state.epoch)
    history = [
        attrs.evolve(step, empty_layer=True) if at >= _base_steps(state) else step
        for at, step in enumerate(state.history)
    ]
    merged = attrs.evolve(state, layers=base, history=tuple(history))
    return merged.with_layer(layer, f"squashed {len(added)} layers")


def _base_steps(state: State) -> int:
    """How many entries of the history belong to the base: up to the one that made its last layer."""
    left = state.base_layers
    for at, step in enumerate(state.history):
        if left == 0:
            return at
        left -= not step.empty_layer
    return len(state.history)


def _merged(session: Session, base: tuple[Layer, ...], added: tuple[Layer, ...], epoch: int) -> Layer:
    engine, store = session.engine, session.store
    with store.lease(), writable_root(engine, tuple(one.diff_id for one in base)) as (directory, root):
        fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=root)
        try:
            for layer in added:
                # Into the mounted root: the kernel turns what a layer removes into whiteouts.
                stream(
                    lambda out, diff_id=layer.diff_id: store.copy_blob(diff_id, out),  # type: ignore[misc]
                    lambda source: native.unpack(source, fd, compression="none", form="plain", sync=False),
                )
        finally:
            os.close(fd)
        made = build_layer(store, lambda out: engine.snapshotter.pack(directory, out, latest=epoch))
        layer = Layer(*made)
        session.keep(layer)
        return layer
