"""Regular expressions that others wrote: in definitions, rules and policies.

They run on RE2, which is Go's dialect and takes time in proportion to the text, whatever the expression:
Python's own would let one pattern of ten characters hold up the server for ever.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from container_kit.errors import InvalidInput

__all__ = ["PatternError", "compiled"]

_MOST_MEMORY_BYTES = 8 << 20


class PatternError(InvalidInput):
    """The text is no regular expression of RE2."""


@lru_cache(maxsize=512)
def compiled(pattern: str) -> Any:
    """The compiled *pattern*, with `search` and `finditer` as in `re`.

    Raises:
        PatternError: It is none.
    """
    import re2  # type: ignore[import-untyped]

    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MOST_MEMORY_BYTES
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        problem = error.args[0] if error.args else error
        text = problem.decode() if isinstance(problem, bytes) else str(problem)
        raise PatternError(f"error parsing regexp: {text}") from error
