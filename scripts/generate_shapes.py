"""Writes container_kit/cluster/kinds/shapes.json: how Kubernetes types appear once they are stored.

    python scripts/generate_shapes.py FOLDER_OF_OPENAPI_V3_DOCUMENTS

Of each property only what changes an object on its way through the server is kept: structs and
scalars that are always present, scalars and lists that are dropped when they have their zero value,
quantities, and where further structs lie. The documents say most of it (``default`` marks what is
always present); which scalars are pointers, so that their zero value is kept, they do not say: POINTERS
below lists them, from the published Go types of Kubernetes 1.32.

Codes of a property, followed by the name of a type for the upper row:
    s struct, always present    p struct, if given    l list, dropped when empty    n list, null when empty
    m map, dropped when empty    w map of texts, dropped when empty
    z dropped when zero    k always present, else the zero value that follows    t null when absent
    N list of scalars, null when empty
    q quantity    Q quantity, 0 when absent    r map of quantities
"""

import gzip
import json
import sys
from pathlib import Path
from typing import Any

OUT = Path(__file__).parent.parent / "container_kit" / "cluster" / "kinds" / "shapes.json"

# Types all of whose optional scalars are pointers.
ALL_POINTERS = frozenset(
    """
    admissionregistration.v1.MatchResources admissionregistration.v1.MutatingWebhook
    admissionregistration.v1.NamedRuleWithOperations admissionregistration.v1.RuleWithOperations
    admissionregistration.v1.ServiceReference admissionregistration.v1.ValidatingAdmissionPolicySpec
    admissionregistration.v1.ValidatingWebhook apps.v1.RollingUpdateStatefulSetStrategy
    authentication.v1.TokenRequestSpec autoscaling.v1.HorizontalPodAutoscalerSpec
    autoscaling.v2.HPAScalingRules autoscaling.v2.HorizontalPodAutoscalerSpec autoscaling.v2.MetricTarget
    batch.v1.JobSpec batch.v1.JobStatus batch.v1.PodFailurePolicyOnExitCodesRequirement
    batch.v1.SuccessPolicyRule coordination.v1.LeaseSpec core.v1.AppArmorProfile core.v1.CSIVolumeSource
    core.v1.ClientIPConfig core.v1.ClusterTrustBundleProjection core.v1.ConfigMap core.v1.ConfigMapEnvSource
    core.v1.ConfigMapKeySelector core.v1.ConfigMapProjection core.v1.ConfigMapVolumeSource
    core.v1.DownwardAPIVolumeFile core.v1.DownwardAPIVolumeSource core.v1.HostPathVolumeSource
    core.v1.KeyToPath core.v1.LocalVolumeSource core.v1.NodeFeatures core.v1.NodeRuntimeHandlerFeatures
    core.v1.PodResourceClaim core.v1.PodSecurityContext core.v1.ProjectedVolumeSource core.v1.SeccompProfile
    core.v1.SecretEnvSource core.v1.SecretKeySelector core.v1.SecretProjection core.v1.SecurityContext
    core.v1.ServiceAccount core.v1.TopologySpreadConstraint core.v1.TypedLocalObjectReference
    core.v1.TypedObjectReference core.v1.WindowsSecurityContextOptions core.v1.VolumeMountStatus
    discovery.v1.Endpoint discovery.v1.EndpointConditions discovery.v1.EndpointPort
    flowcontrol.v1.ExemptPriorityLevelConfiguration flowcontrol.v1.LimitedPriorityLevelConfiguration
    networking.v1.IngressClassParametersReference networking.v1.IngressSpec networking.v1.NetworkPolicyPort
    policy.v1.PodDisruptionBudgetSpec storage.v1.CSIDriverSpec storage.v1.StorageClass
    storage.v1.TokenRequest storage.v1.VolumeAttachmentSource storage.v1.VolumeNodeResources
    apiextensions.v1.ServiceReference apiextensions.v1.CustomResourceSubresourceScale
    apiregistration.v1.ServiceReference meta.v1.OwnerReference
    """.split()  # noqa: SIM905 - a list of words reads better
)

# Pointers in types that also have plain optional scalars.
POINTERS = {
    "admissionregistration.v1.ParamRef": "parameterNotFoundAction",
    "admissionregistration.v1.Validation": "reason",
    "admissionregistration.v1.WebhookClientConfig": "url",
    "apps.v1.ControllerRevision": "",
    "apps.v1.DaemonSetSpec": "revisionHistoryLimit",
    "apps.v1.DaemonSetStatus": "collisionCount",
    "apps.v1.DeploymentSpec": "progressDeadlineSeconds replicas revisionHistoryLimit",
    "apps.v1.DeploymentStatus": "collisionCount",
    "apps.v1.ReplicaSetSpec": "replicas",
    "apps.v1.StatefulSetSpec": "replicas revisionHistoryLimit",
    "apps.v1.StatefulSetStatus": "collisionCount",
    "autoscaling.v1.HorizontalPodAutoscalerStatus": "currentCPUUtilizationPercentage observedGeneration",
    "autoscaling.v2.HorizontalPodAutoscalerStatus": "observedGeneration",
    "autoscaling.v2.MetricValueStatus": "averageUtilization",
    "batch.v1.CronJobSpec": (
        "failedJobsHistoryLimit startingDeadlineSeconds successfulJobsHistoryLimit suspend timeZone"
    ),
    "certificates.v1.CertificateSigningRequestSpec": "expirationSeconds",
    "core.v1.AzureFilePersistentVolumeSource": "secretNamespace",
    "core.v1.Container": "restartPolicy",
    "core.v1.ContainerStatus": "started",
    "core.v1.EndpointAddress": "nodeName",
    "core.v1.EndpointPort": "appProtocol",
    "core.v1.EphemeralContainer": "restartPolicy",
    "core.v1.FCVolumeSource": "lun",
    "core.v1.GlusterfsPersistentVolumeSource": "endpointsNamespace",
    "core.v1.ISCSIPersistentVolumeSource": "initiatorName",
    "core.v1.ISCSIVolumeSource": "initiatorName",
    "core.v1.LoadBalancerIngress": "ipMode",
    "core.v1.PersistentVolumeClaimSpec": "storageClassName volumeAttributesClassName volumeMode",
    "core.v1.PersistentVolumeClaimStatus": "currentVolumeAttributesClassName",
    "core.v1.PersistentVolumeSpec": "volumeAttributesClassName volumeMode",
    "core.v1.PodDNSConfigOption": "value",
    "core.v1.PodSpec": (
        "activeDeadlineSeconds automountServiceAccountToken enableServiceLinks hostUsers preemptionPolicy"
        " priority runtimeClassName setHostnameAsFQDN shareProcessNamespace terminationGracePeriodSeconds"
    ),
    "core.v1.PortStatus": "error",
    "core.v1.Probe": "terminationGracePeriodSeconds",
    "core.v1.ReplicationControllerSpec": "replicas",
    "core.v1.Secret": "immutable",
    "core.v1.ServiceAccountTokenProjection": "expirationSeconds",
    "core.v1.ServicePort": "appProtocol",
    "core.v1.ServiceSpec": (
        "allocateLoadBalancerNodePorts internalTrafficPolicy ipFamilyPolicy loadBalancerClass"
        " trafficDistribution"
    ),
    "core.v1.Toleration": "tolerationSeconds",
    "core.v1.VolumeMount": "mountPropagation recursiveReadOnly",
    "networking.v1.HTTPIngressPath": "pathType",
    "networking.v1.IngressPortStatus": "error",
    "scheduling.v1.PriorityClass": "preemptionPolicy",
    "apiextensions.v1.CustomResourceDefinitionVersion": "deprecationWarning",
    "apiextensions.v1.JSONSchemaProps": (
        "maxItems maxLength maxProperties maximum minItems minLength minProperties minimum multipleOf"
        " x-kubernetes-list-type x-kubernetes-map-type x-kubernetes-preserve-unknown-fields"
    ),
    "apiextensions.v1.ValidationRule": "reason optionalOldSelf",
    "apiextensions.v1.WebhookClientConfig": "url",
    "meta.v1.ObjectMeta": "deletionGracePeriodSeconds",
}

# What the documents do not show: times that are null until they are set, and the like.
EXTRA = {
    "meta.v1.ObjectMeta": {"creationTimestamp": "t"},
    "meta.v1.Condition": {"lastTransitionTime": "t"},
    "core.v1.PodCondition": {"lastProbeTime": "t", "lastTransitionTime": "t"},
    "core.v1.NodeCondition": {"lastHeartbeatTime": "t", "lastTransitionTime": "t"},
    "core.v1.NamespaceCondition": {"lastTransitionTime": "t"},
    "core.v1.PersistentVolumeClaimCondition": {"lastProbeTime": "t", "lastTransitionTime": "t"},
    "core.v1.ReplicationControllerCondition": {"lastTransitionTime": "t"},
    "core.v1.ContainerStateRunning": {"startedAt": "t"},
    "core.v1.ContainerStateTerminated": {"startedAt": "t", "finishedAt": "t"},
    "core.v1.Event": {"firstTimestamp": "t", "lastTimestamp": "t", "eventTime": "t"},
    "core.v1.EventSeries": {"lastObservedTime": "t"},
    "core.v1.ResourceFieldSelector": {"divisor": "Q"},
    "core.v1.TypedLocalObjectReference": {"apiGroup": "t"},
    "core.v1.TypedObjectReference": {"apiGroup": "t"},
    "apps.v1.DeploymentCondition": {"lastUpdateTime": "t", "lastTransitionTime": "t"},
    "apps.v1.ReplicaSetCondition": {"lastTransitionTime": "t"},
    "apps.v1.StatefulSetCondition": {"lastTransitionTime": "t"},
    "apps.v1.DaemonSetCondition": {"lastTransitionTime": "t"},
    "autoscaling.v2.HorizontalPodAutoscalerCondition": {"lastTransitionTime": "t"},
    "autoscaling.v2.HorizontalPodAutoscalerStatus": {"currentMetrics": "nautoscaling.v2.MetricStatus"},
    "batch.v1.JobCondition": {"lastProbeTime": "t", "lastTransitionTime": "t"},
    "certificates.v1.CertificateSigningRequestCondition": {"lastUpdateTime": "t", "lastTransitionTime": "t"},
    "discovery.v1.EndpointSlice": {"ports": "ndiscovery.v1.EndpointPort"},
    "events.v1.Event": {"deprecatedFirstTimestamp": "t", "deprecatedLastTimestamp": "t", "eventTime": "t"},
    "events.v1.EventSeries": {"lastObservedTime": "t"},
    "flowcontrol.v1.FlowSchemaCondition": {"lastTransitionTime": "t"},
    "flowcontrol.v1.PriorityLevelConfigurationCondition": {"lastTransitionTime": "t"},
    "rbac.v1.Role": {"rules": "nrbac.v1.PolicyRule"},
    "rbac.v1.ClusterRole": {"rules": "nrbac.v1.PolicyRule"},
    "storage.v1.VolumeError": {"time": "t"},
    "apiextensions.v1.CustomResourceDefinitionCondition": {"lastTransitionTime": "t"},
    "apiextensions.v1.CustomResourceDefinitionStatus": {
        "conditions": "napiextensions.v1.CustomResourceDefinitionCondition",
        "acceptedNames": "sapiextensions.v1.CustomResourceDefinitionNames",
        "storedVersions": "N",
    },
    "apiregistration.v1.APIServiceCondition": {"lastTransitionTime": "t"},
}

QUANTITY = "apimachinery.pkg.api.resource.Quantity"
SKIPPED = (
    "JSONSchemaProps",
    "FieldsV1",
    "RawExtension",
    "IntOrString",
    "Time",
    "MicroTime",
    "Quantity",
    "Status",
)


def short(name: str) -> str:
    """``io.k8s.api.core.v1.Pod`` becomes ``core.v1.Pod``."""
    return ".".join(name.split(".")[-3:]) if "resource.Quantity" not in name else QUANTITY


def reference(node: dict[str, Any]) -> str:
    """The short name of the type that *node* refers to, or nothing."""
    parts = [node, *node.get("allOf", [])]
    return next((short(part["$ref"].split("/")[-1]) for part in parts if "$ref" in part), "")


def code(owner: str, name: str, node: dict[str, Any], required: bool, structs: set[str]) -> str | None:
    """What happens to one property, or None for nothing."""
    extra = EXTRA.get(owner, {}).get(name)
    if extra is not None:
        return extra
    target, kind = reference(node), node.get("type")
    if target == QUANTITY:
        return "q"
    if target:
        return ("s" if "default" in node else "p") + target if target in structs else None
    if kind == "array":
        inner = reference(node["items"])
        if inner in structs:
            return ("n" if required else "l") + inner
        return "N" if required else "z"
    if kind == "object":
        inner = reference(node.get("additionalProperties") or {})
        if inner == QUANTITY:
            return "r"
        texts = (node.get("additionalProperties") or {}).get("type") == "string"
        return "m" + inner if inner in structs else "w" if texts else "z"
    if node.get("default", True) in ("", 0, False):
        return "k" + json.dumps(node["default"])
    pointers = POINTERS.get(owner, "").split()
    is_value = kind in ("string", "integer", "boolean", "number") and name not in pointers
    return "z" if is_value and not required and owner not in ALL_POINTERS else None


def read_types(folder: Path) -> dict[str, dict[str, Any]]:
    """All types of all documents in *folder*, by short name."""
    types: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("*.json.gz")):
        document = json.loads(gzip.decompress(path.read_bytes()))
        for name, node in document.get("components", {}).get("schemas", {}).items():
            if name.startswith("io.k8s."):
                types[short(name)] = node
    return types


def shapes(types: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The content of shapes.json: ``{"kinds": {"v1/Pod": type}, "types": {type: {property: code}}}``."""
    structs = {name for name, node in types.items() if "properties" in node}
    structs -= {name for name in structs if name.split(".")[-1] in SKIPPED or name.endswith("List")}
    table: dict[str, dict[str, str]] = {}
    kinds: dict[str, str] = {}
    for name in sorted(structs):
        node = types[name]
        required = set(node.get("required", []))
        codes = {
            key: found
            for key, value in node["properties"].items()
            if (found := code(name, key, value, key in required, structs)) is not None
        }
        table[name] = (
            {key: value for key, value in codes.items() if key not in ("apiVersion", "kind")}
            if ("metadata" in node["properties"])
            else codes
        )
        for gvk in node.get("x-kubernetes-group-version-kind", []):
            if "metadata" in node["properties"]:
                kinds["/".join(filter(None, (gvk["group"], gvk["version"], gvk["kind"])))] = name
    return {"kinds": dict(sorted(kinds.items())), "types": table}


def main() -> None:
    content = shapes(read_types(Path(sys.argv[1])))
    OUT.write_text(json.dumps(content, indent=0, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
