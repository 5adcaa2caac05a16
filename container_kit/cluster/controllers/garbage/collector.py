"""Deletes what has no owner left, waits for dependents, and lets orphans go.

Each object that something happened to is looked at by its UID: either its owners are asked for, or it is
itself an owner that waits, for its dependents to be gone or to be orphans.

Source: Kubernetes documentation, "Garbage Collection" (cascading deletion: background, foreground, orphan).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import Literal

from container_kit._values import frozen
from container_kit.cluster.client import ApiNotFound
from container_kit.cluster.client.resources import ResourceInfo
from container_kit.cluster.controllers.contents import Contents
from container_kit.cluster.controllers.framework import Manager, Mapper
from container_kit.cluster.controllers.garbage.graph import FOREGROUND, ORPHAN, Graph, Node, Reference
from container_kit.cluster.meta import Key, Object, name_of, namespace_of, uid_of
from container_kit.errors import NotFound

__all__ = ["GarbageCollector"]

Propagation = Literal["Background", "Foreground", "Orphan"]


@frozen
class _Owners:
    """The owner references of an object, by what their owners are.

    Attributes:
        solid: There, and to stay.
        waiting: There, but only until their dependents are gone.
        missing: Not there.
    """

    solid: list[Reference]
    waiting: list[Reference]
    missing: list[Reference]


class GarbageCollector:
    """Keeps the graph of owners, and acts on it. Its keys are UIDs."""

    name = "generic-garbage-collector"

    def __init__(self, manager: Manager, contents: Contents) -> None:
        self._manager, self._client = manager, manager.client_of(self.name)
        self._events = manager.recorder("garbage-collector-controller", self.name)
        self._contents, self._graph = contents, Graph()
        contents.observe(self._changed)

    def watches(self) -> Mapping[str, Mapper]:
        return {}

    def reconcile(self, key: Key) -> float | None:
        node = self._graph.get(key.name)
        if node is None or node.info is None:
            return None
        if not self._contents.is_synced:
            return 0.01
        if node.is_deleting and node.has_finalizer(ORPHAN):
            self._release_dependents(node)
        elif node.waits_for_dependents:
            self._finish_waiting(node)
        elif not node.is_deleting and node.owners:
            self._ask_owners(node)
        return None

    def _changed(self, info: ResourceInfo, old: Object | None, new: Object | None) -> None:
        """Take over a change; those whom it concerns are looked at."""
        if new is None or (old is not None and uid_of(old) != uid_of(new)):
            gone = self._graph.remove(uid_of(old)) if old is not None else None
            if gone is not None:
                self._look_at(gone.dependents.values())
                self._look_at(each for each in self._graph.owners_of(gone) if each.waits_for_dependents)
        if new is not None:
            self._look_at_changed(info, old, new)

    def _look_at_changed(self, info: ResourceInfo, old: Object | None, new: Object) -> None:
        before = (old or {"metadata": {}})["metadata"]
        meta = new["metadata"]
        released = before.get("ownerReferences") != meta.get("ownerReferences")
        if not released and old is not None and _ending(before) == _ending(meta):
            self._graph.put(info, new)
            return
        former = self._graph.get(uid_of(new))
        owners = list(self._graph.owners_of(former)) if former is not None and released else []
        node = self._graph.put(info, new)
        self._look_at(each for each in owners if each.waits_for_dependents)
        if node.is_deleting or node.owners:
            self._look_at((node,))
        if node.waits_for_dependents:
            self._look_at(self._graph.blocking(node))

    def _look_at(self, nodes: Iterable[Node]) -> None:
        for node in nodes:
            self._manager.enqueue(self, Key("uid", "", node.uid))

    def _ask_owners(self, node: Node) -> None:
        """Delete the object if none of its owners stays; else take out those that do not."""
        owners = self._owners(node)
        if owners.solid:
            if gone := [*owners.missing, *owners.waiting]:
                self._set_owners(node, (each for each in node.owners if each not in gone))
        elif owners.waiting and node.dependents:
            self._break_circle(node)
            self._delete(node, "Foreground")
        else:
            self._delete(node, _propagation(node))

    def _break_circle(self, node: Node) -> None:
        """If a dependent waits itself, nobody must wait for *node*: they would wait for one another."""
        if any(each.waits_for_dependents for each in node.dependents.values()):
            self._set_owners(node, ({**each, "blockOwnerDeletion": False} for each in node.owners))

    def _finish_waiting(self, node: Node) -> None:
        """The owner goes when nobody blocks it any more."""
        blocking = self._graph.blocking(node)
        if blocking:
            self._look_at(each for each in blocking if not each.is_deleting)
        else:
            self._drop_finalizer(node, FOREGROUND)

    def _release_dependents(self, node: Node) -> None:
        for each in list(node.dependents.values()):
            self._set_owners(each, (owner for owner in each.owners if owner["uid"] != node.uid))
        self._drop_finalizer(node, ORPHAN)

    def _owners(self, node: Node) -> _Owners:
        found = _Owners([], [], [])
        for reference in node.owners:
            owner = self._graph.get(reference["uid"])
            if not self._exists(node, reference, owner):
                found.missing.append(reference)
            elif owner is not None and owner.waits_for_dependents and reference.get("blockOwnerDeletion"):
                found.waiting.append(reference)
            else:
                found.solid.append(reference)
        return found

    def _exists(self, node: Node, reference: Reference, owner: Node | None) -> bool:
        """Whether the owner is there; one that was never seen is asked for."""
        if owner is not None and owner.info is not None and _is_meant(node, reference, owner):
            return True
        info = self._resource_of(node, reference)
        if info.namespaced and not namespace_of(node.obj):
            self._tell_wrong_place(node, reference)
            return True  # a mistake of the user, for which nothing is deleted
        if owner is not None and owner.info is not None and owner.info.namespaced:
            self._tell_wrong_place(node, reference)
        try:
            found = self._client.get(info.full_name, reference["name"], namespace_of(node.obj))
        except ApiNotFound:
            return False
        return uid_of(found) == str(reference["uid"])

    def _tell_wrong_place(self, node: Node, reference: Reference) -> None:
        namespace = namespace_of(node.obj)
        place = f", namespace: {namespace}" if namespace else ""
        kind = f"{reference['apiVersion']}/{reference['kind']}"
        owner = f"[{kind}{place}, name: {reference['name']}, uid: {reference['uid']}]"
        message = f'ownerRef {owner} does not exist in namespace "{namespace}"'
        self._events.event(node.obj, "Warning", "OwnerRefInvalidNamespace", message)

    def _resource_of(self, node: Node, reference: Reference) -> ResourceInfo:
        try:
            return self._client.resources().of_object(reference["apiVersion"], reference["kind"])
        except NotFound:
            hint = f"{node} names it as owner, and is kept as long as nobody knows whether that is there"
            raise NotFound("kind", reference["kind"], hint) from None

    def _delete(self, node: Node, propagation: Propagation) -> None:
        """Delete the object as it was seen: if somebody has just given it another owner, it stays."""
        assert node.info is not None
        with contextlib.suppress(ApiNotFound):
            self._client.delete(
                node.info.full_name,
                name_of(node.obj),
                namespace_of(node.obj),
                propagation=propagation,
                uid=node.uid,
                resource_version=node.obj["metadata"]["resourceVersion"],
            )

    def _set_owners(self, node: Node, references: Iterable[Reference]) -> None:
        self._set(node, {"ownerReferences": list(references) or None})

    def _drop_finalizer(self, node: Node, finalizer: str) -> None:
        given = node.obj["metadata"].get("finalizers") or ()
        self._set(node, {"finalizers": [each for each in given if each != finalizer] or None})

    def _set(self, node: Node, meta: Object) -> None:
        """Change metadata of the object as it was seen; of another one, or a newer one, nothing."""
        assert node.info is not None
        version = node.obj["metadata"]["resourceVersion"]
        patch = {"metadata": {"uid": node.uid, "resourceVersion": version, **meta}}
        name, namespace = name_of(node.obj), namespace_of(node.obj)
        with contextlib.suppress(ApiNotFound):
            self._client.patch(node.info.full_name, name, patch, namespace, kind="merge")


def _ending(meta: Object) -> tuple[bool, bool, bool]:
    """What of the metadata decides whether it is deleted, and whom it waits for."""
    finalizers = meta.get("finalizers") or ()
    return bool(meta.get("deletionTimestamp")), FOREGROUND in finalizers, ORPHAN in finalizers


def _is_meant(node: Node, reference: Reference, owner: Node) -> bool:
    """Whether *owner* is where the reference says: a right UID with a wrong name is nobody's."""
    place = namespace_of(owner.obj)
    return (
        owner.obj.get("kind") == reference["kind"]
        and name_of(owner.obj) == reference["name"]
        and place in ("", namespace_of(node.obj))
    )


def _propagation(node: Node) -> Propagation:
    """How its own dependents are to be treated, by a wish that it carries already."""
    if node.has_finalizer(ORPHAN):
        return "Orphan"
    return "Foreground" if node.has_finalizer(FOREGROUND) else "Background"
