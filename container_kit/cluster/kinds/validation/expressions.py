"""Whether a text is an expression that can be judged: it must be written in CEL, and say yes or no."""

from container_kit.cluster.schema.cel import CelError, compile_expression
from container_kit.cluster.schema.cel.kinds import certain_kind
from container_kit.cluster.schema.cel.parsing import located

__all__ = ["expression_problem"]

# What an expression may look at.
_NAMES = ("object", "oldObject", "params", "request", "variables", "namespaceObject", "authorizer")


def expression_problem(text: str, *, truth: bool = True) -> str | None:
    """What is wrong with an expression, None if nothing is.

    Args:
        text: The expression.
        truth: Whether it must say yes or no; others may have any value.
    """
    try:
        program = compile_expression(text)
        unknown = sorted(program.names.difference(_NAMES))
        if unknown:
            problem = f"undeclared reference to '{unknown[0]}' (in container '')"
            raise located(text, text.find(unknown[0]), problem)
    except CelError as error:
        return f"compilation failed: {error}"
    found = certain_kind(program.tree) if truth else ""
    return None if found in ("bool", "") else f"must evaluate to bool but got {found}"
