"""Rendering of ``--format`` templates over plain values (mappings, sequences, strings, numbers).

Values print as Go prints them: ``true``, ``[a b]``, ``map[k:v]``, ``<no value>``.  The grammar is in
`template_syntax`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import attrs

from container_kit.cli import template_syntax as syntax
from container_kit.errors import InvalidInput

__all__ = ["Template", "to_text"]

NO_VALUE = "<no value>"
_Scope = dict[str, Any]


@attrs.frozen
class Template:
    """A parsed ``--format`` template."""

    nodes: tuple[syntax.Node, ...]

    @classmethod
    def parse(cls, text: str) -> Template:
        r"""Read *text*; ``\t`` and ``\n`` written as two characters count as tab and newline.

        Raises:
            InvalidInput: It is not well formed.
        """
        return cls(syntax.parse(text.replace("\\t", "\t").replace("\\n", "\n")))

    def render(self, value: Mapping[str, Any]) -> str:
        """The text for one value.

        Raises:
            InvalidInput: A field that *value* itself does not have, or a function that does not exist.
        """
        return "".join(_render(self.nodes, value, {"$": value}))

    def fields(self) -> tuple[str, ...]:
        """The first field of each plain output, in order: what a table uses as its columns."""
        return tuple(_fields(self.nodes))


def to_json(value: Any) -> str:
    """*value* as one line of JSON; methods of a row, such as ``Label``, are not part of it."""
    if isinstance(value, Mapping):
        value = {key: item for key, item in value.items() if not callable(item)}
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def to_text(value: Any) -> str:
    """*value* as Go's ``%v`` prints it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return NO_VALUE
    if isinstance(value, Mapping):
        return "map[" + " ".join(f"{key}:{to_text(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + " ".join(to_text(item) for item in value) + "]"
    return str(value)


def _fields(nodes: Iterable[syntax.Node]) -> Iterable[str]:
    for node in nodes:
        if isinstance(node, syntax.Branch):
            yield from _fields(node.body)
        elif isinstance(node, syntax.Output):
            for operand in (operand for call in node.pipeline.calls for operand in call):
                if isinstance(operand, syntax.Path) and operand.base == "." and operand.fields:
                    yield operand.fields[0]


def _render(nodes: Iterable[syntax.Node], dot: Any, scope: _Scope) -> Iterable[str]:
    for node in nodes:
        if isinstance(node, syntax.Text):
            yield node.text
        elif isinstance(node, syntax.Output):
            yield to_text(_value(node.pipeline, dot, scope))
        elif isinstance(node, syntax.Assign):
            scope[node.name] = _value(node.pipeline, dot, scope)
        else:
            yield from _render_branch(node, dot, scope)


def _render_branch(node: syntax.Branch, dot: Any, scope: _Scope) -> Iterable[str]:
    value = _value(node.pipeline, dot, scope)
    if not value:
        yield from _render(node.otherwise, dot, scope)
    elif node.keyword == "range":
        for key, item in _items(value):
            yield from _render(node.body, item, {**scope, **_range_names(node.names, key, item)})
    else:
        inner = {**scope, **dict.fromkeys(node.names, value)}
        yield from _render(node.body, value if node.keyword == "with" else dot, inner)


def _items(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        return ((key, value[key]) for key in sorted(value))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return enumerate(value)
    raise InvalidInput(f"cannot range over {to_text(value)!r} in the format: it is not a list or a map")


def _range_names(names: tuple[str, ...], key: Any, item: Any) -> _Scope:
    return dict(zip(names, (key, item) if len(names) == 2 else (item,), strict=False))


def _value(pipeline: syntax.Pipeline, dot: Any, scope: _Scope) -> Any:
    piped: tuple[Any, ...] = ()
    for first, *rest in pipeline.calls:
        arguments = [_operand(operand, dot, scope) for operand in rest]
        if isinstance(first, syntax.Function):
            piped = (_call(first.name, [*arguments, *piped]),)
        elif (rest or piped) and callable(value := _operand(first, dot, scope)):
            piped = (value(*arguments, *piped),)  # a method, as in {{.Label "name"}}
        elif rest or piped:
            raise InvalidInput("a value in the format was given arguments: only functions take them")
        else:
            piped = (_operand(first, dot, scope),)
    return piped[0]


def _operand(operand: syntax.Operand, dot: Any, scope: _Scope) -> Any:
    if isinstance(operand, syntax.Literal):
        return operand.value
    if isinstance(operand, syntax.Function):
        return _call(operand.name, [])
    return _look_up(operand, _base(operand.base, dot, scope), scope["$"])


def _base(base: str | syntax.Pipeline, dot: Any, scope: _Scope) -> Any:
    if isinstance(base, syntax.Pipeline):
        return _value(base, dot, scope)
    if base == ".":
        return dot
    if base not in scope:
        raise InvalidInput(f"undefined variable {base!r} in the format")
    return scope[base]


def _look_up(path: syntax.Path, value: Any, top: Any) -> Any:
    for field in path.fields:
        if isinstance(value, Mapping) and field in value:
            value = value[field]
        elif value is top:
            known = ", ".join(f".{name}" for name in sorted(value))
            raise InvalidInput(f"there is no field .{field} for this format: choose from {known}")
        else:
            return None
    return value


def _call(name: str, arguments: list[Any]) -> Any:
    function = _FUNCTIONS.get(name)
    if function is None:
        raise InvalidInput(f"there is no function {name!r} for --format: choose from {', '.join(_FUNCTIONS)}")
    try:
        return function(*arguments)
    except (TypeError, KeyError, IndexError, ValueError) as error:
        raise InvalidInput(f"cannot apply {name!r} in the format: {error}") from error


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else value[key]
    return value


def _printf(pattern: str, *values: Any) -> str:
    return pattern.replace("%v", "%s").replace("%q", "%r") % tuple(
        item if isinstance(item, int | float) and not isinstance(item, bool) else to_text(item)
        for item in values
    )


def _and(*values: Any) -> Any:
    return next((value for value in values if not value), values[-1])


def _or(*values: Any) -> Any:
    return next((value for value in values if value), values[-1])


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "json": lambda value: to_json(value),
    "join": lambda values, separator: separator.join(to_text(value) for value in values),
    "split": lambda value, separator: value.split(separator),
    "upper": lambda value: to_text(value).upper(),
    "lower": lambda value: to_text(value).lower(),
    "title": lambda value: to_text(value).title(),
    "truncate": lambda value, length: to_text(value)[:length],
    "pad": lambda value, before, after: " " * before + to_text(value) + " " * after,
    "len": len,
    "index": _index,
    "slice": lambda value, *bounds: value[slice(*bounds)] if len(bounds) > 1 else value[bounds[0] :],
    "print": lambda *values: "".join(to_text(value) for value in values),
    "println": lambda *values: " ".join(to_text(value) for value in values) + "\n",
    "printf": _printf,
    "not": lambda value: not value,
    "and": _and,
    "or": _or,
    "eq": lambda value, *others: any(value == other for other in others),
    "ne": lambda value, other: value != other,
    "lt": lambda value, other: value < other,
    "le": lambda value, other: value <= other,
    "gt": lambda value, other: value > other,
    "ge": lambda value, other: value >= other,
}
