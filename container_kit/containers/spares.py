"""Spares: the next container of a recipe, made ready while nobody waits.

Whoever calls `run` twice with equal wishes will do so again.  So after the second run the janitor makes the
next container's directory and cgroup ahead; the next call takes it and has only to start its program.  A
spare that nobody takes is cleared away when the janitor has had nothing to do for a while.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from container_kit.containers.foreground_life import ForegroundContainer
from container_kit.errors import ContainerKitError

if TYPE_CHECKING:
    from container_kit.containers.engine import Engine
    from container_kit.containers.recipes import Recipe

__all__ = ["Spares"]

_MOST = 4  # recipes that have one


class Spares:
    """At most one container that is ready for each of a few recipes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._ready: dict[Recipe, ForegroundContainer] = {}

    def take(self, recipe: Recipe) -> ForegroundContainer:
        """A container for *recipe*, to be entered; a spare one if there is, which is made already."""
        spare = self._ready.pop(recipe, None)
        return ForegroundContainer(self._engine, recipe) if spare is None else spare

    def order(self, recipe: Recipe) -> None:
        """Have a spare made for *recipe*, if it is worth it."""
        recipe.runs += 1
        wanted = recipe.runs > 1 and recipe.is_repeatable and recipe not in self._ready
        # Layers that are to be verified are verified when the container starts, not before.
        if wanted and len(self._ready) < _MOST and not self._engine.verify:
            self._engine.janitor.submit("a spare container", lambda: self._make(recipe))

    def _make(self, recipe: Recipe) -> bool:
        """Make one; what fails will fail again, and be told, when a caller needs it."""
        if recipe not in self._ready and not self._engine.is_closed:
            spare = ForegroundContainer(self._engine, recipe)
            with contextlib.suppress(ContainerKitError, OSError):
                self._ready[recipe] = spare.make()
        return True

    def drop(self) -> None:
        """Clear away the spares that nobody has taken."""
        while self._ready:
            with contextlib.suppress(KeyError):  # somebody takes it at this moment
                self._ready.popitem()[1].discard()

    def abandon(self) -> None:
        """In the child of a fork: they are the parent's."""
        self._ready = {}
