"""Who sends a request: nobody known, a user with a password, or the bearer of one of our tokens.

Rights are looked up before anything else is done, so that what exists is told only to those who may know.

Source: RFC 7617 (Basic), RFC 6750 (Bearer); distribution, "Token Authentication Specification".
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

from aiohttp import web

from container_kit.errors import InvalidInput
from container_kit.oci.json_document import encode
from container_kit.registry.server.access import ANYONE, Caller, Grant, parse_grants
from container_kit.registry.server.errors import Refusal
from container_kit.registry.server.exchange import answer, in_thread
from container_kit.registry.server.passwords import Htpasswd, KnownPasswords, Passwords
from container_kit.registry.server.routes import Route

if TYPE_CHECKING:
    from container_kit.registry.server.auth import Auth
    from container_kit.registry.server.tokens import Tokens

__all__ = ["Gatekeeper"]

_log: Final = logging.getLogger("container_kit.registry")
_MAX_WAITING: Final = 64  # requests that wait for a slow comparison of passwords
_AT_ONCE: Final = 2


class Gatekeeper:
    """Knows the callers of one server."""

    def __init__(self, auth: Auth, realm: str) -> None:
        self._passwords: Passwords = Htpasswd(auth.htpasswd) if auth.htpasswd else KnownPasswords(auth.users)
        self._grants = parse_grants(auth.grants)
        self._default = () if auth.grants else ANYONE.grants
        self._anonymous = Caller("", tuple(map(Grant.parse, auth.anonymous)))
        self._realm = realm
        self.tokens = _tokens(auth)
        self._waiting = 0
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def caller(self, request: web.BaseRequest) -> Caller:
        """Who sent *request*.

        Raises:
            Refusal: The credentials are wrong; without any, the caller is anonymous.
        """
        header = request.headers.get("Authorization", "")
        scheme, _, value = header.partition(" ")
        if not header:
            return self._anonymous
        if scheme.lower() == "bearer" and self.tokens is not None:
            bearer = self.tokens.caller(value.strip())
            if bearer is not None:
                return bearer
        elif scheme.lower() == "basic" and self.tokens is None:
            return await self._user(value)
        raise self._unauthorized(Route("base"), "", "the credentials are not valid", "invalid_token")

    def require(self, caller: Caller, route: Route, right: str) -> None:
        """Refuse what *caller* has no right to; *right* is empty where any known caller is welcome."""
        if caller.may(right, route.repository) if right else self._is_welcome(caller):
            return
        if not caller.proven:
            raise self._unauthorized(route, right, "authentication is required", "")
        denied = f"there is no right to {right} {route.repository}".rstrip()
        if self.tokens is None:
            raise Refusal("DENIED", denied)
        # Not 403: the client may ask for a token with more in it.
        challenge = self.challenge(route, right, "insufficient_scope")
        raise Refusal("DENIED", denied, status=401, headers={"WWW-Authenticate": challenge})

    def challenge(self, route: Route, right: str = "", error: str = "") -> str:
        """The ``WWW-Authenticate`` header: how to get in."""
        if self.tokens is None:
            return 'Basic realm="container-kit", charset="UTF-8"'
        from container_kit.registry.server.tokens import SERVICE

        parts = [f'Bearer realm="{self._realm}"', f'service="{SERVICE}"']
        if right == "catalog":
            parts.append('scope="registry:catalog:*"')
        elif right:
            actions = {"push": "pull,push"}.get(right, right)
            parts.append(f'scope="repository:{route.repository}:{actions}"')
        if error:
            parts.append(f'error="{error}"')
        return ",".join(parts)

    async def give_token(self, request: web.BaseRequest, form: bytes) -> web.StreamResponse:
        """The token endpoint: GET with Basic credentials, or POST of a form, as docker and containerd do."""
        from container_kit.registry.server.tokens import parse_scopes

        assert self.tokens is not None
        if request.method == "POST":
            caller, scopes = await self._from_form(form)
        else:
            scheme, _, value = request.headers.get("Authorization", "").partition(" ")
            caller = await self._user(value) if scheme.lower() == "basic" else self._anonymous
            scopes = request.query.getall("scope", [])
        if not (caller.proven or self._anonymous.grants):
            raise self._unauthorized(Route("base"), "", "authentication is required", "", basic=True)
        body = encode(self.tokens.issue(caller, parse_scopes(scopes)))
        return answer(200, body, {"Cache-Control": "no-store"}, "application/json")

    async def _from_form(self, form: bytes) -> tuple[Caller, list[str]]:
        try:
            fields = parse_qs(form.decode("utf-8"), max_num_fields=20)
        except ValueError:
            fields = {}
        if fields.get("grant_type") != ["password"]:
            raise Refusal("UNSUPPORTED", "only grant_type=password is known here", status=400)
        user, password = fields.get("username", [""])[-1], fields.get("password", [""])[-1]
        return await self._verified(user, password), fields.get("scope", [])

    def _is_welcome(self, caller: Caller) -> bool:
        """Whether the version check says yes: where tokens are given, not before one is shown."""
        return caller.proven or (self.tokens is None and bool(self._anonymous.grants))

    async def _user(self, value: str) -> Caller:
        try:
            text = base64.b64decode(value.strip(), validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError):
            text = ""
        if text == ":":  # what some clients send instead of nothing
            return self._anonymous
        user, _, password = text.partition(":")
        return await self._verified(user, password)

    async def _verified(self, user: str, password: str) -> Caller:
        try:
            if self._passwords.remembers(user, password):
                right = self._passwords.verify(user, password)
            else:
                right = await self._compare_slowly(user, password)
        except InvalidInput as error:  # it names a file of this machine, which is not for callers
            _log.error("nobody can log in: %s", error)
            raise Refusal("UNAVAILABLE", "the registry cannot check passwords: its log says why") from None
        if not right:
            raise self._unauthorized(Route("base"), "", "the user name or the password is wrong", "", True)
        return Caller(user, self._grants.get(user, self._default), proven=True)

    async def _compare_slowly(self, user: str, password: str) -> bool:
        """bcrypt costs much, so guesses wait in a short queue and can take no more than their share."""
        if self._waiting >= _MAX_WAITING:
            raise Refusal(
                "TOOMANYREQUESTS", "too many passwords are being checked", headers={"Retry-After": "5"}
            )
        self._waiting += 1
        try:
            async with self._slots:
                return await in_thread(self._passwords.verify, user, password)
        finally:
            self._waiting -= 1

    def _unauthorized(
        self, route: Route, right: str, message: str, error: str, basic: bool = False
    ) -> Refusal:
        header = 'Basic realm="container-kit"' if basic else self.challenge(route, right, error)
        return Refusal("UNAUTHORIZED", message, headers={"WWW-Authenticate": header})


def _tokens(auth: Auth) -> Tokens | None:
    if not auth.tokens:
        return None
    from container_kit.registry.server.tokens import Tokens

    return Tokens(auth.token_key, auth.token_lifetime_s)
