"""Wrong objects of all common kinds are refused with the fields, words and order of the original."""

# ruff: noqa: E501  # sentences of the original are not broken where they need not be

from __future__ import annotations

import copy
from typing import Any

import pytest

from container_kit.cluster.kinds import Context, strategy_for
from container_kit.cluster.meta import Object
from tests.cluster.kinds.recorded import NOW, EmptyWorld, group_of
from tests.cluster.kinds.validation.good import CONTAINER, GOOD, HOOK, LABELS, RULE, changed
from tests.cluster.kinds.validation.test_recorded import errors_of

C = "spec.containers.0"
AT = "spec.containers[0]"
NEGATIVE = "Invalid value: -1: must be greater than or equal to 0"
NO_MATCH = "`selector` does not match template `labels`"
CONFIG_VOLUME = {"name": "v", "configMap": {"name": "c"}}
PROJECTED = {"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "../t"}}]}}
REQUIRED_TERMS = "requiredDuringSchedulingIgnoredDuringExecution"
HTTP = "spec.rules[0].http.paths[0]"
METRIC = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization"}}}

Case = tuple[str, str, Any, list[str]]
PODS: list[Case] = [
    ("Pod", "spec.containers", [], ["spec.containers: Required value"]),
    ("Pod", f"{C}.name", "", [f"{AT}.name: Required value"]),
    ("Pod", f"{C}.image", "", [f"{AT}.image: Required value"]),
    ("Pod", f"{C}.image", " i",
     [f'{AT}.image: Invalid value: " i": must not have leading or trailing whitespace']),
    ("Deployment", f"spec.template.{C}.image", " i", []),
    ("Pod", f"{C}.env", [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}],
     [f"{AT}.env[0].valueFrom.secretKeyRef.key: Required value"]),
    ("Pod", f"{C}.env",
     [{"name": "A", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.phase"}}}],
     [f'{AT}.env[0].valueFrom.fieldRef.fieldPath: Unsupported value: "status.phase": supported values: '
      '"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", '
      '"status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"']),
    ("Pod", f"{C}.env",
     [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1Mi"}}}],
     [f'{AT}.env[0].valueFrom.resourceFieldRef.divisor: Invalid value: "limits.cpu": '
      "only divisor's values 1m and 1 are supported with the cpu resource"]),
    ("Pod", f"{C}.envFrom", [{}],
     [f'{AT}.envFrom: Invalid value: "": must specify one of: `configMapRef` or `secretRef`']),
    ("Pod", f"{C}.volumeMounts", [{"name": "v"}],
     [f'{AT}.volumeMounts[0].name: Not found: "v"', f"{AT}.volumeMounts[0].mountPath: Required value"]),
    ("Pod", "spec", {"volumes": [CONFIG_VOLUME], "containers": [
        CONTAINER | {"volumeMounts": [{"name": "v", "mountPath": "/m", "subPath": "/a/../b"}]}]},
     [f'{AT}.volumeMounts.subPath: Invalid value: "/a/../b": must be a relative path',
      f"{AT}.volumeMounts.subPath: Invalid value: \"/a/../b\": must not contain '..'"]),
    ("Pod", "spec", {"volumes": [CONFIG_VOLUME], "containers": [
        CONTAINER | {"volumeMounts": [{"name": "v", "mountPath": "/m", "mountPropagation": "Bidirectional"}]}]},
     [f"{AT}.volumeMounts.mountPropagation: Forbidden: "
      "Bidirectional mount propagation is available only to privileged containers"]),
    ("Pod", "spec", {"volumes": [CONFIG_VOLUME], "containers": [
        CONTAINER | {"volumeDevices": [{"name": "v", "devicePath": "/d"}]}]},
     [f'{AT}.volumeDevices[0].name: Invalid value: "v": can only use volume source type of '
      "PersistentVolumeClaim or Ephemeral for block mode"]),
    ("Pod", f"{C}.readinessProbe", {"exec": {"command": ["x"]}, "terminationGracePeriodSeconds": 1},
     [f"{AT}.readinessProbe.terminationGracePeriodSeconds: Invalid value: 1: must not be set for readinessProbes"]),
    ("Pod", f"{C}.livenessProbe", {"httpGet": {"port": "a_b", "httpHeaders": [{"name": "a b"}]}},
     [f'{AT}.livenessProbe.httpGet.port: Invalid value: "a_b": must contain only alpha-numeric characters '
      "(a-z, 0-9), and hyphens (-)",
      f"{AT}.livenessProbe.httpGet.httpHeaders: Invalid value: \"a b\": a valid HTTP header must consist of "
      "alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')"]),
    ("Pod", f"{C}.resources", {"requests": {"requests.a.b/c": "1"}},
     [f"{AT}.resources.requests[requests.a.b/c]: Invalid value: requests.a.b/c: "
      "doesn't follow extended resource name standard",
      f"{AT}.resources.limits: Required value: Limit must be set for non overcommitable resources"]),
    ("Pod", f"{C}.resources", {"requests": {"a.b/c": "1"}, "limits": {"a.b/c": "2"}},
     [f'{AT}.resources.requests: Invalid value: "1": must be equal to a.b/c limit of 2']),
    ("Pod", f"{C}.securityContext", {"seccompProfile": {"type": "X"}},
     [f'{AT}.securityContext.seccompProfile.type: Unsupported value: "X": supported values: "Localhost", '
      '"RuntimeDefault", "Unconfined"']),
    ("Pod", f"{C}.securityContext", {"appArmorProfile": {"type": "Localhost"}},
     [f"{AT}.securityContext.appArmorProfile.localhostProfile: Required value: "
      "must be set when AppArmor type is Localhost"]),
    ("Pod", "spec.volumes", [{"name": "v"}], []),
    ("Pod", "spec.volumes", [{"name": "v", "emptyDir": {}, "secret": {"secretName": "s"}}],
     ["spec.volumes[0].secret: Forbidden: may not specify more than 1 volume type"]),
    ("Pod", "spec", {"containers": [CONTAINER], "serviceAccountName": "s", "volumes": [PROJECTED]},
     ["spec.volumes[0].projected.path: Invalid value: \"../t\": must not contain '..'"]),
    ("Pod", "spec.volumes", [{"name": "v", "csi": {}}],
     ["spec.volumes[0].csi.driver: Required value",
      'spec.volumes[0].csi.driver: Invalid value: "": a lowercase RFC 1123 subdomain must consist of lower '
      "case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character "
      "(e.g. 'example.com', regex used for validation is "
      "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"]),
    ("Pod", "spec.hostUsers", False, []),
    ("Pod", "spec", {"containers": [CONTAINER], "hostUsers": False, "hostPID": True},
     ["spec.HostPID: Forbidden: when `pod.Spec.HostUsers` is false"]),
    ("Pod", "spec.os", {"name": "plan9"},
     ['spec.os: Unsupported value: "plan9": supported values: "linux", "windows"']),
    ("Pod", "spec", {"containers": [CONTAINER], "os": {"name": "windows"}, "hostPID": True},
     ["spec.hostPID: Forbidden: cannot be set for a windows pod"]),
    ("Pod", "spec.tolerations", [{"key": "a", "operator": "Exists", "value": "x"}],
     ['spec.tolerations[0].operator: Invalid value: core.Toleration{Key:"a", Operator:"Exists", Value:"x", '
      "Effect:\"\", TolerationSeconds:(*int64)(nil)}: value must be empty when `operator` is 'Exists'"]),
    ("Pod", "spec.affinity", {"nodeAffinity": {REQUIRED_TERMS: {"nodeSelectorTerms": [
        {"matchFields": [{"key": "metadata.uid", "operator": "Gt", "values": ["1"]}]}]}}},
     [f"spec.affinity.nodeAffinity.{REQUIRED_TERMS}.nodeSelectorTerms[0].matchFields[0].operator: "
      'Invalid value: "Gt": not a valid selector operator',
      f"spec.affinity.nodeAffinity.{REQUIRED_TERMS}.nodeSelectorTerms[0].matchFields[0].key: "
      'Invalid value: "metadata.uid": not a valid field selector key']),
    ("Pod", "spec.topologySpreadConstraints",
     [{"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}] * 2,
     ['spec.topologySpreadConstraints[0].{topologyKey, whenUnsatisfiable}: Duplicate value: "{z, DoNotSchedule}"']),
    ("Pod", "spec.dnsConfig", {"nameservers": ["1.1.1.1"] * 4},
     ['spec.dnsConfig.nameservers: Invalid value: []string{"1.1.1.1", "1.1.1.1", "1.1.1.1", "1.1.1.1"}: '
      "must not have more than 3 nameservers"]),
    ("Pod", "spec.securityContext", {"sysctls": [{"name": "A b", "value": "1"}]},
     ['spec.securityContext.sysctls[0].name: Invalid value: "A b": must have at most 253 characters and match '
      r"regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"]),
    ("Pod", "metadata.annotations", {"controller.kubernetes.io/pod-deletion-cost": "x"},
     ['metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: "x": '
      "must be a 32bit integer"]),
    ("PodTemplate", f"template.{C}.image", "", ["template.spec.containers[0].image: Required value"]),
]  # fmt: skip
WORKLOADS: list[Case] = [
    ("Deployment", "spec.selector", None,
     ["spec.selector: Required value",
      f'spec.template.metadata.labels: Invalid value: map[string]string{{"a":"b"}}: {NO_MATCH}']),
    ("ReplicaSet", "spec.template.metadata.labels", {},
     [f"spec.template.metadata.labels: Invalid value: map[string]string{{}}: {NO_MATCH}"]),
    ("DaemonSet", "spec.selector", None,
     [f'spec.template.metadata.labels: Invalid value: map[string]string{{"a":"b"}}: {NO_MATCH}']),
    ("DaemonSet", "spec.selector", {},
     ["spec.selector: Invalid value: v1.LabelSelector{MatchLabels:map[string]string(nil), "
      "MatchExpressions:[]v1.LabelSelectorRequirement(nil)}: empty selector is invalid for daemonset"]),
    ("Deployment", "spec.strategy", {"type": "X"},
     ['spec.strategy: Unsupported value: apps.DeploymentStrategy{Type:"X", '
      'RollingUpdate:(*apps.RollingUpdateDeployment)(nil)}: supported values: "Recreate", "RollingUpdate"']),
    ("DaemonSet", "spec.updateStrategy", {"type": "X"},
     ['spec.updateStrategy.type: Unsupported value: apps.DaemonSetUpdateStrategy{Type:"X", '
      'RollingUpdate:(*apps.RollingUpdateDaemonSet)(nil)}: supported values: "RollingUpdate", "OnDelete"']),
    ("Deployment", "spec.template.spec.activeDeadlineSeconds", 5,
     ["spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicaSet is not Supported"]),
    ("StatefulSet", "spec.volumeClaimTemplates", [{"metadata": {"name": "d"}, "spec": {}}], []),
    ("StatefulSet", f"spec.template.{C}.volumeMounts", [{"name": "d", "mountPath": "/d"}], []),
    ("StatefulSet", "metadata.name", "a.b",
     ['metadata.name: Invalid value: "a.b": must not contain dots']),
    ("StatefulSet", "spec.updateStrategy", {"type": "OnDelete", "rollingUpdate": {"partition": 1}},
     ["spec.updateStrategy.rollingUpdate: Invalid value: apps.RollingUpdateStatefulSetStrategy{Partition:1, "
      "MaxUnavailable:(*intstr.IntOrString)(nil)}: only allowed for updateStrategy 'RollingUpdate'"]),
    ("ReplicationController", "spec.template.spec.restartPolicy", "Never",
     ['spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"']),
    ("Job", "spec.template.spec.restartPolicy", "Always",
     ['spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"']),
    ("Job", "spec.parallelism", -1, [f"spec.parallelism: {NEGATIVE}"]),
    ("Job", "spec", GOOD["Job"]["spec"] | {"completionMode": "Indexed", "parallelism": 2}, ["spec.completions: Required value: when completion mode is Indexed"]),
    ("Job", "spec.maxFailedIndexes", 1,
     ["spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified",
      "spec.maxFailedIndexes: Invalid value: 1: requires indexed completion mode"]),
    ("Job", "spec.managedBy", "me",
     ['spec.managedBy: Invalid value: "me": must be a domain-prefixed path (such as "acme.io/foo")']),
    ("Job", "spec", GOOD["Job"]["spec"] | {"completionMode": "Indexed", "completions": 3, "successPolicy": {
        "rules": [{"succeededIndexes": "0-5"}]}},
     ['spec.successPolicy.rules[0].succeededIndexes: Invalid value: "0-5": error parsing succeededIndexes: '
      'too large index: "5"']),
    ("Job", "spec.podFailurePolicy", {"rules": [{"action": "FailJob", "onExitCodes": {
        "containerName": "z", "operator": "In", "values": [2, 1]}}]},
     ['spec.podFailurePolicy.rules[0].onExitCodes.containerName: Invalid value: "z": must be one of the '
      "container or initContainer names in the pod template",
      "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: []int32{2, 1}: must be ordered"]),
    ("CronJob", "spec.schedule", "", ["spec.schedule: Required value"]),
    ("CronJob", "spec.timeZone", "", ['spec.timeZone: Invalid value: "": timeZone must be nil or non-empty string']),
    ("CronJob", "spec.jobTemplate.spec.manualSelector", True,
     ['spec.jobTemplate.spec.manualSelector: Unsupported value: true: supported values: "nil", "false"']),
    ("CronJob", "metadata.name", "x" * 53,
     [f'metadata.name: Invalid value: "{"x" * 53}": must be no more than 52 characters']),
]  # fmt: skip
NETWORKS: list[Case] = [
    ("Service", "spec.ports.0.port", 0,
     ["spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
      "spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive"]),
    ("Service", "spec.ports", [{"port": 1, "name": "a"}, {"port": 1, "name": "b"}],
     ['spec.ports[1]: Duplicate value: core.ServicePort{Name:"", Protocol:"TCP", AppProtocol:(*string)(nil), '
      'Port:1, TargetPort:intstr.IntOrString{Type:0, IntVal:0, StrVal:""}, NodePort:0}']),
    ("Service", "spec.externalIPs", ["127.0.0.1", "x", "0.0.0.0"],
     ['spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
      'spec.externalIPs[1]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
      'spec.externalIPs[2]: Invalid value: "0.0.0.0": may not be unspecified (0.0.0.0)']),
    ("Service", "spec.sessionAffinityConfig", {"clientIP": {"timeoutSeconds": 1}},
     []),
    ("Service", "spec.loadBalancerClass", "a.b/c",
     ["spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'"]),
    ("Service", "spec.trafficDistribution", "Far",
     ['spec.trafficDistribution: Unsupported value: "Far": supported values: "PreferClose"']),
    ("EndpointSlice", "endpoints", [{"addresses": []}],
     ["endpoints[0].addresses: Required value: must contain at least 1 address"]),
    ("Endpoints", "subsets", [{}],
     ["subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`"]),
    ("Ingress", "spec.rules", [{"host": "*.1.2", "http": {"paths": []}}],
     ["spec.rules[0].http.paths: Required value"]),
    ("Ingress", "spec.rules.0.http.paths.0.pathType", None,
     [f"{HTTP}.pathType: Required value: pathType must be specified"]),
    ("Ingress", "spec.rules.0.http.paths.0.path", "a//b",
     [f'{HTTP}.path: Invalid value: "a//b": must be an absolute path',
      f"{HTTP}.path: Invalid value: \"a//b\": must not contain '//'"]),
    ("Ingress", "spec.rules.0.http.paths.0.backend", {},
     [f'{HTTP}.backend: Invalid value: "": resource or service backend is required']),
    ("Ingress", "spec.tls", [{"hosts": ["a"], "secretName": "A"}],
     ['spec.tls[0].secretName: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of lower case '
      "alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character "
      "(e.g. 'example.com', regex used for validation is "
      "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"]),
    ("IngressClass", "spec.controller", "", ["spec.controller: Required value"]),
    ("IngressClass", "spec.parameters", {"kind": "K", "name": "n", "scope": "Namespace"},
     ["spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'"]),
    ("NetworkPolicy", "spec.egress", [{"ports": [{"port": "http", "endPort": 9}]}],
     ["spec.egress[0].ports[0].endPort: Invalid value: 9: may not be specified when `port` is non-numeric"]),
    ("NetworkPolicy", "spec.ingress", [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}]}],
     ["spec.ingress[0].from[0]: Forbidden: may not specify both ipBlock and another peer"]),
]  # fmt: skip
STORED: list[Case] = [
    ("Secret", "type", "kubernetes.io/ssh-auth", ["data[ssh-privatekey]: Required value"]),
    ("ConfigMap", "data", {"..x": ""}, ["data[..x]: Invalid value: \"..x\": must not start with '..'"]),
    ("PersistentVolume", "spec.capacity", {"storage": "0"},
     ['spec.capacity[storage]: Invalid value: "0": must be greater than zero']),
    ("PersistentVolume", "spec.hostPath", None, ["spec: Required value: must specify a volume type"]),
    ("PersistentVolume", "spec.nodeAffinity", {},
     ["spec.nodeAffinity.required: Required value: must specify required node constraints"]),
    ("PersistentVolumeClaim", "spec.accessModes", [],
     ["spec.accessModes: Required value: at least 1 access mode is required"]),
    ("PersistentVolumeClaim", "spec.resources", {}, ["spec.resources[storage]: Required value"]),
    ("PersistentVolumeClaim", "spec.dataSource", {"kind": "Snapshot", "name": "s"},
     [f"spec.{key}: Invalid value: \"Snapshot\": must be 'PersistentVolumeClaim' when referencing the default "
      "apiGroup" for key in ("dataSource", "dataSourceRef")]),
    ("StorageClass", "provisioner", "", ["provisioner: Required value"]),
    ("StorageClass", "allowedTopologies", [{"matchLabelExpressions": [{"key": "z", "values": ["a", "a"]}]}],
     ['allowedTopologies[0].matchLabelExpressions[0].values[1]: Duplicate value: "a"']),
]  # fmt: skip
GOVERNED: list[Case] = [
    ("HorizontalPodAutoscaler", "spec.metrics", [METRIC],
     ["spec.metrics[0].resource.target.averageUtilization: Required value: must set either a target raw value "
      "or a target utilization"]),
    ("HorizontalPodAutoscaler", "spec.metrics", [METRIC | {"pods": {}}],
     ["spec.metrics[0].pods.metric.name: Required value: must specify a metric name",
      "spec.metrics[0].pods.target.type: Required value: must specify a metric target type",
      'spec.metrics[0].pods.target.type: Invalid value: "": must be either Utilization, Value, or AverageValue',
      "spec.metrics[0].pods.target.averageValue: Required value: must specify a positive target averageValue",
      "spec.metrics[0].pods: Forbidden: must populate the given metric source only"]),
    ("HorizontalPodAutoscaler", "spec.behavior", {"scaleUp": {"stabilizationWindowSeconds": -1}},
     ["spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: -1: must be greater than or equal to zero"]),
    ("PodDisruptionBudget", "spec.minAvailable", -1, [f"spec.minAvailable: {NEGATIVE}"]),
    ("PodDisruptionBudget", "metadata.name", "a_B", []),
    ("Role", "rules.0.verbs", [], ["rules[0].verbs: Required value: verbs must contain at least one value"]),
    ("ClusterRole", "aggregationRule", {},
     ["aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required if "
      "aggregationRule is non-nil"]),
    ("RoleBinding", "subjects", [{"kind": "ServiceAccount", "name": "a", "apiGroup": "x"}],
     ['subjects[0].apiGroup: Unsupported value: "x": supported values: ""']),
    ("Namespace", "metadata.name", "a.b", ['metadata.name: Invalid value: "a.b": must not contain dots']),
    ("Node", "spec.taints", [{"key": "k", "effect": "NoSchedule"}, {"key": "k", "effect": "NoSchedule", "value": "v"}],
     ['metadata.taints[1]: Duplicate value: core.Taint{Key:"k", Value:"v", Effect:"NoSchedule", TimeAdded:<nil>}: '
      "taints must be unique by key and effect pair"]),
    ("ResourceQuota", "spec.hard", {"storage": "1", "pods": "1500m"},
     ["spec.hard[storage]: Invalid value: storage: must be a standard resource for quota",
      "spec.hard[pods]: Invalid value: resource.Quantity{i:resource.int64Amount{value:1500, scale:-3}, "
      'd:resource.infDecAmount{Dec:(*inf.Dec)(nil)}, s:"1500m", Format:"DecimalSI"}: must be an integer']),
    ("ResourceQuota", "spec", {"hard": {"secrets": "1"}, "scopes": ["BestEffort", "NotBestEffort"]},
     ['spec.scopes: Invalid value: []core.ResourceQuotaScope{"BestEffort", "NotBestEffort"}: '
      "unsupported scope applied to resource"] * 2
     + ['spec.scopes: Invalid value: []core.ResourceQuotaScope{"BestEffort", "NotBestEffort"}: conflicting scopes']),
    ("ResourceQuota", "spec.scopeSelector", {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In"}]},
     ["spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is "
      "'In' or 'NotIn' for scope selector"]),
    ("LimitRange", "spec.limits.0.type", "Thing",
     ['spec.limits[0].type: Invalid value: "Thing": must be a standard limit type or fully qualified']),
    ("LimitRange", "spec.limits.0", {"type": "Pod", "max": {"storage": "1"}},
     ["spec.limits[0].max[storage]: Invalid value: storage: must be a standard resource for containers"]),
    ("PriorityClass", "value", 2_000_000_000,
     ["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"]),
    ("ValidatingWebhookConfiguration", "webhooks.0.clientConfig", {"url": "http://u@h/p?q#f"},
     ["webhooks[0].clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired "
      "format: https://host[/path]",
      'webhooks[0].clientConfig.url: Invalid value: "u": user information is not permitted in the URL',
      'webhooks[0].clientConfig.url: Invalid value: "f": fragments are not permitted in the URL',
      'webhooks[0].clientConfig.url: Invalid value: "q": query parameters are not permitted in the URL']),
    ("ValidatingWebhookConfiguration", "webhooks.0.clientConfig", {"service": {"path": "a/B"}},
     ["webhooks[0].clientConfig.service.name: Required value: service name is required",
      "webhooks[0].clientConfig.service.namespace: Required value: service namespace is required",
      "webhooks[0].clientConfig.service.path: Invalid value: \"a/B\": must start with a '/'",
      'webhooks[0].clientConfig.service.path: Invalid value: "a/B": segment[0] may not be empty',
      'webhooks[0].clientConfig.service.path: Invalid value: "a/B": segment[1]: a lowercase RFC 1123 subdomain '
      "must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an "
      "alphanumeric character (e.g. 'example.com', regex used for validation is "
      "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"]),
    ("MutatingWebhookConfiguration", "webhooks", [HOOK | {"reinvocationPolicy": "X"}, HOOK],
     ['webhooks[0].reinvocationPolicy: Unsupported value: "X": supported values: "IfNeeded", "Never"',
      'webhooks[1].name: Duplicate value: "a.b.c"']),
    ("MutatingWebhookConfiguration", "webhooks.0.rules", [RULE | {"resources": ["*/*", "pods"]}],
     ['webhooks[0].rules[0].resources: Invalid value: []string{"*/*", "pods"}: if \'*/*\' is present, must not '
      "specify other resources"]),
    ("ValidatingAdmissionPolicy", "spec.validations", [],
     ["spec.validations: Required value: validations or auditAnnotations must contain at least one item",
      "spec.auditAnnotations: Required value: validations or auditAnnotations must contain at least one item"]),
    ("ValidatingAdmissionPolicy", "spec.validations.0", {"expression": "1", "message": " "},
     ['spec.validations[0].expression: Invalid value: "1": must evaluate to bool but got int',
      'spec.validations[0].message: Invalid value: " ": message must be non-empty if specified']),
    ("ValidatingAdmissionPolicy", "spec.variables", [{"name": "a-b", "expression": "1"}],
     ['spec.variables[0].name: Invalid value: "a-b": name is not a valid CEL identifier']),
    ("ValidatingAdmissionPolicy", "spec.paramKind", {"apiVersion": "v1"}, ["spec.paramKind.kind: Required value"]),
    ("ValidatingAdmissionPolicyBinding", "spec.validationActions", [],
     ["spec.validationActions: Required value: at least one validation action is required"]),
    ("ValidatingAdmissionPolicyBinding", "spec.paramRef", {"parameterNotFoundAction": "Deny"},
     ["spec.paramRef: Required value: one of name or selector must be specified"]),
    ("CertificateSigningRequest", "spec.expirationSeconds", 5,
     ["spec.expirationSeconds: Invalid value: 5: may not specify a duration less than 600 seconds (10 minutes)"]),
]  # fmt: skip


@pytest.mark.parametrize("kind", GOOD)
def test_a_right_object_has_no_problem(kind: str) -> None:
    """What the wrong ones are made of is right."""
    assert errors_of(copy.deepcopy(GOOD[kind])) == ()


@pytest.mark.parametrize(
    ("kind", "path", "value", "told"), [*PODS, *WORKLOADS, *NETWORKS, *STORED, *GOVERNED]
)
def test_what_is_wrong_is_told_in_the_words_of_the_original(
    kind: str, path: str, value: Any, told: list[str]
) -> None:
    """All that is wrong, where it is, and in order."""
    assert [str(error) for error in errors_of(changed(GOOD[kind], path, value))] == told


IMMUTABLE = "field is immutable"
POD_ONLY = "spec: Forbidden: pod updates may not change fields other than"
CHANGES: list[Case] = [
    ("Deployment", "spec.selector.matchLabels", {"z": "z"},
     [f'spec.template.metadata.labels: Invalid value: map[string]string{{"a":"b"}}: {NO_MATCH}',
      'spec.selector: Invalid value: v1.LabelSelector{MatchLabels:map[string]string{"z":"z"}, '
      f"MatchExpressions:[]v1.LabelSelectorRequirement(nil)}}: {IMMUTABLE}"]),
    ("Deployment", "spec.replicas", 5, []),
    ("StatefulSet", "spec.serviceName", "other",
     ["spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
      "'updateStrategy', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"]),
    ("CronJob", "spec.schedule", "@hourly", []),
    ("Pod", "spec.tolerations", [{"key": "a", "operator": "Exists", "effect": "X"}],
     ['spec.tolerations[0].effect: Unsupported value: "X": supported values: "NoSchedule", "PreferNoSchedule", '
      '"NoExecute"']),
    ("Pod", "metadata.annotations", {"kubernetes.io/config.mirror": "x"},
     ['metadata.annotations[kubernetes.io/config.mirror]: Invalid value: "x": must set spec.nodeName if mirror '
      "pod annotation is set",
      "metadata.annotations[kubernetes.io/config.mirror]: Forbidden: may not add mirror pod annotation"]),
    ("PersistentVolumeClaim", "spec.resources.requests.storage", "2Gi",
     ["spec: Forbidden: spec is immutable after creation except resources.requests and "
      "volumeAttributesClassName for bound claims\n"]),
    ("PersistentVolumeClaim", "spec.volumeName", "v", []),
    ("PersistentVolume", "spec.volumeMode", "Block", [f'volumeMode: Invalid value: "Block": {IMMUTABLE}']),
    ("StorageClass", "parameters", {"a": "b"}, ["parameters: Forbidden: updates to parameters are forbidden."]),
    ("RoleBinding", "roleRef.name", "z",
     ['roleRef: Invalid value: rbac.RoleRef{APIGroup:"rbac.authorization.k8s.io", Kind:"Role", Name:"z"}: '
      "cannot change roleRef"]),
    ("Secret", "type", "x", [f'type: Invalid value: "x": {IMMUTABLE}']),
    ("EndpointSlice", "addressType", "IPv6",
     ['endpoints[0].addresses[0]: Invalid value: "10.0.0.1": must be a valid IPv6 address',
      f'addressType: Invalid value: "IPv6": {IMMUTABLE}']),
    ("IngressClass", "spec.controller", "a.b/d", [f'spec.controller: Invalid value: "a.b/d": {IMMUTABLE}']),
    ("PriorityClass", "value", 2, ["value: Forbidden: may not be changed in an update."]),
    ("ResourceQuota", "spec.scopes", ["Terminating"],
     [f'spec.scopes: Invalid value: []core.ResourceQuotaScope{{"Terminating"}}: {IMMUTABLE}']),
    ("Namespace", "metadata.labels", LABELS, []),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "path", "value", "told"), CHANGES)
def test_what_may_not_change_is_told_so(kind: str, path: str, value: Any, told: list[str]) -> None:
    """What was made stays as others rely on it, and what it becomes must be right."""
    old, new = _stored(GOOD[kind]), changed(_stored(GOOD[kind]), path, value)
    strategy, context = strategy_for(group_of(old), kind), Context(NOW, EmptyWorld())

    assert [str(error) for error in strategy.validate_update(new, old, context)] == told
    assert strategy.validate_update(old, old, context) == []


def _stored(good: Object) -> Object:
    """An object as it was stored, with its defaults."""
    obj, context = copy.deepcopy(good), Context(NOW, EmptyWorld())
    strategy = strategy_for(group_of(obj), obj["kind"])
    obj["metadata"]["uid"] = "8f1a9603-0ea5-4a88-88b4-342737bbd9c6"
    strategy.default(obj)
    strategy.prepare_create(obj, context)
    context.finish()
    return obj
