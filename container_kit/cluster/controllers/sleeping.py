"""Controllers that are imported when there is something for them to do."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from container_kit._lazy import borrowed
from container_kit.cluster.controllers.framework import Controller, Manager, Waker

__all__ = ["add_sleeping"]


def add_sleeping(manager: Manager, sleepers: Mapping[str, Mapping[str, Waker]], *arguments: Any) -> None:
    """Let *manager* wake each of *sleepers* when it is needed.

    Args:
        sleepers: By ``module:name`` of what makes the controller, for which objects it is needed.
        arguments: What is given to it after the manager.
    """
    for home, wakers in sleepers.items():
        manager.add_when(wakers, partial(_made, home, manager, *arguments))


def _made(home: str, *arguments: Any) -> Controller:
    made: Controller = borrowed(f"container_kit.cluster.controllers.{home}")(*arguments)
    return made
