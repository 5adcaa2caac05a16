"""How kinds behave when they are written and deleted, where they differ: data.

Source: the strategies in kubernetes pkg/registry (AllowCreateOnUpdate, AllowUnconditionalUpdate,
DefaultGarbageCollectionPolicy, ReturnDeletedObject).
"""

from __future__ import annotations

from container_kit.cluster.api.resources import Resource

__all__ = [
    "creates_on_update",
    "is_graceful",
    "orphans_by_default",
    "returns_deleted",
    "updates_unconditionally",
]

# A PUT of what is not there creates it.
_CREATED_BY_PUT = frozenset(
    (
        "endpoints",
        "events",
        "events.events.k8s.io",
        "limitranges",
        "services",
        "leases.coordination.k8s.io",
        "roles.rbac.authorization.k8s.io",
        "rolebindings.rbac.authorization.k8s.io",
        "clusterroles.rbac.authorization.k8s.io",
        "clusterrolebindings.rbac.authorization.k8s.io",
    )
)
# A PUT must say which version it replaces.  So it is for all custom resources.
_CONDITIONAL = frozenset(
    (
        "leases.coordination.k8s.io",
        "poddisruptionbudgets.policy",
        "runtimeclasses.node.k8s.io",
        "csistoragecapacities.storage.k8s.io",
        "customresourcedefinitions.apiextensions.k8s.io",
        "apiservices.apiregistration.k8s.io",
        "mutatingwebhookconfigurations.admissionregistration.k8s.io",
        "validatingwebhookconfigurations.admissionregistration.k8s.io",
        "validatingadmissionpolicies.admissionregistration.k8s.io",
        "validatingadmissionpolicybindings.admissionregistration.k8s.io",
    )
)
# What depends on them stays unless the request says otherwise.
_ORPHANING = frozenset(("replicationcontrollers", "jobs.batch"))
# A deletion answers with the object instead of a Status.
_RETURNED = frozenset(
    (
        "pods",
        "namespaces",
        "services",
        "serviceaccounts",
        "podtemplates",
        "resourcequotas",
        "persistentvolumes",
        "persistentvolumeclaims",
        "csidrivers.storage.k8s.io",
        "csinodes.storage.k8s.io",
        "storageclasses.storage.k8s.io",
        "volumeattachments.storage.k8s.io",
    )
)


def creates_on_update(resource: Resource) -> bool:
    """Whether an update of what is not there creates it."""
    return resource.qualified in _CREATED_BY_PUT


def updates_unconditionally(resource: Resource) -> bool:
    """Whether an update need not name the version that it replaces."""
    return resource.is_typed and resource.qualified not in _CONDITIONAL


def orphans_by_default(resource: Resource) -> bool:
    """Whether a deletion that does not speak of dependents leaves them."""
    return resource.qualified in _ORPHANING


def returns_deleted(resource: Resource) -> bool:
    """Whether a deletion answers with the object."""
    return resource.qualified in _RETURNED


def is_graceful(resource: Resource) -> bool:
    """Whether objects get time to end before they are removed."""
    return resource.qualified == "pods"
