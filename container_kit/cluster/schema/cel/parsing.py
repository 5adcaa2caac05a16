"""From the text of an expression to its tree.

A tree is made of tuples: ``(kind, ...)``, where kind is one of ``literal`` (value), ``name`` (name, place),
``field`` (of, name, is optional, place), ``item`` (of, index, is optional), ``call`` (of or None, name,
arguments, place), ``list`` (items), ``map`` (pairs), ``and`` and ``or`` (two or more parts), ``if`` (three
parts), ``not``, ``minus`` and ``operator`` (sign, left, right, place).  None is deeper than `_DEEPEST`, so
that nothing that walks one can fail.

Source: Common Expression Language, "Language Definition", "Syntax".
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from container_kit.errors import InvalidInput

__all__ = ["CelError", "Tree", "located", "parse"]

Tree = tuple[Any, ...]

_LONGEST = 16_384  # characters of an expression
_DEEPEST = 100
_TOKEN = re.compile(
    r"""(?P<space>[ \t\n\f\r]+|//[^\n]*)
    |(?P<float>\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?)
    |(?P<int>(?:0x[0-9a-fA-F]+|\d+)[uU]?)
    |(?P<text>[bB]?[rR]\"{3}(?:[^"]|"(?!""))*\"{3}|[bB]?[rR]'{3}(?:[^']|'(?!''))*'{3}
        |[bB]?[rR]"[^"\n]*"|[bB]?[rR]'[^'\n]*'
        |[bB]?\"{3}(?:[^"\\]|\\.|"(?!""))*\"{3}|[bB]?'{3}(?:[^'\\]|\\.|'(?!''))*'{3}
        |[bB]?"(?:[^"\\\n]|\\.)*"|[bB]?'(?:[^'\\\n]|\\.)*')
    |(?P<name>[_a-zA-Z]\w*)
    |(?P<quoted>`[\w.\-/ ]+`)
    |(?P<sign>&&|\|\||==|!=|<=|>=|[-+*/%<>!?:.,()\[\]{}])""",
    re.VERBOSE | re.ASCII | re.DOTALL,
)
_OPERAND = (
    "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, "
    "IDENTIFIER}"
)
_BINDING = {
    "==": 1,
    "!=": 1,
    "<": 1,
    "<=": 1,
    ">": 1,
    ">=": 1,
    "in": 1,
    "+": 2,
    "-": 2,
    "*": 3,
    "/": 3,
    "%": 3,
}
_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\\"'`?])|[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.|\n|$))"
)
_PLAIN = dict(zip("abfnrtv", "\a\b\f\n\r\t\v", strict=True))
_WORDS = {"true": True, "false": False, "null": None}


class CelError(InvalidInput):
    """An expression cannot be compiled, or its evaluation failed."""


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


def parse(text: str) -> Tree:
    """The tree of an expression.

    Raises:
        CelError: It is none; says where.
    """
    if len(text) > _LONGEST:
        raise CelError(f"the expression has {len(text)} characters, and may have {_LONGEST}")
    return _Parser(text).whole()


def located(text: str, at: int, problem: str) -> CelError:
    """The error that *problem* is at a place of an expression, which is shown."""
    start = text.rfind("\n", 0, at) + 1
    line = text[start:].partition("\n")[0]
    where = f"{text.count(chr(10), 0, at) + 1}:{at - start + 1}"
    return CelError(f"ERROR: <input>:{where}: {problem}\n | {line}\n | {'.' * (at - start)}^")


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._split()
        self._place = 0
        self._depth = 0

    def _split(self) -> list[_Token]:
        found, at = [], 0
        while at < len(self._text):
            match = _TOKEN.match(self._text, at)
            if match is None:
                raise self._wrong(f"token recognition error at: '{self._text[at]}'", at)
            if match.lastgroup != "space":
                found.append(_Token(str(match.lastgroup), match[0], at))
            at = match.end()
        return [*found, _Token("end", "<EOF>", len(self._text.rstrip()))]

    def whole(self) -> Tree:
        tree = self._expression()
        if self._next.kind != "end":
            raise self._unexpected("extraneous input", "<EOF>")
        return tree

    # Tokens

    @property
    def _next(self) -> _Token:
        return self._tokens[self._place]

    def _take(self) -> _Token:
        token = self._next
        self._place += token.kind != "end"
        return token

    def _accepts(self, *signs: str) -> bool:
        """Take the next tokens if they are these."""
        for offset, sign in enumerate(signs):
            token = self._tokens[min(self._place + offset, len(self._tokens) - 1)]
            if token.text != sign or token.kind not in ("sign", "name"):
                return False
        self._place += len(signs)
        return True

    def _expect(self, sign: str) -> None:
        if not self._accepts(sign):
            raise self._unexpected("mismatched input", f"'{sign}'")

    def _unexpected(self, problem: str, expected: str) -> CelError:
        token = self._next
        return self._wrong(f"{problem} '{token.text}' expecting {expected}", token.at)

    def _wrong(self, problem: str, at: int) -> CelError:
        return located(self._text, at, f"Syntax error: {problem}")

    # Expressions

    def _expression(self) -> Tree:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._too_deep()
        tree = self._either()
        if self._accepts("?"):
            then = self._either()
            self._expect(":")
            tree = ("if", tree, then, self._expression())
        self._depth -= 1
        return tree

    def _too_deep(self) -> CelError:
        return CelError(f"ERROR: <input>:-1:0: expression recursion limit exceeded: {_DEEPEST}")

    def _either(self) -> Tree:
        parts = [self._both()]
        while self._accepts("||"):
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else ("or", *parts)

    def _both(self) -> Tree:
        parts = [self._binary(1)]
        while self._accepts("&&"):
            parts.append(self._binary(1))
        return parts[0] if len(parts) == 1 else ("and", *parts)

    def _binary(self, least: int) -> Tree:
        tree = self._unary()
        count = 0
        while self._next.kind in ("sign", "name") and _BINDING.get(self._next.text, 0) >= least:
            count += 1
            if self._depth + count > _DEEPEST:
                raise self._too_deep()
            _, sign, at = self._take()
            tree = ("operator", sign, tree, self._binary(_BINDING[sign] + 1), at)
        return tree

    def _unary(self) -> Tree:
        signs = []
        while self._next.text in ("!", "-") and self._next.kind == "sign":
            signs.append(self._take().text)
            if len(signs) > 2 and signs[-1] != signs[-2]:
                raise self._unexpected("mismatched input", _OPERAND)
        if len(signs) % 2 and signs[0] == "-" and self._next.kind in ("int", "float"):
            return self._member(("literal", self._number(self._take(), sign=-1)))
        tree = self._member(self._primary())
        if len(signs) % 2 == 0:
            return tree
        return ("not" if signs[0] == "!" else "minus", tree)

    def _member(self, tree: Tree) -> Tree:
        for count in range(_LONGEST):
            if self._depth + count > _DEEPEST:
                raise self._too_deep()
            at = self._next.at
            if self._accepts("."):
                is_optional = self._accepts("?")
                name, opening = self._field_name(), self._next.at
                if not is_optional and self._accepts("("):
                    tree = ("call", tree, name, self._arguments(")"), opening)
                else:
                    tree = ("field", tree, name, is_optional, at)
            elif self._accepts("["):
                is_optional = self._accepts("?")
                tree = ("item", tree, self._expression(), is_optional)
                self._expect("]")
            else:
                break
        return tree

    def _field_name(self) -> str:
        if self._next.kind not in ("name", "quoted"):
            raise self._unexpected("no viable alternative at input", "IDENTIFIER")
        return self._take().text.strip("`")

    def _arguments(self, end: str) -> tuple[Tree, ...]:
        found: list[Tree] = []
        while not self._accepts(end):
            if found:
                self._expect(",")
                if end != ")" and self._accepts(end):
                    break  # lists may end with a comma
            found.append(self._expression())
        return tuple(found)

    def _primary(self) -> Tree:
        token = self._next
        if token.kind in ("int", "float"):
            return ("literal", self._number(self._take()))
        if token.kind == "text":
            return ("literal", _text_of(self._take().text, lambda why: self._wrong(why, token.at)))
        if token.kind == "name" and token.text != "in":
            return self._name()
        if self._accepts("("):
            tree = self._expression()
            self._expect(")")
            return tree
        if self._accepts("["):
            return ("list", *self._arguments("]"))
        if self._accepts("{"):
            return ("map", *self._pairs())
        if self._accepts("."):
            return self._name()
        raise self._unexpected("mismatched input", _OPERAND)

    def _name(self) -> Tree:
        at, name, opening = self._next.at, self._field_name(), self._next.at
        if name in _WORDS:
            return ("literal", _WORDS[name])
        if self._accepts("("):
            return ("call", None, name, self._arguments(")"), opening)
        return ("name", name, at)

    def _pairs(self) -> tuple[Tree, ...]:
        found: list[Tree] = []
        while not self._accepts("}"):
            if found:
                self._expect(",")
                if self._accepts("}"):
                    break
            is_optional = self._accepts("?")
            key = self._expression()
            self._expect(":")
            found.append((key, self._expression(), is_optional))
        return tuple(found)

    def _number(self, token: _Token, sign: int = 1) -> int | float:
        if token.kind == "float":
            return sign * float(token.text)
        digits = token.text.rstrip("uU")
        value = sign * (int(digits[2:], 16) if digits.startswith("0x") else int(digits))
        if not -(2**63) <= value < (2**64 if digits != token.text else 2**63):
            raise self._wrong("invalid int literal", token.at)
        return value


def _text_of(literal: str, wrong: Any) -> str | bytes:
    """What a literal of text or bytes stands for."""
    start = min(place for place in (literal.find('"'), literal.find("'")) if place >= 0)
    prefix, body = literal[:start].lower(), literal[start:]
    width = 3 if len(body) >= 6 and body[:3] in ('"""', "'" * 3) else 1
    body = body[width:-width]
    if "r" not in prefix:
        body = _ESCAPE.sub(lambda match: _escaped(match, wrong), body)
    return body.encode() if "b" in prefix else body


def _escaped(match: re.Match[str], wrong: Any) -> str:
    plain, *numbers, octal, unknown = match.groups()
    if unknown is not None:
        raise wrong("unable to unescape string")
    if plain is not None:
        return _PLAIN.get(plain, plain)
    code = int(octal, 8) if octal else int(next(number for number in numbers if number), 16)
    if code > 0x10FFFF or 0xD800 <= code < 0xE000:
        raise wrong("unable to unescape string")
    return chr(code)
