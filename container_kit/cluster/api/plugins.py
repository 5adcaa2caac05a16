"""Admission: plugins that may change or refuse a write before it is stored.

The plugins themselves are in `container_kit.cluster.api.admission`.

Source: Kubernetes, "Admission Control in Kubernetes".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from container_kit.cluster.api.messages import User
from container_kit.cluster.api.resources import Resource
from container_kit.cluster.kinds.strategy import World
from container_kit.cluster.meta.objects import Object

__all__ = ["CONNECT", "CREATE", "DELETE", "UPDATE", "Admission", "Attributes", "Plugin"]

CREATE, UPDATE, DELETE, CONNECT = "CREATE", "UPDATE", "DELETE", "CONNECT"


class Attributes(msgspec.Struct, kw_only=True):
    """One write, as plugins see it.

    Attributes:
        operation: `CREATE`, `UPDATE`, `DELETE` or `CONNECT`.
        name: Of the object; empty while it is to be generated.
        obj: The new object, to be changed in place by `Plugin.admit`; None in a deletion.
        old: What is stored, only to be read; None in a creation.
        world: The stored objects.
        warn: Tells the client something.
        options: CreateOptions, UpdateOptions, PatchOptions or DeleteOptions, for webhooks.
        context: Whatever a plugin must remember between its two calls.
    """

    operation: str
    resource: Resource
    subresource: str
    namespace: str
    name: str
    obj: Object | None
    old: Object | None
    user: User
    dry_run: bool
    world: World
    warn: Callable[[str], None]
    options: dict[str, Any] = {}
    context: dict[str, Any] = {}
    undo: list[Callable[[], None]] = []

    @property
    def kind(self) -> str:
        """The kind of the resource."""
        return self.resource.kind

    def if_not_stored(self, undo: Callable[[], None]) -> None:
        """Have *undo* called should the write not happen, or only be tried."""
        self.undo.append(undo)

    def take_back(self) -> None:
        """Undo what plugins reserved."""
        while self.undo:
            self.undo.pop()()


class Plugin:
    """One admission plugin; raises `StatusError` to refuse."""

    name = ""

    @property
    def is_slow(self) -> bool:
        """Whether it waits for others, such as webhooks."""
        return False

    def handles(self, attributes: Attributes) -> bool:
        """Whether it has anything to say about this write."""
        return True

    def admit(self, attributes: Attributes) -> None:
        """May change ``attributes.obj`` in place."""

    def validate(self, attributes: Attributes) -> None:
        """May only refuse."""


class Admission:
    """The plugins in their order; replaced as a whole."""

    def __init__(self, plugins: Iterable[Plugin] = ()) -> None:
        self.plugins = tuple(plugins)
        self._changing: tuple[Plugin, ...] = ()
        self._judging: tuple[Plugin, ...] = ()
        self.use(self.plugins)

    def use(self, plugins: Iterable[Plugin]) -> None:
        """From now on these, in this order."""
        self.plugins = tuple(plugins)
        self._changing = tuple(each for each in self.plugins if type(each).admit is not Plugin.admit)
        self._judging = tuple(each for each in self.plugins if type(each).validate is not Plugin.validate)

    def admit(self, attributes: Attributes) -> None:
        """Let plugins change the object, or refuse."""
        for plugin in self._changing:
            if plugin.handles(attributes):
                plugin.admit(attributes)

    def validate(self, attributes: Attributes) -> None:
        """Let plugins refuse."""
        for plugin in self._judging:
            if plugin.handles(attributes):
                plugin.validate(attributes)
