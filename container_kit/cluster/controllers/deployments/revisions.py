"""What a Deployment writes on its ReplicaSets: revision, history, wished sizes; and which one is the new one.

Source: Kubernetes documentation, "Deployments" (revisions, pod-template-hash); the annotations are those that
``kubectl rollout`` reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from container_kit.cluster.meta import Object, annotations_of, template_hash

__all__ = [
    "DESIRED",
    "HASH_LABEL",
    "MAXIMUM",
    "REVISION",
    "annotations_for",
    "by_age",
    "hash_of",
    "newest_like",
    "next_revision",
    "revision_of",
    "size_annotations",
]

REVISION = "deployment.kubernetes.io/revision"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"
HASH_LABEL = "pod-template-hash"

_HISTORY = "deployment.kubernetes.io/revision-history"
_HISTORY_LIMIT = 2000
_NOT_COPIED = {
    REVISION,
    DESIRED,
    MAXIMUM,
    _HISTORY,
    "kubectl.kubernetes.io/last-applied-configuration",
    "deprecated.deployment.rollback.to",
}


def revision_of(obj: Object) -> int:
    """The revision that is written on it; 0 for none."""
    try:
        return int(annotations_of(obj).get(REVISION, "0"))
    except ValueError:
        return 0


def next_revision(sets: Iterable[Object]) -> int:
    """The revision after those of *sets*."""
    return max(map(revision_of, sets), default=0) + 1


def by_age(sets: Iterable[Object]) -> list[Object]:
    """The oldest first."""
    return sorted(
        sets, key=lambda each: (each["metadata"].get("creationTimestamp", ""), each["metadata"]["name"])
    )


def hash_of(deployment: Object) -> str:
    """The hash of its template, for the name of the ReplicaSet; another one after each collision of names."""
    return template_hash(deployment["spec"]["template"], deployment.get("status", {}).get("collisionCount"))


def newest_like(deployment: Object, sets: Sequence[Object]) -> Object | None:
    """The ReplicaSet that has the template of *deployment*, apart from the label with its hash."""
    wanted = _comparable(deployment["spec"]["template"])
    return next((each for each in by_age(sets) if _comparable(each["spec"]["template"]) == wanted), None)


def annotations_for(deployment: Object, found: Object | None, revision: int) -> dict[str, str]:
    """The annotations that its new ReplicaSet should have.

    Args:
        found: The ReplicaSet, if it exists. Revisions that it had before are written down.
        revision: The number that the current template gets; one that is higher stays.
    """
    wanted = dict(annotations_of(found)) if found is not None else {}
    wanted |= {key: value for key, value in annotations_of(deployment).items() if key not in _NOT_COPIED}
    before = revision_of(found) if found is not None else 0
    if before < revision:
        wanted[REVISION] = str(revision)
        if before:
            wanted[_HISTORY] = _history(wanted.get(_HISTORY, ""), before)
    return wanted


def size_annotations(replicas: int, surge: int) -> dict[str, str]:
    """The sizes for which a ReplicaSet was scaled, by which a later change of size is seen."""
    return {DESIRED: str(replicas), MAXIMUM: str(replicas + surge)}


def _history(known: str, revision: int) -> str:
    text = ",".join(filter(None, (known, str(revision))))
    while len(text) > _HISTORY_LIMIT and "," in text:
        text = text.partition(",")[2]
    return text


def _comparable(template: Object) -> Object:
    meta = dict(template.get("metadata") or {})
    meta["labels"] = {key: value for key, value in (meta.get("labels") or {}).items() if key != HASH_LABEL}
    return {**template, "metadata": {key: value for key, value in meta.items() if value}}
