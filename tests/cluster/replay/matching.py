"""Whether what a server answered is what was recorded, where placeholders stand for values of its own.

The same placeholder is the same value throughout a case, and different ones are different values: the first
answer that shows a placeholder binds it, and later requests that use it get the value that is bound.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["Bindings", "differences", "placeholders"]

_PATTERNS = {
    "uid": r"[0-9a-f]{8}-[0-9a-f-]{27}",
    "rv": r"\d+",
    "time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
    "microtime": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z",
    "cluster-ip": r"[0-9a-f.:]+",
    "pod-ip": r"[0-9a-f.:]+",
    "node-port": r"\d+",
    "continue": r"[\w=-]+",
    "jwt": r"[\w-]+\.[\w-]+\.[\w-]+",
    "pem": r"-----BEGIN [\s\S]*?-----END [A-Z ]+-----\n?",
    "age": r"(?:<invalid>|<unknown>|(?:\d+[dhmsy])+)",
    "commit": r"\S+",
    "state": r"\S+",
    "rand": r"[a-z0-9]{5}",
    "hash": r"[a-z0-9]{4,10}",
    "address": r"0x[0-9a-f]+",
    "rest": r"[\s\S]*",
}
_PLACEHOLDER = re.compile(rf"<({'|'.join(_PATTERNS)})(?:-(\d+))?>")


class Bindings:
    """What the placeholders of one case stand for."""

    def __init__(self, unbound: Callable[[str], str] | None = None) -> None:
        self.values: dict[str, str] = {}
        self._unbound = unbound

    def fill(self, part: Any) -> Any:
        """A request, or a part of one, with values in place of placeholders."""
        if isinstance(part, dict):
            return {self.fill(key): self.fill(value) for key, value in part.items()}
        if isinstance(part, list):
            return [self.fill(item) for item in part]
        if not isinstance(part, str):
            return part
        whole = _PLACEHOLDER.fullmatch(part)
        if whole and whole.group(1) == "node-port":
            return int(self._value(whole))
        return _PLACEHOLDER.sub(self._value, part)

    def _value(self, found: re.Match[str]) -> str:
        word = found.group()
        if word not in self.values:
            if self._unbound is None:
                raise KeyError(f"{word} is used by a request and no answer showed it")
            self.values[word] = self._unbound(word)
        return self.values[word]

    def matches(self, expected: str, actual: str) -> bool:
        """Whether *actual* is *expected*; binds what is new when it is."""
        words = list(_PLACEHOLDER.finditer(expected))
        if not words:
            return expected == actual
        found = _compiled(expected).fullmatch(actual)
        if found is None:
            return False
        new: dict[str, str] = {}
        for word, value in zip(words, found.groups(), strict=True):
            if word.group(2) is None:
                continue  # without a number: any value
            known = self.values.get(word.group(), new.get(word.group()))
            if known is not None and known != value:
                return False
            new[word.group()] = value
        self.values |= new
        return True


def placeholders(text: str) -> set[str]:
    """Those that occur in *text*."""
    return {found.group() for found in _PLACEHOLDER.finditer(text)}


def _compiled(expected: str) -> re.Pattern[str]:
    pieces, end = [], 0
    for word in _PLACEHOLDER.finditer(expected):
        pieces += [re.escape(expected[end : word.start()]), f"({_PATTERNS[word.group(1)]})"]
        end = word.end()
    return re.compile("".join([*pieces, re.escape(expected[end:])]))


def differences(expected: Any, actual: Any, bindings: Bindings, where: str = "") -> Iterator[str]:
    """What is not as recorded, one sentence each."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        yield from _of_objects(expected, actual, bindings, where)
    elif isinstance(expected, list) and isinstance(actual, list):
        if len(expected) != len(actual):
            yield f"{where}: {len(expected)} items expected, got {len(actual)}: {_short(actual)}"
        for number, (one, other) in enumerate(zip(expected, actual, strict=False)):
            yield from differences(one, other, bindings, f"{where}[{number}]")
    elif isinstance(expected, str):
        is_number = isinstance(actual, int) and not isinstance(actual, bool)
        as_text = str(actual) if is_number and _PLACEHOLDER.fullmatch(expected) else actual
        if not isinstance(as_text, str) or not bindings.matches(expected, as_text):
            yield f"{where}: expected {_short(expected)}, got {_short(actual)}"
    elif expected != actual or isinstance(expected, bool) is not isinstance(actual, bool):
        yield f"{where}: expected {_short(expected)}, got {_short(actual)}"


def _of_objects(
    expected: dict[str, Any], actual: dict[str, Any], bindings: Bindings, where: str
) -> Iterator[str]:
    left = dict(actual)
    for key, value in expected.items():
        found = (
            key if key in left else next((k for k in left if "<" in key and bindings.matches(key, k)), None)
        )
        if found is None:
            yield f"{where}.{key}: expected {_short(value)}, is missing"
        else:
            yield from differences(value, left.pop(found), bindings, f"{where}.{key}")
    for key, value in left.items():
        yield f"{where}.{key}: is there and was not recorded: {_short(value)}"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 300 else text[:300] + "…"
