"""Field selectors: ``spec.nodeName=n1,status.phase!=Running``.

Only equality and its opposite exist.  Which fields a resource offers is the business of its kind; here a
selector is parsed and compared with the values that the kind found.

Source: apimachinery fields/selector.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from container_kit.cluster.meta.labels import SelectorError

__all__ = ["EVERY_FIELD", "FieldRequirement", "FieldSelector"]


class FieldRequirement(NamedTuple):
    """The value that a field must have, or must not have."""

    field: str
    value: str
    equal: bool = True

    def __str__(self) -> str:
        return f"{self.field}{'=' if self.equal else '!='}{self.value}"


class FieldSelector(NamedTuple):
    """Requirements that all must be met."""

    requirements: tuple[FieldRequirement, ...] = ()

    def matches(self, values: Mapping[str, str]) -> bool:
        """Whether fields with these values are selected; an absent field is an empty one."""
        return all((values.get(r.field, "") == r.value) == r.equal for r in self.requirements)

    def required(self, field: str) -> str | None:
        """The one value that *field* must have, if it must have one."""
        return next((r.value for r in self.requirements if r.field == field and r.equal), None)

    @property
    def fields(self) -> Iterable[str]:
        """The fields that it looks at."""
        return [requirement.field for requirement in self.requirements]

    @property
    def is_everything(self) -> bool:
        """Whether it selects whatever there is."""
        return not self.requirements

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))

    @classmethod
    def parse(cls, text: str) -> FieldSelector:
        """The selector that a ``fieldSelector`` parameter means.

        Raises:
            SelectorError: It means nothing.
        """
        terms = [term for term in _split(text) if term]
        return cls(tuple(_term(term, text) for term in terms))


EVERY_FIELD = FieldSelector()


def _split(text: str) -> list[str]:
    """At commas that no backslash precedes."""
    terms, start, escaped = [], 0, False
    for index, char in enumerate(text):
        if escaped:
            escaped = False
        elif char == "\\":
            escaped = True
        elif char == ",":
            terms.append(text[start:index])
            start = index + 1
    return [*terms, text[start:]]


def _term(term: str, whole: str) -> FieldRequirement:
    at = 0
    while at < len(term):
        if term[at] == "\\":
            at += 2
            continue
        for operator in ("!=", "==", "="):
            if term.startswith(operator, at):
                value = _unescaped(term[at + len(operator) :], whole)
                return FieldRequirement(term[:at], value, operator != "!=")
        at += 1
    raise SelectorError(f"invalid selector: '{whole}'; can't understand '{term}'")


def _unescaped(value: str, whole: str) -> str:
    found, chars = [], iter(value)
    for char in chars:
        if char == "\\":
            char = next(chars, "")
            if char not in ("\\", ",", "="):
                raise SelectorError(f"invalid field selector: invalid escape sequence in '{whole}'")
        elif char in (",", "="):
            raise SelectorError(f"invalid field selector: unescaped character in value: {value!r}")
        found.append(char)
    return "".join(found)
