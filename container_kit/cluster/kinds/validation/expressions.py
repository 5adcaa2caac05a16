"""Whether a text is an expression that can be judged: it must be written in CEL, and say yes or no."""

import re

from container_kit.cluster.schema.cel import CelError, compile_expression

__all__ = ["expression_problem"]

# Literals, whose kind is certain, and what an expression may look at whose fields have no known type.
_LITERAL = re.compile(
    r"(?P<int>-?\d+)|(?P<uint>\d+u)|(?P<double>-?\d+\.\d+)|(?P<string>\"[^\"\\]*\"|'[^'\\]*')"
)
_UNTYPED = re.compile(r"(?:object|oldObject|params)(?:\.\w+|\[[^]]*\])*")


def expression_problem(text: str, *, truth: bool = True) -> str | None:
    """What is wrong with an expression, None if nothing is.

    Args:
        text: The expression.
        truth: Whether it must say yes or no; others may have any value.
    """
    try:
        compile_expression(text)
    except CelError as error:
        return f"compilation failed: {error}"
    except ImportError:
        return None  # without the extra nobody can tell; evaluating it says so
    found = _kind_of(text.strip()) if truth else None
    return None if found is None else f"must evaluate to bool but got {found}"


def _kind_of(text: str) -> str | None:
    """What an expression gives when that is certainly no truth value; None when it may be one."""
    found = _LITERAL.fullmatch(text)
    if found is not None:
        return found.lastgroup
    return "dyn" if _UNTYPED.fullmatch(text) else None
