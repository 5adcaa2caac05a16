"""Warnings: what is stored all the same, but is probably not what was meant, or will not last.

Source: Kubernetes, "Warning: Helpful Warnings Ahead", deprecation notes of the API reference; recorded
answers of a real server.
"""

import base64
from collections.abc import Callable, Iterator
from typing import Any

from container_kit.cluster.kinds.pod_warnings import fraction, old_volumes, warnings_of_pod, warnings_of_terms
from container_kit.cluster.meta import Object, annotations_of, name_of, quantity
from container_kit.cluster.meta.names import dns1123_label_problems

__all__ = ["WARNINGS"]

Node = dict[str, Any]
Warn = Callable[[Object, Object | None], list[str]]

_LARGE_JOB = (
    "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, "
    "Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
)
_SURPRISE = "which can result in surprising behavior; a DNS label is recommended"


def _pod(pod: Object, old: Object | None) -> list[str]:
    if old is not None and old.get("spec") == pod.get("spec"):
        return []
    found = list(warnings_of_pod("", pod))
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
        return [*found, *warnings_of_pod(".".join(path), template)]

    return warn


def _at(obj: Object | None, path: tuple[str, ...]) -> Node:
    found: Any = obj or {}
    for key in path:
        found = found.get(key) or {}
    return dict(found)


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
    if "None" in (spec.get("clusterIPs") or ()):
        ignored = {
            "spec.loadBalancerIP is": spec.get("loadBalancerIP"),
            "spec.externalIPs is": spec.get("externalIPs"),
            "spec.SessionAffinity is": spec.get("sessionAffinity") not in (None, "", "None"),
        }
        found += [f"{what} ignored for headless services" for what, is_given in ignored.items() if is_given]
    return found


_STORAGE_CLASS = "volume.beta.kubernetes.io/storage-class"


def _storage_class(obj: Object) -> list[str]:
    if _STORAGE_CLASS not in annotations_of(obj):
        return []
    note = 'deprecated since v1.8; use "storageClassName" attribute instead'
    return [f"metadata.annotations[{_STORAGE_CLASS}]: {note}"]


def _volume_of_cluster(volume: Object, old: Object | None) -> list[str]:
    spec, found = volume.get("spec") or {}, _storage_class(volume)
    terms = (spec.get("nodeAffinity") or {}).get("required") or {}
    if spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        found.append(
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. "
            "Instead, the recommended approach is to use dynamic provisioning."
        )
    return [*found, *warnings_of_terms("spec.nodeAffinity.required", terms), *old_volumes("spec", spec)]


def _claim(claim: Object, old: Object | None) -> list[str]:
    return [*_storage_class(claim), *_size("spec", claim)]


def _size(path: str, claim: Object) -> Iterator[str]:
    size = (((claim.get("spec") or {}).get("resources") or {}).get("requests") or {}).get("storage")
    if size is not None and quantity(size).denominator != 1:
        yield f"{path}.resources.requests[storage]: {fraction(size)}"


def _job(*path: str, named: bool = True) -> Warn:
    """Warnings of a job, or of those that a CronJob makes."""
    templates = _workload(*path, "template", named=named)

    def warn(obj: Object, old: Object | None) -> list[str]:
        job, found = _at(obj, path), templates(obj, old)
        is_large = (job.get("completions") or 0) > 100_000 and (job.get("parallelism") or 0) > 10_000
        if job.get("completionMode") == "Indexed" and is_large:
            found.insert(0, f"{'.'.join(path)}: {_LARGE_JOB}")
        return found

    return warn


def _stateful_set(obj: Object, old: Object | None) -> list[str]:
    spec = obj.get("spec") or {}
    found = _SET_TEMPLATE(obj, old)
    # The original names the parts differently for new and for changed objects.
    part = "" if old is None else ".Spec"
    for index, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
        found += _size(f"spec.volumeClaimTemplates[{index}]{part}", claim)
    if (spec.get("revisionHistoryLimit") or 0) < 0:
        found.append(
            "spec.revisionHistoryLimit: a negative value retains all historical revisions; "
            "a value >= 0 is recommended"
        )
    return found


def _ingress(ingress: Object, old: Object | None) -> list[str]:
    if old is not None or "kubernetes.io/ingress.class" not in annotations_of(ingress):
        return []
    return [
        "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead"
    ]


_TEMPLATE = _workload("spec", "template")
_SET_TEMPLATE = _workload("spec", "template", named=False)
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
    ("apps", "StatefulSet"): _stateful_set,
    ("batch", "CronJob"): _job("spec", "jobTemplate", "spec"),
    ("batch", "Job"): _job("spec"),
    ("networking.k8s.io", "Ingress"): _ingress,
}
