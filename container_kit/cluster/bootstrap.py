"""What every cluster has from its first moment: namespaces, classes, the service of its own API."""

from __future__ import annotations

import contextlib
from typing import Any

from container_kit.cluster.api.authentication.authority import Authority
from container_kit.cluster.api.authorization.bootstrap import bootstrap_rbac
from container_kit.cluster.api.core import FRONT_PROXY
from container_kit.cluster.client.client import Client
from container_kit.cluster.client.errors import ApiExists, ApiNotFound

__all__ = ["API_ADDRESS", "DNS_ADDRESS", "bootstrap", "publish_trust"]

API_ADDRESS = "10.96.0.1"
DNS_ADDRESS = "10.96.0.10"
_TRUST = "extension-apiserver-authentication"
_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
_PRIORITIES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}


def bootstrap(client: Client) -> None:
    """Make what is missing; what somebody changed stays as it is."""
    for obj in _objects():
        with contextlib.suppress(ApiExists):
            client.create(obj)
    try:
        client.get("services", "kubernetes", "default")
    except ApiNotFound:
        client.create(_SERVICE)  # where it is there, creating it fails by its address, not by its name


def publish_trust(client: Client, clients: Authority, front_proxy: Authority) -> None:
    """Tell aggregated API servers whom to believe: users with certificates, and us who speak for users.

    Args:
        clients: Signs the certificates of users.
        front_proxy: Signs ours.
    """
    data = {
        "client-ca-file": clients.certificate.decode(),
        "requestheader-allowed-names": f'["{FRONT_PROXY}"]',
        "requestheader-client-ca-file": front_proxy.certificate.decode(),
        "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
        "requestheader-group-headers": '["X-Remote-Group"]',
        "requestheader-username-headers": '["X-Remote-User"]',
    }
    metadata = {"name": _TRUST, "namespace": "kube-system"}
    rule = {
        "apiGroups": [""],
        "resourceNames": [_TRUST],
        "resources": ["configmaps"],
        "verbs": ["get", "list", "watch"],
    }
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {
            **metadata,
            "name": f"{_TRUST}-reader",
            "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
            "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
        },
        "rules": [rule],
    }
    for obj in ({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}, role):
        with contextlib.suppress(ApiExists):
            client.create(obj)


def _objects() -> list[dict[str, Any]]:
    spaces = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in _NAMESPACES]
    classes = [
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": name},
            "value": value,
            "description": f"Used for system critical pods that must {_MUST[name]}",
        }
        for name, value in _PRIORITIES.items()
    ]
    return [*spaces, *classes, _STORAGE_CLASS, *bootstrap_rbac()]


_MUST = {
    "system-cluster-critical": "run in the cluster, but can be moved to another node if necessary.",
    "system-node-critical": "not be moved from their current node.",
}
# Directories of this machine, made when the first pod of a claim has its node.
_STORAGE_CLASS: dict[str, Any] = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {
        "name": "standard",
        "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
    },
    "provisioner": "container-kit/local",
    "volumeBindingMode": "WaitForFirstConsumer",
}
_SERVICE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {
        "name": "kubernetes",
        "namespace": "default",
        "labels": {"component": "apiserver", "provider": "kubernetes"},
    },
    "spec": {
        "clusterIP": API_ADDRESS,
        "type": "ClusterIP",
        "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}],
    },
}
