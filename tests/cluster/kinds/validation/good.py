"""One right object of each common kind, and wrong ones made of it by changing a part."""

from __future__ import annotations

import copy
from typing import Any

from container_kit.cluster.meta import Object

__all__ = ["GOOD", "changed"]

Node = dict[str, Any]
CONTAINER: Node = {"name": "c", "image": "i"}
LABELS: Node = {"a": "b"}
TEMPLATE: Node = {"metadata": {"labels": LABELS}, "spec": {"containers": [CONTAINER]}}
ONCE: Node = {"spec": {"containers": [CONTAINER], "restartPolicy": "Never"}}
SELECTOR: Node = {"matchLabels": LABELS}
RBAC = "rbac.authorization.k8s.io"
ADMISSION = "admissionregistration.k8s.io/v1"
REQUEST = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0K"
HOOK: Node = {
    "name": "a.b.c",
    "clientConfig": {"url": "https://h"},
    "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
}
RULE: Node = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
PATH: Node = {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "s", "port": {"number": 1}}}}
CLAIM: Node = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}

_PARTS: dict[str, tuple[str, Node]] = {
    "Pod": ("v1", {"spec": {"containers": [CONTAINER]}}),
    "PodTemplate": ("v1", {"template": TEMPLATE}),
    "ReplicationController": ("v1", {"spec": {"selector": LABELS, "template": TEMPLATE}}),
    "Deployment": ("apps/v1", {"spec": {"selector": SELECTOR, "template": TEMPLATE}}),
    "ReplicaSet": ("apps/v1", {"spec": {"selector": SELECTOR, "template": TEMPLATE}}),
    "DaemonSet": ("apps/v1", {"spec": {"selector": SELECTOR, "template": TEMPLATE}}),
    "StatefulSet": ("apps/v1", {"spec": {"selector": SELECTOR, "serviceName": "s", "template": TEMPLATE}}),
    "Job": ("batch/v1", {"spec": {"template": ONCE}}),
    "CronJob": ("batch/v1", {"spec": {"schedule": "@daily", "jobTemplate": {"spec": {"template": ONCE}}}}),
    "Service": ("v1", {"spec": {"ports": [{"port": 80}]}}),
    "Endpoints": ("v1", {"subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}]}),
    "EndpointSlice": (
        "discovery.k8s.io/v1",
        {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"name": ""}]},
    ),
    "Ingress": ("networking.k8s.io/v1", {"spec": {"rules": [{"http": {"paths": [PATH]}}]}}),
    "IngressClass": ("networking.k8s.io/v1", {"spec": {"controller": "a.b/c"}}),
    "NetworkPolicy": ("networking.k8s.io/v1", {"spec": {"podSelector": {}}}),
    "ConfigMap": ("v1", {"data": {"k": "v"}}),
    "Secret": ("v1", {"data": {"k": "dg=="}}),
    "PersistentVolume": (
        "v1",
        {
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "capacity": {"storage": "1Gi"},
                "hostPath": {"path": "/p"},
            }
        },
    ),
    "PersistentVolumeClaim": ("v1", {"spec": CLAIM}),
    "StorageClass": ("storage.k8s.io/v1", {"provisioner": "a.b/c"}),
    "HorizontalPodAutoscaler": (
        "autoscaling/v2",
        {"spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "d"}}},
    ),
    "PodDisruptionBudget": ("policy/v1", {"spec": {"minAvailable": 1}}),
    "Role": (f"{RBAC}/v1", {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}),
    "ClusterRole": (f"{RBAC}/v1", {"rules": [{"nonResourceURLs": ["/x"], "verbs": ["get"]}]}),
    "RoleBinding": (
        f"{RBAC}/v1",
        {
            "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": "r"},
            "subjects": [{"kind": "User", "name": "u"}],
        },
    ),
    "ServiceAccount": ("v1", {}),
    "Namespace": ("v1", {}),
    "Node": ("v1", {"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}}),
    "Lease": ("coordination.k8s.io/v1", {"spec": {"leaseDurationSeconds": 1}}),
    "ResourceQuota": ("v1", {"spec": {"hard": {"pods": "1"}}}),
    "LimitRange": ("v1", {"spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}}]}}),
    "PriorityClass": ("scheduling.k8s.io/v1", {"value": 1}),
    "RuntimeClass": ("node.k8s.io/v1", {"handler": "h"}),
    "ValidatingWebhookConfiguration": (ADMISSION, {"webhooks": [HOOK]}),
    "MutatingWebhookConfiguration": (ADMISSION, {"webhooks": [HOOK]}),
    "ValidatingAdmissionPolicy": (
        ADMISSION,
        {"spec": {"matchConstraints": {"resourceRules": [RULE]}, "validations": [{"expression": "true"}]}},
    ),
    "ValidatingAdmissionPolicyBinding": (
        ADMISSION,
        {"spec": {"policyName": "p", "validationActions": ["Deny"]}},
    ),
    "CertificateSigningRequest": (
        "certificates.k8s.io/v1",
        {"spec": {"request": REQUEST, "signerName": "a.b/c", "usages": ["client auth"]}},
    ),
}
GOOD: dict[str, Object] = {
    kind: {"apiVersion": version, "kind": kind, "metadata": {"name": "x"}, **parts}
    for kind, (version, parts) in _PARTS.items()
}


def changed(obj: Object, path: str, value: Any) -> Object:
    """A copy of *obj* with another value at a dotted path; numbers are places in lists, None takes it out."""
    made = copy.deepcopy(obj)
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    node: Any = made
    for step in steps:
        node = node[step] if isinstance(step, int) else node.setdefault(step, {})
    if value is None:
        node.pop(last)
    else:
        node[last] = value
    return made
