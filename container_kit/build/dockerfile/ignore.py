"""``.dockerignore``: which files of a context a build does not see, by Docker's rules (not git's).

The last rule that matches decides; a rule that matches a directory matches all below it; ``!`` takes
back; every pattern begins at the root of the context.

Source: Docker documentation, ".dockerignore file"; moby/patternmatcher.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from container_kit.build.dockerfile.patterns import Matcher, path_matcher
from container_kit.errors import InvalidInput, LimitExceeded

__all__ = ["EMPTY", "IgnoreRules"]

_MAX_BYTES = 1 << 20
_MAX_RULES = 10_000


@attrs.frozen
class _Rule:
    pattern: str
    takes_back: bool
    matches: Matcher = attrs.field(eq=False, repr=False)


@attrs.frozen
class IgnoreRules:
    """Rules in their order."""

    rules: tuple[_Rule, ...] = ()

    @classmethod
    def parse(cls, text: str | bytes, *, name: str = ".dockerignore") -> IgnoreRules:
        """The rules of a file: one a line, ``#`` begins a comment.

        Raises:
            InvalidInput: A pattern cannot be read; names it and *name*.
            LimitExceeded: It is larger than 1 MiB or has more than 10 000 rules.
        """
        if isinstance(text, bytes):
            text = text.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
        if len(text) > _MAX_BYTES:
            raise LimitExceeded(f"{name} is larger than {_MAX_BYTES} bytes")
        lines = text.removeprefix("\ufeff").split("\n")
        return cls.of((line for line in lines if not line.startswith("#")), name=name)

    @classmethod
    def of(cls, patterns: Iterable[str], *, name: str = "--exclude") -> IgnoreRules:
        """The rules that *patterns* are.

        Raises:
            InvalidInput, LimitExceeded: As `parse`.
        """
        try:
            rules = tuple(rule for pattern in patterns if (rule := _rule(pattern.strip())))
        except InvalidInput as error:
            raise InvalidInput(f"{name}: {error}") from None
        if len(rules) > _MAX_RULES:
            raise LimitExceeded(f"{name} has {len(rules)} rules; it may have {_MAX_RULES}")
        return cls(rules)

    @property
    def take_back(self) -> bool:
        """Whether any rule begins with ``!``: then an ignored directory may have files that are not."""
        return any(rule.takes_back for rule in self.rules)

    def ignores(self, path: str, is_dir: bool = False) -> bool:
        """Whether *path*, relative to the context, is left out; rules make no difference for directories."""
        state: tuple[bool, ...] = ()
        ignored = False
        parts = path.strip("/").split("/")
        for depth in range(1, len(parts) + 1):
            ignored, state = self.step("/".join(parts[:depth]), state)
        return ignored

    def step(self, path: str, above: tuple[bool, ...]) -> tuple[bool, tuple[bool, ...]]:
        """As `ignores`, for a walk from above.

        Args:
            path: Relative to the context.
            above: What this gave for the directory that holds it; empty at the top.

        Returns:
            Whether it is left out, and what to give for the entries of *path*.
        """
        ignored = False
        matched: list[bool] = []
        for number, rule in enumerate(self.rules):
            hit = bool(above) and above[number]
            if not hit and rule.takes_back == ignored:
                hit = rule.matches(path)
            matched.append(hit)
            if hit:
                ignored = not rule.takes_back
        return ignored, tuple(matched)


EMPTY = IgnoreRules()


def _rule(pattern: str) -> _Rule | None:
    takes_back = pattern.startswith("!")
    if takes_back:
        pattern = pattern[1:].strip()
        if not pattern:
            raise InvalidInput('a rule is just "!": nothing follows it')
    if not pattern:
        return None
    pattern = _clean(pattern)
    if len(pattern) > 1:
        pattern = pattern.removeprefix("/")
    return _Rule(pattern, takes_back, path_matcher(pattern))


def _clean(path: str) -> str:
    """Go's filepath.Clean: no empty parts, no ``.``, ``..`` resolved where that is possible."""
    parts: list[str] = []
    rooted = path.startswith("/")
    for part in path.split("/"):
        if part == ".." and parts and parts[-1] != "..":
            parts.pop()
        elif part == ".." and rooted:
            continue
        elif part not in ("", "."):
            parts.append(part)
    return ("/" if rooted else "") + "/".join(parts) or "."
