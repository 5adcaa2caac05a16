"""Tokens: signed statements of this server about what their bearer may do, for a few minutes.

The key and the algorithm are this server's own: nothing in a token says how to check it (CVE-2025-24976).

Source: distribution, "Token Authentication Specification", "Token Scope Documentation".
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from typing import Any, Final

import attrs
import jwt

from container_kit.errors import ContainerKitError
from container_kit.registry.server.access import ACTIONS, Caller, Grant
from container_kit.registry.server.errors import Refusal
from container_kit.registry.server.routes import parse_repository

__all__ = ["SERVICE", "Scope", "Tokens", "parse_scopes"]

SERVICE: Final = "container-kit-registry"
_ALGORITHM: Final = "HS256"
_MAX_SCOPES: Final = 50
_CLAIMS: Final = ["exp", "nbf", "iat", "iss", "aud", "sub"]


@attrs.frozen
class Scope:
    """Actions on one resource, as a client asks for them: ``repository:name:pull,push``."""

    type: str
    name: str
    actions: frozenset[str]

    def granted_to(self, caller: Caller) -> frozenset[str]:
        """Those of the actions that *caller* has a right to."""
        if self.type == "registry":
            listed = self.name == "catalog" and caller.may("catalog")
            return frozenset({"*"} if listed else ())
        wished = ACTIONS - {"catalog"} if "*" in self.actions else self.actions & ACTIONS - {"catalog"}
        return frozenset(action for action in wished if caller.may(action, self.name))


def parse_scopes(texts: Iterable[str]) -> list[Scope]:
    """The scopes in the ``scope`` parameters of a request; ones of other types are left out.

    Raises:
        Refusal: One is not written as a scope, or there are too many.
    """
    words = [word for text in texts for word in text.split()]
    if len(words) > _MAX_SCOPES:
        raise Refusal("UNSUPPORTED", f"{len(words)} scopes are more than {_MAX_SCOPES}", status=400)
    scopes = []
    for word in words:
        kind, _, rest = word.partition(":")
        name, colon, actions = rest.rpartition(":")
        if not colon:
            raise Refusal("UNSUPPORTED", "a scope is written type:name:actions", status=400)
        kind = kind.partition("(")[0]  # repository(plugin)
        if kind == "repository":
            name = parse_repository(name)
        if kind in ("repository", "registry"):
            scopes.append(Scope(kind, name, frozenset(actions.split(","))))
    return scopes


class Tokens:
    """Issues and checks the tokens of one server, or of several that share a key."""

    def __init__(self, key: bytes | None = None, lifetime_s: int = 300) -> None:
        self._key = key or secrets.token_bytes(32)
        self.lifetime_s = lifetime_s

    def issue(self, caller: Caller, scopes: Iterable[Scope]) -> dict[str, Any]:
        """The answer of the token endpoint: a token for what *caller* has a right to, of *scopes*."""
        now = int(time.time())
        access = [
            {"type": scope.type, "name": scope.name, "actions": sorted(actions)}
            for scope in scopes
            if (actions := scope.granted_to(caller))
        ]
        claims = {
            "iss": SERVICE,
            "aud": SERVICE,
            "sub": caller.name,
            "iat": now,
            "nbf": now,
            "exp": now + self.lifetime_s,
            "jti": secrets.token_hex(8),
            "access": access,
            "sees": caller.sees,  # what a list of repositories shows: a token for that list names none
        }
        token = jwt.encode(claims, self._key, algorithm=_ALGORITHM)
        issued = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
        return {"token": token, "access_token": token, "expires_in": self.lifetime_s, "issued_at": issued}

    def caller(self, token: str) -> Caller | None:
        """Who bears *token* and what it allows; None if it is not one of ours, or too old."""
        try:
            claims = jwt.decode(
                token,
                self._key,
                algorithms=[_ALGORITHM],
                audience=SERVICE,
                issuer=SERVICE,
                leeway=10,
                options={"require": _CLAIMS},
            )
            grants = tuple(map(_grant, claims["access"]))
            return Caller(claims["sub"], grants, proven=True, visible=tuple(claims["sees"]))
        except (jwt.PyJWTError, ContainerKitError, KeyError, TypeError, ValueError):
            return None


def _grant(entry: dict[str, Any]) -> Grant:
    if entry["type"] == "registry":
        return Grant(frozenset({"catalog"}))
    # Names of repositories hold no character that means something in a pattern.
    return Grant(frozenset(entry["actions"]), parse_repository(entry["name"]))
