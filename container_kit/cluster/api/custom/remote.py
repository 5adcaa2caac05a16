"""A group and version that a service of the cluster serves: asking it, as a user, over HTTPS.

Source: Kubernetes, "Configure the Aggregation Layer"; kube-aggregator, handler_proxy.go.
"""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from functools import partial
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import msgspec

from container_kit.cluster.api.authentication.authority import Issued
from container_kit.cluster.api.core import FRONT_PROXY, Core
from container_kit.cluster.api.messages import LineBody, Request, Response, User
from container_kit.cluster.api.outgoing import SecureConnection, trusting
from container_kit.cluster.api.resources import Resource, Subresource
from container_kit.cluster.api.services import dial
from container_kit.cluster.kinds.strategy import Strategy
from container_kit.cluster.meta.objects import Object
from container_kit.cluster.meta.status import StatusError
from container_kit.errors import InvalidInput

__all__ = ["Remote"]

_TIMEOUT_S = 30.0
_DISCOVERY_TIMEOUT_S = 5.0
_LONGEST_ANSWER = 64 << 20
# They speak of one connection, or are the user's own.
_NOT_FORWARDED = frozenset(
    (
        "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "content-length", "host",
        "authorization", "cookie", "proxy-authorization",
    )
)  # fmt: skip
# Only we may say who asks.
_OURS = ("x-remote-user", "x-remote-group", "x-remote-uid", "x-remote-extra-")


class _Place(msgspec.Struct):
    serverRelativeURL: str = ""  # noqa: N815


class _Index(msgspec.Struct):
    paths: dict[str, _Place] = {}


class Remote:
    """What an APIService describes.

    Args:
        spec: Of the APIService.
        core: Where services, and ways to their pods, are found.

    Attributes:
        is_known: Whether its resources were learnt.
        tried: When that was tried last, by the monotonic clock.
        documents: The hash of each of its OpenAPI documents, by its place in the index.
    """

    def __init__(self, spec: Object, core: Core) -> None:
        self.spec, self._core = spec, core
        self.group, self.version = spec["group"], spec["version"]
        self.is_known = False
        self.tried = float("-inf")
        self.documents: dict[str, str] = {}
        self._certificate: Issued | None = None

    @property
    def prefix(self) -> str:
        """The paths that are its own begin so."""
        return f"/apis/{self.group}/{self.version}"

    def ask(self, request: Request, user: User, timeout_s: float = _TIMEOUT_S) -> Response:
        """Its answer to *request* of *user*.

        Raises:
            StatusError: 503: it cannot be reached, or is not trusted.
        """
        connection = self._connection(timeout_s)
        try:
            self._send(connection, request, user)
            return _response(connection, connection.getresponse())
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise _unavailable(error) from error

    def resources(self, user: User) -> list[Resource]:
        """What it serves, by its discovery.

        Raises:
            StatusError: 503: it cannot be reached, or tells nothing that we understand.
        """
        request = Request("GET", self.prefix, {}, {"accept": "application/json"})
        answer = self.ask(request, user, _DISCOVERY_TIMEOUT_S)
        try:
            listed = msgspec.json.decode(answer.body, type=dict[str, Any])  # type: ignore[arg-type]
            return list(_resources_of(self, listed))
        except (msgspec.DecodeError, KeyError, TypeError, AttributeError) as error:
            raise _unavailable(error) from error

    def learn_documents(self, user: User) -> None:
        """Find out which OpenAPI documents it has of its own version; it need not have any.

        Raises:
            StatusError: 503: it cannot be reached.
        """
        request = Request("GET", "/openapi/v3", {}, {"accept": "application/json"})
        answer = self.ask(request, user, _DISCOVERY_TIMEOUT_S)
        place = self.prefix.removeprefix("/")
        try:
            index = msgspec.json.decode(answer.body, type=_Index)  # type: ignore[arg-type]
        except msgspec.DecodeError:
            return
        if place in index.paths:
            address = urlsplit(index.paths[place].serverRelativeURL)
            self.documents = {place: (parse_qs(address.query).get("hash") or [""])[0]}

    def _send(self, connection: SecureConnection, request: Request, user: User) -> None:
        query = urlencode([(name, value) for name, values in request.query.items() for value in values])
        path = quote(request.path) + (f"?{query}" if query else "")
        body = request.body if isinstance(request.body, bytes) else msgspec.json.encode(request.body)
        connection.putrequest(request.method, path, skip_accept_encoding=True)
        for name, value in _headers(request, user):
            connection.putheader(name, value)
        if body or request.method in ("POST", "PUT", "PATCH"):
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body or None)

    def _connection(self, timeout_s: float) -> SecureConnection:
        service = self.spec["service"]
        namespace, name, port = service["namespace"], service["name"], service.get("port") or 443
        skip = bool(self.spec.get("insecureSkipTLSVerify"))
        try:
            context = trusting(self.spec.get("caBundle"), everybody=skip)
            if self._core.front_proxy is not None:
                self._certificate = self._certificate or self._core.front_proxy.issue(FRONT_PROXY)
                self._certificate.show(context)
        except InvalidInput as error:
            raise _unavailable(error) from error
        make = partial(dial, self._core, namespace, name, port)
        host = f"{name}.{namespace}.svc"
        return SecureConnection(host, port, timeout=timeout_s, context=context, dial=make)


def _unavailable(error: Exception) -> StatusError:
    return StatusError(503, "ServiceUnavailable", f"error trying to reach service: {error}")


def _headers(request: Request, user: User) -> Iterator[tuple[str, str]]:
    """The request's headers but for credentials, and who asks."""
    for name, value in request.headers.items():
        if name not in _NOT_FORWARDED and not name.startswith(_OURS):
            yield name, value
    yield "X-Remote-User", user.name
    for group in user.groups:
        yield "X-Remote-Group", group
    for key, values in user.extra.items():
        for value in values:
            yield f"X-Remote-Extra-{quote(key, safe='')}", value


def _response(connection: SecureConnection, answer: http.client.HTTPResponse) -> Response:
    """A whole answer, or for a watch one that goes on."""
    headers: dict[str, Any] = {
        name: value for name, value in answer.getheaders() if name.lower() not in _NOT_FORWARDED
    }
    if answer.headers.get("Transfer-Encoding", "").lower() == "chunked" and "watch" in headers.get(
        "Content-Type", ""
    ):
        return Response(answer.status, headers, LineBody(_chunks(connection, answer), connection.close))
    data = answer.read(_LONGEST_ANSWER + 1)
    connection.close()
    if len(data) > _LONGEST_ANSWER:
        raise StatusError(502, "BadGateway", f"the answer is longer than {_LONGEST_ANSWER} bytes")
    return Response(answer.status, headers, data)


def _chunks(connection: SecureConnection, answer: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        while data := answer.read1(65536):
            yield data
    except (OSError, http.client.HTTPException):
        return  # the other side, or the client, has gone
    finally:
        connection.close()


def _resources_of(remote: Remote, listed: dict[str, Any]) -> Iterator[Resource]:
    """The resources in an APIResourceList."""
    entries = [entry for entry in listed["resources"] if "/" not in entry["name"]]
    for entry in entries:
        strategy = Strategy(remote.group, entry["kind"], namespaced=entry["namespaced"])
        parts = [each for each in listed["resources"] if each["name"].startswith(f"{entry['name']}/")]
        yield Resource(
            group=remote.group,
            version=remote.version,
            plural=entry["name"],
            singular=entry.get("singularName") or entry["kind"].lower(),
            kind=entry["kind"],
            namespaced=entry["namespaced"],
            verbs=tuple(entry["verbs"]),
            short_names=tuple(entry.get("shortNames") or ()),
            categories=tuple(entry.get("categories") or ()),
            hash=entry.get("storageVersionHash", ""),
            subresources={part.name: part for part in (_part(remote, each) for each in parts)},
            storage_group=remote.group,
            storage_version=remote.version,
            is_typed=False,
            is_slow=True,
            strategy=strategy,
            shown=strategy,
        )


def _part(remote: Remote, entry: dict[str, Any]) -> Subresource:
    return Subresource(
        name=entry["name"].partition("/")[2],
        kind=entry["kind"],
        group=entry.get("group") or remote.group,
        version=entry.get("version") or remote.version,
        verbs=tuple(entry["verbs"]),
        foreign="group" in entry,
    )
