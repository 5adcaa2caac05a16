"""Expressions have the values that Kubernetes documents, and cannot cost more than they may."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_kit.cluster.schema.cel import CelError, Meter, Program, compile_expression


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
        # one part that decides is enough
        ("self.none || true", True),
        ("1 / 0 == 1 && false", False),
        ("[0, 1].exists(x, 1 / x == 1)", True),
        ("[1, 2].all(i, x, x > i) && [1, 2].transformList(i, x, i + x) == [1, 3]", True),
        ("{'a': 1}.transformMap(k, v, v + 1) == {'a': 2}", True),
        ("cel.bind(x, self.max, x * x)", 4),
        ("[1, 2, 3].exists_one(x, x > 2) && [1, 2].map(x, x > 1, x * 10) == [20]", True),
        # optional values
        ("self.?none.orValue('d') + self.map[?'k'].value()", "dv"),
        ("self.?map.k.hasValue() && !self.?none.?k.hasValue()", True),
        ("optional.of(2).optMap(x, x + 1).orValue(0)", 3),
        ("{?'a': self.?none, 'b': 1}", {"b": 1}),
        # numbers
        ("-7 / 2 == -3 && -7 % 2 == -1 && 7u == 7 && 1.0 == 1 && 0xFF == 255", True),
        ("double('1.5') + 1.5 == 3.0 && int('7') == 7 && int(2.9) == 2 && string(1.5) == '1.5'", True),
        ("type(1) == int && type('a') == string && type(self.items) == list", True),
        # texts
        (r"""'\x41\u00e9\n' + r'\d' + '''a'b'''""", "Aé\n\\da'b"),
        ("'%.2f %x %b %s'.format([1.5, 255, 5, [1, true]])", "1.50 ff 101 [1, true]"),
        ("'tacocat'.indexOf('o') == 3 && 'a b'.replace(' ', '') == 'ab' && ' x '.trim() == 'x'", True),
        ("'abc'.charAt(1) + 'xyz'.find('[y-z]+')", "byz"),
        ("self.map.all(k, k.matches('^[a-z]$'))", True),
        # times
        ("timestamp('2026-03-01T10:00:00Z').getMonth() == 2 && duration('90m').getHours() == 1", True),
        ("(self.at + duration('24h')).getDate() == 2 && string(duration('1h')) == '3600s'", True),
        ("timestamp('2026-01-01T23:30:00Z').getHours('+09:00')", 8),
        # Kubernetes
        ("quantity('1.5Gi').add(quantity('512Mi')).compareTo(quantity('2Gi'))", 0),
        ("quantity('50k').asInteger() == 50000 && !quantity('50m').isInteger()", True),
        ("ip('::1').isLoopback() && !isIP('::ffff:1.2.3.4') && ip.isCanonical('2001:db8::abcd')", True),
        (
            "cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8') && cidr('10.1.2.3/8').ip() == ip('10.1.2.3')",
            True,
        ),
        ("cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && cidr('::/0').prefixLength() == 0", True),
        ("string(ip('10.0.0.1')) == '10.0.0.1' && !cidr('10.0.0.0/8').containsIP(ip('11.0.0.1'))", True),
        ("url('https://u@h.io:80/a%20b?k=1&k=2').getQuery()['k']", ["1", "2"]),
        ("url('https://[::1]:80/').getHostname() + url('https://h/').getPort()", "[::1]"),
        ("format.dns1123Label().validate('A').hasValue()", True),
        ("format.named('date').value().validate('2026-01-01').hasValue()", False),
        ("sets.contains([1, 2], [2]) && sets.equivalent([1, 1], [1]) && !sets.intersects([1], [2])", True),
        ("[3, 1, 2].min() == 1 && [3.5, 1.0].max() == 3.5 && ['a', 'b'].isSorted()", True),
        # fields that are words of the language, or have signs in their names
        ("self.odd.my__dash__name + self.odd.__namespace__", 3),
    ],
)
def test_values(text: str, value: Any) -> None:
    """CEL itself, and what Kubernetes adds to it."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    self_ = {"min": 1, "max": 2, "items": [1, 2, 3], "map": {"k": "v"}, "at": at}
    self_ |= {"odd": {"my-name": 1, "namespace": 2}}

    assert compile_expression(text).evaluate({"self": self_}) == value


@pytest.mark.parametrize("text", ["1 +", "self..x", "(", "'", "a" * 20_000])
def test_what_is_no_expression_is_refused(text: str) -> None:
    """While it is compiled, not later."""
    with pytest.raises(CelError):
        Program(text)


@pytest.mark.parametrize(
    "text",
    [
        "self.none",
        "self.max + 'a'",
        "self.items[9]",
        "quantity('x')",
        "1 / 0",
        "9223372036854775807 + 1",
        "self.max.x",
        "duration('9999999999999h')",
        "'a' < 1",
        "!1",
        "self.max ? 1 : 2",
        "none",
        "timestamp('x')",
        "ip('10.0.0.1/8')",
        "'a'.matches('(')",
        "int('x')",
        "has(self.max.x)",
        "optional.none().value()",
        "bytes(1)",
        "'%d'.format(['x'])",
        "'%d'.format([])",
        "[1].map(x, y)",
        "{}['a']",
    ],
)
def test_what_has_no_value_is_an_error(text: str) -> None:
    """Never another exception."""
    with pytest.raises(CelError):
        Program(text).evaluate({"self": {"max": 1, "items": []}})


_HOSTILE = {
    "nested loops": ("self.all(a, self.all(b, self.all(c, a + b + c >= 0)))", list(range(1000))),
    "a text that is doubled": ("[self]" + ".map(a, a + a)" * 60 + ".size()", "x" * 100),
    "a list that is doubled": ("[self]" + ".map(a, a + a)" * 60 + ".size()", [1, 2]),
    "a list in which all is shared": (
        "[self]" + ".map(a, [a, a])" * 60 + " == [self]" + ".map(a, [a, a])" * 60,
        1,
    ),
    "a shared list as a text": ("'%s'.format([[self]" + ".map(a, [a, a])" * 60 + "])", 1),
    "a text in each place of a text": ("self.replace('', self).replace('', self).size()", "x" * 10_000),
    "a number with many places": ("'%.999999999f'.format([1.0])", 1),
    "a search for each": ("self.all(i, self.indexOf(i + 1000000) < 0)", list(range(5000))),
    "many large patterns": (
        "self.all(i, !'x'.matches('([a-z]{' + string(i) + '}){3}'))",
        list(range(1, 1000)),
    ),
    "a deep tree": ("(" * 8000 + "1" + ")" * 8000, 1),
    "a long chain": ("1" + "+1" * 8000, 1),
    "long ways": ("self" + ".a" * 8000, 1),
    "many joined": ("self.map(x, self.join(',')).join(',').size()", ["x" * 100] * 2000),
}


@pytest.mark.parametrize("name", _HOSTILE)
def test_an_expression_cannot_cost_more_than_it_may(name: str) -> None:
    """It is stopped, or not compiled at all, before it takes much time or memory."""
    text, value = _HOSTILE[name]
    with pytest.raises(CelError, match=r"costs too much|recursion limit|no such clause"):
        Program(text).evaluate({"self": value})


def test_who_was_stopped_is_not_made_up_for() -> None:
    """An alternative that holds does not hide that the first one cost too much."""
    greedy = Program("self.all(a, self.all(b, self.all(c, a + b + c >= 0))) || true")
    with pytest.raises(CelError, match="costs too much"):
        greedy.evaluate({"self": list(range(1000))})
    assert greedy.evaluate({"self": [1, 2]}) is True


def test_expressions_share_a_meter() -> None:
    """What one has spent the next one cannot."""
    meter, program = Meter(1000), Program("self.all(x, x > 0)")
    with pytest.raises(CelError, match="costs too much"):
        for _ in range(1000):
            program.evaluate({"self": [1, 2, 3]}, meter=meter)


@given(st.text(alphabet="abx01+-*/%<>=!&|?:.,()[]{}'\"\\\\ \n`", max_size=60))
def test_any_text_is_an_expression_or_an_error(text: str) -> None:
    """Nothing else comes out of it, and it always ends."""
    try:
        Program(text).evaluate({"a": [1], "b": {"a": "x"}, "x": 1.5})
    except CelError:
        return
