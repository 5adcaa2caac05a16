"""From a request to its answer: route, right, handler; every error becomes the specification's document."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import attrs
from aiohttp import web

from container_kit.errors import ContainerKitError
from container_kit.registry.server import handle_blobs as blobs
from container_kit.registry.server import handle_lists as lists
from container_kit.registry.server import handle_manifests as manifests
from container_kit.registry.server import handle_uploads as uploads
from container_kit.registry.server.access import ANYONE, Caller
from container_kit.registry.server.errors import Refusal, error_body, refusal_of
from container_kit.registry.server.exchange import Exchange, answer
from container_kit.registry.server.options import Behaviour
from container_kit.registry.server.repositories import Repositories
from container_kit.registry.server.routes import Endpoint, Route, parse_route

__all__ = ["Dispatcher"]

_log = logging.getLogger("container_kit.registry")

Handler = Callable[[Exchange], Awaitable[web.StreamResponse]]
# What a method of an endpoint does, and the right that it takes; "" takes only a known caller.
_TABLE: Final[Mapping[Endpoint, Mapping[str, tuple[str, Handler]]]] = {
    "base": {"GET": ("", lists.check_version), "HEAD": ("", lists.check_version)},
    "catalog": {"GET": ("catalog", lists.list_repositories)},
    "tags": {"GET": ("pull", lists.list_tags)},
    "manifest": {
        "GET": ("pull", manifests.get_manifest),
        "HEAD": ("pull", manifests.get_manifest),
        "PUT": ("push", manifests.put_manifest),
        "DELETE": ("delete", manifests.delete_manifest),
    },
    "blob": {
        "GET": ("pull", blobs.get_blob),
        "HEAD": ("pull", blobs.head_blob),
        "DELETE": ("delete", blobs.delete_blob),
    },
    "uploads": {"POST": ("push", uploads.start_upload)},
    "upload": {
        "GET": ("push", uploads.upload_status),
        "PATCH": ("push", uploads.append_chunk),
        "PUT": ("push", uploads.finish_upload),
        "DELETE": ("push", uploads.cancel_upload),
    },
    "referrers": {"GET": ("pull", manifests.list_referrers)},
}


@attrs.define
class Dispatcher:
    """Answers requests; one object serves all connections."""

    repositories: Repositories
    behaviour: Behaviour

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        started = time.perf_counter()
        try:
            response = await self._answer(request)
        except ContainerKitError as error:
            response = self._refused(request, error)
        except (ConnectionError, asyncio.CancelledError):
            raise  # nobody is there to be answered
        except Exception:
            _log.exception("%s %r failed", request.method, request.rel_url.raw_path)
            response = self._refused(request, Refusal("UNKNOWN", "the registry failed: its log says why"))
        self._log(request, response, time.perf_counter() - started)
        return response

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        route = parse_route(request.rel_url.raw_path)
        right, handler = self._handler(route, request.method)
        caller = self._caller(request, route, right)
        exchange = Exchange(request, route, self.repositories, self.behaviour, caller)
        return await handler(exchange)

    def _handler(self, route: Route, method: str) -> tuple[str, Handler]:
        methods = _TABLE[route.endpoint]
        found = methods.get(method)
        if found is None:
            allowed = ", ".join(methods)
            raise Refusal("UNSUPPORTED", f"{method[:20]} is not for this path", headers={"Allow": allowed})
        right = found[0]
        if right in ("push", "delete") and self.behaviour.read_only:
            raise Refusal("UNSUPPORTED", "this registry is read-only")
        if right == "delete" and not self.behaviour.delete:
            raise Refusal("UNSUPPORTED", "this registry does not allow deletion")
        return found

    def _caller(self, request: web.BaseRequest, route: Route, right: str) -> Caller:
        return ANYONE

    def _refused(self, request: web.BaseRequest, error: ContainerKitError) -> web.StreamResponse:
        refusal = refusal_of(error)
        if refusal.status >= 500:
            _log.error("%s %r failed: %s", request.method, request.rel_url.raw_path, error)
        if refusal.status == 408:
            request.protocol.force_close()
        return answer(refusal.status, error_body(refusal), refusal.headers, "application/json")

    def _log(self, request: web.BaseRequest, response: web.StreamResponse, seconds: float) -> None:
        response_headers_sent = response.prepared
        if not response_headers_sent:
            response.headers.setdefault("Docker-Distribution-API-Version", "registry/2.0")
        if _log.isEnabledFor(logging.INFO):
            # The path as it came, quoted; never the query, which may hold what is not for logs.
            _log.info(
                "%s %r %d %.1f ms",
                request.method,
                request.rel_url.raw_path,
                response.status,
                seconds * 1000,
            )
