"""From a request to its answer: route, right, handler; every error becomes the specification's document."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final

import attrs
from aiohttp import web

from container_kit.errors import ContainerKitError
from container_kit.registry.server import handle_blobs as blobs
from container_kit.registry.server import handle_lists as lists
from container_kit.registry.server import handle_manifests as manifests
from container_kit.registry.server import handle_uploads as uploads
from container_kit.registry.server.access import ANYONE
from container_kit.registry.server.authentication import Gatekeeper
from container_kit.registry.server.errors import Refusal, error_body, refusal_of
from container_kit.registry.server.exchange import Exchange, answer
from container_kit.registry.server.hosts import refuse_strangers
from container_kit.registry.server.options import ServerOptions
from container_kit.registry.server.repositories import Repositories
from container_kit.registry.server.routes import Endpoint, Route, parse_route

if TYPE_CHECKING:
    from container_kit.registry.server.metrics import Metrics
    from container_kit.registry.server.mirror import Mirror

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
_TOKEN_PATH: Final = "/token"  # noqa: S105 (a path)
_METRICS_PATH: Final = "/metrics"
_MAX_FORM: Final = 64 * 1024


@attrs.define
class Dispatcher:
    """Answers requests; one object serves all connections.

    Args:
        gatekeeper: None where everyone may do everything.
        names: What clients may call the server; None when it does not matter.
        mirror: Fetches what is not here, in a pull-through cache.
        busy: The connections that are being answered.
    """

    repositories: Repositories
    options: ServerOptions
    gatekeeper: Gatekeeper | None = None
    names: frozenset[str] | None = None
    mirror: Mirror | None = None
    metrics: Metrics | None = None
    busy: set[web.RequestHandler] = attrs.field(factory=set)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        started = time.perf_counter()
        self.busy.add(request.protocol)
        try:
            response = await self._answered(request)
        finally:
            self.busy.discard(request.protocol)
        seconds = time.perf_counter() - started
        if self.metrics is not None:
            self.metrics.count(request, response, seconds)
        if _log.isEnabledFor(logging.INFO):
            # The path as it came, quoted; never the query, which may hold what is not for logs.
            path = request.rel_url.raw_path
            _log.info("%s %r %d %.1f ms", request.method, path, response.status, seconds * 1000)
        return response

    async def _answered(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            response = await self._answer(request)
        except ContainerKitError as error:
            response = self._refused(request, error)
        except (ConnectionError, asyncio.CancelledError):
            raise  # nobody is there to be answered
        except Exception as error:
            _refuse_second_answer(request, error)
            _log.exception("%s %r failed", request.method, request.rel_url.raw_path)
            response = self._refused(request, Refusal("UNKNOWN", "the registry failed: its log says why"))
        if not response.prepared:
            response.headers.setdefault("Docker-Distribution-API-Version", "registry/2.0")
            response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        refuse_strangers(request, self.names)
        path = request.rel_url.raw_path
        if path == _TOKEN_PATH and self.gatekeeper is not None and self.gatekeeper.tokens is not None:
            return await self._give_token(request, self.gatekeeper)
        if path == _METRICS_PATH and self.metrics is not None:
            await self._admitted(request, Route("catalog"), "catalog")
            return answer(200, self.metrics.text(), type="text/plain")
        route = parse_route(path)
        right, handler = self._handler(route, request.method)
        exchange = await self._admitted(request, route, right)
        response = await handler(exchange)
        if route.endpoint == "base" and self.gatekeeper is not None and not exchange.caller.proven:
            response.headers["WWW-Authenticate"] = self.gatekeeper.challenge(route)
        return response

    def _handler(self, route: Route, method: str) -> tuple[str, Handler]:
        methods = _TABLE[route.endpoint]
        found = methods.get(method)
        if found is None:
            allowed = ", ".join(methods)
            raise Refusal("UNSUPPORTED", f"{method[:20]} is not for this path", headers={"Allow": allowed})
        right = found[0]
        if right in ("push", "delete") and self.options.read_only:
            raise Refusal("UNSUPPORTED", "this registry is read-only")
        if right == "delete" and not self.options.delete:
            raise Refusal("UNSUPPORTED", "this registry does not allow deletion")
        return found

    async def _admitted(self, request: web.BaseRequest, route: Route, right: str) -> Exchange:
        """The exchange, if its caller has the *right*."""
        caller = ANYONE
        if self.gatekeeper is not None:
            caller = await self.gatekeeper.caller(request)
            self.gatekeeper.require(caller, route, right)
        return Exchange(request, route, self.repositories, self.options, caller, self.mirror)

    async def _give_token(self, request: web.BaseRequest, gatekeeper: Gatekeeper) -> web.StreamResponse:
        exchange = Exchange(request, Route("base"), self.repositories, self.options, ANYONE)
        form = await exchange.body(_MAX_FORM)
        return await gatekeeper.give_token(request, form)

    def _refused(self, request: web.BaseRequest, error: ContainerKitError) -> web.StreamResponse:
        _refuse_second_answer(request, error)
        refusal = refusal_of(error)
        if refusal.status >= 500:
            _log.error("%s %r failed: %s", request.method, request.rel_url.raw_path, error)
        response = answer(refusal.status, error_body(refusal), refusal.headers, "application/json")
        if refusal.status in (408, 413, 507):
            response.force_close()  # more of the body is not wanted
        return response


def _refuse_second_answer(request: web.BaseRequest, error: Exception) -> None:
    """An error amid an answer ends the connection: a client would take anything else for content."""
    if request.writer.output_size > 0:
        request.protocol.force_close()
        raise ConnectionResetError(f"cannot go on with the answer: {error}") from error
