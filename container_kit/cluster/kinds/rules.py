"""Defaulting as data: trees of fields and of the values they get when they are absent.

A `Rules` tree mirrors the object. ``constants`` fill absent fields, ``within`` goes into a struct that is
there, ``each`` into every item of a list, ``first`` and ``then`` are functions for what depends on
other fields, run before and after the rest.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["Rules"]

Node = dict[str, Any]


class Rules:
    """How one struct is completed; calling it changes the struct in place and may be repeated.

    A field counts as absent when it is missing or has the zero value that the canonical form gives to
    unset structs and texts (``""`` and ``{}``); ``null`` likewise.
    """

    def __init__(
        self,
        constants: Mapping[str, Any] | None = None,
        *,
        within: Mapping[str, Callable[[Node], None]] | None = None,
        each: Mapping[str, Callable[[Node], None]] | None = None,
        first: Sequence[Callable[[Node], None]] = (),
        then: Sequence[Callable[[Node], None]] = (),
    ) -> None:
        self._scalars = [(key, value) for key, value in (constants or {}).items() if not _is_struct(value)]
        self._structs = [(key, value) for key, value in (constants or {}).items() if _is_struct(value)]
        self._within = tuple((within or {}).items())
        self._each = tuple((each or {}).items())
        self._first = tuple(first)
        self._then = tuple(then)

    def __call__(self, node: Node) -> None:
        for function in self._first:
            function(node)
        for key, value in self._scalars:
            if node.get(key) in _ABSENT:
                node[key] = value
        for key, value in self._structs:
            if node.get(key) is None:
                node[key] = copy.deepcopy(value)
        for key, rules in self._within:
            inner = node.get(key)
            if isinstance(inner, dict):
                rules(inner)
        for key, rules in self._each:
            for item in node.get(key) or ():
                rules(item)
        for function in self._then:
            function(node)


_ABSENT = (None, "")


def _is_struct(value: Any) -> bool:
    return isinstance(value, dict | list)
