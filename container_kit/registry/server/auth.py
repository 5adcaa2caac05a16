"""How a registry knows its callers and what they may do: the value that a caller of `serve` gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from container_kit.errors import InvalidInput
from container_kit.registry.server.access import Grant

__all__ = ["Auth"]


@attrs.frozen(kw_only=True)
class Auth:
    """Who may use a registry, and for what.

    Args:
        users: Passwords by user name.
        htpasswd: A file with bcrypt hashes instead, as ``htpasswd -B`` writes it.
        grants: What each user may do, each grant written ``actions[:pattern]``: ``pull,push:team/*``,
            ``pull``, ``all:mine/**``.  Without any grants, every user may do everything; with some, a
            user who has none may do nothing.
        anonymous: What may be done without credentials: ``("pull",)`` or ``("pull:public/**",)``.
        tokens: Ask for tokens, which this server issues, instead of a password with each request.
        token_key: At least 32 secret bytes, for several servers that take each other's tokens.
        token_lifetime_s: How long a token is good, 60 to 86400 seconds.

    Raises:
        InvalidInput: A value cannot be used; names the field.
    """

    users: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    htpasswd: str | None = None
    grants: Mapping[str, Sequence[str]] = attrs.field(factory=dict)
    anonymous: Sequence[str] = ()
    tokens: bool = False
    token_key: bytes | None = attrs.field(default=None, repr=False)
    token_lifetime_s: int = 300

    def __attrs_post_init__(self) -> None:
        if self.users and self.htpasswd:
            raise InvalidInput("users come from `users` or from `htpasswd`, not from both")
        for name in (*self.users, *self.grants):
            if not name or ":" in name or not name.isprintable():
                raise InvalidInput(f"{name!r} cannot be the name of a user")
        for text in (*self.anonymous, *(text for texts in self.grants.values() for text in texts)):
            Grant.parse(text)
        if self.token_key is not None and len(self.token_key) < 32:
            raise InvalidInput("token_key has fewer than 32 bytes")
        if not 60 <= self.token_lifetime_s <= 86400:
            raise InvalidInput(f"token_lifetime_s is {self.token_lifetime_s}, not 60 to 86400")

    @property
    def has_users(self) -> bool:
        """Whether anyone has a password."""
        return bool(self.users or self.htpasswd)
