"""What makes a pod the one of its number: name, labels, host name, volumes.

Source: Kubernetes documentation, "StatefulSets" (pod identity).
"""

from __future__ import annotations

import re
from typing import Any

from container_kit.cluster.controllers.pods import pod_from_template
from container_kit.cluster.meta import Object, labels_of, name_of

__all__ = [
    "REVISION_LABEL",
    "claim_names",
    "identity_labels",
    "new_pod",
    "ordinal_of",
    "ordinals_of",
    "revision_name_of",
]

REVISION_LABEL = "controller-revision-hash"
_NAME_LABEL, _INDEX_LABEL = "statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index"


def ordinals_of(wish: Object) -> range:
    """The numbers that its pods should have."""
    start = (wish["spec"].get("ordinals") or {}).get("start", 0)
    return range(start, start + wish["spec"].get("replicas", 1))


def ordinal_of(wish: Object, pod: Object) -> int | None:
    """The number of a pod, by its name; None if the name is none of this set's."""
    match = re.fullmatch(r"(.*)-(0|[1-9][0-9]*)", name_of(pod))
    return int(match[2]) if match and match[1] == name_of(wish) else None


def revision_name_of(pod: Object) -> str:
    """The name of the revision from which it was made."""
    return labels_of(pod).get(REVISION_LABEL, "")


def identity_labels(name: str, ordinal: int) -> dict[str, str]:
    """The labels that say which pod it is."""
    return {_NAME_LABEL: name, _INDEX_LABEL: str(ordinal)}


def claim_names(wish: Object, ordinal: int) -> dict[str, str]:
    """From the name of each volume claim template to that of the claim for one pod."""
    templates = wish["spec"].get("volumeClaimTemplates") or ()
    return {name_of(each): f"{name_of(each)}-{name_of(wish)}-{ordinal}" for each in templates}


def new_pod(wish: Object, template: Object, revision: str, ordinal: int) -> Object:
    """The pod of this number, from a template of the revision of this name."""
    name = f"{name_of(wish)}-{ordinal}"
    pod = pod_from_template(template, wish, name)
    labels = {**labels_of(pod), **identity_labels(name, ordinal), REVISION_LABEL: revision}
    pod["metadata"]["labels"] = labels
    pod["spec"] = {
        **pod["spec"],
        "hostname": name,
        "volumes": _volumes(pod["spec"].get("volumes") or [], claim_names(wish, ordinal)),
    }
    if subdomain := wish["spec"].get("serviceName"):
        pod["spec"]["subdomain"] = subdomain
    return pod


def _volumes(given: list[dict[str, Any]], claims: dict[str, str]) -> list[dict[str, Any]]:
    """Claims take the place of volumes that have their names."""
    claimed = [
        {"name": name, "persistentVolumeClaim": {"claimName": claim}} for name, claim in claims.items()
    ]
    return [*claimed, *(volume for volume in given if volume["name"] not in claims)]
