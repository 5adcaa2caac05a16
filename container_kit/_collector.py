"""The garbage collector, let alone while much is made that stays."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

__all__ = ["collection_paused"]


@contextlib.contextmanager
def collection_paused() -> Iterator[None]:
    """Look for no garbage in the block.

    Modules and what stands at a start are no garbage, but the collector goes through all of them every few
    thousand objects: a sixth of the time.
    """
    was_enabled = gc.isenabled()
    try:
        gc.disable()
        yield
    finally:
        if was_enabled:
            gc.enable()
