"""Service accounts: every pod runs as one, and finds its token where programs look for it.

Source: Kubernetes, "Configure Service Accounts for Pods", "Managing Service Accounts".
"""

from collections.abc import Iterator
from typing import Any

from container_kit.cluster.api.admission.refusal import refused
from container_kit.cluster.api.plugins import CREATE, Attributes, Plugin
from container_kit.cluster.meta import Object
from container_kit.cluster.meta.randomness import random_letters

__all__ = ["ServiceAccount"]

MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
MIRROR = "kubernetes.io/config.mirror"
_TOKEN_SECONDS = 3607  # an hour, and a little so that it can be told from one that was asked for


class ServiceAccount(Plugin):
    """Gives pods the default account, its secrets for pulling and a volume with a token."""

    name = "ServiceAccount"

    def handles(self, attributes: Attributes) -> bool:
        resource = attributes.resource
        return resource.plural == "pods" and not resource.group and not attributes.subresource

    def admit(self, attributes: Attributes) -> None:
        pod = attributes.obj
        if attributes.operation != CREATE or pod is None or _is_mirror(pod):
            return
        spec = pod["spec"]
        name = spec.get("serviceAccountName") or "default"
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        account = self._account(attributes, name)
        if _wants_token(account, spec):
            _mount_token(spec)
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = [dict(each) for each in account["imagePullSecrets"]]

    def validate(self, attributes: Attributes) -> None:
        pod = attributes.obj
        if attributes.operation == CREATE and pod is not None and _is_mirror(pod):
            self._check_mirror(attributes, pod["spec"])

    def _account(self, attributes: Attributes, name: str) -> Object:
        account = attributes.world.get("serviceaccounts", attributes.namespace, name)
        if account is None:
            place = f"{attributes.namespace}/{name}"
            problem = f'error looking up service account {place}: serviceaccount "{name}" not found'
            raise refused(attributes, problem)
        return account

    def _check_mirror(self, attributes: Attributes, spec: dict[str, Any]) -> None:
        """A mirror pod shows what a node runs by itself, which no account and no secret can reach."""
        if spec.get("serviceAccountName"):
            raise refused(attributes, "a mirror pod may not reference service accounts")
        for volume in spec.get("volumes") or ():
            if volume.get("secret") is not None:
                raise refused(attributes, "a mirror pod may not reference secrets")
            sources = (volume.get("projected") or {}).get("sources") or ()
            if any(source.get("serviceAccountToken") is not None for source in sources):
                raise refused(attributes, "a mirror pod may not use ServiceAccountToken volume projections")


def _is_mirror(pod: Object) -> bool:
    return MIRROR in (pod["metadata"].get("annotations") or {})


def _wants_token(account: Object, spec: dict[str, Any]) -> bool:
    """The pod decides, then the account; silence of both means yes."""
    for source in (spec, account):
        wish = source.get("automountServiceAccountToken")
        if wish is not None:
            return bool(wish)
    return True


def _containers(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from spec.get("initContainers") or ()
    yield from spec.get("containers") or ()


def _mount_token(spec: dict[str, Any]) -> None:
    """Mount a volume with token, CA and namespace into every container that has nothing there."""
    volumes = spec.get("volumes") or []
    known = next((each["name"] for each in volumes if each["name"].startswith("kube-api-access-")), None)
    name = known or f"kube-api-access-{random_letters(5)}"
    mounted = False
    for container in _containers(spec):
        mounts = container.get("volumeMounts") or []
        if all(mount.get("mountPath") != MOUNT_PATH for mount in mounts):
            container["volumeMounts"] = [*mounts, {"name": name, "readOnly": True, "mountPath": MOUNT_PATH}]
            mounted = True
    if mounted and known is None:
        spec["volumes"] = [*volumes, {"name": name, "projected": _token_projection()}]


def _token_projection() -> dict[str, Any]:
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    return {
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": _TOKEN_SECONDS, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [namespace]}},
        ],
        "defaultMode": 420,
    }
