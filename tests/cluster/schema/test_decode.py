"""Bodies in JSON and YAML: what they mean, what is wrong with them, and that bad ones are cheap."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_kit.cluster.schema import DecodeError, check, decode_body, strict_errors

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)


@given(JSON, st.sampled_from([None, 1]), st.booleans())
def test_sound_json_is_read_and_has_no_duplicates(obj: Any, indent: int | None, ascii_only: bool) -> None:
    """However a document is laid out, it is what it says, and no field is called a duplicate."""
    text = json.dumps(obj, indent=indent, ensure_ascii=ascii_only)

    assert decode_body(text.encode()) == (obj, [])


@given(JSON)
def test_an_object_of_json_in_yaml_is_what_it_is_in_json(value: Any) -> None:
    """What clients apply is mostly JSON that is called YAML."""
    text = json.dumps({"o": value}).encode()

    assert decode_body(text, "application/apply-patch+yaml") == ({"o": value}, [])


@given(st.text('ab":\\ ', min_size=1, max_size=4), st.sampled_from(["", " ", "\n", "\t"]), JSON)
def test_a_key_that_comes_twice_is_found(key: str, space: str, value: Any) -> None:
    """No way to write a key twice goes unseen, and the last one counts."""
    name, text = json.dumps(key), json.dumps(value)
    body = f'{{"o": [{{{name}{space}: 1, {name}: {text}}}]}}'.encode()

    obj, duplicates = decode_body(body)
    assert obj == {"o": [{key: value}]}
    assert duplicates == [f"o[0].{key}"]


def test_unknown_and_duplicate_fields_come_in_the_order_of_the_document() -> None:
    """As in the recorded answer of a real server."""
    body = (
        b'{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","nope":1},"spec":{"containers":[{"name":"c",'
        b'"image":"a","image":"b","bogus":true}],"restartPolicy":"Never","restartPolicy":"Always"}}'
    )
    obj, duplicates = decode_body(body)

    assert strict_errors(check(obj, ("", "v1", "Pod")).unknown_fields, duplicates, body) == [
        'unknown field "metadata.nope"',
        'duplicate field "spec.containers[0].image"',
        'unknown field "spec.containers[0].bogus"',
        'duplicate field "spec.restartPolicy"',
    ]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "unexpected end of JSON input"),
        (b"{bad", "invalid character 'b' looking for beginning of object key string"),
        (b'{"a":tru}', "invalid character '}' in literal true (expecting 'e')"),
        (b"[1,]", "invalid character ']' looking for beginning of value"),
        (b'{"a":1}x', "invalid character 'x' after top-level value"),
        (b'{"a" 1}', "invalid character '1' after object key"),
        (b'"a\nb"', "invalid character '\\n' in string literal"),
        (b'{"a":"\\q"}', "invalid character 'q' in string escape code"),
        (b'{"a":1 "b"}', "invalid character '\"' after object key:value pair"),
    ],
)
def test_bad_json_is_refused_in_the_words_of_the_original(body: bytes, message: str) -> None:
    """Clients show these texts to people."""
    with pytest.raises(DecodeError) as caught:
        decode_body(body)
    assert str(caught.value) == message


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"":'])
@pytest.mark.parametrize("media_type", ["application/json", "application/yaml"])
def test_endless_nesting_is_refused(opening: bytes, media_type: str) -> None:
    """Megabytes of brackets end in an error, not in a crash."""
    with pytest.raises(DecodeError):
        decode_body(opening * 300_000, media_type)


def test_yaml_is_read_as_go_reads_it() -> None:
    """YAML 1.1 with Go's additions: ``y`` is true, dates are text, a whole float is an integer."""
    body = b"a: y\nb: 1e3\nc: 2001-01-01\nd: 014\n1: x\ntrue: t\nf: 1.0\ng: <<\nh: =\ni: 0x1F\nj: ~\nk: .5\n"

    obj, duplicates = decode_body(body, "application/yaml")
    assert duplicates == []
    assert obj == {
        "a": True, "b": 1000, "c": "2001-01-01", "d": 12, "1": "x", "true": "t", "f": 1, "g": "<<", "h": "=",
        "i": 31, "j": None, "k": 0.5,
    }  # fmt: skip
    assert type(obj["f"]) is int


def test_a_key_twice_in_yaml_is_told_with_its_line() -> None:
    """YAML's duplicates carry a line, not a path."""
    obj, duplicates = decode_body(b"a: 1\nb: 2\na: 3\n", "application/yaml")

    assert (obj, duplicates) == ({"a": 3, "b": 2}, ['line 3: key "a" already set in map'])


@pytest.mark.parametrize(
    "body",
    [
        b"a: &a [x,x,x,x,x,x,x,x,x]\n"
        + b"".join(b"%c: &%c [%s]\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 9)) for c in range(98, 108)),
        b"- &a [*a]",
        b"- &a {k: {l: *a}}",
        b"a: [",
        b"a: b: c",
        b"!!python/object:os.system x",
    ],
    ids=["bomb", "cycle", "deep cycle", "unfinished", "no map", "foreign tag"],
)
def test_hostile_yaml_is_refused(body: bytes) -> None:
    """Aliases neither multiply nor turn upon themselves, and tags make no objects."""
    with pytest.raises(DecodeError):
        decode_body(body, "application/yaml")
