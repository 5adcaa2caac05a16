"""The grammar of ``--format`` templates: text with ``{{...}}`` actions into a tree of nodes.

A subset of Go's text/template that covers what docker's users write: fields, variables, literals,
pipelines, parentheses, ``if``/``else``, ``with``, ``range``, comments and trim markers.
What a tree means is in `templates`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeAlias

import attrs

from container_kit.errors import InvalidInput

__all__ = ["Assign", "Branch", "Function", "Literal", "Node", "Output", "Path", "Pipeline", "Text", "parse"]


@attrs.frozen
class Literal:
    """A string, number, boolean or nil."""

    value: str | int | float | bool | None


@attrs.frozen
class Function:
    """The name of a function, at the start of a call."""

    name: str


@attrs.frozen
class Path:
    """``.A.B``, ``$x.A`` or ``(...).A``: *base* is "." or "$name" or a pipeline."""

    base: str | Pipeline
    fields: tuple[str, ...]


Operand: TypeAlias = Literal | Function | Path


@attrs.frozen
class Pipeline:
    """Calls joined by ``|``; each call's value becomes the last argument of the next."""

    calls: tuple[tuple[Operand, ...], ...]


@attrs.frozen
class Text:
    """Bytes between actions, written as they are."""

    text: str


@attrs.frozen
class Output:
    """``{{pipeline}}``: writes its value."""

    pipeline: Pipeline


@attrs.frozen
class Assign:
    """``{{$x := pipeline}}``: writes nothing."""

    name: str
    pipeline: Pipeline


@attrs.frozen
class Branch:
    """``if``, ``with`` or ``range``, with its variables, its body and its ``else`` body."""

    keyword: str
    names: tuple[str, ...]
    pipeline: Pipeline
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...]


Node: TypeAlias = Text | Output | Assign | Branch

# An action may hold "}}" inside a string, so strings are skipped whole.
_ACTION = re.compile(r'\{\{(-\s)?((?:"(?:\\.|[^"\\])*"|`[^`]*`|[^"`])*?)(\s-)?\}\}', re.DOTALL)
_TOKEN = re.compile(
    r"""\s*(?:
    (?P<string>"(?:\\.|[^"\\])*"|`[^`]*`) | (?P<number>-?\d+(?:\.\d+)?)
    | (?P<path>\$\w*(?:\.[A-Za-z_]\w*)* | (?:\.[A-Za-z_]\w*)+ | \. | [A-Za-z_][\w.]*)
    | (?P<sign>:=|\||\(|\)|,)
    )""",
    re.VERBOSE,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\"}
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "nil": None}
_OPENING = ("if", "with", "range")


def parse(text: str) -> tuple[Node, ...]:
    """The nodes of a template.

    Raises:
        InvalidInput: The template is not well formed; quotes the part that is not.
    """
    parser = _Parser(_pieces(text))
    nodes, ending = parser.nodes()
    if ending is not None:
        raise InvalidInput(f"unexpected {{{{{ending}}}}} in the format: nothing is open there")
    return nodes


def _pieces(text: str) -> Iterator[tuple[str, bool]]:
    """(text, is_action) in order, with trim markers already applied to the text."""
    position, trim_left = 0, False
    for match in _ACTION.finditer(text):
        before = text[position : match.start()]
        before = before.lstrip() if trim_left else before
        yield (before.rstrip() if match[1] else before), False
        yield match[2].strip(), True
        position, trim_left = match.end(), bool(match[3])
    rest = text[position:]
    if "{{" in rest:
        raise InvalidInput(f"unclosed action in the format: {rest[rest.index('{{') :]!r} has no '}}}}'")
    yield (rest.lstrip() if trim_left else rest), False


class _Parser:
    """Builds nodes from pieces; one method per level of the grammar."""

    def __init__(self, pieces: Iterator[tuple[str, bool]]) -> None:
        self._pieces = pieces

    def nodes(self) -> tuple[tuple[Node, ...], str | None]:
        """Nodes up to ``else``/``end`` (returned as the second value) or the end of the text."""
        found: list[Node] = []
        for text, is_action in self._pieces:
            if not is_action:
                if text:
                    found.append(Text(text))
                continue
            keyword = text.split(None, 1)[0] if text else ""
            if keyword in ("end", "else"):
                return tuple(found), text
            if keyword in _OPENING:
                found.append(self._branch(keyword, text[len(keyword) :]))
            elif not text.startswith("/*"):
                found.append(_statement(text))
        return tuple(found), None

    def _branch(self, keyword: str, rest: str) -> Branch:
        names, pipeline = _declared(rest)
        body, ending = self.nodes()
        otherwise: tuple[Node, ...] = ()
        if ending is not None and ending.startswith("else"):
            condition = ending[len("else") :].strip()
            if condition:
                inner = condition.split(None, 1)[0]
                otherwise, ending = (self._branch(inner, condition[len(inner) :]),), "end"
            else:
                otherwise, ending = self.nodes()
        if ending != "end":
            raise InvalidInput(f"{{{{{keyword}{rest}}}}} in the format has no {{{{end}}}}")
        return Branch(keyword, names, pipeline, body, otherwise)


def _statement(text: str) -> Output | Assign:
    names, pipeline = _declared(text)
    return Assign(names[0], pipeline) if names else Output(pipeline)


def _declared(text: str) -> tuple[tuple[str, ...], Pipeline]:
    """``$i, $x := pipeline`` into its names and pipeline."""
    match = re.match(r"\s*((?:\$\w+\s*,\s*)?\$\w+)\s*:?=(?!=)", text)
    names = tuple(name.strip() for name in match[1].split(",")) if match else ()
    tokens = list(_tokens(text[match.end() :] if match else text))
    pipeline, used = _pipeline(tokens, 0)
    if used != len(tokens):
        raise InvalidInput(f"cannot read {text.strip()!r} in the format: unexpected {tokens[used][1]!r}")
    return names, pipeline


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    position, text = 0, text.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or match.end() == position or match.lastgroup is None:
            raise InvalidInput(f"cannot read {text.strip()!r} in the format: unexpected {text[position:]!r}")
        yield match.lastgroup, match[match.lastgroup]
        position = match.end()


def _pipeline(tokens: list[tuple[str, str]], at: int) -> tuple[Pipeline, int]:
    calls: list[tuple[Operand, ...]] = []
    operands: list[Operand] = []
    while at < len(tokens) and tokens[at] != ("sign", ")"):
        if tokens[at] == ("sign", "|"):
            calls.append(tuple(operands))
            operands = []
            at += 1
        else:
            operand, at = _operand(tokens, at)
            operands.append(operand)
    calls.append(tuple(operands))
    if not all(calls):
        raise InvalidInput("empty action in the format: write a field such as {{.Name}}")
    return Pipeline(tuple(calls)), at


def _operand(tokens: list[tuple[str, str]], at: int) -> tuple[Operand, int]:
    kind, text = tokens[at]
    if kind == "string":
        return Literal(text[1:-1] if text[0] == "`" else _unescape(text[1:-1])), at + 1
    if kind == "number":
        return Literal(float(text) if "." in text else int(text)), at + 1
    if kind == "path":
        return _path(text), at + 1
    if text == "(":
        return _parenthesised(tokens, at + 1)
    raise InvalidInput(f"unexpected {text!r} in the format")


def _parenthesised(tokens: list[tuple[str, str]], at: int) -> tuple[Operand, int]:
    pipeline, at = _pipeline(tokens, at)
    if at >= len(tokens):
        raise InvalidInput("unclosed '(' in the format")
    at += 1
    fields: tuple[str, ...] = ()
    if (
        at < len(tokens)
        and tokens[at][0] == "path"
        and tokens[at][1].startswith(".")
        and tokens[at][1] != "."
    ):
        fields = tuple(tokens[at][1][1:].split("."))
        at += 1
    return Path(pipeline, fields), at


def _path(text: str) -> Operand:
    if text in _WORDS:
        return Literal(_WORDS[text])
    if text.startswith("$"):
        base, _, rest = text.partition(".")
        return Path(base, tuple(rest.split(".")) if rest else ())
    if text.startswith("."):
        return Path(".", tuple(text[1:].split(".")) if text != "." else ())
    if "." in text:
        raise InvalidInput(f"cannot read {text!r} in the format: a field starts with a dot, as in .{text}")
    return Function(text)


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), text)
