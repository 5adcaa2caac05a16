"""CEL: expressions that people write into definitions and policies, run at a bounded cost.

A small face of cel-python, which is imported when the first expression is compiled (75 ms): text in, plain
values in, plain values out.  Each step of an evaluation costs, and one that costs too much is stopped, so
that a rule of three nested loops cannot hold up the server.

Source: Common Expression Language; Kubernetes, "Common Expression Language in Kubernetes".
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from functools import cache
from typing import Any

from container_kit.errors import InvalidInput

__all__ = ["CelError", "Program", "compile_expression"]

_MOST_STEPS = 100_000
_LONGEST = 16_384  # characters of an expression


class CelError(InvalidInput):
    """An expression cannot be compiled, or its evaluation failed."""


# cel-python raises the recursion limit of the whole program, and its parser is shared.
_lock = threading.Lock()


class Program:
    """A compiled expression; may be evaluated by any thread.

    Args:
        text: The expression.

    Raises:
        CelError: It is none.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        if len(text) > _LONGEST:
            raise CelError(f"the expression has {len(text)} characters, and may have {_LONGEST}")
        limit = sys.getrecursionlimit()
        with _lock:
            try:
                self._run = _machine().program(text)
            finally:
                sys.setrecursionlimit(limit)

    def evaluate(self, variables: Mapping[str, Any], *, most_steps: int = _MOST_STEPS) -> Any:
        """The value of the expression, as plain JSON.

        Args:
            variables: What the names in it stand for; values as JSON, or made by `typed`.
            most_steps: What it may cost.

        Raises:
            CelError: It has no value: a field is missing, types do not fit, or it costs too much.
        """
        return _machine().evaluate(self._run, variables, most_steps)


@cache
def compile_expression(text: str) -> Program:
    """The compiled *text*, kept for the next time.

    Raises:
        CelError: It is no expression.
    """
    return Program(text)


@cache
def _machine() -> Any:
    from container_kit.cluster.schema.celpython import Machine

    return Machine()
