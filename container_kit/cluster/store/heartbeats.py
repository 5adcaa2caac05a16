"""Which writes are heartbeats: they come all the time and are worth nothing a minute later.

Their history is short and they are not written to a disk one by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from container_kit.cluster.store.words import Event

__all__ = ["HEARTBEAT_RESOURCES", "is_heartbeat"]

HEARTBEAT_RESOURCES: Final = frozenset(("leases.coordination.k8s.io",))
# What a renewal changes, in metadata and in spec.
_RENEWED: Final = frozenset(("resourceVersion", "managedFields", "renewTime"))


def is_heartbeat(event: Event) -> bool:
    """Whether the write renewed a lease and changed nothing else: not its holder, not its labels."""
    if event.record.resource not in HEARTBEAT_RESOURCES or event.type != "MODIFIED" or event.previous is None:
        return False
    before, after = event.previous.object, event.record.object
    return all(
        _lasting(before.get(part)) == _lasting(after.get(part)) for part in before.keys() | after.keys()
    )


def _lasting(part: object) -> object:
    """A part of an object without what a renewal changes."""
    if not isinstance(part, Mapping):
        return part
    kept: dict[str, Any] = {name: value for name, value in part.items() if name not in _RENEWED}
    return kept
