"""cel-python, with what Kubernetes adds to the language, and a meter.

The only importer of that library; see `container_kit.cluster.schema.cel`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import celpy
import lark
from celpy import celtypes
from celpy.celparser import CELParseError
from celpy.evaluation import Activation, CELEvalError, Evaluator

from container_kit.cluster.schema.cel import CelError
from container_kit.cluster.schema.cellibrary import FUNCTIONS

__all__ = ["Machine"]


_OPERAND = (
    "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, "
    "IDENTIFIER}"
)


class _Meter:
    """What an evaluation may still cost."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    def step(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise CelError("the expression costs too much: its evaluation was stopped")


class _MeteredEvaluator(Evaluator):
    """Counts every node that is visited, also inside of macros."""

    def __init__(self, ast: Any, activation: Activation, meter: _Meter) -> None:
        super().__init__(ast, activation)
        self._meter = meter

    def _visit_tree(self, tree: Any) -> Any:
        self._meter.step()
        return super()._visit_tree(tree)

    def sub_evaluator(self, ast: Any) -> Evaluator:
        return _MeteredEvaluator(ast, self.activation, self._meter)


class Machine:
    """Compiles and evaluates."""

    def __init__(self) -> None:
        limit = sys.getrecursionlimit()
        self._environment = celpy.Environment()
        sys.setrecursionlimit(limit)

    def program(self, text: str) -> Any:
        """A compiled expression.

        Raises:
            CelError: It is none.
        """
        try:
            return self._environment.program(self._environment.compile(text), functions=FUNCTIONS)
        except (CELParseError, lark.exceptions.LarkError, RecursionError) as error:
            raise CelError(_syntax_error(text, error)) from error

    def evaluate(self, program: Any, variables: Mapping[str, Any], most_steps: int) -> Any:
        """See `container_kit.cluster.schema.cel.Program.evaluate`."""
        context = {name: to_cel(value) for name, value in variables.items()}
        evaluator = _MeteredEvaluator(program.ast, program.new_activation(), _Meter(most_steps))
        try:
            return from_cel(evaluator.evaluate(context))
        except CELEvalError as error:
            raise CelError(str(error.args[0]) if error.args else str(error)) from error
        except (TypeError, ValueError, KeyError, ArithmeticError, RecursionError, AttributeError) as error:
            raise CelError(f"{type(error).__name__}: {error}") from error


def _syntax_error(text: str, error: Exception) -> str:
    """Where *text* is no expression; in the words of the original when something is missing at its end."""
    cause = error.__cause__ or error.__context__
    token = getattr(cause, "token", None)
    line, column, problem = getattr(error, "line", None) or 1, getattr(error, "column", None) or 1, ""
    if token is not None and token.type == "$END":
        lines = text.rstrip().splitlines() or [""]
        line, column = len(lines), len(lines[-1]) + 1
        problem = f"mismatched input '<EOF>' expecting {_OPERAND}"
    elif token is not None:
        problem = f"unexpected {str(token)!r}"
    shown = text.splitlines()[line - 1 : line] or [text]
    where = f" | {shown[0]}\n | {'.' * (column - 1)}^"
    return f"ERROR: <input>:{line}:{column}: Syntax error: {problem or 'no expression'}\n{where}"


def to_cel(value: Any) -> Any:
    """A value of JSON (or a time, or a duration) as CEL sees it."""
    if value is None or isinstance(value, bool):
        return None if value is None else celtypes.BoolType(value)
    if isinstance(value, int):
        return celtypes.IntType(value)
    if isinstance(value, float):
        return celtypes.DoubleType(value)
    if isinstance(value, str):
        return celtypes.StringType(value)
    if isinstance(value, list | tuple):
        return celtypes.ListType([to_cel(item) for item in value])
    if isinstance(value, dict):
        return celtypes.MapType({celtypes.StringType(key): to_cel(item) for key, item in value.items()})
    if isinstance(value, datetime):
        return celtypes.TimestampType(value)
    return celtypes.DurationType(value) if isinstance(value, timedelta) else value


def from_cel(value: Any) -> Any:
    """A value of CEL as plain Python."""
    if isinstance(value, celtypes.BoolType):
        return bool(value)
    if isinstance(value, celtypes.MapType):
        return {str(key): from_cel(item) for key, item in value.items()}
    if isinstance(value, celtypes.ListType):
        return [from_cel(item) for item in value]
    if isinstance(value, celtypes.StringType):
        return str(value)
    if isinstance(value, celtypes.DoubleType):
        return float(value)
    return int(value) if isinstance(value, celtypes.IntType | celtypes.UintType) else value
