"""Strict reading of JSON documents that strangers wrote, and the one way we write ours.

The same bytes must mean the same to every reader.  So what parsers disagree about is refused: duplicate
keys, keys that differ only in case, NaN, lone surrogates, other encodings than UTF-8.  Budgets hold
before anything is allocated: a hostile document costs a bounded time and memory.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from container_kit.errors import InvalidInput, LimitExceeded

__all__ = ["MAX_DOCUMENT_BYTES", "Fields", "encode", "load_object"]

# The size up to which a registry must accept a manifest (OCI distribution-spec, "Pushing Manifests").
MAX_DOCUMENT_BYTES: Final = 4 * 1024 * 1024
_MAX_DEPTH: Final = 64
# Each value needs one of these characters before or after it, so their number bounds the memory.
_MAX_VALUES: Final = 150_000

_strings: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))

_T = TypeVar("_T")


def load_object(raw: bytes, what: str, max_bytes: int = MAX_DOCUMENT_BYTES) -> dict[str, Any]:
    """The JSON object in *raw*; *what* names the document in errors.

    Raises:
        LimitExceeded: More bytes, values or nesting than a real document has.
        InvalidInput: Not one JSON object in UTF-8, or one that two readers could understand differently.
    """
    _check_budget(raw, what, max_bytes)
    try:
        value = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_unique_keys, parse_constant=_refuse_constant
        )
        if b"\\ud" in raw or b"\\uD" in raw:
            json.dumps(value, ensure_ascii=False).encode("utf-8")  # refuses half a surrogate pair
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"cannot read {what}: {error}") from error
    if not isinstance(value, dict):
        raise InvalidInput(f"cannot read {what}: it is not a JSON object")
    return value


def encode(value: Mapping[str, Any]) -> bytes:
    """*value* as JSON: compact, UTF-8, keys in the order given, so equal inputs give equal digests."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8")


class Fields:
    """Typed access to the members of one JSON object.

    Unknown members are tolerated, as the specifications ask; JSON ``null`` counts as absent, as it
    does for Go programs.  Each error names the member by its full path.
    """

    __slots__ = ("_members", "_where")

    def __init__(self, members: Any, where: str, known: tuple[str, ...]) -> None:
        if not isinstance(members, dict):
            raise InvalidInput(f"{where} is not a JSON object")
        self._members: dict[str, Any] = members
        self._where = where
        self._refuse_other_spellings(known)

    def _refuse_other_spellings(self, known: tuple[str, ...]) -> None:
        # Go reads "Layers" as "layers"; a document with either spelling would have two meanings.
        strange = self._members.keys() - set(known)
        if strange:
            lower = {name.lower(): name for name in known}
            for name in strange:
                if name.lower() in lower:
                    raise InvalidInput(f"{self._where} has {name[:80]!r} instead of {lower[name.lower()]!r}")

    def __contains__(self, name: str) -> bool:
        return self._members.get(name) is not None

    def where(self, name: str) -> str:
        """The path of member *name*, for an error."""
        return f"{self._where}.{name}"

    def raw(self, name: str) -> Any:
        """The member as JSON gave it, or None."""
        return self._members.get(name)

    def text(self, name: str, default: str = "") -> str:
        """A string without NUL bytes, which no kernel interface could take."""
        value = self._members.get(name)
        return default if value is None else _text(value, self.where(name))

    def required_text(self, name: str) -> str:
        if name not in self:
            raise InvalidInput(f"{self._where} has no {name!r}")
        return self.text(name)

    def integer(self, name: str, low: int = 0, high: int = 2**63 - 1, default: int = 0) -> int:
        value = self._members.get(name)
        if value is None:
            return default
        if not isinstance(value, int) or isinstance(value, bool):
            raise InvalidInput(f"{self.where(name)} is not an integer")
        if not low <= value <= high:
            raise InvalidInput(f"{self.where(name)} is not between {low} and {high}")
        return value

    def boolean(self, name: str) -> bool:
        value = self._members.get(name, False)
        if value is not None and not isinstance(value, bool):
            raise InvalidInput(f"{self.where(name)} is not true or false")
        return bool(value)

    def items(self, name: str, convert: Callable[[Any, str], _T], limit: int = 10_000) -> tuple[_T, ...]:
        """An array, each of its values through *convert(value, where)*; absent means empty."""
        value = self._members.get(name)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise InvalidInput(f"{self.where(name)} is not an array")
        if len(value) > limit:
            raise LimitExceeded(f"{self.where(name)} has {len(value)} values; at most {limit} are read")
        return tuple(convert(item, f"{self.where(name)}[{at}]") for at, item in enumerate(value))

    def texts(self, name: str) -> tuple[str, ...]:
        return self.items(name, _text)

    def text_map(self, name: str) -> dict[str, str]:
        """An object whose values are strings."""
        members = self._object(name)
        return {
            _text(key, self.where(name)): _text(members[key], f"{self.where(name)}.{key}") for key in members
        }

    def key_set(self, name: str) -> tuple[str, ...]:
        """The keys of an object whose values mean nothing (``ExposedPorts``, ``Volumes``), in order."""
        return tuple(_text(key, self.where(name)) for key in self._object(name))

    def _object(self, name: str) -> dict[str, Any]:
        value = self._members.get(name)
        if value is not None and not isinstance(value, dict):
            raise InvalidInput(f"{self.where(name)} is not an object")
        return value or {}


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise InvalidInput(f"{where} is not a string")
    if "\0" in value:
        raise InvalidInput(f"{where} contains a NUL character")
    return value


def _check_budget(raw: bytes, what: str, max_bytes: int) -> None:
    if len(raw) > max_bytes:
        raise LimitExceeded(f"{what} has {len(raw)} bytes; at most {max_bytes} are read")
    brackets = raw.count(b"[") + raw.count(b"{")
    if brackets + raw.count(b",") > _MAX_VALUES:
        raise LimitExceeded(f"{what} has more than {_MAX_VALUES} values")
    if brackets > _MAX_DEPTH and _depth(raw) > _MAX_DEPTH:
        raise LimitExceeded(f"{what} is nested deeper than {_MAX_DEPTH} levels")


def _depth(raw: bytes) -> int:
    """How deep the brackets outside strings nest; stops counting just above the limit."""
    depth = deepest = 0
    for bracket in _strings.sub(b"", raw).translate(None, _NOT_BRACKETS):
        if bracket in b"[{":
            depth += 1
            deepest = max(deepest, depth)
            if depth > _MAX_DEPTH:
                break
        else:
            depth -= 1
    return deepest


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice[:80]!r} stands twice in one object")
    return members


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")
