"""The end of a namespace: all that is in it goes, then the namespace itself.

Everything is deleted in one go; what has finalizers or a grace period goes when it is ready to.  As
everything that disappears is seen anyway (`Contents`), nothing is asked again and again: the last object
that goes is what ends the namespace.

Source: Kubernetes documentation, "Namespaces" (deletion); the conditions are those that explain a namespace
that does not end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from container_kit.cluster.client import ApiError, ApiNotFound, ApiUnsupported
from container_kit.cluster.client.resources import ResourceInfo
from container_kit.cluster.controllers.contents import Contents
from container_kit.cluster.controllers.framework import Manager, Mapper, keys_of
from container_kit.cluster.controllers.statuses import write_status
from container_kit.cluster.meta import (
    Key,
    Object,
    is_deleting,
    key_of,
    name_of,
    namespace_of,
    parse_time,
    set_condition,
)

__all__ = ["NamespaceController"]

_FINALIZER = "kubernetes"


class NamespaceController:
    """Empties namespaces that are being deleted, and lets them go.

    Args:
        delay_s: Seconds between the wish and the first deletion. The original gives writes that other servers
            have just admitted five, but there are no other servers here.
    """

    name = "namespace-controller"

    def __init__(self, manager: Manager, contents: Contents, delay_s: float = 0.0) -> None:
        self._delay_s = delay_s
        self._manager, self._clock = manager, manager.clock
        self._client = manager.client_of(self.name)
        self._namespaces, self._contents = manager.informer("namespaces"), contents
        self._ending: set[str] = set()
        contents.observe(self._changed)

    def watches(self) -> Mapping[str, Mapper]:
        return {"namespaces": keys_of(lambda obj: (key_of("namespaces", obj),) if is_deleting(obj) else ())}

    def reconcile(self, key: Key) -> float | None:
        namespace = self._namespaces.get("", key.name)
        if namespace is None or not is_deleting(namespace):
            self._ending.discard(key.name)
            return None
        if not self._contents.is_synced:
            return 0.01
        if (left_s := self._rest_s(namespace)) > 0:
            return left_s
        self._ending.add(key.name)
        failures = self._empty(key.name)
        left = self._left(key.name)
        namespace = self._describe(namespace, left, failures)
        if failures:
            raise failures[0]
        if not left and _FINALIZER in (namespace["spec"].get("finalizers") or ()):
            self._finalize(namespace)
        return None

    def _rest_s(self, namespace: Object) -> float:
        since = parse_time(namespace["metadata"]["deletionTimestamp"])
        return self._delay_s - (self._clock.now() - since).total_seconds()

    def _changed(self, info: ResourceInfo, old: Object | None, new: Object | None) -> None:
        """What goes from a namespace that ends may be the last; what comes late must go, too."""
        obj = new or old
        if self._ending and obj is not None and namespace_of(obj) in self._ending:
            self._manager.enqueue(self, Key("namespaces", "", namespace_of(obj)))

    def _empty(self, name: str) -> list[ApiError]:
        """Delete all that is not being deleted yet; returns what failed."""
        failures: list[ApiError] = []
        for info in self._contents.resources:
            objects = self._contents.informer(info).in_namespace(name) if info.namespaced else ()
            if all(map(is_deleting, objects)):
                continue
            try:
                self._delete_all(info, name, objects)
            except ApiError as error:
                failures.append(error)
        return failures

    def _delete_all(self, info: ResourceInfo, namespace: str, objects: Iterable[Object]) -> None:
        try:
            self._client.delete_collection(info.full_name, namespace, propagation="Background")
        except ApiUnsupported:
            for obj in objects:
                try:
                    self._client.delete(info.full_name, name_of(obj), namespace, propagation="Background")
                except ApiNotFound:
                    continue

    def _left(self, namespace: str) -> list[tuple[ResourceInfo, Object]]:
        """What is still there. Asked for, since what was just deleted is not seen to be gone yet."""
        found: list[tuple[ResourceInfo, Object]] = []
        for info in self._contents.resources:
            if info.namespaced and self._contents.informer(info).in_namespace(namespace):
                objects = self._client.list(info.full_name, namespace).items
                found.extend((info, obj) for obj in objects)
        return found

    def _describe(
        self, namespace: Object, left: list[tuple[ResourceInfo, Object]], failures: list[ApiError]
    ) -> Object:
        conditions = [dict(each) for each in namespace.get("status", {}).get("conditions") or ()]
        now = self._clock.stamp()
        for condition in _conditions(left, failures):
            set_condition(conditions, condition, now)
        status = {**namespace.get("status", {}), "phase": "Terminating", "conditions": conditions}
        return write_status(self._client, namespace, status)

    def _finalize(self, namespace: Object) -> None:
        rest = [each for each in namespace["spec"].get("finalizers") or () if each != _FINALIZER]
        spec = {**namespace["spec"], "finalizers": rest}
        try:
            self._client.update({**namespace, "spec": spec}, subresource="finalize")
        except ApiNotFound:
            return


_REMAINING = (
    # type, reasons when it is so and when not, and the message when not
    (
        "NamespaceDeletionContentFailure",
        "ContentDeletionFailed",
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    (
        "NamespaceContentRemaining",
        "SomeResourcesRemain",
        "ContentRemoved",
        "All content successfully removed",
    ),
    (
        "NamespaceFinalizersRemaining",
        "SomeFinalizersRemain",
        "ContentHasNoFinalizers",
        "All content-preserving finalizers finished",
    ),
)


def _conditions(
    left: list[tuple[ResourceInfo, Object]], failures: list[ApiError]
) -> Iterable[dict[str, Any]]:
    """The five words on how far the end has come. That all is found and understood is always so here."""
    yield _condition(
        "NamespaceDeletionDiscoveryFailure",
        False,
        "ResourcesDiscovered",
        "All resources successfully discovered",
    )
    yield _condition(
        "NamespaceDeletionGroupVersionParsingFailure",
        False,
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
    )
    problems = (_failed(failures), _resources_left(left), _finalizers_left(left))
    for (type_, bad, good, message), problem in zip(_REMAINING, problems, strict=True):
        yield _condition(type_, bool(problem), bad if problem else good, problem or message)


def _condition(type_: str, is_true: bool, reason: str, message: str) -> dict[str, Any]:
    return {"type": type_, "status": "True" if is_true else "False", "reason": reason, "message": message}


def _failed(failures: list[ApiError]) -> str:
    head = f"Failed to delete all resource types, {len(failures)} remaining: "
    return head + ", ".join(map(str, failures)) if failures else ""


def _resources_left(left: list[tuple[ResourceInfo, Object]]) -> str:
    counts = Counter(f"{info.plural}.{info.group}" for info, _ in left)
    parts = (f"{name} has {count} resource instances" for name, count in sorted(counts.items()))
    return "Some resources are remaining: " + ", ".join(parts) if counts else ""


def _finalizers_left(left: list[tuple[ResourceInfo, Object]]) -> str:
    counts = Counter(each for _, obj in left for each in obj["metadata"].get("finalizers") or ())
    parts = (f"{name} in {count} resource instances" for name, count in sorted(counts.items()))
    return "Some content in the namespace has finalizers remaining: " + ", ".join(parts) if counts else ""
