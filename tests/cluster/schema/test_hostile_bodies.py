"""S17, S23: whatever the bytes of a body are, they are read or refused, and nothing else happens."""

import base64
import codecs
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from container_kit.cluster.meta import StatusError
from container_kit.cluster.schema import DecodeError, decode_body, schema_of, strict_errors
from container_kit.cluster.schema.decode import PROTOBUF
from container_kit.cluster.schema.patches import json_patch, merge_patch
from container_kit.cluster.schema.strategic import strategic_merge

SENT = [
    base64.b64decode(body)
    for body in json.loads((Path(__file__).parent / "kubectl-1.33.json").read_text()).values()
]
PLACES = st.floats(0, 1, exclude_max=True)


def _read(data: bytes, media_type: str) -> Any:
    """What the body says, or None when it is refused; whatever it says can be written as JSON."""
    try:
        obj, _ = decode_body(data, media_type)
    except DecodeError:
        return None
    assert isinstance(msgspec.json.encode(obj), bytes)
    return obj


@settings(max_examples=120, deadline=None, derandomize=True)
@given(
    st.sampled_from(SENT),
    st.lists(st.tuples(PLACES, st.binary(min_size=0, max_size=6), st.integers(0, 12)), max_size=6),
)
def test_protobuf_is_read_or_refused(body: bytes, changes: list[tuple[float, bytes, int]]) -> None:
    """Bodies of real clients, with bytes put in, taken out and replaced anywhere."""
    for place, put_in, taken_out in changes:
        at = int(place * len(body))
        body = body[:at] + put_in + body[at + taken_out :]
    _read(body, PROTOBUF)
    _read(b"k8s\0" + body[4:], PROTOBUF)


def _field(number: int, data: bytes) -> bytes:
    size, length = len(data), b""
    while size >= 0x80:
        length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + data


def test_envelopes_in_envelopes_are_refused() -> None:
    """Raw JSON inside of protobuf may be an envelope of its own, but not again and again."""
    revision = _field(1, _field(1, b"apps/v1") + _field(2, b"ControllerRevision"))
    body = b""
    for _ in range(2000):
        body = b"k8s\0" + revision + _field(2, _field(2, _field(1, body)))
    with pytest.raises(DecodeError):
        decode_body(body, PROTOBUF)


WORDS = ["a", ": ", "- ", "\n", "  ", "[", "]", "{", "}", ",", "? ", "&a ", "*a", "<<: ", "!!", "!", "|", ">"]
WORDS += ["'", '"', "#", "---", "%", "@", "\t", "1", "0x", "1e9", ":30", ".", "-", "~", "true", "\0", "\x85"]
WORDS += [
    "int ",
    "float ",
    "bool ",
    "set ",
    "omap ",
    "binary ",
    "timestamp ",
    "null ",
    "str ",
    "map ",
    "seq ",
]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.lists(st.sampled_from(WORDS), max_size=25).map("".join),
    st.sampled_from(["utf-8", "utf-16-le", "utf-16-be"]),
)
def test_yaml_is_read_or_refused(text: str, encoding: str) -> None:
    """Any sequence of what means something in YAML, in every encoding that it may have."""
    _read(("\ufeff" * (encoding != "utf-8") + text).encode(encoding), "application/yaml")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_depth_is_seen_in_every_encoding(encoding: str) -> None:
    """What is nested a hundred thousand deep is refused before the parser's own stack is at its end."""
    with pytest.raises(DecodeError, match="max depth"):
        decode_body(("\ufeff" + "- " * 100_000).encode(encoding), "application/yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1" + "0" * 5000, "1" + "0" * 5000),
        ("0x" + "f" * 5000, "0x" + "f" * 5000),
        ("1e999999", "1e999999"),
        ("1:30:30", "1:30:30"),
        ("18446744073709551615", 18446744073709551615),
        ("18446744073709551616", 18446744073709551616.0),
        ("0644", 0o644),
        ("1_000", 1000),
        ("!!timestamp 99999-99-99", "99999-99-99"),
        ("!!binary aGk=", "hi"),
        ("!!set {x}", {"x": None}),
        ("!!omap [x: 1]", [{"x": 1}]),
    ],
)
def test_yaml_says_nothing_that_json_cannot(text: str, value: Any) -> None:
    """Numbers that Go has no type for are floats or text, and so are the types that only YAML has."""
    assert decode_body(f"a: {text}".encode(), "application/yaml") == ({"a": value}, [])


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 1' + b"0" * 5000 + b"}",
        b'{"a" :' * 990 + b'1,"a":1' + b"}" * 990,
        codecs.BOM_UTF8 + b"{}",
    ],
)
def test_json_that_cannot_be_kept_is_refused(body: bytes) -> None:
    """Numbers of any length, and depth that only the search for duplicates meets."""
    with pytest.raises(DecodeError):
        decode_body(body)


def test_a_hundred_faults_are_enough() -> None:
    """As in the original: whoever makes more mistakes is told of the first hundred."""
    body = b"{" + b",".join(b'"a%d":1,"a%d":1' % (n, n) for n in range(1000)) + b"}"
    duplicates = decode_body(body)[1]
    assert duplicates[:2] == ["a0", "a1"] and len(duplicates) == 100
    assert len(strict_errors([f"b{n}" for n in range(1000)], duplicates, body)) == 100


KEYS = st.sampled_from(
    ["a", "b", "l", "name", "metadata", "~1", "~0~1", "-", "0", "1", "-1", "99", "9" * 5000, ""]
)
VALUES = st.recursive(
    st.sampled_from([None, True, 0, 1.5, "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
POINTERS = st.lists(KEYS, max_size=4).map(lambda parts: "".join(f"/{part}" for part in parts))
OPERATIONS = st.fixed_dictionaries(
    {
        "op": st.sampled_from(
            ["add", "remove", "replace", "move", "copy", "test", "_path", "__init__", None, []]
        ),
        "path": POINTERS | VALUES,
    },
    optional={"value": VALUES, "from": POINTERS | VALUES},
)


def _patched(patch: Callable[[], Any]) -> None:
    try:
        made = patch()
    except StatusError as error:
        assert 400 <= error.code < 500 or error.reason == "", error
    else:
        assert isinstance(msgspec.json.encode(made), bytes)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(VALUES, st.lists(OPERATIONS | VALUES, max_size=6))
def test_a_json_patch_applies_or_is_refused(document: Any, operations: list[Any]) -> None:
    """Any operations on anything, and what was there stays as it was."""
    before = msgspec.json.encode(document)
    _patched(lambda: json_patch(document, operations))
    assert msgspec.json.encode(document) == before


POD = schema_of(("", "v1", "Pod"))
LISTS = ["containers", "finalizers"]
DIRECTIVES = st.sampled_from(
    ["$patch", "$retainKeys", "name", "spec", "metadata", "ports", "containerPort", *LISTS]
    + [f"{word}/{name}" for word in ("$setElementOrder", "$deleteFromPrimitiveList") for name in LISTS]
)
HOSTILE = st.recursive(
    st.sampled_from([None, True, 0, "delete", "replace", "merge", "c", ["c", "d"], "finalizers"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(DIRECTIVES, inner, max_size=4),
    max_leaves=12,
)
POD_OBJECT = {
    "metadata": {"name": "p", "finalizers": ["c", "d"]},
    "spec": {"containers": [{"name": "c", "ports": [{"containerPort": 1}]}, {"name": "d"}]},
}


@settings(max_examples=120, deadline=None, derandomize=True)
@given(st.dictionaries(DIRECTIVES, HOSTILE, max_size=4))
def test_a_strategic_patch_applies_or_is_refused(patch: dict[str, Any]) -> None:
    """Directives where they belong and where they do not, of every type."""
    before = msgspec.json.encode(POD_OBJECT)
    _patched(lambda: strategic_merge(POD_OBJECT, patch, POD))
    _patched(lambda: strategic_merge(POD_OBJECT, {"spec": patch, "metadata": patch}, POD))
    _patched(lambda: strategic_merge(POD_OBJECT, {"spec": {"containers": [patch]}}, POD))
    _patched(lambda: merge_patch(POD_OBJECT, patch))
    assert msgspec.json.encode(POD_OBJECT) == before
