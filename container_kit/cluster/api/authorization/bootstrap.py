"""The roles and bindings that every cluster has from the beginning, as data.

Rules are written ``verbs : groups : resources``, where ``core`` is the group without a name.

Source: Kubernetes, "Using RBAC Authorization", "Default roles and role bindings".
"""

from collections.abc import Iterator
from typing import Any

from container_kit.cluster.meta import Object

__all__ = ["bootstrap_rbac"]

_API = "rbac.authorization.k8s.io/v1"
_READ = "get,list,watch"
_WRITE = "create,delete,deletecollection,patch,update"
_ALL_VERBS = "create,delete,deletecollection,get,list,patch,update,watch"

_WORKLOADS = "daemonsets,deployments,{rollback}deployments/scale,replicasets,replicasets/scale"
_STATEFUL = "statefulsets,statefulsets/scale"

# Parts of admin, edit and view; the rules of these three are put together from what bears their label.
_PARTS = {
    "system:aggregate-to-admin": (
        "admin",
        "create : authorization.k8s.io : localsubjectaccessreviews",
        f"{_ALL_VERBS} : rbac.authorization.k8s.io : rolebindings,roles",
    ),
    "system:aggregate-to-edit": (
        "edit",
        f"{_READ} : core : pods/attach,pods/exec,pods/portforward,pods/proxy,secrets,services/proxy",
        "impersonate : core : serviceaccounts",
        f"{_WRITE} : core : pods,pods/attach,pods/exec,pods/portforward,pods/proxy",
        "create : core : pods/eviction",
        f"{_WRITE} : core : configmaps,events,persistentvolumeclaims,replicationcontrollers,"
        "replicationcontrollers/scale,secrets,serviceaccounts,services,services/proxy",
        "create : core : serviceaccounts/token",
        f"{_WRITE} : apps : {_WORKLOADS.format(rollback='deployments/rollback,')},{_STATEFUL}",
        f"{_WRITE} : autoscaling : horizontalpodautoscalers",
        f"{_WRITE} : batch : cronjobs,jobs",
        f"{_WRITE} : extensions : {_WORKLOADS.format(rollback='deployments/rollback,')},ingresses,"
        "networkpolicies,replicationcontrollers/scale",
        f"{_WRITE} : policy : poddisruptionbudgets",
        f"{_WRITE} : networking.k8s.io : ingresses,networkpolicies",
        "create,delete,deletecollection,get,list,patch,update,watch : coordination.k8s.io : leases",
        f"{_WRITE} : core : endpoints",
    ),
    "system:aggregate-to-view": (
        "view",
        f"{_READ} : core : configmaps,endpoints,persistentvolumeclaims,persistentvolumeclaims/status,pods,"
        "replicationcontrollers,replicationcontrollers/scale,serviceaccounts,services,services/status",
        f"{_READ} : core : bindings,events,limitranges,namespaces/status,pods/log,pods/status,"
        "replicationcontrollers/status,resourcequotas,resourcequotas/status",
        f"{_READ} : core : namespaces",
        f"{_READ} : discovery.k8s.io : endpointslices",
        f"{_READ} : apps : controllerrevisions,daemonsets,daemonsets/status,deployments,deployments/scale,"
        "deployments/status,replicasets,replicasets/scale,replicasets/status,statefulsets,statefulsets/scale,"
        "statefulsets/status",
        f"{_READ} : autoscaling : horizontalpodautoscalers,horizontalpodautoscalers/status",
        f"{_READ} : batch : cronjobs,cronjobs/status,jobs,jobs/status",
        f"{_READ} : extensions : daemonsets,daemonsets/status,deployments,deployments/scale,"
        "deployments/status,"
        "ingresses,ingresses/status,networkpolicies,replicasets,replicasets/scale,replicasets/status,"
        "replicationcontrollers/scale",
        f"{_READ} : policy : poddisruptionbudgets,poddisruptionbudgets/status",
        f"{_READ} : networking.k8s.io : ingresses,ingresses/status,networkpolicies",
    ),
}
# Whose part a role is itself, and of which it is made, in the order in which they are put together.
_AGGREGATED = {
    "admin": ("", ("system:aggregate-to-edit", "system:aggregate-to-view", "system:aggregate-to-admin")),
    "edit": ("admin", ("system:aggregate-to-edit", "system:aggregate-to-view")),
    "view": ("edit", ("system:aggregate-to-view",)),
}

_EVENTS = "create,patch,update : core,events.k8s.io : events"
_LEASES = "create,get,update : coordination.k8s.io : leases"
_PROBES = "/healthz,/livez,/readyz,/version,/version/"
_ROLES: dict[str, tuple[str, ...]] = {
    "cluster-admin": ("* : * : *", "* :: *"),
    "system:discovery": (
        "get :: /api,/api/*,/apis,/apis/*,/healthz,/livez,/openapi,/openapi/*,/readyz,/version,/version/",
    ),
    "system:basic-user": (
        "create : authorization.k8s.io : selfsubjectaccessreviews,selfsubjectrulesreviews",
        "create : authentication.k8s.io : selfsubjectreviews",
    ),
    "system:public-info-viewer": (f"get :: {_PROBES}",),
    "system:service-account-issuer-discovery": (
        "get :: /.well-known/openid-configuration,/.well-known/openid-configuration/,"
        "/openid/v1/jwks,/openid/v1/jwks/",
    ),
    "system:monitoring": (
        "get :: /healthz,/healthz/*,/livez,/livez/*,/metrics,/metrics/slis,/readyz,/readyz/*",
    ),
    "system:auth-delegator": (
        "create : authentication.k8s.io : tokenreviews",
        "create : authorization.k8s.io : subjectaccessreviews",
    ),
    "system:heapster": (
        f"{_READ} : core : events,namespaces,nodes,pods",
        f"{_READ} : extensions : deployments",
    ),
    "system:kubelet-api-admin": (
        "* : core : nodes/log,nodes/metrics,nodes/proxy,nodes/stats",
        "get,list,watch,proxy : core : nodes",
    ),
    "system:node": (
        "create : authentication.k8s.io : tokenreviews",
        "create : authorization.k8s.io : localsubjectaccessreviews,subjectaccessreviews",
        f"{_READ} : core : services",
        f"create,{_READ} : core : nodes",
        "patch,update : core : nodes/status",
        "patch,update : core : nodes",
        "create,patch,update : core : events",
        f"{_READ},create,delete : core : pods",
        "patch,update : core : pods/status",
        "create : core : pods/eviction",
        f"{_READ} : core : configmaps,secrets",
        "get : core : persistentvolumeclaims,persistentvolumes",
        "get : core : endpoints",
        f"create,{_READ} : certificates.k8s.io : certificatesigningrequests",
        "create,delete,get,patch,update : coordination.k8s.io : leases",
        "get : storage.k8s.io : volumeattachments",
        "create : core : serviceaccounts/token",
        "get,patch,update : core : persistentvolumeclaims/status",
        f"{_READ} : storage.k8s.io : csidrivers",
        "create,delete,get,patch,update : storage.k8s.io : csinodes",
        f"{_READ} : node.k8s.io : runtimeclasses",
    ),
    "system:node-bootstrapper": (f"create,{_READ} : certificates.k8s.io : certificatesigningrequests",),
    "system:node-problem-detector": ("get : core : nodes", "patch : core : nodes/status", _EVENTS),
    "system:node-proxier": (
        "list,watch : core : endpoints,services",
        f"{_READ} : core : nodes",
        f"{_EVENTS}",
        "list,watch : discovery.k8s.io : endpointslices",
    ),
    "system:kube-dns": ("list,watch : core : endpoints,services",),
    "system:kube-scheduler": (
        _EVENTS,
        "create : coordination.k8s.io : leases",
        f"{_READ} : core : nodes",
        "delete,get,list,watch : core : pods",
        "create : core : bindings,pods/binding",
        "patch,update : core : pods/status",
        f"{_READ} : core : replicationcontrollers,services",
        f"{_READ} : apps,extensions : replicasets",
        f"{_READ} : apps : statefulsets",
        f"{_READ} : policy : poddisruptionbudgets",
        f"{_READ} : core : persistentvolumeclaims,persistentvolumes",
        "create : authentication.k8s.io : tokenreviews",
        "create : authorization.k8s.io : subjectaccessreviews",
        f"{_READ} : storage.k8s.io : csinodes,csidrivers,csistoragecapacities",
    ),
    "system:kube-controller-manager": (
        _EVENTS,
        _LEASES,
        "create : core : secrets,serviceaccounts",
        "delete : core : secrets",
        "get : core : configmaps,namespaces,secrets,serviceaccounts",
        "update : core : secrets,serviceaccounts",
        "create : authentication.k8s.io : tokenreviews",
        "create : authorization.k8s.io : subjectaccessreviews",
        "list,watch : * : *",
        "create : core : serviceaccounts/token",
    ),
    "system:kube-aggregator": (f"{_READ} : core : endpoints,services",),
    "system:volume-scheduler": (
        f"{_READ},patch,update : core : persistentvolumes",
        f"{_READ} : storage.k8s.io : storageclasses",
        f"{_READ},patch,update : core : persistentvolumeclaims",
    ),
    "system:persistent-volume-provisioner": (
        f"create,delete,{_READ} : core : persistentvolumes",
        f"{_READ},update : core : persistentvolumeclaims",
        f"{_READ} : storage.k8s.io : storageclasses",
        "watch : core : events",
        _EVENTS,
    ),
}

# Who has which of these roles everywhere.
_BINDINGS: dict[str, tuple[str, ...]] = {
    "cluster-admin": ("Group system:masters",),
    "system:discovery": ("Group system:authenticated",),
    "system:basic-user": ("Group system:authenticated",),
    "system:public-info-viewer": ("Group system:authenticated", "Group system:unauthenticated"),
    "system:service-account-issuer-discovery": ("Group system:serviceaccounts",),
    "system:monitoring": ("Group system:monitoring",),
    "system:node-proxier": ("User system:kube-proxy",),
    "system:kube-controller-manager": ("User system:kube-controller-manager",),
    "system:kube-dns": ("ServiceAccount kube-system/kube-dns",),
    "system:kube-scheduler": ("User system:kube-scheduler",),
    "system:volume-scheduler": ("User system:kube-scheduler",),
    "system:node": (),
}


def bootstrap_rbac() -> Iterator[Object]:
    """ClusterRoles and ClusterRoleBindings, complete, to be created where they are missing."""
    for name, (target, *rules) in _PARTS.items():
        labels = {f"rbac.authorization.k8s.io/aggregate-to-{target}": "true"}
        yield _role(name, rules, labels)
    for name, (target, parts) in _AGGREGATED.items():
        labels = {f"rbac.authorization.k8s.io/aggregate-to-{target}": "true"} if target else {}
        all_rules = [rule for part in parts for rule in _PARTS[part][1:]]
        selectors = [{"matchLabels": {f"rbac.authorization.k8s.io/aggregate-to-{name}": "true"}}]
        yield _role(name, all_rules, labels) | {"aggregationRule": {"clusterRoleSelectors": selectors}}
    for name, own in _ROLES.items():
        yield _role(name, own, {})
    for name, subjects in _BINDINGS.items():
        yield _binding(name, subjects)


def _metadata(name: str, labels: dict[str, str]) -> Object:
    return {
        "name": name,
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults", **labels},
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
    }


def _role(name: str, rules: Any, labels: dict[str, str]) -> Object:
    metadata = _metadata(name, labels)
    return {
        "apiVersion": _API,
        "kind": "ClusterRole",
        "metadata": metadata,
        "rules": [_rule(text) for text in rules],
    }


def _rule(text: str) -> Object:
    """``get : core : pods`` or, for paths, ``get :: /healthz``."""
    verbs, _, rest = text.partition(" :")
    if rest.startswith(": "):
        return {"verbs": verbs.split(","), "nonResourceURLs": rest[2:].split(",")}
    groups, _, resources = rest.strip().partition(" : ")
    named = [group if group != "core" else "" for group in groups.split(",")]
    return {"verbs": verbs.split(","), "apiGroups": named, "resources": resources.split(",")}


def _binding(name: str, subjects: tuple[str, ...]) -> Object:
    found: Object = {
        "apiVersion": _API,
        "kind": "ClusterRoleBinding",
        "metadata": _metadata(name, {}),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
    }
    if subjects:
        found["subjects"] = [_subject(text) for text in subjects]
    return found


def _subject(text: str) -> Object:
    kind, _, name = text.partition(" ")
    if kind == "ServiceAccount":
        namespace, _, account = name.partition("/")
        return {"kind": kind, "name": account, "namespace": namespace}
    return {"kind": kind, "apiGroup": "rbac.authorization.k8s.io", "name": name}
