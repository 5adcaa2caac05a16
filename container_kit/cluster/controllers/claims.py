"""Who belongs to whom: owners take matching orphans, and let go of what matches no longer.

An object belongs to the one owner that its controller reference names.  An owner with a selector may take an
object that has none, if it matches, and gives up one of its own whose labels were changed.

Source: Kubernetes documentation, "Garbage Collection" and "ReplicaSet" (acquiring pods).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from container_kit.cluster.client import ApiInvalid, ApiNotFound, Client
from container_kit.cluster.controllers.framework import Informer
from container_kit.cluster.meta import (
    Object,
    controller_of,
    is_deleting,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)

__all__ = ["Claims", "Matches", "index_owners", "owned_by"]

Matches = Callable[[Mapping[str, str]], bool]
"""Whether labels are those that a selector wants."""

_INDEX = "controller"


def index_owners(informer: Informer) -> None:
    """Make the objects of *informer* findable by their owner (`owned_by`), and orphans by their namespace."""
    informer.add_index(_INDEX, _owner_of)


def owned_by(informer: Informer, owner: Object) -> list[Object]:
    """The objects whose controller *owner* is, whatever their labels say."""
    return informer.by_index(_INDEX, uid_of(owner))


class Claims:
    """Claims the objects of one resource for owners of one kind.

    Args:
        client: How to take and to give up.
        owners: The resource of the owners: an owner is read again before it takes anything, for it may have
            been deleted meanwhile.
        informer: The objects.
        finalizer: Given to each object that is taken, and removed from those that are given up.
    """

    def __init__(self, client: Client, owners: str, informer: Informer, finalizer: str = "") -> None:
        self._client, self._owners, self._informer, self._finalizer = client, owners, informer, finalizer
        index_owners(informer)

    def of(self, owner: Object, matches: Matches) -> list[Object]:
        """All that belongs to *owner* now, after taking and giving up."""
        kept = [obj for obj in owned_by(self._informer, owner) if self._keeps(owner, obj, matches)]
        if is_deleting(owner):
            return kept
        orphans = self._informer.by_index(_INDEX, _orphans_of(namespace_of(owner)))
        wanted = [obj for obj in orphans if matches(labels_of(obj)) and not is_deleting(obj)]
        if wanted and self._still_there(owner):
            kept += [taken for obj in wanted if (taken := self._take(owner, obj)) is not None]
        return kept

    def _keeps(self, owner: Object, obj: Object, matches: Matches) -> bool:
        if matches(labels_of(obj)):
            return True
        if not is_deleting(owner):
            self._give_up(owner, obj)
        return False

    def _still_there(self, owner: Object) -> bool:
        try:
            fresh = self._client.get(self._owners, name_of(owner), namespace_of(owner))
        except ApiNotFound:
            return False
        return uid_of(fresh) == uid_of(owner) and not is_deleting(fresh)

    def _take(self, owner: Object, obj: Object) -> Object | None:
        meta: dict[str, Any] = {"uid": uid_of(obj), "ownerReferences": [owner_reference(owner)]}
        if self._finalizer:
            meta["finalizers"] = [self._finalizer]
        return self._patch(obj, meta)

    def _give_up(self, owner: Object, obj: Object) -> None:
        meta: dict[str, Any] = {
            "uid": uid_of(obj),
            "ownerReferences": [{"$patch": "delete", "uid": uid_of(owner)}],
        }
        if self._finalizer:
            meta["$deleteFromPrimitiveList/finalizers"] = [self._finalizer]
        self._patch(obj, meta)

    def _patch(self, obj: Object, meta: dict[str, Any]) -> Object | None:
        """The uid says which object is meant; if it is another one by now, it is none of our business."""
        try:
            return self._client.patch(
                self._informer.resource, name_of(obj), {"metadata": meta}, namespace_of(obj)
            )
        except (ApiNotFound, ApiInvalid):
            return None


def _owner_of(obj: Object) -> Iterable[str]:
    reference = controller_of(obj)
    return (reference["uid"],) if reference else (_orphans_of(namespace_of(obj)),)


def _orphans_of(namespace: str) -> str:
    """No uid looks like this."""
    return f"orphans of {namespace}"
