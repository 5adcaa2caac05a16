"""The API server without a network: a request comes in, a response goes out.

`Api.handle` may be called from any thread and never raises: whatever goes wrong is a Status.  The chain is
that of the original: who asks (authentication, impersonation), may they (authorization), what is there
(routing), then the handler of the verb.

Source: API Concepts; "Controlling Access to the Kubernetes API".
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from container_kit.cluster.api.authorization.questions import QUESTIONS_OF_RIGHTS
from container_kit.cluster.api.components import COMPONENTS
from container_kit.cluster.api.core import Call, Core
from container_kit.cluster.api.custom.aggregation import Aggregation
from container_kit.cluster.api.custom.definitions import Definitions
from container_kit.cluster.api.deleting import delete, delete_collection
from container_kit.cluster.api.discovery import Discovery
from container_kit.cluster.api.encoding import json_response, text_response
from container_kit.cluster.api.health import CHECKS, check_health, root_paths, version_document
from container_kit.cluster.api.messages import Request, Response, User
from container_kit.cluster.api.metrics import Metrics
from container_kit.cluster.api.nodes import NodeLinks
from container_kit.cluster.api.openapi import OpenApi
from container_kit.cluster.api.patching import patch
from container_kit.cluster.api.plugins import Admission
from container_kit.cluster.api.reading import get, list_objects
from container_kit.cluster.api.resources import Registry, Resource, builtin_resources
from container_kit.cluster.api.routing import Route, route_of
from container_kit.cluster.api.subresources import SUBRESOURCES
from container_kit.cluster.api.usage import USAGE
from container_kit.cluster.api.virtual import QUESTIONS
from container_kit.cluster.api.watching import watch
from container_kit.cluster.api.wishes import as_wished, check_timeout
from container_kit.cluster.api.writing import create, update
from container_kit.cluster.kinds import strategy_for
from container_kit.cluster.meta.status import (
    StatusError,
    bad_request,
    internal_error,
    method_not_allowed,
    not_found,
    resource_not_found,
    unauthorized,
)
from container_kit.cluster.meta.times import Clock
from container_kit.cluster.store import Store, TooLarge

TYPE_CHECKING = False
if TYPE_CHECKING:
    from container_kit.cluster.api.authentication.tokens import TokenIssuer

__all__ = ["ANONYMOUS", "Api", "Authenticator", "Authorizer"]

_log = logging.getLogger(__name__)

# Pods are bound by a resource of its own as well: POST .../bindings, with the name in the body.
QUESTIONS.update(QUESTIONS_OF_RIGHTS)
QUESTIONS["bindings"] = SUBRESOURCES["pods", "binding"]["create"]
ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))

_HANDLERS: dict[str, Callable[[Call], Response]] = {
    "get": get,
    "list": list_objects,
    "watch": watch,
    "create": create,
    "update": update,
    "patch": patch,
    "delete": delete,
    "deletecollection": delete_collection,
}
# What is found out when it is asked for, and never stored.
_COMPUTED = COMPONENTS | USAGE
_LONG_BODY, _LONG_YAML = 256 << 10, 16 << 10  # bytes
_SHORT_BODY_DIGITS = 5
# Which verbs need a name, and which must not have one.
_OF_ONE = frozenset(("get", "update", "patch", "delete"))


class Authenticator(Protocol):
    """Finds out who asks."""

    def authenticate(self, request: Request) -> User | None:
        """The user; None if these credentials are not of its kind.

        Raises:
            StatusError: They are of its kind, and wrong.
        """


class Authorizer(Protocol):
    """Decides who may do what."""

    def authorize(self, user: User, route: Route) -> None:
        """Return if they may.

        Raises:
            StatusError: 403, with the reason.
        """


class Api:
    """An API server over a store.

    Attributes:
        registry: What is served; resources may be added and removed at any time.
        admission: The plugins that writes pass; none at first.
        authenticators: Asked in order; a request that none knows is anonymous.
        authorizer: None lets everybody do everything.
        nodes: The ways to the nodes, for logs, exec and the like.
        paths: Handlers of paths that are no resources (``/openapi/v3``), by their beginning; the longest
            wins.
        is_ready: What /readyz asks.
    """

    def __init__(self, store: Store, *, clock: Clock | None = None, registry: Registry | None = None) -> None:
        self.registry = registry or Registry(builtin_resources(strategy_for))
        self.store, self.clock = store, clock or Clock()
        self.core = Core(store, self.clock, self.registry)
        self.nodes: NodeLinks = self.core.nodes
        self.discovery = Discovery(self.registry)
        self.authenticators: list[Authenticator] = []
        self.authorizer: Authorizer | None = None
        self.paths: dict[str, Callable[[Request, User], Response]] = {}
        self.metrics = Metrics(store, self.registry)
        self.paths["/metrics"] = self.metrics.answer
        self.is_ready: Callable[[], bool] = lambda: True
        self.definitions = Definitions(self)
        self.aggregation = Aggregation(self)
        self.paths["/openapi"] = OpenApi(self.registry, self.aggregation).answer
        self.definitions.sync()

    @property
    def admission(self) -> Admission:
        """The plugins that writes pass."""
        return self.core.admission

    def admit(self, request: Request) -> None:
        """Find out who asks, for a carrier that has only the head yet; `handle` does not ask again.

        Raises:
            StatusError: 401; 403 for a stranger with a long body and no right, so that it is not read.
        """
        request.user = request.user or self._authenticate(request)
        if request.user is ANONYMOUS and self.authorizer is not None and _brings_much(request):
            self.authorizer.authorize(ANONYMOUS, route_of(request))

    def handle(self, request: Request) -> Response:
        """Answer *request*; what it has done to custom resources is in force when this returns."""
        answer = self.answer(request)
        if self.definitions.is_behind:
            self.definitions.sync()
        if self.aggregation.is_behind and "/apiservices" in request.path:
            self.aggregation.sync()
        return answer

    def answer(self, request: Request) -> Response:
        """Answer *request* and no more: for who acts upon what was written."""
        route = route_of(request)
        answer = self._answer_safely(request, route)
        self.metrics.count(route, answer.status)
        return as_wished(request, answer)

    def _answer_safely(self, request: Request, route: Route) -> Response:
        try:
            return self._answer(request, route)
        except StatusError as error:
            return _refusal(error, request)
        except TooLarge as error:
            return _refusal(StatusError(413, "RequestEntityTooLarge", str(error)), request)
        except RecursionError:
            return _refusal(bad_request("the object is nested too deep"), request)
        except Exception:
            # The client is told that it is our fault, not how we are made.
            _log.exception("%s %s failed", request.method, request.path)
            return _refusal(internal_error("Internal error occurred: see the log of the server"), request)

    def _answer(self, request: Request, route: Route) -> Response:
        if "timeout" in request.query and not route.is_long:
            check_timeout(request)
        user = request.user or self._authenticate(request)
        if self.authorizer is not None:
            user = self._impersonated(request, user)
            self.authorizer.authorize(user, route)
        if self.aggregation.find(request.path):
            return self.aggregation.forward(request, user)
        if not route.is_resource:
            return self._answer_path(request, user)
        resource = self._find(route)
        call = Call(self.core, request, route, resource, user)
        if resource.deprecation:
            call.warn(resource.deprecation)
        return _handler(route, resource, request)(call)

    def _authenticate(self, request: Request) -> User:
        for authenticator in self.authenticators:
            user = authenticator.authenticate(request)
            if user is not None:
                return user
        if request.headers.get("authorization"):
            raise unauthorized()
        return ANONYMOUS

    def _impersonated(self, request: Request, user: User) -> User:
        if not any(name.startswith("impersonate-") for name in request.headers):
            return user
        from container_kit.cluster.api.impersonation import impersonated

        assert self.authorizer is not None
        return impersonated(request, user, self.authorizer)

    def _find(self, route: Route) -> Resource:
        resource = self.registry.find(route.group, route.version, route.resource)
        if resource is not None and _fits(route, resource):
            return resource
        if resource is not None and not resource.is_typed and route.subresource:
            raise not_found(resource.plural, route.name, resource.group)
        if route.group and not self.registry.has_builtin(route.group):
            raise _NoSuchPath()
        raise resource_not_found()

    def _answer_path(self, request: Request, user: User) -> Response:
        path = request.path.rstrip("/") or "/"
        if not path.startswith("/"):
            raise _NoSuchPath()  # such as the star of OPTIONS
        begins = [prefix for prefix in self.paths if path == prefix or path.startswith(prefix + "/")]
        if begins:
            return self.paths[max(begins, key=len)](request, user)
        known = self._known_path(request, path)
        if known is None:
            parts = path.split("/")
            if parts[1] == "api" or (parts[1] == "apis" and parts[2] in self.registry.groups()):
                raise resource_not_found()
            raise _NoSuchPath()
        return known

    def _known_path(self, request: Request, path: str) -> Response | None:
        head, _, rest = path[1:].partition("/")
        answer: Response | None = None
        if path == "/version":
            answer = json_response(version_document())
        elif path == "/":
            answer = json_response(root_paths(self.registry.groups()))
        elif head in CHECKS:
            answer = check_health(request, head, rest, self.is_ready)
        elif head in ("api", "apis"):
            answer = self.discovery.answer(request)
        if answer is not None and request.method not in ("GET", "HEAD"):
            raise method_not_allowed()
        return answer

    def is_slow(self, request: Request) -> bool:
        """Whether the answer waits for somebody else, so that it should be made in a thread of its own."""
        route = route_of(request)
        if route.subresource in ("proxy", "log") or self.aggregation.find(request.path):
            return True
        resource = self.registry.find(route.group, route.version, route.resource)
        if resource is not None and resource.is_slow:
            return True
        writes = route.is_resource and route.verb not in ("get", "list", "watch")
        if writes and route.resource == "apiservices":
            return True  # whoever it names is asked what it serves
        if _is_long(request):
            return True
        return writes and any(plugin.is_slow for plugin in self.admission.plugins)

    def use_tokens(self, issuer: TokenIssuer, review: Callable[[str, Sequence[str]], dict[str, Any]]) -> None:
        """Issue tokens of service accounts, tell who a token belongs to, and with which key to verify it."""
        self.core.issuer, self.core.review_token = issuer, review
        self.paths["/.well-known/openid-configuration"] = lambda *_: json_response(issuer.discovery())
        self.paths["/openid/v1/jwks"] = lambda *_: json_response(issuer.jwks())

    def add_paths(self, handlers: Iterable[tuple[str, Callable[[Request, User], Response]]]) -> None:
        """Serve more paths that are no resources."""
        self.paths.update(handlers)


class _NoSuchPath(StatusError):
    """There is nothing at this path, and never a Status."""

    def __init__(self) -> None:
        super().__init__(404, "NotFound", "404 page not found\n")


def _refusal(error: StatusError, request: Request) -> Response:
    if isinstance(error, _NoSuchPath):
        return text_response(error.message, 404)
    if request.method == "HEAD":
        return Response(error.code, {"Content-Type": "application/json"})
    answer = json_response(error.status(), error.code)
    if error.retry_after_s:
        answer.headers["Retry-After"] = str(error.retry_after_s)
    return answer


def _brings_much(request: Request) -> bool:
    """Whether a body that is still to come is long, or of unknown length."""
    length = request.headers.get("content-length", "0")
    return "transfer-encoding" in request.headers or len(length) > _SHORT_BODY_DIGITS


def _is_long(request: Request) -> bool:
    """Whether to read the body, or to write the answer, takes so long that others should not wait for it."""
    headers, size = request.headers, len(request.body)
    is_yaml = "yaml" in headers.get("content-type", "")
    return size > (_LONG_YAML if is_yaml else _LONG_BODY) or "yaml" in headers.get("accept", "")


def _fits(route: Route, resource: Resource) -> bool:
    """Whether the path may speak of this resource: with a namespace or without, with a part that it has."""
    if route.subresource and route.subresource not in resource.subresources:
        return False
    if resource.namespaced:
        return bool(route.namespace) or not route.name or route.verb in ("list", "watch", "create")
    return not route.namespace or resource.plural == "namespaces"


def _handler(route: Route, resource: Resource, request: Request) -> Callable[[Call], Response]:
    """Who handles the verb.

    Raises:
        StatusError: 405: nobody.
    """
    if request.method in ("HEAD", "OPTIONS"):
        raise method_not_allowed()
    if route.subresource:
        return _sub_handler(route, resource)
    if route.verb not in resource.verbs:
        raise method_not_allowed()
    if resource.qualified in QUESTIONS:
        return QUESTIONS[resource.qualified]
    if resource.qualified in _COMPUTED:
        return _COMPUTED[resource.qualified][route.verb]
    is_whole = resource.namespaced and not route.namespace
    if is_whole and route.verb not in ("list", "watch"):
        raise method_not_allowed()
    named = bool(route.path.rstrip("/").rpartition("/")[2] == route.name and route.name)
    if (route.verb in _OF_ONE) != named and route.verb not in ("list", "watch"):
        raise method_not_allowed()
    return _HANDLERS[route.verb]


def _sub_handler(route: Route, resource: Resource) -> Callable[[Call], Response]:
    if route.verb not in resource.subresources[route.subresource].verbs:
        raise method_not_allowed()
    by_verb = SUBRESOURCES.get((resource.key, route.subresource), SUBRESOURCES.get(("", route.subresource)))
    handler = by_verb.get(route.verb) if by_verb else None
    if handler is None:
        raise method_not_allowed()
    return handler
