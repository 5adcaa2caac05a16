"""Label selectors: as text (``app=web,tier in (a, b),!old``) and as the LabelSelector of specifications.

Source: apimachinery labels/selector.go (grammar, messages), meta/v1 LabelSelector.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from container_kit.cluster.meta.names import label_value_problems, qualified_name_problems
from container_kit.cluster.meta.status import go_quoted

__all__ = ["EVERYTHING", "NOTHING", "LabelSelector", "Requirement", "SelectorError"]

Operator = Literal["in", "notin", "=", "==", "!=", "exists", "!", "gt", "lt"]
_COMPARISONS = "in, notin, =, ==, !=, gt, lt"


class SelectorError(ValueError):
    """The text is no selector; the message is that of Kubernetes."""


class Requirement(NamedTuple):
    """One condition on labels."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether labels meet it."""
        value = labels.get(self.key)
        match self.operator:
            case "exists":
                return value is not None
            case "!":
                return value is None
            case "notin" | "!=":
                return value is None or value not in self.values
            case "gt" | "lt":
                return value is not None and _compares(value, self.operator, self.values[0])
        return value is not None and value in self.values

    def __str__(self) -> str:
        match self.operator:
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case "in" | "notin":
                return f"{self.key} {self.operator} ({','.join(sorted(self.values))})"
            case "gt" | "lt":
                return f"{self.key}{'>' if self.operator == 'gt' else '<'}{self.values[0]}"
        return f"{self.key}{self.operator}{self.values[0]}"


def _compares(value: str, operator: str, limit: str) -> bool:
    try:
        return int(value) > int(limit) if operator == "gt" else int(value) < int(limit)
    except ValueError:
        return False


class LabelSelector:
    """Requirements that labels must all meet; none are met by everything.

    ``None`` as requirements selects nothing at all.
    """

    __slots__ = ("_equal", "requirements")

    def __init__(self, requirements: Sequence[Requirement] | None) -> None:
        self.requirements = None if requirements is None else tuple(requirements)
        # Most selectors are a few equalities, which need no dispatch.
        self._equal: list[tuple[str, str]] | None = None
        if requirements is not None and all(r.operator in ("=", "==") for r in requirements):
            self._equal = [(r.key, r.values[0]) for r in requirements]

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether it selects what has these labels."""
        if self._equal is not None:
            return all(labels.get(key) == value for key, value in self._equal)
        return self.requirements is not None and all(r.matches(labels) for r in self.requirements)

    @property
    def is_everything(self) -> bool:
        """Whether it selects whatever there is."""
        return self.requirements == ()

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements or ()))

    @classmethod
    def parse(cls, text: str) -> LabelSelector:
        """The selector that a ``labelSelector`` parameter means.

        Raises:
            SelectorError: It means nothing.
        """
        return cls(_Parser(text).requirements()) if text.strip() else EVERYTHING

    @classmethod
    def from_labels(cls, labels: Mapping[str, str] | None) -> LabelSelector:
        """Equality with each of these; the selectors of Services and ReplicationControllers."""
        return (
            cls([Requirement(key, "=", (labels[key],)) for key in sorted(labels)]) if labels else EVERYTHING
        )

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any] | None) -> LabelSelector:
        """The selector of a LabelSelector object; an absent one selects nothing, an empty one everything.

        Raises:
            SelectorError: An operator is unknown, or its values do not fit it.
        """
        if spec is None:
            return NOTHING
        labels: Mapping[str, str] = spec.get("matchLabels") or {}
        equal = [Requirement(key, "=", (labels[key],)) for key in sorted(labels)]
        more = [_from_expression(each) for each in spec.get("matchExpressions") or ()]
        return cls(sorted(equal + more, key=lambda requirement: requirement.key))


EVERYTHING = LabelSelector(())
NOTHING = LabelSelector(None)

_EXPRESSIONS: dict[str, Operator] = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


def _from_expression(expression: Mapping[str, Any]) -> Requirement:
    operator = _EXPRESSIONS.get(expression.get("operator") or "")
    if operator is None:
        raise SelectorError(
            f"{go_quoted(expression.get('operator') or '')} is not a valid label selector operator"
        )
    values = tuple(expression.get("values") or ())
    if (operator in ("in", "notin")) != bool(values):
        raise SelectorError(
            f"the values of operator {expression['operator']} of label {expression['key']!r} do not fit it"
        )
    return Requirement(expression["key"], operator, values)


_TOKEN = re.compile(r"\s*(==|!=|[=!,()<>]|[^\s=!,()<>]+)")
_SYMBOLS = frozenset(("==", "!=", "=", "!", ",", "(", ")", "<", ">"))
_END = ""


class _Parser:
    """Reads the text from left to right, one token ahead."""

    def __init__(self, text: str) -> None:
        self._tokens = _TOKEN.findall(text)
        self._at = 0

    def requirements(self) -> list[Requirement]:
        found: list[Requirement] = []
        while True:
            if self._peek() not in (_END, ",") and (self._is_word(self._peek()) or self._peek() == "!"):
                found.append(self._requirement())
                if (after := self._next()) == _END:
                    return sorted(found, key=lambda requirement: requirement.key)
                if after != ",":
                    raise SelectorError(f"found '{after}', expected: ',' or 'end of string'")
                if not self._is_word(self._peek()) and self._peek() != "!":
                    raise SelectorError(f"found '{self._peek()}', expected: identifier after ','")
            elif self._peek() == _END:
                return found
            else:
                raise SelectorError(f"found '{self._peek()}', expected: !, identifier, or 'end of string'")

    def _requirement(self) -> Requirement:
        try:
            return self._checked(self._read_requirement())
        except SelectorError as error:
            raise SelectorError(f"unable to parse requirement: {error}") from None

    def _read_requirement(self) -> Requirement:
        negated = self._peek() == "!"
        if negated:
            self._next()
        key = self._next()
        if not self._is_word(key):
            raise SelectorError(f"found '{key}', expected: identifier")
        if problems := qualified_name_problems(key):
            raise SelectorError(f"<nil>: Invalid value: {go_quoted(key)}: {'; '.join(problems)}")
        if negated:
            return Requirement(key, "!")
        if self._peek() in (_END, ","):
            return Requirement(key, "exists")
        return self._comparison(key)

    def _comparison(self, key: str) -> Requirement:
        match self._next():
            case "in" | "notin" as operator:
                return Requirement(key, "in" if operator == "in" else "notin", self._values())
            case "=" | "==" as operator:
                return Requirement(key, operator, (self._value(),))
            case "!=":
                return Requirement(key, "!=", (self._value(),))
            case ">" | "<" as operator:
                return Requirement(key, "gt" if operator == ">" else "lt", (self._value(),))
            case token:
                raise SelectorError(f"found '{token}', expected: {_COMPARISONS}")

    def _values(self) -> tuple[str, ...]:
        if (token := self._next()) != "(":
            raise SelectorError(f"found '{token}' expected: '('")
        values: list[str] = []
        after_comma = True
        while (word := self._next()) != ")":
            if word == ",":
                if after_comma:
                    values.append("")
                after_comma = True
            elif self._is_word(word):
                values.append(word)
                after_comma = False
            else:
                raise SelectorError(f"found '{word}', expected: ',', ')' or identifier")
        return tuple([*values, ""] if after_comma else values)

    def _value(self) -> str:
        """One value; none means the empty one."""
        if self._peek() in (_END, ","):
            return ""
        token = self._next()
        if not self._is_word(token):
            raise SelectorError(f"found '{token}', expected: identifier")
        return token

    def _checked(self, requirement: Requirement) -> Requirement:
        if requirement.operator in ("gt", "lt") and not _is_integer(requirement.values[0]):
            value = go_quoted(requirement.values[0])
            detail = "for 'Gt', 'Lt' operators, the value must be an integer"
            raise SelectorError(f"values[0]: Invalid value: {value}: {detail}")
        for index, value in enumerate(requirement.values):
            if problems := label_value_problems(value):
                where = f"values[{index}][{requirement.key}]"
                raise SelectorError(f"{where}: Invalid value: {go_quoted(value)}: {'; '.join(problems)}")
        return requirement

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else _END

    def _next(self) -> str:
        token = self._peek()
        self._at += 1
        return token

    @staticmethod
    def _is_word(token: str) -> bool:
        return token != _END and token not in _SYMBOLS


def _is_integer(text: str) -> bool:
    return re.fullmatch(r"[+-]?\d+", text) is not None
