"""Who belongs to whom: a graph of all objects by their owner references.

An object that others name as owner, but that was never seen, is in the graph without a place: it may exist.

Source: Kubernetes documentation, "Garbage Collection", "Owners and Dependents".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from container_kit.cluster.client.resources import ResourceInfo
from container_kit.cluster.meta import Object, is_deleting, name_of, namespace_of, uid_of

__all__ = ["FOREGROUND", "ORPHAN", "Graph", "Node"]

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"

Reference = dict[str, Any]


class Node:
    """One object: where it is, whom it belongs to, who belongs to it.

    Attributes:
        info: Its resource; None if it was never seen.
        dependents: In the order in which they came.
    """

    __slots__ = ("dependents", "info", "obj", "uid")

    def __init__(self, uid: str) -> None:
        self.uid = uid
        self.info: ResourceInfo | None = None
        self.obj: Object = {"metadata": {}}
        self.dependents: dict[str, Node] = {}

    @property
    def owners(self) -> list[Reference]:
        references: list[Reference] = self.obj["metadata"].get("ownerReferences") or []
        return references

    @property
    def is_deleting(self) -> bool:
        return is_deleting(self.obj)

    @property
    def waits_for_dependents(self) -> bool:
        """Whether it goes once all those are gone that block it."""
        return self.is_deleting and self.has_finalizer(FOREGROUND)

    def has_finalizer(self, name: str) -> bool:
        return name in (self.obj["metadata"].get("finalizers") or ())

    def blocks(self, owner_uid: str) -> bool:
        """Whether an owner that waits has to wait for this one."""
        return any(each["uid"] == owner_uid and each.get("blockOwnerDeletion") for each in self.owners)

    def __str__(self) -> str:
        kind = self.info.full_name if self.info is not None else "?"
        return f"{kind} {namespace_of(self.obj)}/{name_of(self.obj)}"


class Graph:
    """All objects that were seen, and all owners that they name."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}

    def get(self, uid: str) -> Node | None:
        """The object of this UID, if it was seen or named."""
        return self._nodes.get(uid)

    def put(self, info: ResourceInfo, obj: Object) -> Node:
        """Take over how an object is now."""
        node = self._node(uid_of(obj))
        before = {each["uid"] for each in node.owners}
        node.info, node.obj = info, obj
        after = {each["uid"] for each in node.owners}
        for uid in before - after:
            self._unlink(uid, node)
        for uid in after - before:
            self._node(uid).dependents[node.uid] = node
        return node

    def remove(self, uid: str) -> Node | None:
        """Forget an object that is gone; those that belong to it keep naming it."""
        node = self._nodes.get(uid)
        if node is None:
            return None
        for reference in node.owners:
            self._unlink(reference["uid"], node)
        node.info = None
        if not node.dependents:
            del self._nodes[uid]
        return node

    def owners_of(self, node: Node) -> Iterator[Node]:
        """The owners that it names, as far as they were seen or named."""
        for reference in node.owners:
            owner = self._nodes.get(reference["uid"])
            if owner is not None:
                yield owner

    def blocking(self, owner: Node) -> list[Node]:
        """The dependents that *owner* waits for."""
        return [each for each in owner.dependents.values() if each.blocks(owner.uid)]

    def _node(self, uid: str) -> Node:
        found = self._nodes.get(uid)
        if found is None:
            found = self._nodes[uid] = Node(uid)
        return found

    def _unlink(self, owner_uid: str, node: Node) -> None:
        owner = self._nodes.get(owner_uid)
        if owner is not None:
            owner.dependents.pop(node.uid, None)
            if owner.info is None and not owner.dependents:
                del self._nodes[owner_uid]
