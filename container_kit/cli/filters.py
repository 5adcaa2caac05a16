"""``--filter NAME=VALUE``: values of one name are alternatives, different names must all hold.

Labels are the exception, as in docker: every label that is named must be there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeVar

import attrs

from container_kit.errors import InvalidInput

__all__ = ["Filters", "has_label"]

T = TypeVar("T")
Test = Callable[[T, str], bool]


@attrs.frozen
class Filters(Generic[T]):
    """What the ``--filter`` flags of one command ask for.

    Args:
        tests: For each known name, whether an object has a value.
        wanted: For each given name, its values in order.
    """

    tests: Mapping[str, Test[T]]
    wanted: Mapping[str, tuple[str, ...]]

    @classmethod
    def parse(cls, words: Iterable[str], tests: Mapping[str, Test[T]]) -> Filters[T]:
        """Read the flags.

        Raises:
            InvalidInput: No ``=``, or a name that this command does not know.
        """
        wanted: dict[str, tuple[str, ...]] = {}
        for word in words:
            name, equals, value = word.partition("=")
            if not equals:
                raise InvalidInput(f"filter {word!r} cannot be read: write NAME=VALUE")
            if name not in tests:
                raise InvalidInput(f"there is no filter {name!r}: choose from {', '.join(sorted(tests))}")
            wanted[name] = (*wanted.get(name, ()), value)
        return cls(tests, wanted)

    def accepts(self, item: T) -> bool:
        """Whether *item* passes all filters."""
        return all(
            (all if name == "label" else any)(self.tests[name](item, value) for value in values)
            for name, values in self.wanted.items()
        )

    def asks_for(self, name: str) -> bool:
        """Whether a filter of this name was given."""
        return name in self.wanted


def has_label(labels: Mapping[str, str], wanted: str) -> bool:
    """Whether *labels* has ``KEY``, or ``KEY=VALUE``."""
    key, equals, value = wanted.partition("=")
    return labels.get(key) == value if equals else key in labels
