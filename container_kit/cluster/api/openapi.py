"""/openapi/v2 and /openapi/v3: what clients read before they create or apply.

Documents (and the modules that make them) come when they are asked for and kept, packed, until resources
come or go.  A document's hash is in its address, so clients may keep it for ever.

Source: Kubernetes API Concepts, "OpenAPI V2" and "OpenAPI V3".
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

from container_kit.cluster.api.encoding import encode, json_response
from container_kit.cluster.api.messages import Request, Response, User
from container_kit.cluster.api.resources import Registry, Resource
from container_kit.cluster.meta.status import method_not_allowed

__all__ = ["OpenApi"]

# Clients ask with an @, which is no character of a media type: Go would not read it in an answer.
_V2_ASKED = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
_V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_OF_EVERY_KIND = {"metadata.name", "metadata.namespace"}


class _Source(NamedTuple):
    """What makes a document, and of which resources: as long as these are the same, so is the document."""

    make: Callable[[], dict[str, Any]]
    of: Sequence[Resource] = ()


class _Page:
    """A document as it is sent: plain, packed, and what it is known by."""

    def __init__(self, data: bytes, of: Sequence[Resource] = ()) -> None:
        self.of = of
        self.data, self.packed = data, gzip.compress(data, 5, mtime=0)
        self.hash = hashlib.sha512(data).hexdigest().upper()


class Others(Protocol):
    """Who serves what the registry has from elsewhere."""

    def documents(self) -> dict[str, str]:
        """The hash of each of their documents, by its place in the index."""

    def forward(self, request: Request, user: User, path: str) -> Response:
        """Their answer to a request that is about *path*."""


class OpenApi:
    """The documents of what a registry serves."""

    def __init__(self, registry: Registry, others: Others) -> None:
        self._registry, self._others = registry, others
        self._pages: dict[str, _Page] = {}
        self._made_of = -1

    def answer(self, request: Request, user: User) -> Response:
        """The answer to a request below ``/openapi``.

        Raises:
            StatusError: 404 or 405.
        """
        if request.method not in ("GET", "HEAD"):
            raise method_not_allowed()
        if self._made_of != self._registry.changes:
            self._made_of = self._registry.changes
            for whole in ("v2", "v2.protobuf"):
                self._pages.pop(whole, None)
        path = request.path.strip("/")
        if path == "openapi/v2":
            return self._v2(request)
        if path == "openapi/v3":
            return json_response(self._index())
        makers = self._makers()
        place = path.removeprefix("openapi/v3/")
        if place in self._others.documents():
            return self._others.forward(request, user, f"/{place}")
        if not path.startswith("openapi/v3/") or place not in makers:
            return Response(404, {"Content-Type": "text/plain; charset=utf-8"})
        return _sent(request, self._page(place, makers[place]), "application/json")

    def _v2(self, request: Request) -> Response:
        from container_kit.cluster.schema.openapi.swagger import whole_document

        def document() -> dict[str, Any]:
            return whole_document(source.make() for source in self._makers().values())

        accepted = request.headers.get("accept", "")
        if _V2_ASKED in accepted or _V2_PROTOBUF in accepted:
            page = self._pages.get("v2.protobuf")
            if page is None:
                from container_kit.cluster.schema.openapi.protobuf import encode_document

                page = self._pages["v2.protobuf"] = _Page(encode_document(document()))
            return _sent(request, page, _V2_PROTOBUF)
        return _sent(request, self._page("v2", _Source(document)), "application/json")

    def _index(self) -> dict[str, Any]:
        """Each document's address, with its hash."""
        sources = self._makers()
        for place in set(self._pages) - sources.keys() - {"v2", "v2.protobuf"}:
            self._pages.pop(place, None)
        places = {place: self._page(place, source).hash for place, source in sources.items()}
        places |= self._others.documents()
        return {
            "paths": {
                place: {"serverRelativeURL": f"/openapi/v3/{place}?hash={hashed}"}
                for place, hashed in sorted(places.items())
            }
        }

    def _page(self, place: str, source: _Source) -> _Page:
        page = self._pages.get(place)
        if page is None or [id(one) for one in page.of] != [id(one) for one in source.of]:
            page = self._pages[place] = _Page(encode(source.make()), source.of)
        return page

    def _makers(self) -> dict[str, _Source]:
        """Place in the index -> what makes the document."""
        from container_kit.cluster.schema.openapi import documents
        from container_kit.cluster.schema.openapi.operations import api_versions
        from container_kit.cluster.schema.openapi.types import kind_names

        found = {
            "apis": _Source(documents.discovery_document),
            "api": _Source(partial(documents.group_document, "")),
        }
        by_version: dict[tuple[str, str], list[Resource]] = {}
        for resource in self._registry:
            if (
                resource.schema is None
                and (resource.group, resource.version, resource.kind) not in kind_names()
            ):
                continue  # somebody else's, who has a document of it; or metrics, which have none
            by_version.setdefault((resource.group, resource.version), []).append(resource)
        for (group, version), resources in by_version.items():
            root = api_versions(group)[1:]
            found.setdefault(root, _Source(partial(documents.group_document, group)))
            found[f"{root}/{version}"] = _Source(_version_maker(group, version, resources), resources)
        others = documents.other_documents()
        return found | {name: _Source(partial(others.__getitem__, name)) for name in others}


def _version_maker(group: str, version: str, resources: list[Resource]) -> Callable[[], dict[str, Any]]:
    def make() -> dict[str, Any]:
        from container_kit.cluster.schema.openapi.documents import version_document
        from container_kit.cluster.schema.openapi.published import custom_document, published_type

        types: dict[str, Any] = {}
        for resource in resources:
            if not resource.is_typed:
                fields = sorted(resource.shown.field_labels - _OF_EVERY_KIND)
                types |= published_type(resource, resource.schema.spec, fields)
        if types:
            return custom_document(resources, types)
        return version_document(group, version, resources, types)

    return make


def _sent(request: Request, page: _Page, media_type: str) -> Response:
    tag = f'"{page.hash}"'
    headers: dict[str, str | list[str]] = {
        "Content-Type": media_type,
        "ETag": tag,
        "Vary": "Accept, Accept-Encoding",
        "Cache-Control": "no-cache, private",
    }
    if request.parameter("hash") == page.hash:
        headers["Cache-Control"] = "public, immutable"
    if request.headers.get("if-none-match") == tag:
        return Response(304, headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(200, {**headers, "Content-Encoding": "gzip"}, page.packed)
    return Response(200, headers, page.data)
