"""Finds what pods refer to, by asking the API each time: what is found is as it is now."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from container_kit._values import frozen
from container_kit.cluster.client import ApiNotFound, Client
from container_kit.cluster.meta import Object
from container_kit.cluster.meta.times import parse_time
from container_kit.cluster.node.errors import VolumeNotReady

__all__ = ["ClientLookup", "TokenSource"]

# A token is renewed when so much of its life is over.
_OLD_SHARE = 0.8
_USUAL_LIFE_S = 3600


@frozen
class ClientLookup:
    """ConfigMaps, Secrets, services and claims of one API server."""

    client: Client

    def config_map(self, namespace: str, name: str) -> Object | None:
        """A ConfigMap, or None."""
        return self._get("configmaps", namespace, name)

    def secret(self, namespace: str, name: str) -> Object | None:
        """A Secret, or None."""
        return self._get("secrets", namespace, name)

    def services(self, namespace: str) -> list[Object]:
        """The services of a namespace, and that of the API server."""
        found = self.client.list("services", namespace).items
        if namespace != "default":
            api = self._get("services", "default", "kubernetes")
            found = [*found, api] if api is not None else found
        return found

    def volume_of(self, namespace: str, claim: str) -> Object:
        """The PersistentVolume that a claim is bound to.

        Raises:
            VolumeNotReady: There is no such claim, or it is not bound.
        """
        found = self._get("persistentvolumeclaims", namespace, claim)
        if found is None:
            raise VolumeNotReady(f'persistentvolumeclaim "{claim}" not found')
        name = found["spec"].get("volumeName") or ""
        if (found.get("status") or {}).get("phase") != "Bound" or not name:
            raise VolumeNotReady(f'PVC "{namespace}/{claim}" is not bound')
        volume = self._get("persistentvolumes", "", name)
        if volume is None:
            raise VolumeNotReady(f'persistentvolume "{name}" not found')
        return volume

    def _get(self, resource: str, namespace: str, name: str) -> Object | None:
        try:
            return self.client.get(resource, name, namespace)
        except ApiNotFound:
            return None


class TokenSource:
    """Service account tokens for pods: asked for once, and anew when most of their life is over.

    Args:
        now: Seconds since the epoch.
    """

    def __init__(self, client: Client, now: Callable[[], float] = time.time) -> None:
        self._client, self._now = client, now
        self._known: dict[tuple[str, str, int], tuple[float, str]] = {}
        self._lock = threading.Lock()

    def token(self, pod: Object, source: Object) -> str:
        """The token of a ``serviceAccountToken`` source of *pod*.

        Raises:
            VolumeNotReady: The API gives none.
        """
        life_s = source.get("expirationSeconds") or _USUAL_LIFE_S
        key = (pod["metadata"]["uid"], source.get("audience") or "", life_s)
        with self._lock:
            until, token = self._known.get(key, (0.0, ""))
        if self._now() < until:
            return token
        until, token = self._request(pod, key[1], life_s)
        with self._lock:
            self._known[key] = (until, token)
        return token

    def forget(self, uid: str) -> None:
        """The pod with this uid is gone."""
        with self._lock:
            for key in [key for key in self._known if key[0] == uid]:
                del self._known[key]

    def next_due_s(self, uid: str) -> float | None:
        """Seconds until a token of this pod has to be renewed; None when it has none."""
        with self._lock:
            ends = [until for key, (until, _) in self._known.items() if key[0] == uid]
        return max(1.0, min(ends) - self._now()) if ends else None

    def _request(self, pod: Object, audience: str, life_s: int) -> tuple[float, str]:
        metadata, account = pod["metadata"], pod["spec"].get("serviceAccountName") or "default"
        owner = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
        wish = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "audiences": [audience] if audience else [],
                "expirationSeconds": life_s,
                "boundObjectRef": owner,
            },
        }
        try:
            found = self._client.create_in("serviceaccounts", account, "token", wish, metadata["namespace"])
        except ApiNotFound as error:
            raise VolumeNotReady(f"failed to fetch token: {error}") from error
        end = parse_time(found["status"]["expirationTimestamp"]).timestamp()
        return self._now() + (end - self._now()) * _OLD_SHARE, found["status"]["token"]
