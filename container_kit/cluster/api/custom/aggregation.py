"""Aggregated APIs: groups and versions that somebody else serves, behind the same address.

An APIService names a service of the cluster; what is asked below its group and version goes there, with the
user's name in headers and without the user's credentials.  Its resources are learnt from its discovery and
appear in ours.  As with definitions there is no thread: what has changed is looked at with the next request.

Source: Kubernetes, "Configure the Aggregation Layer"; kube-aggregator, handler_proxy.go.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from container_kit.cluster.api.messages import Request, Response, User
from container_kit.cluster.meta.objects import Object, condition_of, copy_of, name_of, set_condition
from container_kit.cluster.meta.status import StatusError
from container_kit.cluster.store import Event

if TYPE_CHECKING:
    from container_kit.cluster.api.api import Api
    from container_kit.cluster.api.custom.remote import Remote

__all__ = ["API_SERVICES", "Aggregation"]

API_SERVICES = "apiservices.apiregistration.k8s.io"
_PATH = "/apis/apiregistration.k8s.io/v1/apiservices"
_SERVER = User("system:apiserver", ("system:masters",))
_TRY_AGAIN_S = 1.0


class Aggregation:
    """The aggregated APIs of one server."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._lock = threading.Lock()
        self._remotes: dict[str, Remote] = {}
        self._changed = threading.Event()
        snapshot = api.store.list(API_SERVICES)
        api.store.watch(API_SERVICES, snapshot.revision, self._note)
        for record in snapshot.records:
            if record.object["spec"].get("service"):
                self._remotes[record.name] = self._remote(record.object["spec"])

    @property
    def is_behind(self) -> bool:
        """Whether `sync` has something to do."""
        return self._changed.is_set()

    def _note(self, event: Event) -> None:
        self._changed.set()

    def sync(self) -> None:
        """Bring what is served and the conditions in step with the stored APIServices."""
        with self._lock:
            while self._changed.is_set():
                self._changed.clear()
                found = {record.name: record.object for record in self._api.store.list(API_SERVICES).records}
                for name in self._remotes.keys() - found.keys():
                    self._forget(self._remotes.pop(name))
                for service in found.values():
                    self._settle(service)

    def find(self, path: str) -> bool:
        """Whether somebody else serves *path*."""
        return self._of(path) is not None

    def _of(self, path: str) -> Remote | None:
        for remote in tuple(self._remotes.values()):
            if path == remote.prefix or path.startswith(remote.prefix + "/"):
                return remote
        return None

    def _settle(self, service: Object) -> None:
        """One APIService: ours, or somebody else's whose resources are to be learnt."""
        name, spec = name_of(service), service["spec"]
        if not spec.get("service"):
            self._tell(service, "True", "Local", "Local APIServices are always available")
            return
        known = self._remotes.get(name)
        if known is None or known.spec != spec:
            if known is not None:
                self._forget(known)
            self._remotes[name] = known = self._remote(spec)
        if not known.is_known:
            self._learn(known)

    def _learn(self, remote: Remote) -> None:
        """Read the discovery of *remote*, unless that was tried a moment ago."""
        if time.monotonic() - remote.tried < _TRY_AGAIN_S:
            return
        remote.tried = time.monotonic()
        service = self._api.store.get(API_SERVICES, "", f"{remote.version}.{remote.group}")
        try:
            resources = remote.resources(_SERVER)
            remote.learn_documents(_SERVER)
        except StatusError as error:
            if service is not None:
                self._tell(
                    service.object, "False", "FailedDiscoveryCheck", f"failing or missing response: {error}"
                )
            return
        remote.is_known = True
        self._api.registry.add(resources)
        if service is not None:
            self._tell(service.object, "True", "Passed", "all checks passed")

    def _forget(self, remote: Remote) -> None:
        for resource in self._api.registry.resources(remote.group, remote.version):
            self._api.registry.remove(remote.group, resource.plural)

    def _tell(self, service: Object, status: str, reason: str, text: str) -> None:
        """Set the condition Available, if it is not so already."""
        known = condition_of(service, "Available") or {}
        if (known.get("status"), known.get("reason")) == (status, reason):
            return
        made = copy_of(service)
        conditions = made.setdefault("status", {}).setdefault("conditions", [])
        condition = {"type": "Available", "status": status, "reason": reason, "message": text}
        set_condition(conditions, condition, self._api.clock.stamp())
        headers = {"user-agent": "kube-apiserver", "content-type": "application/json"}
        self._api.answer(
            Request("PUT", f"{_PATH}/{name_of(service)}/status", {}, headers, made, user=_SERVER)
        )

    def documents(self) -> dict[str, str]:
        """The hash of each OpenAPI document of theirs, by its place in our index."""
        return {place: tag for each in tuple(self._remotes.values()) for place, tag in each.documents.items()}

    def forward(self, request: Request, user: User, path: str = "") -> Response:
        """The answer of whoever serves *path*, which is that of *request* if not given.

        Raises:
            StatusError: 503: the service cannot be reached, or is not trusted.
        """
        remote = self._of(path or request.path)
        assert remote is not None
        if not remote.is_known:
            with self._lock:
                self._learn(remote)
        return remote.ask(request, user)

    def _remote(self, spec: Object) -> Remote:
        from container_kit.cluster.api.custom.remote import Remote  # brings HTTP and TLS along

        return Remote(spec, self._api.core)
