"""What ``--filter`` lets through."""

from __future__ import annotations

import pytest

from container_kit.cli.filters import Filters, has_label
from container_kit.errors import InvalidInput

TESTS = {
    "name": lambda item, value: value in item["name"],
    "status": lambda item, value: item["status"] == value,
    "label": lambda item, value: has_label(item["labels"], value),
}
ITEM = {"name": "web-1", "status": "running", "labels": {"a": "1", "b": ""}}


@pytest.mark.parametrize(
    ("words", "passes"),
    [
        ([], True),
        (["name=web"], True),
        (["name=db", "name=web"], True),
        (["name=web", "status=exited"], False),
        (["name=web", "status=exited", "status=running"], True),
        (["label=a"], True),
        (["label=a=1", "label=b"], True),
        (["label=a=2", "label=b"], False),
        (["label=c"], False),
    ],
)
def test_same_name_is_or_and_different_names_are_and(words: list[str], passes: bool) -> None:
    """Values of one filter are alternatives, filters must all hold, and so must all labels."""
    assert Filters.parse(words, TESTS).accepts(ITEM) is passes


@pytest.mark.parametrize("word", ["name", "colour=red"])
def test_wrong_filters_are_refused(word: str) -> None:
    """A filter without a value or with an unknown name is an error that names the filter."""
    with pytest.raises(InvalidInput, match=word.partition("=")[0]):
        Filters.parse([word], TESTS)
