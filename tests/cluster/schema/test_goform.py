"""Objects are written as a server in Go would write them."""

import copy

import pytest

from container_kit.cluster.schema import empty_form, go_form, schema_of

from .recorded import kind_of, read_recorded

STORED = [
    case["stored"]
    for case in read_recorded("defaults.json.gz")["cases"]
    if case["status"] < 300 and schema_of(kind_of(case["stored"]))
]
POD = schema_of(("", "v1", "Pod"))
assert POD is not None


@pytest.mark.parametrize("stored", STORED, ids=lambda obj: obj["kind"])
def test_what_a_real_server_stored_stays_as_it_is(stored: dict[str, object]) -> None:
    """None of the recorded objects lacks a field, has one too many, or is changed."""
    schema = schema_of(kind_of(stored))
    assert schema is not None
    before = copy.deepcopy(stored)

    assert go_form(stored, schema) == before == stored


def test_zeros_vanish_and_structs_appear() -> None:
    """Empty lists and plain zeros are left out, null is a zero, pointers to zero and structs are kept."""
    container = {"name": "", "image": "", "args": [], "stdin": False, "securityContext": {"runAsUser": 0}}
    pod = {"metadata": {"name": "p", "labels": {}}, "spec": {"containers": [container], "hostNetwork": None}}

    assert go_form(pod, POD) == {
        "metadata": {"name": "p", "creationTimestamp": None},
        "spec": {"containers": [{"name": "", "securityContext": {"runAsUser": 0}, "resources": {}}]},
        "status": {},
    }


def test_nulls_in_maps_and_lists_are_zero_values() -> None:
    """``data: {a: null}`` stores an empty text."""
    schema = schema_of(("", "v1", "ConfigMap"))
    assert schema is not None
    assert go_form({"data": {"a": None}}, schema)["data"] == {"a": ""}


def test_an_empty_object_has_what_cannot_be_left_out() -> None:
    """By this object the owners of a new one are found."""
    deployment = schema_of(("apps", "v1", "Deployment"))
    assert deployment is not None

    made = empty_form(deployment)
    assert made["spec"] == {
        "selector": None,
        "strategy": {},
        "template": {"metadata": {"creationTimestamp": None}, "spec": {"containers": None}},
    }
    made["spec"]["selector"] = "changed"
    assert empty_form(deployment)["spec"]["selector"] is None
