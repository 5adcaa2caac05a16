"""What a request asks for: the verb, and the resource or the path that it is about.

Source: apiserver endpoints/request/requestinfo.go (documented in "Authorization", request attributes).
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

from container_kit.cluster.api.messages import Request
from container_kit.cluster.meta.fields import FieldSelector
from container_kit.cluster.meta.labels import SelectorError

__all__ = ["Route", "is_true", "route_of"]

_VERBS = {
    "POST": "create",
    "GET": "get",
    "HEAD": "get",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}
# Parts of a namespace itself, where otherwise a resource inside of it would stand.
_OF_NAMESPACES = ("status", "finalize")


class Route(msgspec.Struct, frozen=True):
    """What is asked for.

    Attributes:
        verb: ``get``, ``list``, ``watch``, ``create``, ``update``, ``patch``, ``delete``,
            ``deletecollection``; the method in lower case for paths that are no resources.
        path: As in the request.
        is_resource: Whether the rest is meant.
        rest: What follows the subresource (``proxy``).
    """

    verb: str
    path: str
    is_resource: bool = False
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""

    @property
    def namespace_of_object(self) -> str:
        """Where the object is: a namespace itself is in none, though requests for it carry its name."""
        return "" if self.resource == "namespaces" and not self.group else self.namespace

    @property
    def is_long(self) -> bool:
        """Whether the answer goes on for as long as the client likes."""
        return self.verb == "watch" or self.subresource in _LONG_PARTS


class _Place(msgspec.Struct, frozen=True):
    """What a path says alone."""

    is_resource: bool
    is_watch: bool = False
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""


_LONG_PARTS = ("attach", "exec", "log", "portforward", "proxy")


def is_true(value: str) -> bool:
    """A boolean parameter: whatever does not deny."""
    return value.lower() not in ("false", "0")


def route_of(request: Request) -> Route:
    """What *request* asks for; whether such a thing exists is not looked at."""
    path = request.path
    place = (_place if len(path) < _LONG_PATH else _read_place)(path)
    if not place.is_resource:
        return Route(request.method.lower(), request.path)
    verb, name = _VERBS.get(request.method, request.method.lower()), place.name
    if place.is_watch or (verb == "get" and not name and _wants_watch(request)):
        verb = "watch"
    elif not name:
        verb = {"get": "list", "delete": "deletecollection"}.get(verb, verb)
    if verb in ("list", "watch", "deletecollection") and not name:
        name = _selected_name(request)
    return Route(
        verb,
        request.path,
        True,
        place.group,
        place.version,
        place.namespace,
        place.resource,
        name,
        place.subresource,
        place.rest,
    )


def _wants_watch(request: Request) -> bool:
    values = request.query.get("watch")
    return is_true(values[0]) if values else False


def _selected_name(request: Request) -> str:
    """A list of one name needs rights for that name only."""
    text = request.parameter("fieldSelector")
    if not text:
        return ""
    try:
        return FieldSelector.parse(text).required("metadata.name") or ""
    except SelectorError:
        return ""  # the handler refuses it


def _read_place(path: str) -> _Place:
    parts = path.strip("/").split("/")
    if parts[0] == "api" and len(parts) > 2:
        group, version, parts = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, parts = parts[1], parts[2], parts[3:]
    else:
        return _Place(False)
    is_watch = parts[0] == "watch"
    if is_watch:
        parts = parts[1:]
    namespace = parts[1] if parts[:1] == ["namespaces"] and len(parts) > 1 else ""
    if len(parts) > 2 and parts[0] == "namespaces" and parts[2] not in _OF_NAMESPACES:
        parts = parts[2:]
    resource, name, subresource = (*parts[:3], "", "", "")[:3]
    return _Place(True, is_watch, group, version, namespace, resource, name, subresource, "/".join(parts[3:]))


# Paths that strangers make up are remembered as well, so that only short ones are.
_LONG_PATH = 500
_place = lru_cache(4096)(_read_place)
