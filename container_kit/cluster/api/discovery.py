"""Discovery: which groups, versions and resources there are, in three forms.

Source: API Concepts, "Discovery API"; apidiscovery.k8s.io/v2 and v2beta1.
"""

from __future__ import annotations

import hashlib
from typing import Any

from container_kit.cluster.api.encoding import encode, object_response
from container_kit.cluster.api.messages import Request, Response
from container_kit.cluster.api.negotiation import Form, accepted_form
from container_kit.cluster.api.resources import Registry, Resource, Subresource
from container_kit.cluster.meta.objects import group_version

__all__ = ["Discovery"]

_AGGREGATED_KIND = "APIGroupDiscoveryList"


class Discovery:
    """The documents of discovery, made from the registry when it has changed.

    Args:
        address: Where clients reach the server, ``HOST:PORT``, as /api tells it.
    """

    def __init__(self, registry: Registry, address: str = "127.0.0.1:6443") -> None:
        self._registry, self.address = registry, address
        self._made: dict[object, bytes] = {}
        self._made_of = -1

    def answer(self, request: Request) -> Response | None:
        """The answer, or None if the path is none of discovery's."""
        parts = request.path.strip("/").split("/")
        if parts == ["api"] or parts == ["apis"]:
            return self._groups(request, parts[0])
        if len(parts) == 2 and parts[0] == "api":
            return self._resources(request, "", parts[1])
        if len(parts) == 2 and parts[0] == "apis":
            return self._group(request, parts[1])
        if len(parts) == 3 and parts[0] == "apis":
            return self._resources(request, parts[1], parts[2])
        return None

    def _groups(self, request: Request, root: str) -> Response:
        version = _aggregated_version(request.headers.get("accept", ""))
        if version is None:
            document = self._cached((root,), lambda: self._plain_groups(root))
            return object_response(document, _form(request))
        data = self._cached((root, version), lambda: self._aggregated(root, version))
        return _tagged(request, data, version)

    def _cached(self, key: object, make: Any) -> bytes:
        if self._made_of != self._registry.changes:
            self._made, self._made_of = {}, self._registry.changes
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = encode(make())
        return found

    def _plain_groups(self, root: str) -> Any:
        if root == "api":
            address = {"clientCIDR": "0.0.0.0/0", "serverAddress": self.address}
            return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [address]}
        groups = [_group(name, versions) for name, versions in self._registry.groups().items()]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}

    def _group(self, request: Request, name: str) -> Response | None:
        versions = self._registry.groups().get(name)
        if versions is None:
            return None
        return object_response(
            {"kind": "APIGroup", "apiVersion": "v1", **_group(name, versions)}, _form(request)
        )

    def _resources(self, request: Request, group: str, version: str) -> Response | None:
        if not self._registry.has_version(group, version):
            return None
        listed = [entry for each in self._registry.resources(group, version) for entry in _entries(each)]
        if self._registry.has_builtin(group):
            listed.sort(key=lambda entry: str(entry["name"]))
        document = {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": group_version(group, version),
            "resources": listed,
        }
        if not group:
            del document["apiVersion"]
        return object_response(document, _form(request))

    def _aggregated(self, root: str, version: str) -> Any:
        groups = {"": ["v1"]} if root == "api" else self._registry.groups()
        return {
            "kind": _AGGREGATED_KIND,
            "apiVersion": f"apidiscovery.k8s.io/{version}",
            "metadata": {},
            "items": [self._aggregated_group(name, versions) for name, versions in groups.items()],
        }

    def _aggregated_group(self, group: str, versions: list[str]) -> Any:
        metadata = {"name": group, "creationTimestamp": None} if group else {"creationTimestamp": None}
        return {
            "metadata": metadata,
            "versions": [
                {
                    "version": version,
                    "resources": [
                        _aggregated_entry(each) for each in self._registry.resources(group, version)
                    ],
                    "freshness": "Current",
                }
                for version in versions
            ],
        }


def _form(request: Request) -> Form:
    return Form(accepted_form(request.headers.get("accept", "")).encoding)


def _aggregated_version(accept: str) -> str | None:
    """The version of aggregated discovery that is wanted; None for the plain form."""
    for clause in accept.split(","):
        words = {word.strip() for word in clause.split(";")}
        if f"as={_AGGREGATED_KIND}" in words and "g=apidiscovery.k8s.io" in words:
            for version in ("v2", "v2beta1"):
                if f"v={version}" in words:
                    return version
        elif words & {"application/json", "*/*", "application/yaml"}:
            return None
    return None


def _tagged(request: Request, data: bytes, version: str) -> Response:
    """With an ETag, so that a client that has it need not get it again."""
    tag = f'"{hashlib.sha512(data).hexdigest().upper()}"'
    headers: dict[str, str | list[str]] = {
        "Content-Type": f"application/json;g=apidiscovery.k8s.io;v={version};as={_AGGREGATED_KIND}",
        "ETag": tag,
        "Vary": "Accept",
        "Cache-Control": "public",
    }
    if request.headers.get("if-none-match") == tag:
        return Response(304, headers)
    return Response(200, headers, data)


def _group(name: str, versions: list[str]) -> dict[str, Any]:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def _entries(resource: Resource) -> list[dict[str, Any]]:
    """A resource and its subresources as APIResource."""
    own: dict[str, Any] = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": resource.verbs,
    }
    more = {
        "shortNames": resource.short_names,
        "categories": resource.categories,
        "storageVersionHash": resource.hash,
    }
    own |= {name: value for name, value in more.items() if value}
    return [own, *(_sub_entry(resource, each) for each in resource.subresources.values())]


def _sub_entry(resource: Resource, sub: Subresource) -> dict[str, Any]:
    place = {"group": sub.group, "version": sub.version} if sub.foreign else {}
    return {
        "name": f"{resource.plural}/{sub.name}",
        "singularName": "",
        "namespaced": resource.namespaced,
        **place,
        "kind": sub.kind,
        "verbs": sub.verbs,
    }


def _response_kind(kind: str, sub: Subresource | None = None) -> dict[str, str]:
    group, version = (sub.group, sub.version) if sub and sub.foreign else ("", "")
    return {"group": group, "version": version, "kind": kind}


def _aggregated_entry(resource: Resource) -> dict[str, Any]:
    found: dict[str, Any] = {
        "resource": resource.plural,
        "responseKind": _response_kind(resource.kind),
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": resource.verbs,
    }
    subresources = [
        {"subresource": each.name, "responseKind": _response_kind(each.kind, each), "verbs": each.verbs}
        for each in resource.subresources.values()
    ]
    more = {
        "shortNames": resource.short_names,
        "categories": resource.categories,
        "subresources": subresources,
    }
    return found | {name: value for name, value in more.items() if value}
