"""One client for every API server: the one in this process, and any other Kubernetes.

Objects are dicts as JSON gives them.  A resource is named as for kubectl: ``pods``, ``deploy``,
``deployments.apps``, ``deployments.v1.apps``.  Namespaces of objects and of calls may be left out, then the
client's own is meant.

Source: Kubernetes API Concepts (verbs, watches, patches), API conventions.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from container_kit._values import frozen
from container_kit.cluster.client.errors import api_error
from container_kit.cluster.client.resources import ResourceIndex, ResourceInfo
from container_kit.cluster.client.transport import Body, Query, Reply, Stream, Transport
from container_kit.cluster.client.watch import Lines, Watch, WatchEvent
from container_kit.errors import InvalidInput, NotFound

__all__ = ["Client", "ObjectList", "PatchKind"]

Object = dict[str, Any]
PatchKind = Literal["strategic", "merge", "json", "apply"]

_PATCH_TYPES = {
    "strategic": "application/strategic-merge-patch+json",
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
}
_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
_JSON = {"content-type": "application/json"}


@frozen
class ObjectList:
    """What a list call found.

    Attributes:
        items: The objects, with apiVersion and kind.
        resource_version: From where a watch sees everything that came later.
        continue_: What the next call must give as ``continue_`` for the rest; empty at the end.
        remaining: How many are left, when the server says so.
    """

    items: list[Object]
    resource_version: str
    continue_: str = ""
    remaining: int | None = None


class Client:
    """Calls to one API server as one user; safe to use from many threads.

    Args:
        transport: How to reach the server.
        namespace: Where namespaced objects are when neither the call nor the object says.
        field_manager: Who owns the fields that this client writes; the server's own choice if empty.

    Raises:
        ApiError: From every call that the server refuses, by a subclass that says what can be done next
            (`ApiNotFound`, `ApiConflict`, `ApiInvalid`, ...).
        Unreachable: It does not answer.
    """

    def __init__(self, transport: Transport, *, namespace: str = "default", field_manager: str = "") -> None:
        self.transport, self.namespace, self.field_manager = transport, namespace, field_manager

    def get(self, resource: str, name: str, namespace: str = "", *, subresource: str = "") -> Object:
        """One object, or a part of it (``status``, ``scale``)."""
        info = self.resource(resource)
        return self._object("GET", info.path(self._place(info, namespace), _name(name), subresource))

    def list(
        self,
        resource: str,
        namespace: str | None = "",
        *,
        labels: str = "",
        fields: str = "",
        limit: int = 0,
        continue_: str = "",
        resource_version: str = "",
    ) -> ObjectList:
        """The objects of one namespace, or of all with ``namespace=None``.

        Args:
            labels, fields: Selectors, such as ``app=web,tier!=old`` and ``spec.nodeName=n1``.
            limit: At most so many, the rest by *continue_*; 0 means all.
        """
        info = self.resource(resource)
        query = _given(
            labelSelector=labels,
            fieldSelector=fields,
            limit=str(limit) if limit else "",
            **{"continue": continue_},
            resourceVersion=resource_version,
        )
        place = "" if namespace is None else self._place(info, namespace)
        return _as_list(self._object("GET", info.path(place), query), info)

    def create(
        self,
        obj: Object,
        *,
        namespace: str = "",
        dry_run: bool = False,
        field_manager: str = "",
        field_validation: str = "",
    ) -> Object:
        """Store a new object; returns it as stored."""
        info = self._info_of(obj)
        path = info.path(self._place(info, namespace, obj))
        return self._object("POST", path, self._writing(dry_run, field_manager, field_validation), obj)

    def create_in(
        self, resource: str, name: str, subresource: str, obj: Object, namespace: str = ""
    ) -> Object:
        """Post *obj* to a part of an object: ``eviction``, ``binding`` of a pod, ``token`` of an account."""
        info = self.resource(resource)
        return self._object(
            "POST", info.path(self._place(info, namespace), _name(name), subresource), {}, obj
        )

    def update(
        self,
        obj: Object,
        *,
        subresource: str = "",
        dry_run: bool = False,
        field_manager: str = "",
        field_validation: str = "",
    ) -> Object:
        """Replace an object by this one, if nobody changed it since (its resourceVersion)."""
        info = self._info_of(obj)
        path = info.path(
            self._place(info, "", obj), _name(obj.get("metadata", {}).get("name", "")), subresource
        )
        return self._object("PUT", path, self._writing(dry_run, field_manager, field_validation), obj)

    def update_status(self, obj: Object) -> Object:
        """Replace only the status of an object by that of this one."""
        return self.update(obj, subresource="status")

    def patch(
        self,
        resource: str,
        name: str,
        patch: Body,
        namespace: str = "",
        *,
        kind: PatchKind = "strategic",
        subresource: str = "",
        dry_run: bool = False,
        force: bool = False,
        field_manager: str = "",
        field_validation: str = "",
    ) -> Object:
        """Change a part of an object.

        Args:
            patch: A dict, a list of operations for ``json``, or bytes (YAML is read for ``apply``).
            kind: How *patch* is meant; ``apply`` is server-side apply.
            force: Take fields over from other managers (``apply`` only).
        """
        info = self.resource(resource)
        query = self._writing(dry_run, field_manager, field_validation) | _given(
            force="true" if force else ""
        )
        if kind == "apply" and "fieldManager" not in query:
            query["fieldManager"] = "container-kit"
        path = info.path(self._place(info, namespace), _name(name), subresource)
        headers = {"content-type": _PATCH_TYPES[kind]}
        return _decoded(self.request("PATCH", path, query, patch, headers))

    def delete(
        self,
        resource: str,
        name: str,
        namespace: str = "",
        *,
        grace_s: int | None = None,
        propagation: Literal["Background", "Foreground", "Orphan"] | None = None,
        uid: str = "",
        resource_version: str = "",
        dry_run: bool = False,
    ) -> Object:
        """Delete an object; it goes when its finalizers and its grace period (seconds) are over."""
        info = self.resource(resource)
        options = _delete_options(grace_s, propagation, uid, resource_version, dry_run)
        return self._object("DELETE", info.path(self._place(info, namespace), _name(name)), {}, options)

    def delete_collection(
        self,
        resource: str,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        grace_s: int | None = None,
        propagation: Literal["Background", "Foreground", "Orphan"] | None = None,
    ) -> Object:
        """Delete all objects of a namespace that the selectors choose."""
        info = self.resource(resource)
        query = _given(labelSelector=labels, fieldSelector=fields)
        options = _delete_options(grace_s, propagation, "", "", False)
        return self._object("DELETE", info.path(self._place(info, namespace)), query, options)

    def watch(
        self,
        resource: str,
        namespace: str | None = "",
        *,
        since: str = "",
        labels: str = "",
        fields: str = "",
        bookmarks: bool = False,
        timeout_s: float | None = None,
    ) -> Watch:
        """Changes from the resourceVersion *since* on (of a list), until closed.

        Without *since* the objects that are there come first, as ADDED.
        """
        path, query = self._watched(resource, namespace, since, labels, fields, bookmarks)
        if timeout_s is not None:
            query["timeoutSeconds"] = str(max(1, int(timeout_s)))
        return Watch(self.transport.lines(path, query, {}))

    def subscribe(
        self,
        resource: str,
        namespace: str | None,
        sink: Callable[[WatchEvent | None], None],
        *,
        since: str = "",
        labels: str = "",
        fields: str = "",
        bookmarks: bool = False,
    ) -> Callable[[], None]:
        """As `watch`, but each event goes to *sink*, in order, and None when the watch has ended.

        *sink* is called from another thread and must return at once. Returns how to end the watch.
        """
        path, query = self._watched(resource, namespace, since, labels, fields, bookmarks)
        return self.transport.subscribe(path, query, sink)

    def request(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        body: Body = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> Reply:
        """One request to any path."""
        reply = self.transport.call(method, path, query or {}, body, headers or _JSON, timeout_s)
        if reply.status >= 400:
            raise api_error(_status_of(reply), reply.status)
        return reply

    def lines(self, path: str, query: Query | None = None) -> Lines:
        """The lines of an answer without an end, such as a log that is followed."""
        return self.transport.lines(path, query or {}, {})

    def stream(self, path: str, query: Query, protocols: tuple[str, ...]) -> Stream:
        """A duplex connection, over one of these WebSocket subprotocols."""
        return self.transport.stream(path, query, protocols)

    def resource(self, word: str) -> ResourceInfo:
        """What *word* means on this server; what came into being lately is looked for once more.

        Raises:
            NotFound: There is no such resource.
        """
        try:
            return self._index.of_word(word)
        except NotFound:
            self.refresh()
            return self._index.of_word(word)

    def resources(self) -> ResourceIndex:
        """All that this server has, asked anew."""
        self.refresh()
        return self._index

    def refresh(self) -> None:
        """Ask again which resources there are."""
        self.__dict__.pop("_index", None)

    def close(self) -> None:
        """Let connections go."""
        self.transport.close()

    @functools.cached_property
    def _index(self) -> ResourceIndex:
        headers = {"accept": _AGGREGATED}
        documents = [self.request("GET", path, headers=headers) for path in ("/api", "/apis")]
        return ResourceIndex([msgspec.json.decode(reply.body) for reply in documents])

    def _info_of(self, obj: Object) -> ResourceInfo:
        if not obj.get("apiVersion") or not obj.get("kind"):
            raise InvalidInput(
                "the object says neither what it is nor in which version: it needs apiVersion and kind"
            )
        try:
            return self._index.of_object(obj["apiVersion"], obj["kind"])
        except NotFound:
            self.refresh()
            return self._index.of_object(obj["apiVersion"], obj["kind"])

    def _place(self, info: ResourceInfo, namespace: str, obj: Object | None = None) -> str:
        if not info.namespaced:
            return ""
        return namespace or (obj or {}).get("metadata", {}).get("namespace") or self.namespace

    def _writing(self, dry_run: bool, field_manager: str, field_validation: str) -> dict[str, str]:
        return _given(
            dryRun="All" if dry_run else "",
            fieldManager=field_manager or self.field_manager,
            fieldValidation=field_validation,
        )

    def _watched(
        self, resource: str, namespace: str | None, since: str, labels: str, fields: str, bookmarks: bool
    ) -> tuple[str, dict[str, str]]:
        info = self.resource(resource)
        place = "" if namespace is None else self._place(info, namespace)
        query = _given(
            resourceVersion=since,
            labelSelector=labels,
            fieldSelector=fields,
            allowWatchBookmarks="true" if bookmarks else "",
        )
        return info.path(place), {"watch": "true", **query}

    def _object(self, method: str, path: str, query: Query | None = None, body: Body = None) -> Object:
        return _decoded(self.request(method, path, query, body))


def _name(name: str) -> str:
    """A name that is part of a path: an empty one would mean the whole collection."""
    if not name or "/" in name:
        raise InvalidInput(f"{name!r} is no name of an object")
    return name


def _given(**query: str) -> dict[str, str]:
    return {key: value for key, value in query.items() if value}


def _decoded(reply: Reply) -> Object:
    decoded: Object = msgspec.json.decode(reply.body)
    return decoded


def _as_list(document: Object, info: ResourceInfo) -> ObjectList:
    """Items of a list do not say what they are, since the list does."""
    items = [
        {"apiVersion": info.api_version, "kind": info.kind, **item} for item in document.get("items") or ()
    ]
    meta = document.get("metadata", {})
    return ObjectList(
        items, meta.get("resourceVersion", ""), meta.get("continue", ""), meta.get("remainingItemCount")
    )


def _delete_options(
    grace_s: int | None, propagation: str | None, uid: str, resource_version: str, dry_run: bool
) -> Object | None:
    options: Object = {}
    if grace_s is not None:
        options["gracePeriodSeconds"] = grace_s
    if propagation is not None:
        options["propagationPolicy"] = propagation
    if preconditions := _given(uid=uid, resourceVersion=resource_version):
        options["preconditions"] = preconditions
    if dry_run:
        options["dryRun"] = ["All"]
    return {"kind": "DeleteOptions", "apiVersion": "v1", **options} if options else None


def _status_of(reply: Reply) -> Object:
    """The Status object of a refusal; whoever stands between may have answered something else."""
    try:
        status = msgspec.json.decode(reply.body)
    except msgspec.DecodeError:
        status = None
    if isinstance(status, dict) and status.get("kind") == "Status":
        return status
    words = reply.body[:300].decode(errors="replace").strip()
    return {"message": f"the server answered {reply.status}: {words}", "code": reply.status}
