"""Label selectors as text and as objects."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_kit.cluster.meta import NOTHING, LabelSelector, SelectorError
from container_kit.cluster.meta.labels import Requirement

KEYS = st.sampled_from(["app", "tier", "example.com/x"])
VALUES = st.sampled_from(["", "web", "db", "5", "10"])
LABELS = st.dictionaries(KEYS, VALUES)


@pytest.mark.parametrize(
    ("text", "labels", "selected"),
    [
        ("x", {"x": ""}, True),
        ("!x", {"y": ""}, True),
        ("x=1", {"x": "1"}, True),
        ("x==1,y!=2", {"x": "1"}, True),
        ("x in (1, 2 )", {"x": "2"}, True),
        ("x notin (1,2)", {}, True),
        ("x in ()", {"x": ""}, True),
        ("x>1", {"x": "10"}, True),
        ("x<1", {"x": "word"}, False),
        ("x=", {"x": ""}, True),
        ("", {"anything": "at all"}, True),
        ("x=1,x=2", {"x": "1"}, False),
    ],
)
def test_selectors_select(text: str, labels: dict[str, str], selected: bool) -> None:
    """The grammar of selectors means what Kubernetes says that it means."""
    assert LabelSelector.parse(text).matches(labels) is selected


@given(
    st.builds(Requirement, KEYS, st.sampled_from(["in", "notin"]), st.lists(VALUES, min_size=1).map(tuple))
    | st.builds(Requirement, KEYS, st.sampled_from(["=", "!="]), st.tuples(VALUES))
    | st.builds(Requirement, KEYS, st.sampled_from(["exists", "!"])),
    LABELS,
)
def test_text_and_requirement_are_the_same(requirement: Requirement, labels: dict[str, str]) -> None:
    """What a requirement prints is parsed to one that selects the same."""
    assert LabelSelector.parse(str(requirement)).matches(labels) == requirement.matches(labels)


@given(LABELS)
def test_a_service_selects_as_an_equal_label_selector(labels: dict[str, str]) -> None:
    """A map of labels, the same map in matchLabels and its text select alike."""
    plain, spec = LabelSelector.from_labels(labels), LabelSelector.from_spec({"matchLabels": labels})
    parsed = LabelSelector.parse(str(plain))
    for candidate in ({}, labels, labels | {"more": "1"}, {"app": "web"}):
        assert plain.matches(candidate) == spec.matches(candidate) == parsed.matches(candidate)


def test_an_absent_selector_selects_nothing_and_an_empty_one_everything() -> None:
    """The two must never be confused: one would delete nothing, the other all."""
    assert not LabelSelector.from_spec(None).matches({}) and not NOTHING.matches({"a": "b"})
    assert LabelSelector.from_spec({}).matches({}) and LabelSelector.from_spec({}).is_everything


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a b c", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a in (", "unable to parse requirement: found '', expected: ',', ')' or identifier"),
        ("a=b!c", "found '!', expected: ',' or 'end of string'"),
        ("a>x", "for 'Gt', 'Lt' operators, the value must be an integer"),
        ("a=" + "b" * 64, "must be no more than 63 characters"),
    ],
)
def test_messages_are_those_of_kubernetes(text: str, message: str) -> None:
    """A selector that means nothing is refused in the recorded words."""
    with pytest.raises(SelectorError) as caught:
        LabelSelector.parse(text)
    assert message in str(caught.value)
