"""JSONPath, as far as printer columns and selectable fields use it.

``.spec.replicas``, ``.status.conditions[?(@.type=="Ready")].status``, ``.metadata.annotations.a\\.b``,
``.items[0]['key']``, ``[*]``.

Source: Kubernetes, "JSONPath Support".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

__all__ = ["find_all", "first"]

_Step = Callable[[list[Any]], list[Any]]
_TOKEN = re.compile(
    r"""\.?\.(?P<name>(?:\\.|[^.\[\]\\])+)
    | \[\s*(?P<index>-?\d+)\s*\]
    | \[\s*(?P<quoted>'[^']*'|"[^"]*")\s*\]
    | (?P<every>\.?\[\*\])
    | \[\?\(\s*@\.(?P<field>[\w.\-/\\]+)\s*==\s*(?P<wanted>'[^']*'|"[^"]*"|[\w.\-]+)\s*\)\]
    """,
    re.VERBOSE,
)


def find_all(obj: Any, path: str) -> list[Any]:
    """Every value that *path* leads to; none, when it is no path that we know."""
    found = [obj]
    for step in _steps(path):
        found = step(found)
    return found


def first(obj: Any, path: str) -> Any:
    """The first value that *path* leads to, or None."""
    found = find_all(obj, path)
    return found[0] if found else None


@cache
def _steps(path: str) -> tuple[_Step, ...]:
    text = path.strip().removeprefix("{").removesuffix("}").removeprefix("$")
    text = text if text.startswith((".", "[")) else f".{text}"
    steps, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            return (lambda values: [],)
        steps.append(_step(match))
        at = match.end()
    return tuple(steps)


def _step(match: re.Match[str]) -> _Step:
    if match["index"]:
        return _item(int(match["index"]))
    if match["every"] or match["name"] == "*":
        return lambda values: [item for value in values for item in _children(value)]
    if match["field"]:
        return _filter(match["field"], _unquoted(match["wanted"]))
    name = match["name"] or match["quoted"]
    return _field(_unquoted(name) if match["quoted"] else re.sub(r"\\(.)", r"\1", name))


def _unquoted(text: str) -> str:
    return text[1:-1] if text[:1] in "'\"" else text


def _field(name: str) -> _Step:
    return lambda values: [value[name] for value in values if isinstance(value, dict) and name in value]


def _item(index: int) -> _Step:
    def step(values: list[Any]) -> list[Any]:
        return [v[index] for v in values if isinstance(v, list) and -len(v) <= index < len(v)]

    return step


def _children(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []


def _filter(field: str, wanted: str) -> _Step:
    def fits(item: Any) -> bool:
        value = first(item, f".{field}")
        return ("true" if value else "false") == wanted if isinstance(value, bool) else str(value) == wanted

    return lambda values: [item for value in values for item in _children(value) if fits(item)]
