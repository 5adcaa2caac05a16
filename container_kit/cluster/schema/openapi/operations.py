"""The operations on one resource, as they follow from its verbs and subresources.

Source: the OpenAPI documents of a 1.32 API server.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from container_kit.cluster.schema.openapi.parameters import in_order, parameter, shared_parameter
from container_kit.cluster.schema.openapi.types import META, REF, Json, facts, kind_names

__all__ = [
    "LISTING",
    "PATCHES",
    "PLAIN",
    "UNAUTHORIZED",
    "Operations",
    "Served",
    "ServedSubresource",
    "answer",
    "api_versions",
    "group_words",
    "tag",
    "title",
    "type_name",
]

PLAIN = ("application/json", "application/vnd.kubernetes.protobuf", "application/yaml")
_WATCHED = (
    "application/json",
    "application/json;stream=watch",
    "application/vnd.kubernetes.protobuf",
    "application/vnd.kubernetes.protobuf;stream=watch",
    "application/yaml",
)
PATCHES = (
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)
LISTING = (
    "allowWatchBookmarks", "continue", "fieldSelector", "labelSelector", "limit", "resourceVersion",
    "resourceVersionMatch", "sendInitialEvents", "timeoutSeconds", "watch",
)  # fmt: skip
_WRITING = ("dryRun", "fieldManager", "fieldValidation")
_DELETING = (
    "dryRun", "gracePeriodSeconds", "ignoreStoreReadErrorWithClusterBreakingPotential", "orphanDependents",
    "propagationPolicy",
)  # fmt: skip
_DELETING_MANY = tuple(sorted({*LISTING, *_DELETING} - {"allowWatchBookmarks", "watch"}))
_LOG = (
    "get:container", "follow", "insecureSkipTLSVerifyBackend", "limitBytes", "pretty", "previous",
    "sinceSeconds", "stream", "tailLines", "timestamps",
)  # fmt: skip
# Subresources that hand the connection on: their methods and parameters.
_PROXY = ("get", "put", "post", "delete", "options", "head", "patch")
_STREAMS = ("container", "stderr", "stdin", "stdout", "tty")
_CONNECT: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "attach": (("get", "post"), _STREAMS),
    "exec": (("get", "post"), ("command", *_STREAMS)),
    "portforward": (("get", "post"), ("ports",)),
    "proxy": (_PROXY, ("path",)),
}
_WATCH_LIST = "deprecated: use the 'watch' parameter with a list operation instead"
UNAUTHORIZED = {"401": {"description": "Unauthorized"}}


class ServedSubresource(Protocol):
    """A part of an object with verbs of its own."""

    @property
    def kind(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def verbs(self) -> tuple[str, ...]: ...


class Served(Protocol):
    """A resource, as far as a document needs to know it."""

    @property
    def group(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def plural(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def list_kind(self) -> str: ...
    @property
    def namespaced(self) -> bool: ...
    @property
    def verbs(self) -> tuple[str, ...]: ...
    @property
    def subresources(self) -> Mapping[str, ServedSubresource]: ...


def api_versions(group: str) -> str:
    """Where a group is served: ``/apis/apps``, and ``/api`` for the group without a name."""
    return f"/apis/{group}" if group else "/api"


def group_words(group: str, *, first_lower: bool = False) -> str:
    """A group as part of a name: ``rbac.authorization.k8s.io`` is ``RbacAuthorization``."""
    parts = group.removesuffix(".k8s.io").split(".")
    joined = "".join(part[:1].upper() + part[1:] for part in parts)
    return joined[:1].lower() + joined[1:] if first_lower else joined


def title(group: str, version: str) -> str:
    return group_words(group or "core") + version[:1].upper() + version[1:]


def tag(group: str, version: str) -> str:
    return f"{group_words(group or 'core', first_lower=True)}_{version}"


def answer(text: str, schema: str, media_types: Iterable[str]) -> Json:
    return {"description": text, "content": _content(schema, media_types)}


def _content(schema: str, media_types: Iterable[str]) -> Json:
    node: Json = {"type": "string"} if schema == "string" else {"$ref": REF + schema}
    return {media_type: {"schema": node} for media_type in media_types}


class Operations:
    """All operations on one resource."""

    _plain: tuple[str, ...] = PLAIN
    _watched: tuple[str, ...] = _WATCHED
    _bodies: tuple[str, ...] = ("*/*",)
    _patches: tuple[str, ...] = PATCHES
    _reading: tuple[str, ...] = ()
    _deleting_many: tuple[str, ...] = _DELETING_MANY
    _patched_codes: tuple[str, ...] = ("200", "201")

    def __init__(self, resource: Served) -> None:
        self._resource = resource
        self._title = title(resource.group, resource.version)
        root = f"{api_versions(resource.group)}/{resource.version}"
        self._namespace = "namespaces/{namespace}/" if resource.namespaced else ""
        self._root = root
        self._schema = kind_names().get((resource.group, resource.version, resource.kind)) or type_name(
            resource.group, resource.version, resource.kind
        )
        list_kind = resource.list_kind or f"{resource.kind}List"
        self._list_schema = kind_names().get((resource.group, resource.version, list_kind)) or type_name(
            resource.group, resource.version, list_kind
        )

    def paths(self) -> Json:
        """Path -> its operations."""
        collection = f"{self._root}/{self._namespace}{self._resource.plural}"
        item = f"{collection}/{{name}}"
        found = {
            collection: self._collection(),
            item: self._item(),
            **self._everywhere(),
            **self._watches(),
        }
        for name, subresource in self._resource.subresources.items():
            found |= self._subresource(item, name, subresource)
        return {path: operations for path, operations in found.items() if operations}

    def _scope(self, item: bool) -> tuple[str, ...]:
        return (*(("path:name",) if item else ()), *(("path:namespace",) if self._namespace else ()))

    def _collection(self) -> Json:
        verbs, kind = self._resource.verbs, self._resource.kind
        operations = {}
        if "list" in verbs:
            operations["get"] = self._list(f"Namespaced{kind}" if self._namespace else kind, LISTING)
        if "create" in verbs:
            operations["post"] = self._write("post", "create", f"create {_an(kind)}", self._schema)
        if "deletecollection" in verbs:
            operations["delete"] = self._operation(
                "deletecollection",
                f"delete{self._title}Collection{self._scoped(kind)}",
                f"delete collection of {kind}",
                self._deleting_many,
                {"200": answer("OK", META + "Status", self._plain)},
                self._body_of_deleting_many(),
            )
        return self._lifted(operations, (*self._scope(False), "pretty"))

    def _body_of_deleting_many(self) -> Json | None:
        return {"content": _content(META + "DeleteOptions", self._bodies)}

    def _scoped(self, kind: str) -> str:
        return f"Namespaced{kind}" if self._namespace else kind

    def _list(self, name: str, parameters: tuple[str, ...]) -> Json:
        text = f"list {self._or_watch()}objects of kind {self._resource.kind}"
        responses = {"200": answer("OK", self._list_schema, self._watched)}
        return self._operation("list", f"list{self._title}{name}", text, parameters, responses)

    def _or_watch(self) -> str:
        return "or watch " if "watch" in self._resource.verbs else ""

    def _item(self) -> Json:
        verbs, kind = self._resource.verbs, self._resource.kind
        operations = self._reads_and_writes(verbs, kind, "", self._schema)
        if "delete" in verbs:
            returned = self._resource.plural in facts()["returned_when_deleted"]
            schema = self._schema if returned else META + "Status"
            responses = {
                code: answer(text, schema, self._plain) for code, text in _DONE.items() if code != "201"
            }
            operations["delete"] = self._operation(
                "delete",
                f"delete{self._title}{self._scoped(kind)}",
                f"delete {_an(kind)}",
                _DELETING,
                responses,
                {"content": _content(META + "DeleteOptions", self._bodies)},
            )
        return self._lifted(operations, (*self._scope(True), "pretty"))

    def _reads_and_writes(self, verbs: Iterable[str], kind: str, part: str, schema: str) -> Json:
        of = f"{part} of " if part else ""
        name = self._scoped(kind) + part[:1].upper() + part[1:]
        operations = {}
        if "get" in verbs:
            operations["get"] = self._operation(
                "get",
                f"read{self._title}{name}",
                f"read {of}the specified {kind}",
                self._reading,
                {"200": answer("OK", schema, self._plain)},
            )
        if "update" in verbs:
            operations["put"] = self._write(
                "put", "replace", f"replace {of}the specified {kind}", schema, name
            )
        if "patch" in verbs:
            operations["patch"] = self._patch(f"partially update {of}the specified {kind}", schema, name)
        return operations

    def _write(self, action: str, verb: str, text: str, schema: str, name: str = "") -> Json:
        codes = ("200", "201", "202") if action == "post" else ("200", "201")
        return self._operation(
            action,
            f"{verb}{self._title}{name or self._scoped(self._resource.kind)}",
            text,
            _WRITING,
            {code: answer(_DONE[code], schema, self._plain) for code in codes},
            {"content": _content(schema, self._bodies), "required": True},
        )

    def _patch(self, text: str, schema: str, name: str) -> Json:
        return self._operation(
            "patch",
            f"patch{self._title}{name}",
            text,
            ("dryRun", "patch:fieldManager", "fieldValidation", "force"),
            {code: answer(_DONE[code], schema, self._plain) for code in self._patched_codes},
            {"content": _content(META + "Patch", self._patches), "required": True},
        )

    def _everywhere(self) -> Json:
        """A list over all namespaces, for what has them."""
        if not self._namespace or "list" not in self._resource.verbs:
            return {}
        operation = self._list(f"{self._resource.kind}ForAllNamespaces", ())
        path = f"{self._root}/{self._resource.plural}"
        return {path: self._lifted({"get": operation}, in_order((*LISTING, "pretty")))}

    def _watches(self) -> Json:
        """The old way to watch: paths of their own."""
        resource = self._resource
        if "watch" not in resource.verbs:
            return {}
        kind, root = resource.kind, f"{self._root}/watch"
        text = f"watch individual changes to a list of {kind}. {_WATCH_LIST}."
        item_text = (
            f"watch changes to an object of kind {kind}. {_WATCH_LIST}, filtered to a single item with the "
            "'fieldSelector' parameter."
        )
        collection = f"{root}/{self._namespace}{resource.plural}"
        found = {
            collection: self._watch("watchlist", f"{self._scoped(kind)}List", text, False),
            f"{collection}/{{name}}": self._watch("watch", self._scoped(kind), item_text, True),
        }
        if self._namespace:
            everywhere = self._watch("watchlist", f"{kind}ListForAllNamespaces", text, None)
            found[f"{root}/{resource.plural}"] = everywhere
        return found

    def _watch(self, action: str, name: str, text: str, item: bool | None) -> Json:
        responses = {"200": answer("OK", META + "WatchEvent", self._watched)}
        operation = self._operation(action, f"watch{self._title}{name}", text, (), responses)
        scope = () if item is None else self._scope(item)
        return self._lifted({"get": operation}, in_order((*LISTING, "pretty", *scope)))

    def _subresource(self, item: str, name: str, subresource: ServedSubresource) -> Json:
        if name in _CONNECT:
            return self._connections(item, name, subresource)
        gvk = (subresource.group, subresource.version, subresource.kind)
        kind = self._resource.kind
        schema = "string" if name == "log" else kind_names().get(gvk) or type_name(*gvk)
        operations = self._reads_and_writes(subresource.verbs, kind, name, schema)
        if name == "log":
            operations["get"]["responses"]["200"]["content"] = _content(
                "string", (*self._plain, "text/plain")
            )
        if "create" in subresource.verbs:
            part = name[:1].upper() + name[1:]
            operations["post"] = self._write(
                "post", "create", f"create {name} of {_an(kind)}", schema, self._scoped(kind) + part
            )
        if name != "log":
            for operation in operations.values():
                operation["x-kubernetes-group-version-kind"] = self._kind_of_part(gvk)
        extra = _LOG if name == "log" else ("pretty",)
        shared = in_order((*self._scope(True), *extra))
        return {
            f"{item}/{name}": self._lifted(
                operations, shared, kind if name == "log" else self._kind_of_part(gvk)["kind"]
            )
        }

    def _kind_of_part(self, gvk: tuple[str, str, str]) -> Json:
        return _gvk(*gvk)

    def _connections(self, item: str, name: str, subresource: ServedSubresource) -> Json:
        methods, parameters = _CONNECT[name]
        found = {}
        for suffix in ("", "/{path}") if name == "proxy" else ("",):
            place = f"{self._resource.plural}.{name}{suffix}"
            operations = {}
            for method in methods:
                part = name[:1].upper() + name[1:] + ("WithPath" if suffix else "")
                operation = self._operation(
                    "connect",
                    f"connect{self._title}{method.title()}{self._scoped(self._resource.kind)}{part}",
                    f"connect {method.upper()} requests to {name} of {self._resource.kind}",
                    (),
                    {"200": answer("OK", "string", ("*/*",))},
                )
                gvk = (
                    subresource.group or self._resource.group,
                    subresource.version or "v1",
                    subresource.kind,
                )
                operation["x-kubernetes-group-version-kind"] = _gvk(*gvk)
                operations[method] = operation
            own = tuple(f"{place}:{parameter}" for parameter in parameters)
            path_parameter = ("path:path",) if suffix else ()
            lifted = in_order((*self._scope(True), *own, *path_parameter))
            found[f"{item}/{name}{suffix}"] = self._lifted(operations, lifted, subresource.kind)
        return found

    def _operation(
        self,
        action: str,
        identifier: str,
        text: str,
        parameters: tuple[str, ...],
        responses: Json,
        body: Json | None = None,
    ) -> Json:
        resource = self._resource
        operation: Json = {
            "tags": [tag(resource.group, resource.version)],
            "description": text,
            "operationId": identifier,
        }
        if parameters:
            operation["parameters"] = [parameter(key) for key in parameters]
        if body is not None:
            operation["requestBody"] = body
        operation["responses"] = responses | UNAUTHORIZED
        operation["x-kubernetes-action"] = action
        operation["x-kubernetes-group-version-kind"] = _gvk(resource.group, resource.version, resource.kind)
        return operation

    def _lifted(self, operations: Json, shared: tuple[str, ...], kind: str = "") -> Json:
        """*operations* with their shared parameters beside them: all of them, when there is only one."""
        if not operations:
            return {}
        found = [shared_parameter(key, kind or self._resource.kind) for key in shared]
        if len(operations) == 1:
            only = next(iter(operations.values()))
            found = sorted([*found, *only.pop("parameters", ())], key=lambda found: str(found["name"]))
        return {**operations, "parameters": found}


_DONE = {"200": "OK", "201": "Created", "202": "Accepted"}


def _gvk(group: str, version: str, kind: str) -> Json:
    return {"group": group, "version": version, "kind": kind}


def _an(kind: str) -> str:
    """``a Pod``, ``an Ingress``, ``Endpoints``."""
    if kind.endswith("s") and not kind.endswith("ss"):
        return kind
    return f"{'an' if kind[0] in 'AEIOU' else 'a'} {kind}"


def type_name(group: str, version: str, kind: str) -> str:
    """What the type of a custom kind is called: its group backwards, version, kind."""
    return ".".join([*reversed(group.split(".")), version, kind])
