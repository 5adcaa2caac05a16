"""The volume claims of StatefulSet pods: made before the pod, kept or deleted after it.

Source: Kubernetes documentation, "StatefulSets" (stable storage, PersistentVolumeClaim retention).
"""

from __future__ import annotations

from collections.abc import Iterator

from container_kit.cluster.client import ApiError, Client
from container_kit.cluster.controllers.framework import EventRecorder, Informer
from container_kit.cluster.controllers.statefulsets.identity import claim_names
from container_kit.cluster.meta import (
    Object,
    copy_of,
    is_deleting,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from container_kit.errors import WrongState

__all__ = ["Volumes"]


class Volumes:
    """Keeps the claims of pods of StatefulSets."""

    def __init__(self, client: Client, events: EventRecorder, claims: Informer) -> None:
        self._client, self._events, self._claims = client, events, claims

    def are_stale(self, wish: Object, ordinal: int) -> bool:
        """Whether a claim still belongs to a pod that is gone: it goes, too, before there is a new pod."""
        name = f"{name_of(wish)}-{ordinal}"
        return any(
            reference["kind"] == "Pod" and reference["name"] == name
            for claim in self._existing(wish, ordinal)
            for reference in claim["metadata"].get("ownerReferences") or ()
        )

    def ensure(self, wish: Object, ordinal: int) -> None:
        """Make the claims that are missing for one pod.

        Raises:
            WrongState: A claim is being deleted.
            ApiError: The server refuses one.
        """
        names = claim_names(wish, ordinal)
        for template in wish["spec"].get("volumeClaimTemplates") or ():
            name = names[name_of(template)]
            found = self._claims.get(namespace_of(wish), name)
            if found is not None and is_deleting(found):
                raise WrongState(f"pvc {name} is being deleted")
            if found is None:
                self._create(wish, template, name, ordinal)

    def own(self, wish: Object, ordinal: int, pod: Object | None, is_surplus: bool) -> None:
        """Let claims belong to whom they must end with, as the retention policy says.

        Args:
            pod: The pod of the claims.
            is_surplus: Whether the pod goes because the set is made smaller.
        """
        policy = wish["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
        with_pod = policy.get("whenScaled") == "Delete" and is_surplus and pod is not None
        with_set = policy.get("whenDeleted") == "Delete" and not with_pod
        wanted = [owner_reference(wish)] if with_set else []
        if with_pod and pod is not None:
            wanted = [owner_reference({"apiVersion": "v1", "kind": "Pod", **pod})]
        for claim in self._existing(wish, ordinal):
            self._set_owner(wish, ordinal, claim, wanted)

    def _set_owner(self, wish: Object, ordinal: int, claim: Object, wanted: list[Object]) -> None:
        given = claim["metadata"].get("ownerReferences") or []
        ours = [each for each in given if _is_ours(each, wish, ordinal)]
        others = [each for each in given if each not in ours]
        if [each["uid"] for each in ours] == [each["uid"] for each in wanted]:
            return
        if any(each.get("controller") for each in others):
            return  # somebody else decides about this claim
        changed = copy_of(claim)
        changed["metadata"]["ownerReferences"] = [*others, *wanted]
        self._client.update(changed)

    def _create(self, wish: Object, template: Object, name: str, ordinal: int) -> None:
        selector = wish["spec"]["selector"].get("matchLabels") or {}
        meta = {"name": name, "namespace": namespace_of(wish), "labels": labels_of(template) | selector}
        if annotations := template["metadata"].get("annotations"):
            meta["annotations"] = annotations
        claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta}
        what = f"create Claim {name} Pod {name_of(wish)}-{ordinal} in StatefulSet {name_of(wish)}"
        try:
            self._client.create(claim | {"spec": template["spec"]})
        except ApiError as error:
            self._events.event(wish, "Warning", "FailedCreate", f"{what} failed error: {error}")
            raise
        self._events.event(wish, "Normal", "SuccessfulCreate", f"{what} success")

    def _existing(self, wish: Object, ordinal: int) -> Iterator[Object]:
        for name in claim_names(wish, ordinal).values():
            claim = self._claims.get(namespace_of(wish), name)
            if claim is not None:
                yield claim


def _is_ours(reference: Object, wish: Object, ordinal: int) -> bool:
    if reference["kind"] == "Pod":
        return bool(reference["name"] == f"{name_of(wish)}-{ordinal}")
    return bool(reference["uid"] == uid_of(wish))
