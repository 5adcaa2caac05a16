"""Patterns of ``${name#pattern}`` and its kin: ``*`` and ``?``, on a text, in bounded time.

Each pattern becomes a regular expression of atomic groups, which cannot backtrack from one part
into another: nobody's pattern makes a build wait.

Source: moby/buildkit, frontend/dockerfile/shell; POSIX, "Pattern Matching Notation" without brackets.
"""

from __future__ import annotations

import re

from container_kit.build.dockerfile.errors import DockerfileError

__all__ = ["remove_prefix", "remove_suffix", "replace"]

_MAX_LENGTH = 1 << 14  # of a value that a pattern is tried on: the search takes its square at worst

_STAR = ""  # stands for "*" between the other parts of a pattern


def remove_prefix(value: str, pattern: str, *, longest: bool) -> str:
    """*value* without the shortest, or longest, beginning that *pattern* matches."""
    return _cut(value, _parts(pattern), longest)


def remove_suffix(value: str, pattern: str, *, longest: bool) -> str:
    """*value* without the shortest, or longest, end that *pattern* matches."""
    return _cut(value[::-1], _parts(pattern)[::-1], longest)[::-1]


def replace(value: str, pattern: str, replacement: str, *, everywhere: bool) -> str:
    """*value* with the first match of *pattern*, or every match, replaced; each is as long as can be."""
    expression = _expression(_parts(pattern), longest=True)
    _require_short(value)
    return expression.sub(lambda _: replacement, value, count=0 if everywhere else 1)


def _cut(value: str, parts: list[str], longest: bool) -> str:
    _require_short(value)
    found = _expression(parts, longest).match(value)
    return value[found.end() :] if found else value


def _parts(pattern: str) -> list[str]:
    """Regular expressions of single characters, and `_STAR` between them.

    Raises:
        DockerfileError: A backslash stands before something that has no other meaning.
    """
    parts: list[str] = []
    chars = iter(pattern)
    for char in chars:
        if char == "\\":
            char = next(chars, "")
            if not char or char not in "*?\\}/":
                raise DockerfileError(f"'\\{char}' is no escape in the pattern {pattern!r}")
            parts.append(re.escape(char))
        elif char == "*":
            parts.append(_STAR)
        else:
            parts.append("." if char == "?" else re.escape(char))
    return parts


def _expression(parts: list[str], longest: bool) -> re.Pattern[str]:
    """Every star but the last takes as little as it can, which leaves the rest every chance."""
    segments: list[list[str]] = [[]]
    for part in parts:
        if part == _STAR:
            segments.append([])
        else:
            segments[-1].append(part)
    first, *rest = ("".join(segment) for segment in segments)
    middle = "".join(f"(?>.*?{segment})" for segment in rest[:-1])
    last = (".*" if longest else ".*?") + rest[-1] if rest else ""
    return re.compile(first + middle + last)


def _require_short(value: str) -> None:
    if len(value) > _MAX_LENGTH:
        raise DockerfileError(f"a pattern is tried on values of up to {_MAX_LENGTH} characters only")
