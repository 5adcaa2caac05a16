"""Writes `container_kit/cluster/schema/data`: what the schema part knows of the types of Kubernetes 1.32.

Run it as ``python tools/kubernetes_schema.py``; a test runs it too and compares.  Three sources are joined:

* the package kubernetes-validate, which carries every definition that upstream publishes, with its
  extensions;
* the recorded facts of a real server (tests/cluster/recorded): enumerations, defaults and protobuf numbers,
  none of which the package has;
* the tables below: which scalar fields are pointers in the types of the API server.  No document says so, but
  it shows: a pointer to 0 is kept, a plain 0 of an optional field is left out when the object is written.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

VERSION = "v1.32.0"
REPOSITORY = Path(__file__).parent.parent
RECORDED = REPOSITORY / "tests/cluster/recorded"
DATA = REPOSITORY / "container_kit/cluster/schema/data"

OTHER_DOCUMENTS = (".well-known/openid-configuration", "openid/v1/jwks", "version")

Json = dict[str, Any]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Optional integers and booleans are pointers, but for these.
PLAIN = _words(
    """
    minReadySeconds paused readOnly stdin stdinOnce tty sizeBytes hostPort signal count deprecatedCount
    unschedulable hostIPC hostNetwork hostPID sslEnabled chapAuthDiscovery chapAuthSession authenticated
    denied nodePort healthCheckNodePort publishNotReadyAddresses number globalDefault clusterScope
    preserveUnknownFields deprecated exclusiveMaximum exclusiveMinimum nullable
    uniqueItems x-kubernetes-embedded-resource x-kubernetes-int-or-string generation code
    retryAfterSeconds insecureSkipTLSVerify observedGeneration replicas:ScaleSpec active:JobStatus
    failed:JobStatus succeeded:JobStatus partition:AWSElasticBlockStoreVolumeSource
    partition:GCEPersistentDiskVolumeSource failureThreshold initialDelaySeconds periodSeconds
    successThreshold timeoutSeconds:Probe priority:CustomResourceColumnDefinition numberAvailable
    numberUnavailable updatedNumberScheduled availableReplicas fullyLabeledReplicas readyReplicas
    unavailableReplicas updatedReplicas currentReplicas replicas:DeploymentStatus
    """
)
# ... and these are pointers all the same.
POINTERS = _words(
    """ readOnly:CSIVolumeSource observedGeneration:HorizontalPodAutoscalerStatus count:VolumeNodeResources
    readOnly:AzureDiskVolumeSource
    """
)
# Optional strings are plain, but for these.
STRING_POINTERS = _words(
    """
    type:HostPathVolumeSource storageClassName:PersistentVolumeClaimSpec volumeMode
    volumeAttributesClassName currentVolumeAttributesClassName runtimeClassName preemptionPolicy
    ipFamilyPolicy loadBalancerClass internalTrafficPolicy trafficDistribution appProtocol
    nodeName:EndpointAddress nodeName:Endpoint hostname:Endpoint zone:Endpoint name:EndpointPort
    protocol:EndpointPort ingressClassName pathType apiGroup:IngressClassParametersReference scope
    namespace:IngressClassParametersReference apiGroup:TypedLocalObjectReference
    apiGroup:TypedObjectReference namespace:TypedObjectReference reclaimPolicy volumeBindingMode
    fsGroupPolicy failurePolicy matchPolicy sideEffects reinvocationPolicy url:WebhookClientConfig
    path:ServiceReference procMount localhostProfile gmsaCredentialSpec gmsaCredentialSpecName
    runAsUserName fsGroupChangePolicy supplementalGroupsPolicy seLinuxChangePolicy mountPropagation
    recursiveReadOnly restartPolicy:Container restartPolicy:EphemeralContainer nodeAffinityPolicy
    nodeTaintsPolicy service:GRPCAction holderIdentity strategy:LeaseSpec preferredHolder timeZone
    completionMode managedBy podReplacementPolicy containerName:PodFailurePolicyOnExitCodes
    unhealthyPodEvictionPolicy propagationPolicy fsType:CSIVolumeSource secretNamespace initiatorName
    name:ClusterTrustBundleProjection signerName:ClusterTrustBundleProjection selectPolicy
    persistentVolumeName protocol:NetworkPolicyPort deprecationWarning labelSelectorPath
    x-kubernetes-list-type x-kubernetes-map-type reason:ValidationRule reason:Validation
    parameterNotFoundAction error:PortStatus error:IngressPortStatus ipMode kind:AzureDiskVolumeSource
    """
)
# Times are plain, and null when they are zero, but for these.
TIME_POINTERS = _words(
    """
    deletionTimestamp startTime completionTime lastScheduleTime lastSuccessfulTime acquireTime renewTime
    lastPhaseTransitionTime lastScaleTime time:ManagedFieldsEntry timeAdded
    """
)
# Lists without ``omitempty`` that are not required: null when there are none.
NULLABLE = _words(
    """ currentMetrics:HorizontalPodAutoscalerStatus rules:Role rules:ClusterRole
    apiGroup:TypedLocalObjectReference apiGroup:TypedObjectReference
    conditions:CustomResourceDefinitionStatus
    """
)
# Optional scalars without ``omitempty``: written even when they are zero.
WRITTEN = _words(
    """ availableReplicas:StatefulSetStatus reportingComponent:Event reportingInstance:Event
    name:NodeRuntimeHandler matchingPrecedence:FlowSchemaSpec handSize queueLengthLimit queues
    """
)


def read_gzip(path: Path) -> Any:
    """The JSON in a compressed file."""
    return json.loads(gzip.decompress(path.read_bytes()))


def published() -> dict[str, Json]:
    """Every definition that kubernetes-validate carries, without what it added to them."""
    import kubernetes_validate

    root = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
    document = json.loads((root / f"{VERSION}-local" / "_definitions.json").read_text())
    return {name: _as_published(node) for name, node in document["$defs"].items()}


def _as_published(node: Any) -> Any:
    """*node* without the null that was allowed everywhere, and with references by their bare name."""
    if isinstance(node, list):
        return [_as_published(item) for item in node]
    if not isinstance(node, dict):
        return node
    plain = {key: _as_published(value) for key, value in node.items()}
    if isinstance(plain.get("type"), list):
        plain["type"] = next(kind for kind in plain["type"] if kind != "null")
    if isinstance(plain.get("$ref"), str):
        plain["$ref"] = plain["$ref"].rpartition("/")[2]
    if plain.get("enum") and plain.get("type") == "string":
        del plain["enum"]  # group, version and kind of the type: an addition of the package
    return plain


def recorded_schemas() -> dict[str, Json]:
    """Every definition in the OpenAPI documents of the recorded server."""
    found: dict[str, Json] = {}
    for path in sorted((RECORDED / "discovery/openapi/v3").glob("*.json.gz")):
        found.update(read_gzip(path).get("components", {}).get("schemas", {}))
    return found


def joined(definitions: dict[str, Json], facts: dict[str, Json]) -> dict[str, Json]:
    """The definitions that the recorded server has, with its enumerations, defaults and formats."""
    return {name: _with_facts(definitions[name], facts[name], name) for name in sorted(facts)}


def _with_facts(node: Json, fact: Json, name: str) -> Json:
    made = {key: value for key, value in node.items() if key not in ("properties", "oneOf")}
    if "oneOf" in fact:  # int-or-string and quantity have types of their own in the checker
        made.update(type="string", format=fact.get("format", "quantity"))
    made["description"] = fact.get("description", "")
    properties = {}
    for key, child in node.get("properties", {}).items():
        known = fact["properties"][key]
        required = key in node.get("required", ())
        properties[key] = _with_marks(
            {**child, **_marks(known)}, f"{key}:{name.rpartition('.')[2]}", required
        )
    return {**made, "properties": properties} if properties else made


def _marks(known: Json) -> Json:
    """What only the recorded server says of one property."""
    marks = {key: known[key] for key in ("description", "enum", "default") if key in known}
    for key in ("items", "additionalProperties"):
        if isinstance(known.get(key), dict) and (inner := known[key]):
            plain = {k: v for k, v in inner.items() if k != "allOf"}
            references = [part["$ref"] for part in inner.get("allOf", ())] or [inner.get("$ref")]
            if references[0]:
                plain["$ref"] = references[0].rpartition("/")[2]
            marks[key] = plain
    return marks


def _with_marks(node: Json, place: str, required: bool) -> Json:
    """*node* with marks of what the server leaves out, and of what it writes all the same."""
    if {place, place.partition(":")[0]} & WRITTEN and "default" in node:
        return {**node, "x-always-written": True}
    scalar = node.get("type") in ("string", "integer", "number", "boolean")
    if scalar and not required and not _is_pointer(node["type"], place):
        node["x-omit-zero"] = True
    is_time = node.get("$ref", "").endswith((".Time", ".MicroTime"))
    if place in NULLABLE or (is_time and not {place, place.partition(":")[0]} & TIME_POINTERS):
        node["x-null-when-empty"] = True
    return node


def _is_pointer(kind: str, place: str) -> bool:
    field = place.partition(":")[0]
    if kind == "string":
        return field in STRING_POINTERS or place in STRING_POINTERS
    return place in POINTERS or not (field in PLAIN or place in PLAIN)


def without_descriptions(definitions: dict[str, Json]) -> tuple[dict[str, Json], dict[str, Any]]:
    """The definitions in two halves: what programs read, and what people read."""
    bare: dict[str, Json] = {}
    texts: dict[str, Any] = {}
    for name, node in definitions.items():
        properties = {k: dict(v) for k, v in node.get("properties", {}).items()}
        texts[name] = [
            node.get("description", ""),
            {key: child.pop("description", "") for key, child in properties.items()},
        ]
        bare[name] = {k: v for k, v in node.items() if k not in ("description", "properties")}
        if properties:
            bare[name]["properties"] = properties
    return bare, texts


def kinds(definitions: dict[str, Json]) -> dict[str, str]:
    """``group/version/kind`` -> the definition of that kind."""
    return {
        f"{gvk['group']}/{gvk['version']}/{gvk['kind']}": name
        for name, node in definitions.items()
        for gvk in node.get("x-kubernetes-group-version-kind", ())
    }


def protobuf_messages(definitions: Iterable[str], packages: dict[str, Any]) -> dict[str, Any]:
    """Definition -> its fields ``[number, name, type, label]``, and all messages that these lead to."""
    wanted = list(definitions)
    found: dict[str, Any] = {}
    while wanted:
        name = wanted.pop()
        if name in found or (fields := _message(name, packages)) is None:
            continue
        found[name] = [[number, key, _full(kind, name), label] for number, key, kind, label in fields]
        wanted += [kind for row in found[name] for kind in row[2].split(",") if kind.startswith("io.k8s.")]
    return dict(sorted(found.items()))


def _message(name: str, packages: dict[str, Any]) -> Any:
    package, _, message = name.rpartition(".")
    return packages.get(package.replace("io.k8s.", "k8s.io.", 1).replace("-", "_"), {}).get(message)


def _full(kind: str, name: str) -> str:
    """A protobuf type (for maps key and value) with messages named as in the definitions."""
    return ",".join(_full_name(part.lstrip("."), name) for part in kind.split(","))


def _full_name(kind: str, name: str) -> str:
    if kind.startswith("k8s.io."):
        return kind.replace("k8s.io.", "io.k8s.", 1).replace("_", "-")
    return f"{name.rpartition('.')[0]}.{kind}" if kind[:1].isupper() else kind


def operation_facts() -> Json:
    """What operations say that does not follow from the resource: parameters, and what deleting answers.

    A parameter that means something else in one kind of operation has a name with that operation in front.
    """
    parameters: Json = {}
    deleted: dict[str, str] = {}
    for path in sorted((RECORDED / "discovery/openapi/v3").glob("*.json.gz")):
        for route, item in read_gzip(path).get("paths", {}).items():
            shared = item.get("parameters", [])
            for method, operation in item.items():
                if method == "parameters":
                    continue
                place = _place(route, operation)
                for parameter in [*shared, *operation.get("parameters", ())]:
                    _note_parameter(parameters, parameter, place)
                if operation.get("x-kubernetes-action") == "delete":
                    answer = operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
                    deleted[route.rpartition("/{name}")[0].rpartition("/")[2]] = answer.rpartition(".")[2]
    whole = read_gzip(RECORDED / "discovery/openapi/v2.json.gz")
    return {
        "parameters": parameters,
        "returned_when_deleted": sorted(plural for plural, answer in deleted.items() if answer != "Status"),
        "others": {name: _paths_of(name) for name in OTHER_DOCUMENTS},
        "parameters_v2": whole["parameters"],
        "others_v2": {path: item for path, item in whole["paths"].items() if not path.startswith("/api")},
    }


def _paths_of(name: str) -> Json:
    paths: Json = read_gzip(RECORDED / f"discovery/openapi/v3/{name.replace('/', '_')}.json.gz")["paths"]
    return paths


def _place(route: str, operation: Json) -> str:
    """Which kind of operation it is: ``patch``, or the subresource that is connected to."""
    if operation.get("x-kubernetes-action") != "connect":
        return str(operation.get("x-kubernetes-action", ""))
    item, _, part = route.partition("/{name}/")
    return f"{item.rpartition('/')[2]}.{part}"


def _note_parameter(parameters: Json, parameter: Json, place: str) -> None:
    name = parameter["name"]
    if parameter.get("in") == "path" and name == "name":
        return  # its text has the kind
    key = name if parameter.get("in") != "path" else f"path:{name}"
    if parameters.setdefault(key, parameter) != parameter:
        parameters[f"{place}:{key}"] = parameter


def generated() -> dict[str, Any]:
    """File name -> content of every generated file."""
    definitions, descriptions = without_descriptions(joined(published(), recorded_schemas()))
    packages = read_gzip(RECORDED / "protobuf-fields.json.gz")["packages"]
    return {
        "definitions.json.gz": {"kinds": kinds(definitions), "definitions": definitions},
        "descriptions.json.gz": descriptions,
        "protobuf.json.gz": protobuf_messages(definitions, packages),
        "operations.json.gz": operation_facts(),
    }


def main() -> None:
    """Write the files anew."""
    DATA.mkdir(exist_ok=True)
    for name, content in generated().items():
        text = json.dumps(content, separators=(",", ":"), sort_keys=True)
        (DATA / name).write_bytes(gzip.compress(text.encode(), 9, mtime=0))
        sys.stdout.write(f"{name}: {(DATA / name).stat().st_size} bytes\n")


if __name__ == "__main__":
    main()
