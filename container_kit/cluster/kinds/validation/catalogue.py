"""Which checks a kind has. The modules are imported when the first object of a kind of theirs is judged."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any

from container_kit.cluster.kinds.validation.common import Errors
from container_kit.cluster.meta import Object

__all__ = ["checks_for", "create_checks_for", "status_checks_for", "update_checks_for"]

Kind = tuple[str, str]

# Where the checks of kinds are, by group.
_MODULES: Mapping[str, Mapping[str, Sequence[str]]] = {
    "core": {
        "": (
            "ConfigMap",
            "Event",
            "LimitRange",
            "Namespace",
            "Node",
            "PodTemplate",
            "ResourceQuota",
            "Secret",
        ),
        "events.k8s.io": ("Event",),
    },
    "extending": {
        "apiregistration.k8s.io": ("APIService",),
        "admissionregistration.k8s.io": (
            "MutatingWebhookConfiguration",
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
            "ValidatingWebhookConfiguration",
        ),
    },
    "governing": {
        "coordination.k8s.io": ("Lease",),
        "flowcontrol.apiserver.k8s.io": ("FlowSchema", "PriorityLevelConfiguration"),
        "node.k8s.io": ("RuntimeClass",),
        "scheduling.k8s.io": ("PriorityClass",),
    },
    "networking": {
        "networking.k8s.io": ("Ingress", "IngressClass", "NetworkPolicy"),
    },
    "rights": {
        "certificates.k8s.io": ("CertificateSigningRequest",),
        "rbac.authorization.k8s.io": ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"),
    },
    "scaling": {
        "autoscaling": ("HorizontalPodAutoscaler",),
        "policy": ("PodDisruptionBudget",),
    },
    "services": {
        "": ("Endpoints", "Service"),
        "discovery.k8s.io": ("EndpointSlice",),
    },
    "storage": {
        "": ("PersistentVolume", "PersistentVolumeClaim"),
        "storage.k8s.io": ("CSINode", "StorageClass", "VolumeAttachment"),
    },
    "workloads": {
        "apps": ("ControllerRevision", "DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"),
        "": ("ReplicationController",),
        "batch": ("CronJob", "Job"),
    },
}
_HOMES: Mapping[Kind, str] = {
    (group, kind): module
    for module, groups in _MODULES.items()
    for group, kinds in groups.items()
    for kind in kinds
}


@cache
def _check(key: Kind, table: str) -> Callable[..., Errors] | None:
    """The function that a module has for a kind in one of its tables."""
    module = import_module(f"{__package__}.{_HOMES[key]}")
    tables: dict[Kind, Callable[..., Errors]] = getattr(module, table, {})
    return tables.get(key)


def _judge(key: Kind, table: str) -> Sequence[Callable[..., Errors]]:
    if key not in _HOMES:
        return ()

    def judge(*objects: Any) -> Errors:
        check = _check(key, table)
        return [] if check is None else check(*objects)

    return (judge,)


def checks_for(group: str, kind: str) -> Sequence[Callable[[Object], Errors]]:
    """What must hold of an object of this kind."""
    return _judge((group, kind), "CHECKS")


def create_checks_for(group: str, kind: str) -> Sequence[Callable[[Object], Errors]]:
    """What must hold of a new object only, beside the checks of every one."""
    return _judge((group, kind), "CREATE_CHECKS")


def update_checks_for(group: str, kind: str) -> Sequence[Callable[[Object, Object], Errors]]:
    """What must hold of a change, beside the checks of the new object."""
    return _judge((group, kind), "UPDATES")


def status_checks_for(group: str, kind: str) -> Sequence[Callable[[Object, Object], Errors]]:
    """What must hold of a change of the status."""
    return _judge((group, kind), "STATUS_CHECKS")
