"""Whether a text is an expression that can be judged: it must be written in CEL, and say yes or no."""

from typing import Any

__all__ = ["expression_problem"]

_LITERALS = {"INT_LIT": "int", "UINT_LIT": "uint", "FLOAT_LIT": "double", "STRING_LIT": "string"}
# What an expression may look at whose fields have no known type.
_UNTYPED = ("object", "oldObject", "params")


def expression_problem(text: str) -> str | None:
    """What is wrong with an expression, None if nothing is."""
    try:
        from celpy import Environment
        from celpy.celparser import CELParseError
    except ImportError:
        return None  # without the extra nobody can tell; evaluating it says so
    try:
        tree = Environment().compile(text)
    except CELParseError as error:
        return f"compilation failed: {str(error.args[0]).splitlines()[0]}"
    found = _kind_of(tree)
    return None if found is None else f"must evaluate to bool but got {found}"


def _kind_of(tree: Any) -> str | None:
    """What an expression gives when that is certainly no truth value; None when it may be one."""
    while len(getattr(tree, "children", ())) == 1:
        tree = tree.children[0]
    if getattr(tree, "data", "") in ("member_dot", "member_index"):
        return "dyn" if str(_first_word(tree)) in _UNTYPED else None
    if getattr(tree, "data", "") in ("addition", "multiplication"):
        return "dyn"
    return _LITERALS.get(getattr(tree, "type", ""))


def _first_word(tree: Any) -> Any:
    while getattr(tree, "children", ()):
        tree = tree.children[0]
    return tree
