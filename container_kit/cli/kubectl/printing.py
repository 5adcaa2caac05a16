"""Objects as ``-o`` wants them: yaml, json, name, jsonpath, custom-columns, go-template."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from container_kit.cli.kubectl.naming import shown_name
from container_kit.errors import InvalidInput

if TYPE_CHECKING:
    from container_kit.cluster.client.client import Client

__all__ = ["aligned", "as_yaml", "printed"]

Object = dict[str, Any]
_LEAST_WIDTH, _GAP = 6, 3
_PIECE = re.compile(r"\{([^{}]*)\}")


def printed(client: Client, objects: Sequence[Object], output: str, *, is_list: bool) -> str:
    """The text of *objects*, without a line's end after it.

    Args:
        output: The word after ``-o``.
        is_list: Whether they are printed as a list even if there is one.

    Raises:
        InvalidInput: There is no such form.
    """
    form, _, rest = output.partition("=")
    shown = [_without_managed(obj) for obj in objects]
    whole: Object = {"apiVersion": "v1", "items": shown, "kind": "List", "metadata": {"resourceVersion": ""}}
    if not is_list and len(shown) == 1:
        whole = shown[0]
    if form == "yaml":
        return as_yaml(whole).removesuffix("\n")
    if form == "json":
        return _escaped(json.dumps(whole, indent=4, sort_keys=True, ensure_ascii=False))
    if form == "name":
        return "\n".join(_name(client, obj) for obj in objects)
    if form == "jsonpath":
        return _jsonpath(whole, rest)
    if form == "custom-columns":
        return "\n".join(aligned(list(_columns(shown, rest))))
    if form == "go-template":
        from container_kit.cli.templates import Template

        return Template.parse(rest).render(whole)
    known = "wide, yaml, json, name, jsonpath=…, custom-columns=… and go-template=…"
    raise InvalidInput(f"unable to match a printer to {output!r}: there are {known}")


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines whose columns begin below each other, as kubectl sets them."""
    widths = [
        max(_LEAST_WIDTH, *(len(row[at]) + _GAP for row in rows if at < len(row) - 1))
        for at in range(max(map(len, rows), default=1) - 1)
    ]
    return [
        "".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)) + row[-1] for row in rows
    ]


def as_yaml(value: Any) -> str:
    """As kubectl writes YAML: sorted, text of several lines as such, what looks like no text in quotes."""
    import yaml

    return str(yaml.dump(value, Dumper=_dumper(), default_flow_style=False, allow_unicode=True))


@cache
def _dumper() -> Any:
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    reader: Any = yaml.SafeLoader("")

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
        is_else = reader.resolve(yaml.ScalarNode, value, (True, False)) != "tag:yaml.org,2002:str"
        style = "|" if "\n" in value else '"' if is_else or value.lower() in ("y", "n") else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    return Dumper


def _without_managed(obj: Object) -> Object:
    meta = {key: value for key, value in obj.get("metadata", {}).items() if key != "managedFields"}
    return {**obj, "metadata": meta}


def _escaped(text: str) -> str:
    """As Go's encoder leaves HTML alone."""
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _name(client: Client, obj: Object) -> str:
    group, slash, _ = obj["apiVersion"].partition("/")
    kind = obj["kind"].lower()
    return shown_name(client.resource(f"{kind}.{group}" if slash else kind), obj["metadata"]["name"])


def _jsonpath(value: Any, template: str) -> str:
    """A template of paths in braces, with ``{range path}…{end}`` and texts in quotes."""
    pieces = _PIECE.split(template)
    text, end = _render(pieces, 0, value)
    if end < len(pieces):
        raise InvalidInput(f"{template!r} has an {{end}} without a {{range}}")
    return text


def _render(pieces: list[str], at: int, value: Any) -> tuple[str, int]:
    from container_kit.cluster.kinds.custom.json_path import find_all

    out: list[str] = []
    while at < len(pieces):
        piece = pieces[at].strip() if at % 2 else pieces[at]
        if at % 2 == 0:
            out.append(piece)
        elif piece.startswith("range "):
            items = find_all(value, piece[6:].strip())
            ends = [_render(pieces, at + 1, item) for item in items] or [_render(pieces, at + 1, {})]
            out += [text for text, _ in ends] if items else []
            at = ends[0][1]
        elif piece == "end":
            return "".join(out), at
        elif piece[:1] in "\"'":
            out.append(piece[1:-1].encode().decode("unicode_escape"))
        else:
            out.append(" ".join(_word(found) for found in find_all(value, piece.removeprefix("@") or ".")))
        at += 1
    return "".join(out), at


def _word(value: Any) -> str:
    if isinstance(value, str):
        return value
    return _escaped(json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False))


def _columns(objects: Sequence[Object], text: str) -> Iterator[list[str]]:
    from container_kit.cluster.kinds.custom.json_path import find_all

    columns = [column.partition(":") for column in text.split(",")]
    if not all(path for _, _, path in columns):
        raise InvalidInput("custom columns are written NAME:path,NAME:path, such as NODE:.spec.nodeName")
    yield [name for name, _, _ in columns]
    for obj in objects:
        yield [",".join(map(_word, find_all(obj, path))) or "<none>" for _, _, path in columns]
