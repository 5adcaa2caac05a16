"""Regular expressions that others wrote: in definitions, rules and policies.

They run on RE2, which is Go's dialect and takes time in proportion to the text, whatever the expression:
Python's own would let one pattern of ten characters hold up the server for ever.
"""

from __future__ import annotations

from typing import Any

from container_kit.errors import InvalidInput

__all__ = ["PatternError", "compiled", "is_known"]

_MOST_MEMORY_BYTES = 2 << 20
_KEPT = 1024


class PatternError(InvalidInput):
    """The text is no regular expression of RE2."""


# What came of each; to find that one is too large takes as long as the largest, so that is kept as well.
_outcomes: dict[str, Any] = {}


def is_known(pattern: str) -> bool:
    """Whether it costs nothing to compile *pattern*, as that was done a moment ago."""
    return pattern in _outcomes


def compiled(pattern: str) -> Any:
    """The compiled *pattern*, with `search` and `finditer` as in `re`.

    Raises:
        PatternError: It is none.
    """
    outcome = _outcomes.get(pattern)
    if outcome is None:
        if len(_outcomes) >= _KEPT:
            _outcomes.clear()
        outcome = _outcomes[pattern] = _compile(pattern)
    if isinstance(outcome, PatternError):
        raise PatternError(str(outcome))
    return outcome


def _compile(pattern: str) -> Any:
    import re2  # type: ignore[import-untyped]

    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MOST_MEMORY_BYTES
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        problem = error.args[0] if error.args else error
        text = problem.decode() if isinstance(problem, bytes) else str(problem)
        return PatternError(f"error parsing regexp: {text}")
