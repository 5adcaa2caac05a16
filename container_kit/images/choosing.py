"""What is meant where a caller of an image does not say: the store, and how registries are talked to."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from container_kit.images.words import HasStore
    from container_kit.registry.client import Credentials, RegistryOptions
    from container_kit.store import Store

__all__ = ["registry_options", "store_of"]


def store_of(engine: HasStore | None) -> Store:
    """The store of *engine*; None means that of this process."""
    if engine is not None:
        return engine.store
    from container_kit.store import Store

    return Store.shared()


def registry_options(
    options: RegistryOptions | None,
    credentials: Credentials | None,
    signature_policy: str | os.PathLike[str] | None = None,
) -> RegistryOptions:
    """*options*, with what a caller has said beside."""
    from container_kit.registry.client import RegistryOptions

    options = options or RegistryOptions()
    if signature_policy is not None:
        options = attrs.evolve(options, signature_policy=os.fspath(signature_policy))
    return attrs.evolve(options, credentials=credentials) if credentials is not None else options
