"""Defaults of all built-in kinds but pods, as one table from group and kind to rules.

Source: Kubernetes API reference v1.32 ("Defaults to ..."); recorded answers of a real server.
"""

import base64
from collections.abc import Callable
from typing import Any

from container_kit.cluster.kinds.pod_defaults import POD, POD_TEMPLATE, VOLUME_SOURCES
from container_kit.cluster.kinds.rules import Rules
from container_kit.cluster.meta import Object

__all__ = ["DEFAULTS"]

Node = dict[str, Any]
RBAC = "rbac.authorization.k8s.io"


# apps
def _rolling_update(**constants: Any) -> Callable[[Node], None]:
    """A strategy is a rolling update unless it says otherwise, and then has these parameters."""

    def complete(strategy: Node) -> None:
        if not strategy.get("type"):
            strategy["type"] = "RollingUpdate"
        if strategy["type"] == "RollingUpdate":
            parameters = strategy.setdefault("rollingUpdate", {})
            for key, value in constants.items():
                parameters.setdefault(key, value)

    return complete


def _from_template_labels(selector_of: Callable[[dict[str, str]], Any]) -> Callable[[Object], None]:
    """A workload of the core group takes labels and selector from its template."""

    def complete(obj: Object) -> None:
        labels = ((obj.get("spec") or {}).get("template") or {}).get("metadata", {}).get("labels")
        if labels:
            obj["spec"].setdefault("selector", selector_of(labels))
            obj["metadata"].setdefault("labels", dict(labels))

    return complete


TEMPLATE = {"template": POD_TEMPLATE}
DEPLOYMENT = Rules(
    {"replicas": 1, "strategy": {}, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600},
    within={**TEMPLATE, "strategy": _rolling_update(maxUnavailable="25%", maxSurge="25%")},
)
DAEMON_SET = Rules(
    {"updateStrategy": {}, "revisionHistoryLimit": 10},
    within={**TEMPLATE, "updateStrategy": _rolling_update(maxUnavailable=1, maxSurge=0)},
)
CLAIM = Rules(
    {"status": {}},
    within={"spec": Rules({"volumeMode": "Filesystem"}), "status": Rules({"phase": "Pending"})},
)
CLAIM_TEMPLATE = Rules({"kind": "PersistentVolumeClaim", "apiVersion": "v1", "status": {}}, then=(CLAIM,))
STATEFUL_SET = Rules(
    {
        "replicas": 1,
        "podManagementPolicy": "OrderedReady",
        "updateStrategy": {},
        "revisionHistoryLimit": 10,
        "persistentVolumeClaimRetentionPolicy": {},
    },
    within={
        **TEMPLATE,
        "updateStrategy": _rolling_update(partition=0),
        "persistentVolumeClaimRetentionPolicy": Rules({"whenDeleted": "Retain", "whenScaled": "Retain"}),
    },
    each={"volumeClaimTemplates": CLAIM_TEMPLATE},
)
REPLICAS = Rules({"replicas": 1}, within=TEMPLATE)


# batch
def _job_counts(spec: Node) -> None:
    """One pod that must succeed, unless counts are given; a work queue has no number of completions."""
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    if spec.get("backoffLimit") is None:
        spec["backoffLimit"] = 2**31 - 1 if spec.get("backoffLimitPerIndex") is not None else 6


def _replacement(spec: Node) -> None:
    """With a failure policy, pods are replaced only once they have failed for good."""
    if not spec.get("podReplacementPolicy"):
        spec["podReplacementPolicy"] = "Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed"


POD_CONDITION_PATTERN = Rules({"status": "True"})
JOB_SPEC = Rules(
    {"completionMode": "NonIndexed", "suspend": False, "manualSelector": False},
    within={
        **TEMPLATE,
        "podFailurePolicy": Rules(each={"rules": Rules(each={"onPodConditions": POD_CONDITION_PATTERN})}),
    },
    then=(_job_counts, _replacement),
)
CRON_JOB_TEMPLATE = Rules({"metadata": {"creationTimestamp": None}}, within={"spec": Rules(within=TEMPLATE)})
CRON_JOB = Rules(
    {
        "concurrencyPolicy": "Allow",
        "suspend": False,
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 1,
    },
    within={"jobTemplate": CRON_JOB_TEMPLATE},
)


# services
def _service_port(port: Node) -> None:
    if not port.get("protocol"):
        port["protocol"] = "TCP"
    if port.get("targetPort") in (None, "", 0):
        port["targetPort"] = port.get("port", 0)


def _service(spec: Node) -> None:
    """What depends on the type: affinity times out, traffic from outside has a policy."""
    kind = spec["type"]
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP":
        config = spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {})
        config.setdefault("timeoutSeconds", 10800)
    outside = kind in ("NodePort", "LoadBalancer") or (kind == "ClusterIP" and spec.get("externalIPs"))
    if outside and not spec.get("externalTrafficPolicy"):
        spec["externalTrafficPolicy"] = "Cluster"
    if kind in ("NodePort", "LoadBalancer", "ClusterIP"):
        spec.setdefault("internalTrafficPolicy", "Cluster")
    if kind == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)


SERVICE = Rules(
    {"sessionAffinity": "None", "type": "ClusterIP"}, each={"ports": _service_port}, then=(_service,)
)
PROTOCOL = Rules({"protocol": "TCP"})


def _slice_port(port: Node) -> None:
    port.setdefault("name", "")
    if port.get("protocol") is None:
        port["protocol"] = "TCP"


# configuration
def _string_data(secret: Object) -> None:
    """``stringData`` is only for writing: it wins over ``data`` and is stored there, encoded."""
    texts = secret.pop("stringData", None)
    if texts:
        encoded = {key: base64.b64encode((text or "").encode()).decode() for key, text in texts.items()}
        secret["data"] = (secret.get("data") or {}) | encoded
    if not secret.get("type"):
        secret["type"] = "Opaque"


def _limit_item(item: Node) -> None:
    """Of containers: the default is the maximum, the default request the default, or else the minimum."""
    if item.get("type") != "Container":
        return
    default = (item.get("max") or {}) | (item.get("default") or {})
    request = (item.get("min") or {}) | default | (item.get("defaultRequest") or {})
    if default:
        item["default"] = default
    if request:
        item["defaultRequest"] = request


def _namespace(namespace: Object) -> None:
    name = namespace["metadata"].get("name")
    if name:
        namespace["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = name


def _allocatable(status: Node) -> None:
    """All that a node has can be given to pods, unless the node says less."""
    if status.get("capacity") and not status.get("allocatable"):
        status["allocatable"] = dict(status["capacity"])


# rbac
def _subject(subject: Node) -> None:
    if not subject.get("apiGroup") and subject.get("kind") in ("User", "Group"):
        subject["apiGroup"] = RBAC


BINDING = Rules(within={"roleRef": Rules({"apiGroup": RBAC})}, each={"subjects": _subject})


# networking
def _policy_types(spec: Node) -> None:
    """A policy is about incoming traffic, and about outgoing if it has rules for it."""
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


NETWORK_RULE = Rules(each={"ports": PROTOCOL})
NETWORK_POLICY = Rules(each={"ingress": NETWORK_RULE, "egress": NETWORK_RULE}, then=(_policy_types,))


def _class_parameters(parameters: Node) -> None:
    parameters.setdefault("scope", "Cluster")


# storage
def _claim_source(spec: Node) -> None:
    """``dataSource`` and ``dataSourceRef`` mean the same while they name no other namespace."""
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if source is not None and reference is None:
        spec["dataSourceRef"] = dict(source)
    elif reference is not None and source is None and not reference.get("namespace"):
        spec["dataSource"] = {key: value for key, value in reference.items() if key != "namespace"}


# autoscaling
_SCALE_UP = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [
        {"type": "Pods", "value": 4, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ],
}
_SCALE_DOWN = {
    "selectPolicy": "Max",
    "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
}
_CPU_80 = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
}
AUTOSCALER_V1 = Rules({"minReplicas": 1}, then=(lambda spec: _cpu_target(spec),))
AUTOSCALER_V2 = Rules(
    {"minReplicas": 1, "metrics": [_CPU_80]},
    within={
        "behavior": Rules(
            {"scaleUp": {}, "scaleDown": {}},
            within={"scaleUp": Rules(_SCALE_UP), "scaleDown": Rules(_SCALE_DOWN)},
        )
    },
)


def _cpu_target(spec: Node) -> None:
    spec.setdefault("targetCPUUtilizationPercentage", 80)


# extension
WEBHOOK = Rules(
    {
        "failurePolicy": "Fail",
        "matchPolicy": "Equivalent",
        "namespaceSelector": {},
        "objectSelector": {},
        "timeoutSeconds": 10,
    },
    within={"clientConfig": Rules(within={"service": Rules({"port": 443})})},
    each={"rules": Rules({"scope": "*"})},
)
MUTATING_WEBHOOK = Rules({"reinvocationPolicy": "Never"}, first=(WEBHOOK,))
MATCH_RESOURCES = Rules(
    {"namespaceSelector": {}, "objectSelector": {}, "matchPolicy": "Equivalent"},
    each={"resourceRules": Rules({"scope": "*"}), "excludeResourceRules": Rules({"scope": "*"})},
)
POLICY = Rules({"failurePolicy": "Fail"}, within={"matchConstraints": MATCH_RESOURCES})


def _deny_is_default(binding: Node) -> None:
    parameters = binding.get("paramRef")
    if parameters is not None and not parameters.get("parameterNotFoundAction"):
        parameters["parameterNotFoundAction"] = "Deny"


def _resource_names(spec: Node) -> None:
    """Singular and list kind follow from the kind."""
    names = spec.setdefault("names", {})
    kind = names.get("kind", "")
    if not names.get("singular"):
        names["singular"] = kind.lower()
    if not names.get("listKind") and kind:
        names["listKind"] = kind + "List"


CONVERSION = Rules(
    {"strategy": "None"},
    within={"webhook": Rules(within={"clientConfig": Rules(within={"service": Rules({"port": 443})})})},
)


def _stored_versions(crd: Object) -> None:
    """The version that is stored is among the stored ones from the beginning."""
    versions = crd.get("spec", {}).get("versions") or ()
    storage = [version["name"] for version in versions if version.get("storage")]
    status = crd.setdefault("status", {})
    if not status.get("storedVersions") and storage:
        status["storedVersions"] = storage[:1]


# flow control
def _concurrency(spec: Node) -> None:
    limited, exempt = spec.get("limited"), spec.get("exempt")
    if limited is not None:
        limited.setdefault("nominalConcurrencyShares", 30)
        limited.setdefault("lendablePercent", 0)
        queuing = (limited.get("limitResponse") or {}).get("queuing")
        if queuing is not None:
            for key, value in (("queues", 64), ("handSize", 8), ("queueLengthLimit", 50)):
                queuing[key] = queuing.get(key) or value
    if spec.get("type") == "Exempt":
        exempt = spec.setdefault("exempt", {})
        exempt.setdefault("nominalConcurrencyShares", 0)
        exempt.setdefault("lendablePercent", 0)


def _spec(rules: Callable[[Node], None], **more: Any) -> Rules:
    """Rules of an object whose defaults are all in its spec."""
    return Rules({"spec": {}}, within={"spec": rules}, **more)


_labels_and_selector = _from_template_labels(dict)

DEFAULTS: dict[tuple[str, str], Callable[[Object], None]] = {
    ("", "Pod"): POD,
    ("", "PodTemplate"): Rules(within=TEMPLATE),
    ("", "ReplicationController"): _spec(REPLICAS, then=(_labels_and_selector,)),
    ("", "Service"): _spec(SERVICE),
    ("", "Endpoints"): Rules(each={"subsets": Rules(each={"ports": PROTOCOL})}),
    ("", "Secret"): _string_data,
    ("", "LimitRange"): Rules(within={"spec": Rules(each={"limits": _limit_item})}),
    ("", "Namespace"): _namespace,
    ("", "Node"): Rules(within={"status": _allocatable}),
    ("", "PersistentVolume"): _spec(
        Rules({"persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem"}, within=VOLUME_SOURCES),
        then=(Rules(within={"status": Rules({"phase": "Pending"})}),),
    ),
    ("", "PersistentVolumeClaim"): Rules(then=(CLAIM, lambda claim: _claim_source(claim["spec"]))),
    ("apps", "Deployment"): _spec(DEPLOYMENT),
    ("apps", "ReplicaSet"): _spec(REPLICAS),
    ("apps", "StatefulSet"): _spec(STATEFUL_SET),
    ("apps", "DaemonSet"): _spec(DAEMON_SET),
    ("batch", "Job"): _spec(JOB_SPEC),
    ("batch", "CronJob"): _spec(CRON_JOB),
    ("autoscaling", "HorizontalPodAutoscaler"): lambda hpa: _autoscaler(hpa),
    ("networking.k8s.io", "NetworkPolicy"): _spec(NETWORK_POLICY),
    ("networking.k8s.io", "IngressClass"): _spec(Rules(within={"parameters": _class_parameters})),
    (RBAC, "RoleBinding"): BINDING,
    (RBAC, "ClusterRoleBinding"): BINDING,
    ("scheduling.k8s.io", "PriorityClass"): Rules({"preemptionPolicy": "PreemptLowerPriority"}),
    ("discovery.k8s.io", "EndpointSlice"): Rules(each={"ports": _slice_port}),
    ("storage.k8s.io", "StorageClass"): Rules({"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"}),
    ("storage.k8s.io", "CSIDriver"): _spec(
        Rules(
            {
                "attachRequired": True,
                "podInfoOnMount": False,
                "volumeLifecycleModes": ["Persistent"],
                "storageCapacity": False,
                "fsGroupPolicy": "ReadWriteOnceWithFSType",
                "requiresRepublish": False,
                "seLinuxMount": False,
            }
        )
    ),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"): _spec(
        Rules(then=(lambda spec: spec.update(matchingPrecedence=spec.get("matchingPrecedence") or 1000),))
    ),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"): _spec(_concurrency),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): Rules(each={"webhooks": WEBHOOK}),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): Rules(
        each={"webhooks": MUTATING_WEBHOOK}
    ),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): _spec(POLICY),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"): _spec(
        Rules(within={"matchResources": MATCH_RESOURCES})
    ),
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _spec(
        Rules(
            {"scope": "Namespaced", "conversion": {}},
            within={"conversion": CONVERSION},
            then=(_resource_names,),
        ),
        then=(_stored_versions,),
    ),
    ("apiregistration.k8s.io", "APIService"): _spec(Rules(within={"service": Rules({"port": 443})})),
}


def _autoscaler(hpa: Object) -> None:
    rules = AUTOSCALER_V1 if hpa.get("apiVersion") == "autoscaling/v1" else AUTOSCALER_V2
    rules(hpa.setdefault("spec", {}))
