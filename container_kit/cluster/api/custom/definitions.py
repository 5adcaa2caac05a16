"""Keeps what is served in step with the stored CustomResourceDefinitions.

There is no thread: a change of a definition, or of objects of one that goes away, is noted under the store's
lock and acted upon at the end of the request that made it.  So whoever has created a definition finds its
resources with the next request, and a cluster without any costs nothing.

Source: apiextensions-apiserver, the controllers of naming, establishing and finalizing.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from container_kit.cluster.api.messages import Request, User
from container_kit.cluster.api.resources import Registry
from container_kit.cluster.api.services import dial
from container_kit.cluster.kinds.custom.definition import FINALIZER, with_condition
from container_kit.cluster.meta.objects import Object, condition_of, copy_of, name_of
from container_kit.cluster.store import Event, Store, WatchHandle

if TYPE_CHECKING:
    from container_kit.cluster.api.api import Api

__all__ = ["CRDS", "Definitions"]

CRDS = "customresourcedefinitions.apiextensions.k8s.io"
_PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_SERVER = User("system:apiserver", ("system:masters",))
_AGENT = {"user-agent": "kube-apiserver", "content-type": "application/json"}


class Definitions:
    """The definitions of one API server.

    Args:
        api: The server; its registry is kept up to date.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._store: Store = api.store
        self._registry: Registry = api.registry
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._served: dict[str, Object] = {}  # as they were when their resources were made
        self._settled: dict[str, int] = {}  # the revisions of those about which nothing is to be done
        self._watches: dict[str, WatchHandle] = {}
        snapshot = self._store.list(CRDS)
        self._store.watch(CRDS, snapshot.revision, self._note)
        if snapshot.records:
            self._changed.set()

    @property
    def is_behind(self) -> bool:
        """Whether `sync` has something to do."""
        return self._changed.is_set()

    def _note(self, event: Event) -> None:
        self._changed.set()

    def sync(self) -> None:
        """Bring names, conditions, resources and deletions to where the stored definitions want them."""
        with self._lock:
            while self._changed.is_set():
                self._changed.clear()
                found = {record.name: record for record in self._store.list(CRDS).records}
                for name in self._served.keys() - found.keys():
                    self._forget(name)
                for name, record in found.items():
                    if self._settled.get(name) != record.revision and self._settle(record.object):
                        self._settled[name] = record.revision

    def _settle(self, definition: Object) -> bool:
        """One definition: accepted, served, or on its way out; whether that is all until it changes."""
        if definition["metadata"].get("deletionTimestamp"):
            self._serve(definition)
            self._finalize(definition)
            return False
        accepted = self._accepted(definition)
        if condition_of(accepted, "Established"):
            self._serve(accepted)  # before it says so: whoever waits for that finds its resources
        if accepted["status"] != definition.get("status"):
            self._write("PUT", f"{_PATH}/{name_of(definition)}/status", accepted)
            return False
        return (condition_of(accepted, "NamesAccepted") or {}).get("status") == "True"

    def _accepted(self, definition: Object) -> Object:
        """*definition* with its names accepted and established, unless another one has them."""
        status = copy_of(definition.get("status") or {})
        made = {**definition, "status": status}
        taken = self._name_taken(definition)
        now = self._api.clock.stamp()
        if taken:
            return with_condition(made, "NamesAccepted", "False", *taken, now)
        status["acceptedNames"] = copy_of(definition["spec"]["names"])
        made = with_condition(made, "NamesAccepted", "True", "NoConflicts", "no conflicts found", now)
        if condition_of(made, "Established"):
            return made
        text = "the initial names have been accepted"
        return with_condition(made, "Established", "True", "InitialNamesAccepted", text, now)

    def _name_taken(self, definition: Object) -> tuple[str, str] | None:
        """Which of the names another resource of the group has."""
        spec = definition["spec"]
        for resource in self._registry:
            if resource.group != spec["group"] or resource.plural == spec["names"]["plural"]:
                continue
            if resource.kind in (spec["names"]["kind"], spec["names"].get("listKind")):
                return "KindConflict", f'"{resource.kind}" is already in use'
            if set(resource.short_names) & set(spec["names"].get("shortNames") or ()):
                return "ShortNamesConflict", "one of the short names is already in use"
        return None

    def _serve(self, definition: Object) -> None:
        """Make its resources, if it is not served as it is."""
        name = name_of(definition)
        known = self._served.get(name)
        if known is not None and _is_served_alike(known, definition):
            return
        from container_kit.cluster.api.custom.resources import resources_of  # for those who have any

        spec = definition["spec"]
        self._registry.remove(spec["group"], spec["names"]["plural"])
        self._registry.add(resources_of(definition, partial(dial, self._api.core)))
        self._served[name] = definition

    def _forget(self, name: str) -> None:
        spec = self._served.pop(name)["spec"]
        self._settled.pop(name, None)
        self._registry.remove(spec["group"], spec["names"]["plural"])
        handle = self._watches.pop(name, None)
        if handle is not None:
            handle.close()

    def _finalize(self, definition: Object) -> None:
        """Delete its objects; once there are none, let the definition go."""
        if FINALIZER not in (definition["metadata"].get("finalizers") or ()):
            return
        spec, name = definition["spec"], name_of(definition)
        key = f"{spec['names']['plural']}.{spec['group']}"
        root = f"/apis/{spec['group']}/{_storage_version(spec)}"
        if name not in self._watches:
            self._watches[name] = self._store.watch(key, self._store.revision, self._note)
        for record in self._store.list(key).records:
            if not record.object["metadata"].get("deletionTimestamp"):
                scope = f"namespaces/{record.namespace}/" if record.namespace else ""
                self._send("DELETE", f"{root}/{scope}{spec['names']['plural']}/{record.name}", b"")
        if self._store.list(key).records:
            self._tell_waiting(definition)
            return
        left = [each for each in definition["metadata"]["finalizers"] if each != FINALIZER]
        if not left:
            self._forget(name)  # before it goes: whoever sees that finds its resources gone
        patch = {"metadata": {"finalizers": left, "uid": definition["metadata"]["uid"]}}
        self._write("PATCH", f"{_PATH}/{name}", patch, "application/merge-patch+json")

    def _tell_waiting(self, definition: Object) -> None:
        reason, text = "InstanceDeletionInProgress", "CustomResource deletion is in progress"
        made = with_condition(definition, "Terminating", "True", reason, text, self._api.clock.stamp())
        if made["status"] != definition["status"]:
            self._write("PUT", f"{_PATH}/{name_of(made)}/status", made)

    def _write(self, method: str, path: str, body: Any, media_type: str = "application/json") -> None:
        """A write that may come too late: the next change brings us here again."""
        self._send(method, path, body, media_type)

    def _send(self, method: str, path: str, body: Any, media_type: str = "application/json") -> None:
        headers = {**_AGENT, "content-type": media_type}
        self._api.answer(Request(method, path, {}, headers, body, user=_SERVER))


def _is_served_alike(known: Object, definition: Object) -> bool:
    gone = [bool(each["metadata"].get("deletionTimestamp")) for each in (known, definition)]
    return bool(known["spec"] == definition["spec"]) and gone[0] == gone[1]


def _storage_version(spec: Object) -> str:
    served = [version for version in spec["versions"] if version["served"]]
    chosen = next((version for version in served if version["storage"]), served[0] if served else None)
    return str((chosen or spec["versions"][0])["name"])
