"""Expressions have the values that Kubernetes documents, and cannot cost more than they may."""

from datetime import UTC, datetime
from typing import Any

import pytest

from container_kit.cluster.schema.cel import CelError, Program, compile_expression


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("self.min <= self.max", True),
        ("has(self.name)", False),
        ("self.items.all(x, x > 0)", True),
        ("self.items.map(x, x * 2)", [2, 4, 6]),
        ("self.items.sum() == 6 && self.items.isSorted()", True),
        ("self.items.indexOf(3)", 2),
        ("'k' in self.map && self.map.exists(k, k == 'k')", True),
        ("isQuantity('1Gi') && quantity('500Mi').isLessThan(quantity('1Gi'))", True),
        ("quantity('1k').compareTo(quantity('1000'))", 0),
        ("'%s has %d'.format(['a', 3])", "a has 3"),
        ("'a,b'.split(',').join('-')", "a-b"),
        ("'abc'.substring(1, 2) + 'ABC'.lowerAscii()", "babc"),
        ("'a1b22'.findAll('[0-9]+')", ["1", "22"]),
        ("url('https://host:8080/p?q=1').getHost()", "host:8080"),
        ("isURL('no url')", False),
        ("ip('10.0.0.1').family()", 4),
        ("cidr('10.0.0.0/8').containsIP('10.1.2.3')", True),
        ("self.at > timestamp('2020-01-01T00:00:00Z')", True),
        ("duration('1h') > duration('59m')", True),
        ("self.max == 2 ? 'two' : 'other'", "two"),
    ],
)
def test_values(text: str, value: Any) -> None:
    """CEL itself, and what Kubernetes adds to it."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    self_ = {"min": 1, "max": 2, "items": [1, 2, 3], "map": {"k": "v"}, "at": at}

    assert compile_expression(text).evaluate({"self": self_}) == value


@pytest.mark.parametrize("text", ["1 +", "self..x", "(", "'", "a" * 20_000])
def test_what_is_no_expression_is_refused(text: str) -> None:
    """While it is compiled, not later."""
    with pytest.raises(CelError):
        Program(text)


@pytest.mark.parametrize("text", ["self.none", "self.max + 'a'", "self.items[9]", "quantity('x')", "1 / 0"])
def test_what_has_no_value_is_an_error(text: str) -> None:
    """Never another exception."""
    with pytest.raises(CelError):
        Program(text).evaluate({"self": {"max": 1, "items": []}})


def test_an_expression_cannot_cost_more_than_it_may() -> None:
    """Nested loops over a list are stopped, and the next expression is not affected."""
    greedy = Program("self.all(a, self.all(b, self.all(c, a + b + c >= 0)))")
    with pytest.raises(CelError, match="costs too much"):
        greedy.evaluate({"self": list(range(100))}, most_steps=5_000)
    assert greedy.evaluate({"self": [1, 2]}) is True
