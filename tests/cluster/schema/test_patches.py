"""Patches make what a real server makes of them, and bad ones stay cheap."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_kit.cluster.meta import StatusError
from container_kit.cluster.schema import (
    Schema,
    check,
    go_form,
    json_patch,
    merge_patch,
    read_patch,
    schema_of,
    strategic_merge,
)

from .recorded import kind_of, read_recorded

_KINDS = {"application/json-patch+json": "json", "application/merge-patch+json": "merge"}


def _steps() -> list[Any]:
    """Each recorded patch: its name, the object before, the request and the answer."""
    found = []
    for case in read_recorded("exchanges/patches.json.gz")["cases"]:
        current: dict[str, Any] | None = None
        for number, step in enumerate(case["steps"]):
            request, response = step["request"], step["response"]
            if request["method"] == "PATCH":
                found.append(pytest.param(current, request, response, id=f"{case['id']}-{number}"))
            if response["status"] < 300:
                current = response["body"]
    return found


def _patched(current: dict[str, Any], body: Any, content_type: str) -> Any:
    kind = _KINDS.get(content_type, "strategic")
    patch, _ = read_patch(json.dumps(body).encode(), kind)
    if kind == "json":
        return json_patch(current, patch)
    schema = schema_of(kind_of(current))
    assert schema is not None
    return merge_patch(current, patch) if kind == "merge" else strategic_merge(current, patch, schema)


def _lacks(ours: Any, theirs: Any) -> list[str]:
    """Where *ours* has something that *theirs* has not; defaults that a server adds do not count."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return [f".{k}{rest}" for k, v in ours.items() for rest in _lacks(v, theirs.get(k))]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [
            f"[{i}]{rest}" for i, pair in enumerate(zip(ours, theirs, strict=True)) for rest in _lacks(*pair)
        ]
    return [] if ours == theirs else [f": {ours} is not {theirs}"]


@pytest.mark.parametrize(("current", "request_", "response"), _steps())
def test_recorded_patches(current: dict[str, Any], request_: Any, response: Any) -> None:
    """Order of lists, directives and errors are those of the original; the object itself is not changed."""
    before = copy.deepcopy(current)
    schema = schema_of(kind_of(current))
    assert schema is not None
    try:
        made = _patched(current, request_["body"], request_["headers"]["Content-Type"])
    except StatusError as error:
        assert (error.code, error.message) == (response["status"], response["body"]["message"])
        return
    assert current == before
    if response["status"] < 300:
        findings = check(made, kind_of(current))
        findings.clean(made)
        made["metadata"].pop("generation", None)
        made["metadata"].pop("resourceVersion", None)
        made["metadata"].pop("managedFields", None)
        assert _lacks(go_form(made, schema), response["body"]) == []


LABELS = Schema({"type": "object", "additionalProperties": {"type": "string"}}, lambda name: {})
OBJECTS = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab~/-", max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab~/0$", max_size=3), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(OBJECTS, OBJECTS)
def test_a_merge_patch_of_everything_makes_the_new_from_the_old(old: Any, new: Any) -> None:
    """RFC 7386: what the patch says is what comes out, once nulls are gone."""
    assert merge_patch(old, new) == merge_patch(merge_patch(old, new), new)
    assert not isinstance(new, dict) or None not in merge_patch(old, new).values() or None in _values(old)


def _values(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else []


@given(OBJECTS, st.data())
def test_json_patch_adds_moves_and_removes(document: Any, data: st.DataObject) -> None:
    """What is added at a place is found there by test, can be copied, and taken away again."""
    value = data.draw(OBJECTS)
    root = {"root": document}

    added = json_patch(root, [{"op": "add", "path": "/new~1~0", "value": value}])
    assert added == {"root": document, "new/~": value}
    back = [
        {"op": "test", "path": "/new~1~0", "value": value},
        {"op": "copy", "from": "/new~1~0", "path": "/copied"},
        {"op": "move", "from": "/copied", "path": "/moved"},
        {"op": "test", "path": "/moved", "value": value},
        {"op": "remove", "path": "/moved"},
        {"op": "remove", "path": "/new~1~0"},
    ]
    assert json_patch(added, back) == root


@pytest.mark.parametrize(
    "operations",
    [
        [{"op": "test", "path": "/n", "value": True}],
        [{"op": "remove", "path": "/none"}],
        [{"op": "remove", "path": ""}],
        [{"op": "add", "path": "/list/3", "value": 1}],
        [{"op": "add", "path": "/list/01x", "value": 1}],
        [{"op": "add", "path": "n", "value": 1}],
        [{"op": "add", "path": "/n"}],
        [{"op": "move", "from": "/list", "path": "/list/0"}],
        [{"op": "jump", "path": "/n"}],
        ["add"],
    ],
)
def test_operations_that_do_not_apply_are_refused(operations: Any) -> None:
    """One that fails undoes all, and the answer is 422."""
    document = {"n": 1, "list": [1, 2]}
    with pytest.raises(StatusError) as caught:
        json_patch(document, [{"op": "replace", "path": "/n", "value": 1}, *operations])
    assert caught.value.code == 422
    assert document == {"n": 1, "list": [1, 2]}


def test_a_small_patch_cannot_make_a_large_object() -> None:
    """Copying a list into itself doubles it each time: that ends at three megabytes."""
    doubling = [{"op": "copy", "from": "/a", "path": "/a/-"}] * 64
    with pytest.raises(StatusError) as caught:
        json_patch({"a": ["x" * 1000]}, doubling)
    assert caught.value.code == 422

    many = [{"op": "test", "path": "/a", "value": 1}] * 10_001
    with pytest.raises(StatusError) as caught:
        json_patch({"a": 1}, many)
    assert caught.value.code == 413


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        (
            b'{"op":"add"}',
            "json",
            "json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp",
        ),
        (b"[]", "merge", "json: cannot unmarshal array into Go value of type map[string]interface {}"),
        (b'"x"', "merge", "json: cannot unmarshal string into Go value of type map[string]interface {}"),
        (b"", "merge", "unexpected end of JSON input"),
    ],
)
def test_a_body_that_is_no_patch_is_refused(body: bytes, kind: str, message: str) -> None:
    """With the words of the recorded answers."""
    with pytest.raises(StatusError) as caught:
        read_patch(body, kind)
    assert (caught.value.code, caught.value.message) == (400, f"error decoding patch: {message}")


def test_retain_keys_drops_the_others() -> None:
    """kubectl sends it with every Deployment's strategy."""
    schema = schema_of(("apps", "v1", "Deployment"))
    assert schema is not None
    old = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}

    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert strategic_merge(old, patch, schema) == {"spec": {"strategy": {"type": "Recreate"}}}
    patch["spec"]["strategy"]["$retainKeys"] = ["rollingUpdate"]
    with pytest.raises(StatusError, match="invalid patch format"):
        strategic_merge(old, patch, schema)


def test_maps_of_plain_values_are_merged_without_directives() -> None:
    """A map has no schema per key, and null takes a key away."""
    made = strategic_merge({"a": "1", "b": "2"}, {"b": None, "c": "3"}, LABELS)

    assert made == {"a": "1", "c": "3"}
    assert strategic_merge({"a": "1"}, {"$patch": "replace", "z": "9"}, LABELS) == {"z": "9"}
