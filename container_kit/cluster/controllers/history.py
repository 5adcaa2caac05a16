"""Revisions of a pod template: what StatefulSets and DaemonSets were, to go back to it.

Each template is kept as a ControllerRevision, whose data is the strategic merge patch that brings it back:
``kubectl rollout undo`` applies it.

Source: Kubernetes documentation, "Performing a Rollback"; API reference, apps/v1 ControllerRevision.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from container_kit._values import frozen
from container_kit.cluster.client import ApiExists, ApiNotFound, Client
from container_kit.cluster.controllers.claims import Claims
from container_kit.cluster.controllers.framework import Manager
from container_kit.cluster.meta import (
    LabelSelector,
    Object,
    annotations_of,
    is_controlled_by,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    template_hash,
    uid_of,
)

__all__ = ["REVISIONS", "Histories", "History", "template_of"]

REVISIONS = "controllerrevisions.apps"


@frozen
class History:
    """The revisions of one owner.

    Attributes:
        revisions: The oldest first.
        update: The one of the template as it is now.
        collision_count: How often names collided.
    """

    revisions: list[Object]
    update: Object
    collision_count: int

    def named(self, name: str) -> Object | None:
        """The revision of this name."""
        return next((each for each in self.revisions if name_of(each) == name), None)


class Histories:
    """Keeps the revisions of all owners of one kind.

    Args:
        resource: The owners'.
        hash_label: The label of a revision that has its hash.
    """

    def __init__(self, manager: Manager, client: Client, resource: str, hash_label: str) -> None:
        self._client, self._hash_label = client, hash_label
        self._claims = Claims(client, resource, manager.informer(REVISIONS))

    def of(self, owner: Object) -> History:
        """The revisions of *owner*, with one for its template, made if it is new and renewed if it is old."""
        selector = LabelSelector.from_spec(owner["spec"].get("selector"))
        revisions = sorted(self._claims.of(owner, selector.matches), key=_order)
        data = {"spec": {"template": {**owner["spec"]["template"], "$patch": "replace"}}}
        collisions = owner.get("status", {}).get("collisionCount") or 0
        number = (revisions[-1]["revision"] if revisions else 0) + 1
        same = [each for each in revisions if each["data"] == data]
        if not same:
            made, collisions = self._create(owner, data, number, collisions)
            return History([*revisions, made], made, collisions)
        if same[-1]["revision"] == number - 1:
            return History(revisions, same[-1], collisions)
        renewed = self._client.update({**same[-1], "revision": number})
        others = [each for each in revisions if uid_of(each) != uid_of(renewed)]
        return History([*others, renewed], renewed, collisions)

    def trim(self, owner: Object, history: History, live: Collection[str]) -> None:
        """Delete the oldest revisions that no pod has, but for as many as ``revisionHistoryLimit``.

        Args:
            live: Names of revisions that are in use.
        """
        limit = owner["spec"].get("revisionHistoryLimit", 10)
        unused = [each for each in history.revisions if name_of(each) not in live]
        for each in unused[: max(0, len(unused) - limit)]:
            try:
                self._client.delete(REVISIONS, name_of(each), namespace_of(each), uid=uid_of(each))
            except ApiNotFound:
                continue

    def hash_of(self, revision: Object) -> str:
        """The hash of a revision."""
        return labels_of(revision).get(self._hash_label, "")

    def _create(self, owner: Object, data: Object, number: int, collisions: int) -> tuple[Object, int]:
        while True:
            wish = self._revision(owner, data, number, collisions)
            try:
                return self._client.create(wish), collisions
            except ApiExists:
                found = self._client.get(REVISIONS, name_of(wish), namespace_of(wish))
                if found["data"] == data and is_controlled_by(found, owner):
                    return found, collisions
                collisions += 1

    def _revision(self, owner: Object, data: Object, number: int, collisions: int) -> Object:
        digest = template_hash(data, collisions or None)
        # kubectl compares it byte by byte with its own encoding, whose keys are sorted.
        data = msgspec.json.decode(msgspec.json.encode(data, order="sorted"))
        labels = labels_of(owner["spec"]["template"]) | {self._hash_label: digest}
        return {
            "apiVersion": "apps/v1",
            "kind": "ControllerRevision",
            "metadata": {
                "name": f"{name_of(owner)}-{digest}",
                "namespace": namespace_of(owner),
                "labels": labels,
                "annotations": dict(annotations_of(owner)),
                "ownerReferences": [owner_reference(owner)],
            },
            "data": data,
            "revision": number,
        }


def template_of(revision: Object) -> Object:
    """The pod template that a revision keeps."""
    template: dict[str, Any] = revision["data"]["spec"]["template"]
    return {key: value for key, value in template.items() if key != "$patch"}


def _order(revision: Object) -> tuple[Any, ...]:
    meta = revision["metadata"]
    return (revision["revision"], meta.get("creationTimestamp", ""), meta["name"])
