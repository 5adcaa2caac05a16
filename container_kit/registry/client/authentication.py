"""Authentication: from a registry's challenge and our credentials to the header that answers it.

Tokens are kept for the life of one client, each for the repository and the rights it was given for.
Credentials are looked up when a registry asks for them and go nowhere but where `realms` allows.

Source: distribution, "Token Authentication Specification" and "Oauth2 Token Authentication".
"""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import urlencode

import attrs

from container_kit.errors import AccessDenied, ContainerKitError
from container_kit.oci.json_document import Fields, load_object
from container_kit.registry.client.addresses import Reach
from container_kit.registry.client.challenges import Challenge, parse_challenges
from container_kit.registry.client.endpoint import Origin, Url
from container_kit.registry.client.location import Location, Scope
from container_kit.registry.client.messages import Answer, Request, problem_in
from container_kit.registry.client.options import Credentials
from container_kit.registry.client.realms import check_realm
from container_kit.registry.client.transport import Transport

__all__ = ["Authenticator"]

_MAX_TOKEN_BYTES: Final = 64 * 1024
_SHORTEST_LIFE_S: Final = 60.0  # of a token whose answer says nothing
_MARGIN_S: Final = 10.0
_CLIENT: Final = "container-kit"
_KNOWN: Final = ("token", "access_token", "expires_in", "issued_at", "refresh_token", "scope", "token_type")


@attrs.frozen
class _Token:
    header: str = attrs.field(repr=False)
    expires: float  # monotonic


class Authenticator:
    """Answers the challenges of registries.

    Args:
        lookup: The credentials for a location, or None; its errors are errors, never "no credentials".
        trusted: Hosts that may get credentials of any registry.
    """

    def __init__(
        self, transport: Transport, lookup: Callable[[Location], Credentials | None], trusted: tuple[str, ...]
    ) -> None:
        self._transport, self._lookup, self._trusted = transport, lookup, trusted
        self._challenges: dict[Origin, tuple[Challenge, Reach]] = {}
        self._tokens: dict[tuple[Location, Scope], _Token] = {}
        self._mutex = threading.RLock()

    def header(self, location: Location, scope: Scope) -> str | None:
        """What is known to answer *location*'s challenge with; None when it has not been asked yet."""
        with self._mutex:
            token = self._tokens.get((location, scope))
            if token is not None and token.expires > time.monotonic():
                return token.header
            known = self._challenges.get(location.origin)
            return None if known is None else self._answer(location, scope, *known)

    def challenged(self, location: Location, scope: Scope, answer: Answer, sent: str | None) -> str:
        """The header to try after a 401 that *sent* has met.

        Raises:
            AccessDenied: There is nothing (else) to answer with.
        """
        with self._mutex:
            challenge = _choose(answer)
            if challenge is None:
                raise AccessDenied(f"{location.domain} asks for an authentication that is not known here")
            self._challenges[location.origin] = (challenge, answer.reach)
            self._tokens.pop((location, scope), None)
            header = self._answer(location, scope, challenge, answer.reach)
        if header is None:
            raise AccessDenied(
                f"{_denied(location, scope, answer)}, and there are no credentials for it here; "
                f"log in with {_login(location)}"
            )
        if header == sent:
            raise AccessDenied(
                f"{_denied(location, scope, answer)}: the user name or the password is wrong, or lacks this "
                f"right; log in again with {_login(location)}"
            )
        return header

    def _answer(self, location: Location, scope: Scope, challenge: Challenge, reach: Reach) -> str | None:
        credentials = self._lookup(location)
        if challenge.scheme == "basic":
            return _basic(credentials) if credentials else None
        token = self._fetch_token(location, scope, challenge, reach, credentials)
        self._tokens[location, scope] = token
        return token.header

    def _fetch_token(
        self,
        location: Location,
        scope: Scope,
        challenge: Challenge,
        reach: Reach,
        credentials: Credentials | None,
    ) -> _Token:
        realm = challenge.parameters.get("realm", "")
        url = check_realm(location.origin, realm, self._trusted, bool(credentials))
        service = challenge.parameters.get("service", "")
        request = _token_request(url, service, scope, credentials)
        # The registry's own origin was named by the user; another one by the registry.
        if url.origin != location.origin:
            request = attrs.evolve(request, sender=reach)
        answer = self._transport.fetch(request, _MAX_TOKEN_BYTES)
        if answer.status != 200:
            who = f"as {credentials.username!r} " if credentials and credentials.username else ""
            raise AccessDenied(
                f"{url.origin.authority} gives no token {who}for {scope}: {problem_in(answer)}; "
                f"log in with {_login(location)}"
            )
        return _read_token(answer)


def _choose(answer: Answer) -> Challenge | None:
    """The challenge to answer: a token is worth less to a thief than a password."""
    challenges = parse_challenges(answer.headers.get("www-authenticate", ""))
    for scheme in ("bearer", "basic"):
        for challenge in challenges:
            if challenge.scheme == scheme:
                return challenge
    return None


def _basic(credentials: Credentials) -> str:
    words = f"{credentials.username}:{credentials.password}"
    return "Basic " + base64.b64encode(words.encode()).decode()


def _token_request(url: Url, service: str, scope: Scope, credentials: Credentials | None) -> Request:
    wishes = [("service", service)] if service else []
    if credentials and credentials.identity_token:
        form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", credentials.identity_token),
            ("client_id", _CLIENT),
            ("scope", str(scope)),
            *wishes,
        ]
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return Request(method="POST", url=url, headers=headers, body=urlencode(form).encode())
    wishes += [("scope", word) for word in scope.words]
    headers = {}
    if credentials:
        wishes.append(("account", credentials.username))
        headers["Authorization"] = _basic(credentials)
    return Request(method="GET", url=url.with_query(urlencode(wishes)), headers=headers)


def _read_token(answer: Answer) -> _Token:
    server = answer.url.origin.authority
    try:
        fields = Fields(load_object(answer.body, "the token", _MAX_TOKEN_BYTES), "token", _KNOWN)
        token = fields.text("token") or fields.text("access_token")
        life_s = float(fields.integer("expires_in", 0, 2**31, default=0))
    except ContainerKitError:
        # Not the error itself: it could quote the document.
        raise AccessDenied(f"{server} answers with a document that is no token") from None
    if not token or not token.isascii() or not token.isprintable():
        raise AccessDenied(f"{server} answers without a token that could be used")
    life_s = max(life_s, _SHORTEST_LIFE_S)
    return _Token(f"Bearer {token}", time.monotonic() + life_s - _MARGIN_S)


def _denied(location: Location, scope: Scope, answer: Answer) -> str:
    return f"{location.domain} denies {str(scope) or 'access'}: {problem_in(answer)}"


def _login(location: Location) -> str:
    return f"`container-kit login {location.domain}`"
