"""Kubernetes files without a cluster: which pods they mean, and the file that a pod or container would have.

As in podman's ``kube play`` and ``kube generate``: a workload is so many pods of its template, a claim is a
volume, ConfigMaps and Secrets are read by pods of the same file.  Pure, but for what `play` and `down` do.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from container_kit._values import frozen
from container_kit.errors import InvalidInput, NotFound
from container_kit.pods.pod import Pod
from container_kit.pods.seam import Object
from container_kit.volumes.record import VolumeRequest

if TYPE_CHECKING:
    from container_kit.containers.container import Container
    from container_kit.containers.engine import Engine

__all__ = ["KubePlan", "down", "manifest_of_container", "manifest_of_pod", "plan_of", "play"]

_WORKLOADS = ("DaemonSet", "Deployment", "Job", "ReplicaSet", "ReplicationController", "StatefulSet")
_DATA = ("ConfigMap", "Secret")
_SKIPPED = ("Namespace", "Service", "ServiceAccount")
_MOST_REPLICAS = 1000
_OF_A_CLUSTER = (
    "creationTimestamp",
    "generation",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "uid",
)


@frozen(kw_only=True)
class KubePlan:
    """What a file means here.

    Args:
        pods: Manifests, in order.
        claims: Names of volumes.
        data: ConfigMaps and Secrets.
        skipped: Kind and name of what means nothing without a cluster.
    """

    pods: tuple[Object, ...] = ()
    claims: tuple[str, ...] = ()
    data: tuple[Object, ...] = ()
    skipped: tuple[str, ...] = ()


def plan_of(objects: Iterable[Object]) -> KubePlan:
    """What *objects* mean here.

    Raises:
        InvalidInput: One of them is of a kind that is not known here; names it.
    """
    pods, claims, data, skipped = [], [], [], []
    for one in objects:
        kind, name = one.get("kind", ""), (one.get("metadata") or {}).get("name", "")
        if kind == "Pod":
            pods.append(one)
        elif kind in _WORKLOADS:
            pods += _pods_of(one)
        elif kind == "PersistentVolumeClaim":
            claims.append(name)
        elif kind in _DATA:
            data.append(one)
        elif kind in _SKIPPED:
            skipped.append(f"{kind} {name}")
        else:
            known = ", ".join(("Pod", *_WORKLOADS, "PersistentVolumeClaim", *_DATA))
            raise InvalidInput(f"{kind} {name!r} needs a cluster: without one there are {known}")
    return KubePlan(pods=tuple(pods), claims=tuple(claims), data=tuple(data), skipped=tuple(skipped))


def _pods_of(workload: Object) -> Iterator[Object]:
    """The pods of a workload: named after it, numbered where there are several."""
    spec, name = workload.get("spec") or {}, workload["metadata"]["name"]
    count = 1 if workload["kind"] in ("DaemonSet", "Job") else int(spec.get("replicas", 1))
    if not 0 <= count <= _MOST_REPLICAS:
        raise InvalidInput(
            f"{workload['kind']} {name!r}: {count} replicas are not from 0 to {_MOST_REPLICAS}"
        )
    template = spec.get("template") or {}
    for index in range(count):
        metadata = {**(template.get("metadata") or {}), "name": _name(workload["kind"], name, index, count)}
        yield {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            "spec": copy.deepcopy(template.get("spec")),
        }


def _name(kind: str, name: str, index: int, count: int) -> str:
    if kind == "StatefulSet":
        return f"{name}-{index}"
    return f"{name}-pod" if count == 1 else f"{name}-pod-{index}"


def play(
    engine: Engine, plan: KubePlan, *, network: str = "", start: bool = True, replace: bool = False
) -> list[Pod]:
    """Make the pods, and start them; what was made is removed again when a pod cannot be.

    Raises:
        NameInUse: There is a pod of such a name, and it is not to be replaced.
        ContainerKitError: As `Pod.create` and `Pod.run`.
    """
    if replace:
        down(engine, plan)
    for claim in plan.claims:
        engine.volumes.get_or_create(VolumeRequest(name=claim))
    made: list[Pod] = []
    try:
        for manifest in plan.pods:
            made.append(Pod.create(manifest, engine=engine, network=network, data=plan.data))
            if start:
                made[-1].run()
    except BaseException:
        for pod in made:
            pod.remove(force=True)
        raise
    return made


def down(engine: Engine, plan: KubePlan, *, volumes: bool = False) -> list[str]:
    """Remove the pods that `play` made of the same plan, and with *volumes* the claims; returns the ids."""
    removed = []
    for manifest in plan.pods:
        try:
            pod = Pod.get(manifest["metadata"]["name"], engine=engine)
        except NotFound:
            continue
        pod.stop()
        pod.remove(force=True)
        removed.append(pod.id)
    for claim in plan.claims if volumes else ():
        try:
            engine.volumes.remove(claim)
        except NotFound:
            continue
    return removed


def manifest_of_pod(pod: Pod) -> Object:
    """The manifest from which the same pod can be made again."""
    manifest = copy.deepcopy(dict(pod.manifest))
    metadata = {key: value for key, value in manifest["metadata"].items() if key not in _OF_A_CLUSTER}
    spec = {
        key: value
        for key, value in manifest["spec"].items()
        if key not in ("ephemeralContainers", "nodeName")
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def manifest_of_container(container: Container) -> Object:
    """A pod with a container like this one."""
    record = container.engine.record(container.id)
    options = record.options
    volumes: list[Object] = []
    mounts: list[Object] = []
    for index, mount in enumerate(options.mounts):
        volume = _volume_of(mount, f"volume-{index}")
        volumes.append(volume)
        found = {"name": volume["name"], "mountPath": mount.target}
        mounts.append({**found, "readOnly": True} if mount.read_only else found)
    one: Object = {
        "name": _label(record.name),
        "image": record.image,
        **_given("args", list(record.arguments or ())),
        **_given("command", list(options.entrypoint or ())),
        **_given("env", [{"name": key, "value": value} for key, value in options.env]),
        **_given("ports", [_port(port) for port in options.ports]),
        **_given("workingDir", options.working_dir),
        **_given("tty", options.tty),
        **_given("stdin", options.stdin_open),
        **_given("securityContext", _security(container)),
        **_given("volumeMounts", mounts),
    }
    restart = {"always": "Always", "unless-stopped": "Always", "on-failure": "OnFailure"}
    policy = restart.get(options.restart.mode, "Never")
    spec = {"containers": [one], "restartPolicy": policy, **_given("volumes", volumes)}
    metadata = {"name": f"{_label(record.name)}-pod", **_given("labels", dict(options.labels))}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _given(field: str, value: Any) -> Object:
    return {field: value} if value else {}


def _label(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-").strip("-")[:63]


def _volume_of(mount: Any, name: str) -> Object:
    if mount.type == "tmpfs":
        return {"name": name, "emptyDir": {"medium": "Memory"}}
    if mount.type == "volume" and mount.source:
        return {"name": name, "persistentVolumeClaim": {"claimName": mount.source}}
    if mount.type == "image":
        return {"name": name, "image": {"reference": mount.source}}
    return (
        {"name": name, "hostPath": {"path": mount.source}} if mount.source else {"name": name, "emptyDir": {}}
    )


def _port(port: Any) -> Mapping[str, Any]:
    found: Object = {"containerPort": port.container_port}
    if port.host_port:
        found["hostPort"] = port.host_port
    if port.protocol != "tcp":
        found["protocol"] = port.protocol.upper()
    return found


def _security(container: Container) -> Object:
    options = container.options
    user, _, group = options.user.partition(":")
    capabilities = {
        **_given("add", [name.removeprefix("CAP_") for name in options.cap_add]),
        **_given("drop", [name.removeprefix("CAP_") for name in options.cap_drop]),
    }
    return {
        **({"runAsUser": int(user)} if user.isdigit() else {}),
        **({"runAsGroup": int(group)} if group.isdigit() else {}),
        **_given("privileged", options.profile_name == "privileged"),
        **_given("readOnlyRootFilesystem", bool(options.read_only)),
        **_given("capabilities", capabilities),
    }
