"""``$(NAME)`` in commands, arguments and variables, as Kubernetes replaces it.

What is not known stays as it was written; ``$$`` is a single ``$`` and begins nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["expand"]

_REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")


def expand(text: str, values: Mapping[str, str]) -> str:
    """*text* with each ``$(NAME)`` replaced by its value.

    Source: Kubernetes, "Define Dependent Environment Variables"; third_party/forked/golang/expansion.
    """
    if "$" not in text:
        return text
    return _REFERENCE.sub(lambda found: _replaced(found, values), text)


def _replaced(found: re.Match[str], values: Mapping[str, str]) -> str:
    whole: str = found[0]
    if whole == "$$":
        return "$"
    return values.get(found[1], whole)
