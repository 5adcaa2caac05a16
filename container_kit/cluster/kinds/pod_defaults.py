"""Defaults of pods and pod templates.

Source: Kubernetes API reference v1.32, Pod ("Defaults to ..."); recorded answers of a real server.
"""

from collections.abc import Callable
from typing import Any

from container_kit.cluster.kinds.rules import Rules
from container_kit.cluster.meta import Object

__all__ = ["POD", "POD_SPEC", "POD_TEMPLATE", "VOLUME_SOURCES", "default_requests"]

Node = dict[str, Any]


def image_pull_policy(container: Node) -> None:
    """``Always`` for images without a tag or with the tag ``latest``, unless a digest is named."""
    if not container.get("imagePullPolicy"):
        container["imagePullPolicy"] = (
            "Always" if _tag(container.get("image", "")) == "latest" else "IfNotPresent"
        )


def _tag(image: str) -> str:
    """The tag of an image reference: ``latest`` when neither tag nor digest is given."""
    name, at, _ = image.partition("@")
    last = name.rsplit("/", 1)[-1]
    _, colon, tag = last.partition(":")
    return tag if colon else "" if at else "latest"


def default_requests(container: Node) -> None:
    """A limit without a request is also the request."""
    resources = container.get("resources") or {}
    limits = resources.get("limits")
    if limits:
        requests = resources.get("requests") or {}
        resources["requests"] = requests | {
            key: value for key, value in limits.items() if key not in requests
        }


def _host_ports(spec: Node) -> None:
    """On the host's network a container port is a port of the host."""
    if spec.get("hostNetwork"):
        for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
            for port in container.get("ports") or ():
                if not port.get("hostPort"):
                    port["hostPort"] = port.get("containerPort", 0)


def _service_account_alias(spec: Node) -> None:
    """``serviceAccount`` is the old name of ``serviceAccountName``; both are kept equal."""
    name = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if name:
        spec["serviceAccountName"] = spec["serviceAccount"] = name


def _empty_dir(volume: Node) -> None:
    """A volume that names no source is an emptyDir."""
    if not any(value is not None for key, value in volume.items() if key != "name"):
        volume["emptyDir"] = {}


def _pod_only(pod: Object) -> None:
    """What pods get and templates do not: requests from limits, service links, ports of the host."""
    spec = pod["spec"]
    spec.setdefault("enableServiceLinks", True)
    _host_ports(spec)
    for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        default_requests(container)


def _grpc_service(action: Node) -> None:
    action.setdefault("service", "")


def _host_path_type(source: Node) -> None:
    """An empty type means that nothing is checked; it is written out."""
    source.setdefault("type", "")


def _image_volume(source: Node) -> None:
    if not source.get("pullPolicy"):
        latest = _tag(source.get("reference", "")) == "latest"
        source["pullPolicy"] = "Always" if latest else "IfNotPresent"


HTTP_GET = Rules({"path": "/", "scheme": "HTTP"})
PROBE = Rules(
    {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3},
    within={"httpGet": HTTP_GET, "grpc": _grpc_service},
)
HANDLER = Rules(within={"httpGet": HTTP_GET})
FIELD_REF = Rules({"apiVersion": "v1"})
ENV = Rules(within={"valueFrom": Rules(within={"fieldRef": FIELD_REF})})
DOWNWARD_FILE = Rules(within={"fieldRef": FIELD_REF})

CONTAINER = Rules(
    {"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File", "resources": {}},
    each={"ports": Rules({"protocol": "TCP"}), "env": ENV},
    within={
        "livenessProbe": PROBE,
        "readinessProbe": PROBE,
        "startupProbe": PROBE,
        "lifecycle": Rules(within={"postStart": HANDLER, "preStop": HANDLER}),
    },
    then=(image_pull_policy,),
)

RBD = Rules({"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"})
AZURE_DISK = Rules({"cachingMode": "ReadWrite", "kind": "Shared", "fsType": "ext4", "readOnly": False})
SCALE_IO = Rules({"storageMode": "ThinProvisioned", "fsType": "xfs"})

# Sources that pods and persistent volumes have in common.
VOLUME_SOURCES: dict[str, Callable[[Node], None]] = {
    "hostPath": _host_path_type,
    "iscsi": Rules({"iscsiInterface": "default"}),
    "rbd": RBD,
    "azureDisk": AZURE_DISK,
    "scaleIO": SCALE_IO,
}


PROJECTION = Rules(
    within={
        "serviceAccountToken": Rules({"expirationSeconds": 3600}),
        "downwardAPI": Rules(each={"items": DOWNWARD_FILE}),
    }
)
CLAIM_SPEC = Rules({"volumeMode": "Filesystem"})
VOLUME = Rules(
    first=(_empty_dir,),
    within={
        **VOLUME_SOURCES,
        "secret": Rules({"defaultMode": 0o644}),
        "configMap": Rules({"defaultMode": 0o644}),
        "downwardAPI": Rules({"defaultMode": 0o644}, each={"items": DOWNWARD_FILE}),
        "projected": Rules({"defaultMode": 0o644}, each={"sources": PROJECTION}),
        "ephemeral": Rules(within={"volumeClaimTemplate": Rules(within={"spec": CLAIM_SPEC})}),
        "image": _image_volume,
    },
)


POD_SPEC = Rules(
    {
        "restartPolicy": "Always",
        "dnsPolicy": "ClusterFirst",
        "schedulerName": "default-scheduler",
        "terminationGracePeriodSeconds": 30,
        "securityContext": {},
    },
    each={
        "containers": CONTAINER,
        "initContainers": CONTAINER,
        "ephemeralContainers": CONTAINER,
        "volumes": VOLUME,
    },
    then=(_service_account_alias,),
)

POD_TEMPLATE = Rules({"metadata": {"creationTimestamp": None}, "spec": {}}, within={"spec": POD_SPEC})
POD = Rules({"spec": {}}, within={"spec": POD_SPEC}, then=(_pod_only,))
