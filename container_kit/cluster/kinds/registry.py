"""Which strategy a kind has: the tables of defaults, names and generations put together, on first use."""

from functools import cache
from typing import Any

from container_kit.cluster.kinds.custom.definition import DefinitionStrategy
from container_kit.cluster.kinds.defaults import DEFAULTS, RBAC
from container_kit.cluster.kinds.fields import FIELDS
from container_kit.cluster.kinds.jobs import JobStrategy
from container_kit.cluster.kinds.metadata import NameRule
from container_kit.cluster.kinds.pods import PodStrategy
from container_kit.cluster.kinds.preparations import (
    DaemonSetStrategy,
    DeploymentStrategy,
    NamespaceStrategy,
    NodeStrategy,
    PersistentVolumeStrategy,
    PriorityClassStrategy,
)
from container_kit.cluster.kinds.services import ServiceStrategy
from container_kit.cluster.kinds.shape import has_status
from container_kit.cluster.kinds.strategy import Strategy
from container_kit.cluster.kinds.validation import (
    checks_for,
    create_checks_for,
    status_checks_for,
    update_checks_for,
)
from container_kit.cluster.kinds.warnings import WARNINGS
from container_kit.cluster.meta.names import (
    dns1035_label_problems,
    dns1123_label_problems,
    dns1123_subdomain_problems,
    path_segment_problems,
)

__all__ = ["strategy_for"]

# Kinds whose generation nobody counts.
_NO_GENERATION = frozenset(
    {
        *(("", kind) for kind in (
            "ComponentStatus", "ConfigMap", "Endpoints", "Event", "LimitRange", "Namespace", "Node",
            "PersistentVolume", "PersistentVolumeClaim", "Pod", "ResourceQuota", "Secret",
            "Service", "ServiceAccount",
        )),
        *((RBAC, kind) for kind in ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")),
        *(("storage.k8s.io", kind) for kind in (
            "CSIDriver", "CSINode", "CSIStorageCapacity", "StorageClass", "VolumeAttachment",
        )),
        ("apps", "ControllerRevision"),
        ("autoscaling", "HorizontalPodAutoscaler"),
        ("apiregistration.k8s.io", "APIService"),
        ("certificates.k8s.io", "CertificateSigningRequest"),
        ("coordination.k8s.io", "Lease"),
        ("events.k8s.io", "Event"),
        ("node.k8s.io", "RuntimeClass"),
    }
)  # fmt: skip

_CLUSTER_SCOPED = frozenset(
    {
        *(("", kind) for kind in ("ComponentStatus", "Namespace", "Node", "PersistentVolume")),
        *((RBAC, kind) for kind in ("ClusterRole", "ClusterRoleBinding")),
        *(("storage.k8s.io", kind) for kind in ("CSIDriver", "CSINode", "StorageClass", "VolumeAttachment")),
        *(("admissionregistration.k8s.io", kind) for kind in (
            "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration", "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
        )),
        *(("flowcontrol.apiserver.k8s.io", kind) for kind in ("FlowSchema", "PriorityLevelConfiguration")),
        ("apiextensions.k8s.io", "CustomResourceDefinition"),
        ("apiregistration.k8s.io", "APIService"),
        ("certificates.k8s.io", "CertificateSigningRequest"),
        ("networking.k8s.io", "IngressClass"),
        ("node.k8s.io", "RuntimeClass"),
        ("scheduling.k8s.io", "PriorityClass"),
    }
)  # fmt: skip

# Kinds of which a change is judged before what it leads to.
_CHANGES_FIRST = frozenset(("", kind) for kind in ("ConfigMap", "Secret", "Service"))

# What a name must look like, where that is not a DNS subdomain.
_NAME_RULES: dict[tuple[str, str], NameRule] = {
    ("", "Namespace"): dns1123_label_problems,
    ("", "Service"): dns1035_label_problems,
    ("apps", "StatefulSet"): dns1123_label_problems,
    ("policy", "PodDisruptionBudget"): path_segment_problems,
    ("certificates.k8s.io", "CertificateSigningRequest"): path_segment_problems,
    **{
        (RBAC, kind): path_segment_problems
        for kind in ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
    },
}

# The status of a new object, where it is not an empty one.
_FIRST_STATUS: dict[tuple[str, str], dict[str, Any]] = {
    ("", "Namespace"): {"phase": "Active"},
    ("", "PersistentVolumeClaim"): {"phase": "Pending"},
}

# Kinds that need more than tables.
_CLASSES: dict[tuple[str, str], type[Strategy]] = {
    ("", "Namespace"): NamespaceStrategy,
    ("", "Node"): NodeStrategy,
    ("", "PersistentVolume"): PersistentVolumeStrategy,
    ("", "Pod"): PodStrategy,
    ("", "Service"): ServiceStrategy,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): DefinitionStrategy,
    ("apps", "DaemonSet"): DaemonSetStrategy,
    ("apps", "Deployment"): DeploymentStrategy,
    ("batch", "Job"): JobStrategy,
    ("scheduling.k8s.io", "PriorityClass"): PriorityClassStrategy,
}


@cache
def strategy_for(group: str, kind: str) -> Strategy:
    """The strategy of a built-in kind; one that decides nothing special for any other."""
    key = (group, kind)
    return _CLASSES.get(key, Strategy)(
        group,
        kind,
        namespaced=key not in _CLUSTER_SCOPED,
        defaults=DEFAULTS.get(key),
        name_rule=_NAME_RULES.get(key, dns1123_subdomain_problems),
        generation=key not in _NO_GENERATION,
        status=has_status(group, kind),
        first_status=_FIRST_STATUS.get(key),
        fields=FIELDS.get(key),
        warn=WARNINGS.get(key),
        checks=checks_for(group, kind),
        create_checks=create_checks_for(group, kind),
        update_checks=update_checks_for(group, kind),
        changes_first=key in _CHANGES_FIRST,
        status_checks=status_checks_for(group, kind),
    )
