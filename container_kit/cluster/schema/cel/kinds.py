"""What kind of value an expression gives, as far as its form alone says."""

from __future__ import annotations

from container_kit.cluster.schema.cel.parsing import Tree
from container_kit.cluster.schema.cel.values import kind_name

__all__ = ["certain_kind"]

_JUDGING = ("==", "!=", "<", "<=", ">", ">=", "in")
_GIVING_TRUTH = ("all", "exists", "exists_one", "existsOne", "has")
_GIVING = {
    "size": "int",
    "int": "int",
    "uint": "uint",
    "double": "double",
    "string": "string",
    "format": "string",
    "join": "string",
    "split": "list(string)",
    "map": "list(dyn)",
    "filter": "list(dyn)",
}


_DYNAMIC = ("object", "oldObject", "params")  # what policies judge, of which no types are known


def _start(tree: Tree) -> str:
    while tree[0] in ("field", "item"):
        tree = tree[1]
    return str(tree[1]) if tree[0] == "name" else ""


def certain_kind(tree: Tree) -> str:
    """``bool``, ``int`` and so on; ``dyn`` for a field whose type nobody knows; empty when it may be any."""
    kind = tree[0]
    if kind == "literal":
        return kind_name(tree[1])
    if kind in ("and", "or", "not") or (kind == "operator" and tree[1] in _JUDGING):
        return "bool"
    if kind in ("field", "item"):
        return "dyn" if _start(tree) in _DYNAMIC else ""
    if kind == "operator":
        sides = {certain_kind(tree[2]), certain_kind(tree[3])} - {"dyn", ""}
        return sides.pop() if len(sides) == 1 else "dyn"
    if kind == "call":
        return "bool" if tree[2] in _GIVING_TRUTH else _GIVING.get(tree[2], "")
    return {"list": "list(dyn)", "map": "map(dyn, dyn)"}.get(kind, "")
