"""Rules as people write them fit the types of which they speak; those that do not are told where."""

from __future__ import annotations

from typing import Any

import pytest

from container_kit.cluster.kinds.custom.rule_types import type_of_rule
from container_kit.cluster.schema.cel import CelError


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def _list(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


_TEXT, _COUNT = {"type": "string"}, {"type": "integer"}
_REFERENCE = _object(name=_TEXT, port=_COUNT, section=_TEXT)
_SCHEMA = _object(
    replicas=_COUNT,
    least=_COUNT,
    name=_TEXT,
    kind=_TEXT,
    weight={"type": "number"},
    enabled={"type": "boolean"},
    port={"x-kubernetes-int-or-string": True},
    begin={"type": "string", "format": "date-time"},
    labels={"type": "object", "additionalProperties": _TEXT},
    refs=_list(_REFERENCE),
    rules=_list(_object(filters=_list(_object(type=_TEXT)), refs=_list(_REFERENCE))),
    template={"type": "object", "x-kubernetes-preserve-unknown-fields": True},
)
_SCHEMA["properties"]["my-name"] = _TEXT


@pytest.mark.parametrize(
    "rule",
    [
        "self.least <= self.replicas && self.replicas % 2 == 1",
        "(has(self.rules) ? self.rules.map(r, size(r.filters)).sum() : 0) <= 16",
        "self.refs.all(a, self.refs.exists_one(b, a.name == b.name && has(a.section) == has(b.section)))",
        "self.rules[0].refs.size() < 17 || self.rules.filter(r, has(r.refs))[0].refs.size() == 1",
        "[has(self.name), has(self.kind), self.enabled].exists_one(x, x)",
        "self.labels.all(k, k.matches('^a') && self.labels[k] != '') && self.labels.app == self.name",
        "type(self.port) == int ? self.port > 0 : self.port.matches('^[0-9]+%$')",
        "self.begin - timestamp('2020-01-01T00:00:00Z') < duration('24h') && self.weight < 1.5",
        "self.template.spec.replicas > 3 || self.my__dash__name == self.metadata.name",
        "self.?name.orValue('') != '' && self == oldSelf && double(self.replicas) < self.weight",
        "cel.bind(n, self.replicas, n + self.least > 0) && self.name.split('/').size() == 2",
    ],
)
def test_rules_as_people_write_them(rule: str) -> None:
    """They give a truth value, as far as that can be known."""
    assert type_of_rule(rule, _SCHEMA, is_root=True, is_optional=False) in ("bool", "dyn")


@pytest.mark.parametrize(
    ("rule", "column", "problem"),
    [
        ("self.replicas == 'a'", 15, "found no matching overload for '_==_' applied to '(int, string)'"),
        ("self.replicas == 1.0", 15, "found no matching overload for '_==_' applied to '(int, double)'"),
        ("self.enabled + 1 == 2", 14, "found no matching overload for '_+_' applied to '(bool, int)'"),
        ("self.refs.all(r, r.nope == 1)", 19, "undefined field 'nope'"),
        ("self.rules.exists(r, r.refs.all(f, f.port == 'x'))", 43, "found no matching overload"),
        ("self.labels.a == 1", 15, "found no matching overload"),
        ("self.name.first == ''", 10, "type 'string' does not support field selection"),
        ("other.name == ''", 1, "undeclared reference to 'other' (in container '')"),
        ("unheard(self.name)", 8, "undeclared reference to 'unheard' (in container '')"),
    ],
)
def test_mistakes_are_told_with_their_place(rule: str, column: int, problem: str) -> None:
    """In the words of the original."""
    with pytest.raises(CelError) as told:
        type_of_rule(rule, _SCHEMA, is_root=True, is_optional=False)
    assert str(told.value).startswith(f"ERROR: <input>:1:{column}: {problem}")
