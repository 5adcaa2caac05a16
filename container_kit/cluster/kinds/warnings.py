"""Warnings: what is stored all the same, but is probably not what was meant, or will not last.

Source: Kubernetes, "Warning: Helpful Warnings Ahead", deprecation notes of the API reference; recorded
answers of a real server.
"""

import base64
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from container_kit.cluster.meta import Object, annotations_of, name_of, quantity
from container_kit.cluster.meta.names import dns1123_label_problems

__all__ = ["WARNINGS"]

Node = dict[str, Any]
Warn = Callable[[Object, Object | None], list[str]]

_OLD_VOLUMES = {
    "gitRepo": "deprecated in v1.11",
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}
_OLD_LABELS = {
    "beta.kubernetes.io/arch": ("v1.14", "kubernetes.io/arch"),
    "beta.kubernetes.io/os": ("v1.14", "kubernetes.io/os"),
    "failure-domain.beta.kubernetes.io/region": ("v1.17", "topology.kubernetes.io/region"),
    "failure-domain.beta.kubernetes.io/zone": ("v1.17", "topology.kubernetes.io/zone"),
    "beta.kubernetes.io/instance-type": ("v1.17", "node.kubernetes.io/instance-type"),
}
_NO_POD = "a null labelSelector results in matching no pod"
_SURPRISE = "which can result in surprising behavior; a DNS label is recommended"


def _pod(pod: Object, old: Object | None) -> list[str]:
    if old is not None and old.get("spec") == pod.get("spec"):
        return []
    found = list(_pod_spec("spec", pod.get("spec") or {}))
    if old is None:
        found += _name(pod, "this is used in the Pod's hostname")
    return found


def _name(obj: Object, use: str) -> list[str]:
    wrong = dns1123_label_problems(name_of(obj))
    return [f"metadata.name: {use}, {_SURPRISE}: [{' '.join(wrong)}]"] if wrong else []


def _workload(*path: str, named: bool = True) -> Warn:
    """Warnings about the template of pods at *path*."""

    def warn(obj: Object, old: Object | None) -> list[str]:
        found = _name(obj, "this is used in Pod names and hostnames") if named and old is None else []
        template, before = _at(obj, path), _at(old, path)
        if old is not None and template == before:
            return found
        return [*found, *_pod_spec(".".join((*path, "spec")), template.get("spec") or {})]

    return warn


def _at(obj: Object | None, path: tuple[str, ...]) -> Node:
    found: Any = obj or {}
    for key in path:
        found = found.get(key) or {}
    return dict(found)


def _pod_spec(path: str, spec: Node) -> Iterator[str]:
    yield from _labels(f"{path}.nodeSelector", spec.get("nodeSelector") or {})
    for index, each in enumerate(spec.get("topologySpreadConstraints") or ()):
        if each.get("labelSelector") is None:
            yield f"{path}.topologySpreadConstraints[{index}].labelSelector: {_NO_POD}"
    yield from _affinity(f"{path}.affinity", spec.get("affinity") or {})
    for index, volume in enumerate(spec.get("volumes") or ()):
        yield from _volume(f"{path}.volumes[{index}]", volume)
    yield from _aliases(path, spec.get("hostAliases") or ())
    yield from _pull_secrets(f"{path}.imagePullSecrets", spec.get("imagePullSecrets") or ())
    for key in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(key) or ()):
            yield from _container(f"{path}.{key}[{index}]", container)


def _labels(field: str, selector: Mapping[str, str]) -> Iterator[str]:
    for key, (version, better) in _OLD_LABELS.items():
        if key in selector:
            yield f'{field}[{key}]: deprecated since {version}; use "{better}" instead'


def _affinity(path: str, affinity: Node) -> Iterator[str]:
    required, preferred = (
        f"{word}DuringSchedulingIgnoredDuringExecution" for word in ("required", "preferred")
    )
    for key in ("podAffinity", "podAntiAffinity"):
        wishes = affinity.get(key) or {}
        for index, term in enumerate(wishes.get(required) or ()):
            if term.get("labelSelector") is None:
                yield f"{path}.{key}.{required}[{index}].labelSelector: {_NO_POD}"
        for index, wish in enumerate(wishes.get(preferred) or ()):
            if (wish.get("podAffinityTerm") or {}).get("labelSelector") is None:
                yield f"{path}.{key}.{preferred}[{index}].podAffinityTerm.labelSelector: {_NO_POD}"


def _volume(path: str, volume: Node) -> Iterator[str]:
    for key, note in _OLD_VOLUMES.items():
        if volume.get(key) is not None:
            yield f"{path}.{key}: {note}"
    if volume.get("projected") is not None:
        yield from _overlaps(volume["name"], volume["projected"].get("sources") or ())


def _overlaps(name: str, sources: Any) -> Iterator[str]:
    """Files of two sources at one path, or one below the other.

    A source that names no files is taken for the one before it, as in the original, which so warns of a
    token that is followed by a whole ConfigMap.
    """
    seen: list[tuple[str, str]] = []
    files: list[tuple[str, str]] = []
    found: dict[str, None] = {}
    for source in sources:
        files = list(_files(source)) or files
        for path, what in files:
            for other, that in seen:
                if path == other or other.startswith(f"{path}/") or path.startswith(f"{other}/"):
                    found[f'overlapping paths: "{path}" ({what}) with "{other}" ({that})'] = None
        seen += files
    yield from (f'volume "{name}" (Projected): {text}' for text in found)


def _files(source: Node) -> Iterator[tuple[str, str]]:
    """The paths that a source surely fills, and what it is."""
    for key, what in (("secret", "Secret"), ("configMap", "ConfigMap")):
        part = source.get(key) or {}
        for item in part.get("items") or ():
            yield item.get("path", ""), f'{what} "{part.get("name", "")}"'
    for item in (source.get("downwardAPI") or {}).get("items") or ():
        yield item.get("path", ""), "DownwardAPI"
    if source.get("serviceAccountToken") is not None:
        yield source["serviceAccountToken"].get("path", ""), "ServiceAccountToken"


def _aliases(path: str, aliases: Any) -> Iterator[str]:
    seen: set[str] = set()
    for index, alias in enumerate(aliases):
        if alias.get("ip") in seen:
            yield f'{path}.hostAliases[{index}].ip: duplicate ip "{alias["ip"]}"'
        seen.add(alias.get("ip", ""))


def _pull_secrets(field: str, secrets: Any) -> Iterator[str]:
    seen: set[str] = set()
    for index, secret in enumerate(secrets):
        name = secret.get("name") or ""
        if not name:
            yield f'{field}[{index}].name: invalid empty name ""'
        elif name in seen:
            yield f'{field}[{index}].name: duplicate name "{name}"'
        seen.add(name)


def _container(path: str, container: Node) -> Iterator[str]:
    resources = container.get("resources") or {}
    for name in ("memory", "ephemeral-storage"):
        for key in ("limits", "requests"):
            value = (resources.get(key) or {}).get(name)
            if value is not None and quantity(value).denominator != 1:
                yield f"{path}.resources.{key}[{name}]: {_fraction(value)}"
    yield from _variables(f"{path}.env", container.get("env") or ())
    yield from _ports(f"{path}.ports", container.get("ports") or ())


def _fraction(value: Any) -> str:
    return f'fractional byte value "{value}" is invalid, must be an integer'


def _variables(field: str, variables: Any) -> Iterator[str]:
    seen: set[str] = set()
    for index, variable in enumerate(variables):
        name = variable.get("name") or ""
        if name in seen:
            hidden = f'hides previous definition of "{name}"'
            yield f"{field}[{index}]: {hidden}, which may be dropped when using apply"
        seen.add(name)


def _ports(field: str, ports: Any) -> Iterator[str]:
    seen: dict[tuple[Any, ...], int] = {}
    for index, port in enumerate(ports):
        key = (port.get("containerPort"), port.get("protocol"), port.get("hostIP"), port.get("hostPort"))
        if key in seen:
            yield f"{field}[{index}]: duplicate port definition with {field}[{seen[key]}]"
        seen.setdefault(key, index)


def _secret(secret: Object, old: Object | None) -> list[str]:
    """A certificate and a key that are none."""
    if secret.get("type") != "kubernetes.io/tls" or old is not None:
        return []
    data = secret.get("data") or {}
    for key, what in (("tls.crt", "certificate"), ("tls.key", "key")):
        if b"-----BEGIN " not in base64.b64decode(data.get(key) or ""):
            return [f"tls: failed to find any PEM data in {what} input"]
    return []


_TOPOLOGY = "service.kubernetes.io/topology-aware-hints"


def _service(service: Object, old: Object | None) -> list[str]:
    spec, found = service.get("spec") or {}, []
    if _TOPOLOGY in annotations_of(service):
        found.append(
            f"annotation {_TOPOLOGY} is deprecated, please use service.kubernetes.io/topology-mode instead"
        )
    if "None" in (spec.get("clusterIPs") or ()) and spec.get("sessionAffinity") not in (None, "", "None"):
        found.append("spec.SessionAffinity is ignored for headless services")
    return found


_STORAGE_CLASS = "volume.beta.kubernetes.io/storage-class"


def _storage_class(obj: Object) -> list[str]:
    if _STORAGE_CLASS not in annotations_of(obj):
        return []
    note = 'deprecated since v1.8; use "storageClassName" attribute instead'
    return [f"metadata.annotations[{_STORAGE_CLASS}]: {note}"]


def _volume_of_cluster(volume: Object, old: Object | None) -> list[str]:
    spec, found = volume.get("spec") or {}, _storage_class(volume)
    if spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        found.append(
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. "
            "Instead, the recommended approach is to use dynamic provisioning."
        )
    return found + [f"spec.{key}: {note}" for key, note in _OLD_VOLUMES.items() if spec.get(key) is not None]


def _claim(claim: Object, old: Object | None) -> list[str]:
    size = (((claim.get("spec") or {}).get("resources") or {}).get("requests") or {}).get("storage")
    found = _storage_class(claim)
    if size is not None and quantity(size).denominator != 1:
        found.append(f"spec.resources.requests[storage]: {_fraction(size)}")
    return found


def _ingress(ingress: Object, old: Object | None) -> list[str]:
    if old is not None or "kubernetes.io/ingress.class" not in annotations_of(ingress):
        return []
    return [
        "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead"
    ]


_TEMPLATE = _workload("spec", "template")
WARNINGS: dict[tuple[str, str], Warn] = {
    ("", "PersistentVolume"): _volume_of_cluster,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "Pod"): _pod,
    ("", "PodTemplate"): _workload("template", named=False),
    ("", "ReplicationController"): _TEMPLATE,
    ("", "Secret"): _secret,
    ("", "Service"): _service,
    ("apps", "DaemonSet"): _workload("spec", "template", named=False),
    ("apps", "Deployment"): _TEMPLATE,
    ("apps", "ReplicaSet"): _TEMPLATE,
    ("apps", "StatefulSet"): _workload("spec", "template", named=False),
    ("batch", "CronJob"): _workload("spec", "jobTemplate", "spec", "template"),
    ("batch", "Job"): _TEMPLATE,
    ("networking.k8s.io", "Ingress"): _ingress,
}
