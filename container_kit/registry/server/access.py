"""Who may do what: grants of actions on repositories, and the caller of one request.  Pure.

Patterns: ``*`` stands for any part of one path component, ``**`` for any number of components.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final, Literal

import attrs

from container_kit.errors import InvalidInput

__all__ = ["ACTIONS", "ANYONE", "Action", "Caller", "Grant"]

Action = Literal["pull", "push", "delete", "catalog"]
_is_pattern: Final = re.compile(r"[a-z0-9*][a-z0-9._*-]*(?:/[a-z0-9*][a-z0-9._*-]*)*").fullmatch
ACTIONS: Final[frozenset[str]] = frozenset({"pull", "push", "delete", "catalog"})


@attrs.frozen
class Grant:
    """Actions that are allowed on the repositories that fit a pattern.

    Args:
        actions: Of ``pull``, ``push``, ``delete`` and ``catalog`` (listing repositories).
        pattern: Such as ``team/*``; ``**`` is every repository.

    Raises:
        InvalidInput: There is no such action, or no repository could fit the pattern.
    """

    actions: frozenset[str]
    pattern: str = "**"

    def __attrs_post_init__(self) -> None:
        unknown = self.actions - ACTIONS
        if unknown or not self.actions:
            raise InvalidInput(f"{sorted(unknown)} are no actions of a registry: use {sorted(ACTIONS)}")
        if not _is_pattern(self.pattern):
            raise InvalidInput(f"{self.pattern!r} fits no repository: write names with *, ** and '/'")

    @classmethod
    def parse(cls, text: str) -> Grant:
        """The grant written as ``actions[:pattern]``, such as ``pull,push:team/*`` or ``all``."""
        words, _, pattern = text.partition(":")
        actions = ACTIONS if words == "all" else frozenset(words.split(","))
        return cls(actions, pattern or "**")

    def allows(self, action: str, repository: str) -> bool:
        """Whether *action* on *repository* is allowed; an empty repository means the registry itself."""
        return action in self.actions and (action == "catalog" or _fits(self.pattern, repository))


@attrs.frozen
class Caller:
    """Who sent a request: a name (empty for anonymous) and what it may do.

    Args:
        proven: Whether it came with credentials; a token for nobody in particular counts.
        visible: Patterns of the repositories that a listing may show; None means those it may pull from.
    """

    name: str
    grants: tuple[Grant, ...]
    proven: bool = False
    visible: tuple[str, ...] | None = None

    def may(self, action: str, repository: str = "") -> bool:
        return any(grant.allows(action, repository) for grant in self.grants)

    @property
    def sees(self) -> tuple[str, ...]:
        """Patterns of the repositories that a listing may show."""
        if self.visible is not None:
            return self.visible
        return tuple(grant.pattern for grant in self.grants if "pull" in grant.actions)

    def may_see(self, repository: str) -> bool:
        return any(_fits(pattern, repository) for pattern in self.sees)


ANYONE: Final = Caller("", (Grant(ACTIONS),))


def parse_grants(texts: Mapping[str, Iterable[str]]) -> dict[str, tuple[Grant, ...]]:
    """Grants by user, each written as `Grant.parse` reads it."""
    return {user: tuple(map(Grant.parse, written)) for user, written in texts.items()}


def _fits(pattern: str, repository: str) -> bool:
    return _compiled(pattern).fullmatch(repository) is not None


@lru_cache(256)
def _compiled(pattern: str) -> re.Pattern[str]:
    pieces = re.split(r"(\*\*|\*)", pattern)
    words = {"**": ".*", "*": "[^/]*"}
    return re.compile("".join(words.get(piece) or re.escape(piece) for piece in pieces))
