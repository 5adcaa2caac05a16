"""Requests to repositories: authenticated, redirected, and their failures named.

Source: OCI distribution-spec 1.1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NoReturn, TypeVar

import attrs

from container_kit.errors import (
    AccessDenied,
    Conflict,
    InvalidInput,
    LimitExceeded,
    NotFound,
    Unreachable,
    UnsupportedFeature,
    Untrusted,
)
from container_kit.registry.client.addresses import Reach
from container_kit.registry.client.authentication import Authenticator
from container_kit.registry.client.certificates import Trust, trust_for
from container_kit.registry.client.configuration import Configuration
from container_kit.registry.client.credentials import find_credentials
from container_kit.registry.client.endpoint import Origin, Url, is_loopback_name
from container_kit.registry.client.location import Location, Scope
from container_kit.registry.client.messages import Answer, Request, problem_in
from container_kit.registry.client.options import Credentials, RegistryOptions
from container_kit.registry.client.redirects import is_redirect, keeps_credential, redirected
from container_kit.registry.client.transport import OpenAnswer, Transport

__all__ = ["Session"]

_ROUNDS: Final = 3  # without a token, with one, with a fresh one
_MAX_DOCUMENT: Final = 4 << 20

_T = TypeVar("_T", Answer, OpenAnswer)


class Session:
    """One client's connections, tokens and knowledge of registries; threads may share it."""

    def __init__(self, options: RegistryOptions, configuration: Configuration | None = None) -> None:
        self.options = options
        self.configuration = configuration or Configuration.read()
        self.transport = Transport(options, self._trust)
        self._authenticator = Authenticator(self.transport, self._credentials, options.trusted_realms)
        self._schemes: dict[str, str] = {}
        self._reaches: dict[Origin, Reach] = {}
        self._insecure: set[str] = set()  # hosts of which the configuration says so for what is asked here
        self._credentials_domain = ""

    def give_credentials_to(self, domain: str) -> None:
        """The credentials of the options are for this registry, and for no other."""
        self._credentials_domain = domain

    def fetch(
        self,
        location: Location,
        scope: Scope,
        request: Request,
        limit: int = _MAX_DOCUMENT,
        tries: int | None = None,
    ) -> Answer:
        """The answer, with a body of at most *limit* bytes; 401 and redirects are dealt with.

        Raises:
            AccessDenied, Unreachable, Untrusted, LimitExceeded, TimedOut: See `Transport.fetch`.
        """
        return self._exchange(location, scope, request, lambda one: self.transport.fetch(one, limit, tries))

    def open(self, location: Location, scope: Scope, request: Request) -> OpenAnswer:
        """As `fetch`, with the body still to be read; only for a status of 2xx."""
        answer = self._exchange(location, scope, request, self.transport.open)
        if answer.status >= 300:
            with answer:
                refuse(answer.head_with_error(), location, scope, "blob")
        return answer

    def open_elsewhere(self, location: Location, url: Url, headers: Mapping[str, str]) -> OpenAnswer:
        """A URL that the registry at *location* has named, on whatever server; without any credential.

        Raises:
            Untrusted: It may not name that one.
        """
        if location.origin.scheme == "https" and url.origin.scheme != "https":
            raise Untrusted(f"{location.domain} names {url.without_query}, which is not protected by TLS")
        sender = self._reaches.get(location.origin, Reach.PUBLIC)
        request = Request(method="GET", url=url, headers=headers, sender=sender)
        elsewhere = Location(url.origin, url.origin.authority)
        answer = self._followed(elsewhere, request, None, self.transport.open)
        if answer.status >= 300:
            with answer:
                refuse(answer.head_with_error(), elsewhere, Scope(()), "blob", url.without_query)
        return answer

    def origin_of(self, domain: str, insecure: bool = False) -> Origin:
        """Where *domain* is served, and how: without TLS only on this host, or if that was allowed."""
        secure = Origin.of_domain(domain)
        if insecure:
            self._insecure.add(secure.authority)
        is_local = is_loopback_name(secure.host)
        if not (is_local or insecure or not self.options.tls_verify):
            return secure
        if domain not in self._schemes:
            self._schemes[domain] = self._probe(secure, "http" if is_local else "https")
        return secure.with_scheme(self._schemes[domain])

    def cancel(self) -> None:
        """Stop whatever waits; from any thread."""
        self.transport.cancel()

    def close(self) -> None:
        self.transport.close()

    def _probe(self, origin: Origin, first: str) -> str:
        """The scheme that is spoken; the requests carry no secret."""
        second = "https" if first == "http" else "http"
        for scheme in (first, second):
            url = origin.with_scheme(scheme).url("/v2/")
            try:
                answer = self.transport.fetch(Request(method="GET", url=url), tries=1)
            except (Unreachable, LimitExceeded):
                continue
            if answer.status != 400:  # what servers of TLS say to those who speak plain http
                return scheme
        return first

    def _trust(self, origin: Origin) -> Trust:
        insecure = origin.authority in self._insecure or self.configuration.is_insecure(origin.authority)
        return trust_for(origin, self.options, not insecure)

    def _credentials(self, location: Location) -> Credentials | None:
        if self.options.credentials is not None and location.domain == self._credentials_domain:
            return self.options.credentials
        return find_credentials(location.domain, location.path, self.options.auth_file)

    def _exchange(
        self, location: Location, scope: Scope, request: Request, send: Callable[[Request], _T]
    ) -> _T:
        header = self._authenticator.header(location, scope)
        for _ in range(_ROUNDS):
            answer = self._followed(location, request, header, send)
            if request.url == answer.url:
                self._reaches[location.origin] = answer.reach
            if answer.status != 401:
                return answer
            header = self._authenticator.challenged(location, scope, _read_error(answer), header)
        raise AccessDenied(f"{location.domain} denies {scope}, whatever it is answered with")

    def _followed(
        self, location: Location, request: Request, header: str | None, send: Callable[[Request], _T]
    ) -> _T:
        count = 0
        while True:
            answer = send(_with_header(request, header))
            if not is_redirect(answer.status) or request.method not in ("GET", "HEAD"):
                break
            answer.close()
            target = redirected(request.url, answer.headers.get("location"), count)
            if not keeps_credential(location, target):
                header = None
            count, request = count + 1, attrs.evolve(request, url=target, sender=answer.reach)
        if count and answer.status == 401 and header is None:
            answer.close()
            raise AccessDenied(f"{location.domain} redirects to {request.url.origin}, which denies access")
        return answer


def refuse(answer: Answer, location: Location, scope: Scope, kind: str, name: str = "") -> NoReturn:
    """Raise the error that *answer* is."""
    what, problem = name or location.name, problem_in(answer)
    if answer.status == 404:
        raise NotFound(kind, what, f"{location.domain} says {problem}")
    if answer.status in (401, 403):
        raise AccessDenied(f"{location.domain} denies {scope}: {problem}")
    if answer.status == 405 or "UNSUPPORTED" in problem:
        raise UnsupportedFeature(f"{location.domain} does not do this: {problem}")
    if answer.status in (409, 412, 416):
        raise Conflict(f"{location.domain} refuses: {problem}")
    raise InvalidInput(f"{location.domain} refuses {what} with status {answer.status}: {problem}")


def _read_error(answer: Answer | OpenAnswer) -> Answer:
    if isinstance(answer, Answer):
        return answer
    with answer:
        return answer.head_with_error()


def _with_header(request: Request, header: str | None) -> Request:
    if header is None:
        return request
    return attrs.evolve(request, headers={**request.headers, "Authorization": header})
