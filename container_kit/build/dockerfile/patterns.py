"""Patterns of paths as Docker reads them: ``*``, ``?``, ``[a-z]``, ``**`` and backslashes; in bounded time.

Few stars become a regular expression.  With more of them that could try for ever on a path made for it,
so those run all their states at once, one step for each character.

Source: moby/patternmatcher; Go, filepath.Match.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import TypeAlias

from container_kit.errors import InvalidInput

__all__ = ["Matcher", "has_wildcards", "name_matcher", "path_matcher"]

Matcher: TypeAlias = Callable[[str], bool]

_MAX_LENGTH = 4096
_STARS_FOR_RE = 2
# Tokens that are no single character; everything else is the regular expression of one.
_STAR, _DEEP, _ALL = "[^/]*", "(?:.*/)?", ".*"


def has_wildcards(text: str) -> bool:
    """Whether *text* is a pattern and not simply a name."""
    return re.search(r"[*?\[]", re.sub(r"\\.", "", text, flags=re.DOTALL)) is not None


@functools.lru_cache(maxsize=1024)
def name_matcher(pattern: str) -> Matcher:
    """Matches single names, without ``**``.

    Raises:
        InvalidInput: A bracket or a backslash is not complete.
    """
    return _matcher([_STAR if token in (_DEEP, _ALL) else token for token in _tokens(pattern, deep=False)])


@functools.lru_cache(maxsize=1024)
def path_matcher(pattern: str) -> Matcher:
    """Matches whole relative paths.

    Raises:
        InvalidInput: As `name_matcher`.
    """
    tokens = _tokens(pattern, deep=True)
    plain = pattern.replace("**", "")
    if not re.search(r"[*?\[\]\\]", plain):  # moby's fast cases, whose meaning differs a little
        if "**" not in pattern:
            return pattern.__eq__
        if pattern.startswith("**") and "**" not in pattern[2:]:
            return _suffix_matcher(pattern[2:])
        if pattern.endswith(("**", "**/")) and pattern.count("**") == 1:
            start = pattern.removesuffix("/").removesuffix("**")
            return lambda path: path.startswith(start)
    return _matcher(tokens)


def _suffix_matcher(suffix: str) -> Matcher:
    if suffix in ("", "/"):
        return lambda _: True
    if suffix.startswith("/"):
        return lambda path: path.endswith(suffix) or path == suffix[1:]
    return lambda path: path.endswith(suffix)


def _tokens(pattern: str, *, deep: bool) -> list[str]:
    if len(pattern) > _MAX_LENGTH:
        raise InvalidInput(f"a pattern of {len(pattern)} characters; it may have {_MAX_LENGTH}")
    tokens: list[str] = []
    at = 0
    while at < len(pattern):
        token, at = _token(pattern, at, deep)
        tokens.append(token)
    return tokens


def _token(pattern: str, at: int, deep: bool) -> tuple[str, int]:
    """The token at *at*, and where the next begins."""
    char = pattern[at]
    if deep and pattern.startswith("**", at):
        after = at + 3 if pattern.startswith("/", at + 2) else at + 2
        return (_ALL if after >= len(pattern) else _DEEP), after
    match char:
        case "*":
            return _STAR, at + 1
        case "?":
            return "[^/]", at + 1
        case "[":
            return _bracket(pattern, at)
        case "\\":
            if at + 1 == len(pattern):
                raise InvalidInput(f"nothing follows the backslash at the end of the pattern {pattern!r}")
            return re.escape(pattern[at + 1]), at + 2
    return re.escape(char), at + 1


def _bracket(pattern: str, at: int) -> tuple[str, int]:
    """``[a-z]`` or ``[^a-z]``; a backslash takes the next character as it is."""
    start = at
    at += 1
    negated = pattern.startswith("^", at)
    at += negated
    members: list[str] = []
    while at < len(pattern) and (pattern[at] != "]" or not members):
        low, at = _member(pattern, at)
        high = low
        if pattern.startswith("-", at):
            high, at = _member(pattern, at + 1)
        if low > high:
            raise InvalidInput(f"the range {low}-{high} of the pattern {pattern!r} runs backwards")
        members.append(f"{re.escape(low)}-{re.escape(high)}")
    if at >= len(pattern):
        raise InvalidInput(f"a bracket is not closed in the pattern {pattern[start:]!r}")
    return f"[{'^/' if negated else ''}{''.join(members)}]", at + 1


def _member(pattern: str, at: int) -> tuple[str, int]:
    if pattern.startswith("\\", at):
        at += 1
    if at >= len(pattern) or (pattern[at] == "]" and pattern[at - 1] != "\\"):
        raise InvalidInput(f"a bracket is not complete in the pattern {pattern!r}")
    return pattern[at], at + 1


def _matcher(tokens: list[str]) -> Matcher:
    if sum(token in (_STAR, _DEEP, _ALL) for token in tokens) <= _STARS_FOR_RE:
        found = re.compile("".join(tokens), re.DOTALL).fullmatch
        return lambda path: found(path) is not None
    return _Automaton(tokens).matches


class _Automaton:
    """All ways through a pattern at once: bit *i* is set while the first *i* tokens can have matched."""

    def __init__(self, tokens: list[str]) -> None:
        self._single = {
            1 << at: re.compile(token, re.DOTALL)
            for at, token in enumerate(tokens)
            if token not in (_STAR, _DEEP, _ALL)
        }
        self._star = sum(1 << at for at, token in enumerate(tokens) if token == _STAR)
        self._deep = sum(1 << at for at, token in enumerate(tokens) if token == _DEEP)
        self._all = sum(1 << at for at, token in enumerate(tokens) if token == _ALL)
        self._end = 1 << len(tokens)
        self._masks: dict[str, int] = {}

    def matches(self, path: str) -> bool:
        state, within = self._closed(1), 0  # *within*: inside the ".*/" of a "**"
        for char in path:
            within |= state & self._deep
            after = (state & self._mask(char)) << 1
            after |= state & self._all
            if char == "/":
                after |= within << 1
            else:
                after |= state & self._star
            state = self._closed(after)
            if not state and not within:
                return False
        return bool(state & self._end)

    def _closed(self, state: int) -> int:
        """*state* and what it reaches without a character: stars match nothing, too."""
        skippable = self._star | self._deep | self._all
        while more := ((state & skippable) << 1) & ~state:
            state |= more
        return state

    def _mask(self, char: str) -> int:
        mask = self._masks.get(char)
        if mask is None:
            mask = sum(bit for bit, expression in self._single.items() if expression.fullmatch(char))
            self._masks[char] = mask
        return mask
