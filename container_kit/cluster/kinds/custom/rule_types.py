"""The types in a rule: what its schema says of ``self``, and what operators make of it.

Not a whole type checker: what it does not know is ``dyn``, which fits everything.  What it finds are the
mistakes that people make: fields that there are not, and operands that do not go together.

Source: Kubernetes, "Extend the Kubernetes API with CustomResourceDefinitions", "Type system integration".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from container_kit.cluster.schema.cel import compile_expression
from container_kit.cluster.schema.cel.kinds import certain_kind
from container_kit.cluster.schema.cel.parsing import Tree, located
from container_kit.cluster.schema.cel.program import unescaped

__all__ = ["type_of_rule"]

Spec = Mapping[str, Any]

_STRINGS = {"date-time": "timestamp", "date": "timestamp", "duration": "duration", "byte": "bytes"}
_SCALARS = {"integer": "int", "number": "double", "boolean": "bool", "string": "string"}
_DYNAMIC: Spec = {"x-kubernetes-preserve-unknown-fields": True}
_METADATA: Spec = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "generateName": {"type": "string"}},
}
_WHOLE: Spec = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": _METADATA}
_ARITHMETIC = {"+": "_+_", "-": "_-_", "*": "_*_", "/": "_/_", "%": "_%_"}
_COMPARING = {"==": "_==_", "!=": "_!=_", "<": "_<_", "<=": "_<=_", ">": "_>_", ">=": "_>=_"}
_NUMBERS = ("int", "uint", "double")
_ADDED = {
    "+": ("int", "uint", "double", "string", "bytes", "duration"),
    "-": ("int", "uint", "double", "duration"),
    "*": ("int", "uint", "double"),
    "/": ("int", "uint", "double"),
    "%": ("int", "uint"),
}
_TURNS = ("all", "exists", "exists_one", "existsOne", "filter", "map")
_BINDING = (*_TURNS, "bind", "optFlatMap", "optMap", "transformList", "transformMap")


def type_of_rule(text: str, schema: Spec, *, is_root: bool, is_optional: bool) -> str:
    """The type of an expression about a value of *schema*, ``dyn`` when it may be any.

    Raises:
        CelError: It is none, or speaks of what there is not, or of types that do not go together.
    """
    program = compile_expression(text)
    own = _whole(schema) if is_root or schema.get("x-kubernetes-embedded-resource") else schema
    names = {"self": own, "oldSelf": _DYNAMIC if is_optional else own}
    return _Checker(text).kind(program.tree, names)


def _whole(schema: Spec) -> Spec:
    return {**schema, "properties": {**(schema.get("properties") or {}), **_WHOLE}}


def _kind_of(spec: Spec | None) -> str:
    """The type of values of a schema."""
    if spec is None or spec.get("x-kubernetes-int-or-string") or spec.get("nullable"):
        return "dyn"
    declared = spec.get("type")
    if declared == "string":
        return _STRINGS.get(spec.get("format") or "", "string")
    if declared == "array":
        return "list"
    if declared == "object":
        known = spec.get("properties") or spec.get("additionalProperties")
        return "object" if known else "dyn"
    return _SCALARS.get(str(declared), "dyn")


class _Checker:
    def __init__(self, text: str) -> None:
        self._text = text

    def kind(self, tree: Tree, names: Mapping[str, Spec | None]) -> str:
        """The type of a part of the expression."""
        form = tree[0]
        if form in ("name", "field", "item"):
            return _kind_of(self._schema(tree, names))
        if form == "operator":
            return self._operator(tree, names)
        if form == "call":
            return self._call(tree, names)
        if form == "if":
            kinds = [self.kind(part, names) for part in tree[1:]]
            return kinds[1] if kinds[1] == kinds[2] else "dyn"
        parts = tree[1:] if form in ("and", "or", "not", "minus", "list") else ()
        for part in parts:
            self.kind(part, names)
        return certain_kind(tree) if form in ("literal", "and", "or", "not") else "dyn"

    def _schema(self, tree: Tree, names: Mapping[str, Spec | None]) -> Spec | None:
        """What is known of a value; None is nothing."""
        form = tree[0]
        if form == "name":
            if tree[1] not in names and tree[1] in compile_expression(self._text).names:
                raise self._error(tree[2], f"undeclared reference to '{tree[1]}' (in container '')")
            return names.get(tree[1])
        if form == "field":
            return self._field(tree, names)
        if form == "item":
            self.kind(tree[2], names)
            of = self._schema(tree[1], names)
            return None if of is None or tree[3] else _inner(of)
        if form == "call" and tree[1] is not None and tree[2] == "filter":
            self._call(tree, names)
            return self._schema(tree[1], names)
        self.kind(tree, names)
        return None

    def _field(self, tree: Tree, names: Mapping[str, Spec | None]) -> Spec | None:
        _, of, name, is_optional, at = tree
        owner = self._schema(of, names)
        if owner is None or is_optional or "x-kubernetes-preserve-unknown-fields" in owner:
            return None
        if isinstance(owner.get("additionalProperties"), dict):
            return _inner(owner)
        properties = owner.get("properties")
        if properties is None:
            if owner.get("type") in (*_SCALARS, "array"):
                raise self._error(at, f"type '{_kind_of(owner)}' does not support field selection")
            return None
        found: Spec | None = properties.get(unescaped(name), properties.get(name))
        if found is None:
            raise self._error(at, f"undefined field '{name}'")
        return found

    def _operator(self, tree: Tree, names: Mapping[str, Spec | None]) -> str:
        _, sign, one, other, at = tree
        left, right = self.kind(one, names), self.kind(other, names)
        if sign == "in":
            return "bool"
        if "dyn" in (left, right) or "null_type" in (left, right):
            return "bool" if sign in _COMPARING else "dyn"
        if sign in _COMPARING:
            if left != right and not (sign not in ("==", "!=") and left in _NUMBERS and right in _NUMBERS):
                raise self._mismatch(at, _COMPARING[sign], left, right)
            return "bool"
        times = {left, right} <= {"timestamp", "duration"} and sign in "+-"
        if "list" in (left, right) or times:
            return "dyn"
        if left != right or left not in _ADDED[sign]:
            raise self._mismatch(at, _ARITHMETIC[sign], left, right)
        return left

    def _call(self, tree: Tree, names: Mapping[str, Spec | None]) -> str:
        _, target, name, arguments, _ = tree
        of = None
        if target is not None and target[0] != "literal":
            of = self._schema(target, names)
        if target is not None and arguments and arguments[0][0] == "name" and name in _BINDING:
            if name not in _TURNS:
                return "dyn"
            count = 2 if len(arguments) > 2 and name not in ("map", "filter") else 1
            turns = {turn[1]: _turn(of) if count == 1 else None for turn in arguments[:count]}
            names, arguments = {**names, **turns}, arguments[count:]
        for argument in arguments:
            self.kind(argument, names)
        found = certain_kind(tree)
        return found if found in ("bool", "int", "string", "double") else "dyn"

    def _mismatch(self, at: int, name: str, left: str, right: str) -> Exception:
        return self._error(at, f"found no matching overload for '{name}' applied to '({left}, {right})'")

    def _error(self, at: int, problem: str) -> Exception:
        return located(self._text, at, problem)


def _inner(of: Spec) -> Spec | None:
    """The items of a list, or the values of a map."""
    found = of.get("items") if of.get("type") == "array" else of.get("additionalProperties")
    return found if isinstance(found, dict) else None


def _turn(of: Spec | None) -> Spec | None:
    """What a macro goes over: the items of a list, or the keys of a map."""
    if of is None:
        return None
    return _inner(of) if of.get("type") == "array" else {"type": "string"}
