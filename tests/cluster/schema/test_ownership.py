"""Who owns a field: every write, and server-side apply with its conflicts."""

import copy
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_kit.cluster.meta import StatusError
from container_kit.cluster.schema import Tracker, go_form, schema_of
from container_kit.cluster.schema.fieldsets import (
    decode_fields,
    difference,
    encode_fields,
    from_paths,
    intersection,
    path_text,
    paths,
    union,
    without_subtrees,
)
from container_kit.cluster.schema.typed import compare, field_set, merged, removed

_CONFIG_MAP, _DEPLOYMENT = schema_of(("", "v1", "ConfigMap")), schema_of(("apps", "v1", "Deployment"))
assert _CONFIG_MAP is not None and _DEPLOYMENT is not None
MAPS = Tracker(_CONFIG_MAP, "v1")
DEPLOYMENTS = Tracker(_DEPLOYMENT, "apps/v1", reset=(("status",),))

SETS = st.lists(
    st.lists(st.sampled_from(["f:a", "f:b", 'k:{"n":1}', "v:2"]), min_size=1, max_size=3).map(tuple),
    max_size=6,
)


def _set(members: list[Any]) -> tuple[dict[str, Any], set[Any]]:
    return from_paths(*members), set(members)


@given(SETS, SETS)
def test_sets_of_fields_are_sets(one: list[Any], other: list[Any]) -> None:
    """Union, intersection and difference are those of the paths; so is the way to FieldsV1 and back."""
    (tree, members), (tree2, members2) = _set(one), _set(other)

    assert set(paths(union(tree, tree2))) == members | members2
    assert set(paths(intersection(tree, tree2))) == members & members2
    assert set(paths(difference(tree, tree2))) == members - members2
    below = {path for path in members if not any(path[: len(top)] == top for top in members2)}
    assert set(paths(without_subtrees(tree, tree2))) == below
    assert set(paths(decode_fields(encode_fields(tree)))) == members


def test_paths_are_written_as_in_messages() -> None:
    """Fields, keyed items, items of sets, places."""
    path = ("f:spec", 'k:{"containerPort":80,"protocol":"TCP"}', 'v:"x"', "i:3")

    assert path_text(path) == '.spec[containerPort=80,protocol="TCP"][="x"][3]'


def _config_map(data: dict[str, Any] | None, **meta: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", **meta}}
    return found if data is None else {**found, "data": data}


def _stored(obj: dict[str, Any]) -> dict[str, Any]:
    made = copy.deepcopy(go_form(obj, _CONFIG_MAP))
    made["metadata"]["uid"] = "u"
    return made


def _owned(obj: dict[str, Any]) -> dict[str, Any]:
    return {
        f"{e['manager']}/{e['operation']}": e["fieldsV1"] for e in obj["metadata"].get("managedFields", ())
    }


def test_creator_owns_what_was_said() -> None:
    """Also the map itself, but not names and times."""
    new = _config_map({"x": "1"}, labels={"l": "1"})
    MAPS.update(None, new, "creator", "now")

    assert _owned(new) == {
        "creator/Update": {
            "f:data": {".": {}, "f:x": {}},
            "f:metadata": {"f:labels": {".": {}, "f:l": {}}},
        }
    }
    assert new["metadata"]["managedFields"][0]["time"] == "now"


def test_a_field_stays_while_somebody_applies_it() -> None:
    """Who drops a field gives it up; with its last owner it goes."""
    live = _stored(MAPS.apply(None, _config_map({"x": "1", "k": "1"}), "m1", "t", force=False))
    live = _stored(MAPS.apply(live, _config_map({"x": "1", "q": "1"}), "m2", "t", force=False))
    assert live["data"] == {"x": "1", "k": "1", "q": "1"}

    live = _stored(MAPS.apply(live, _config_map({"k": "1"}), "m1", "t", force=False))
    assert live["data"] == {"x": "1", "k": "1", "q": "1"}
    live = _stored(MAPS.apply(live, _config_map({"q": "1"}), "m2", "t", force=False))
    assert live["data"] == {"k": "1", "q": "1"}
    assert _owned(live) == {"m1/Apply": {"f:data": {"f:k": {}}}, "m2/Apply": {"f:data": {"f:q": {}}}}


def test_a_conflict_names_field_and_owner_and_force_takes_it() -> None:
    """Nothing is changed by the attempt; force moves the field."""
    live = _stored(MAPS.apply(None, _config_map({"x": "1", "y": "1"}), "m1", "t", force=False))
    before = copy.deepcopy(live)

    with pytest.raises(StatusError) as caught:
        MAPS.apply(live, _config_map({"x": "2"}), "m2", "t", force=False)
    assert caught.value.message == 'Apply failed with 1 conflict: conflict with "m1": .data.x'
    assert caught.value.code == 409 and live == before
    forced = MAPS.apply(live, _config_map({"x": "2"}), "m2", "t", force=True)
    assert forced["data"] == {"x": "2", "y": "1"}
    assert _owned(forced) == {"m1/Apply": {"f:data": {"f:y": {}}}, "m2/Apply": {"f:data": {"f:x": {}}}}


def test_an_update_takes_what_it_changes() -> None:
    """The applier loses the field, and is told about it when it applies again."""
    live = _stored(MAPS.apply(None, _config_map({"x": "1"}), "m1", "t", force=False))
    new = copy.deepcopy(live)
    new["data"]["x"] = "2"
    MAPS.update(live, new, "editor", "t")

    assert _owned(new) == {"editor/Update": {"f:data": {"f:x": {}}}}
    with pytest.raises(StatusError, match=r'conflict with "editor" using v1: \.data\.x'):
        MAPS.apply(new, _config_map({"x": "1"}), "m1", "t", force=False)


def test_kubectl_takes_over_from_its_client_side_self() -> None:
    """What is still as the annotation says is no conflict, and the annotation follows."""
    text = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"x":"1"}}'
    key = "kubectl.kubernetes.io/last-applied-configuration"
    live = _config_map({"x": "1"}, annotations={key: text}, uid="u")
    MAPS.update(None, live, "kubectl-client-side-apply", "t")

    made = MAPS.apply(live, _config_map({"x": "2"}), "kubectl", "t", force=False)
    assert made["data"] == {"x": "2"}
    assert '"x":"2"' in made["metadata"]["annotations"][key]
    with pytest.raises(StatusError, match="conflict"):
        MAPS.apply(live, _config_map({"x": "2"}), "other", "t", force=False)


def test_resetting_managed_fields_forgets_all_owners() -> None:
    """``managedFields: [{}]`` empties the list, and the next applier meets nobody in particular."""
    live = _stored(MAPS.apply(None, _config_map({"x": "1"}), "m1", "t", force=False))
    new = copy.deepcopy(live)
    new["metadata"]["managedFields"] = [{}]
    MAPS.update(live, new, "editor", "t")

    assert "managedFields" not in new["metadata"]
    with pytest.raises(StatusError, match="before-first-apply"):
        MAPS.apply(new, _config_map({"x": "2"}), "m2", "t", force=False)


def test_many_updaters_become_one() -> None:
    """After ten names the oldest are remembered as ancient changes, and no field loses its owner."""
    live = _config_map({})
    for number in range(25):
        new = copy.deepcopy(live)
        new["metadata"]["uid"] = "u"
        new.setdefault("data", {})[f"k{number}"] = "1"
        MAPS.update(live if number else None, new, f"m{number:02}", f"2026-01-01T00:00:{number:02}Z")
        live = new

    owned = _owned(live)
    assert len(owned) == 11 and "ancient-changes/Update" in owned
    keys = {key for fields in owned.values() for key in fields["f:data"]}
    assert keys >= {f"f:k{number}" for number in range(25)}


def test_status_cannot_be_owned_through_the_object() -> None:
    """Fields that a write cannot change belong to nobody by it."""
    config = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "status": {"replicas": 1},
    }

    assert "managedFields" not in DEPLOYMENTS.apply(None, config, "m", "t", force=False)["metadata"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"bogus": 1}, ".spec.bogus: field not declared in schema"),
        (
            {"template": {"spec": {"containers": [{"name": "c"}, {"name": "c"}]}}},
            '.spec.template.spec.containers: duplicate entries for key [name="c"]',
        ),
        ({"replicas": "1"}, ".spec.replicas: expected numeric (int or float), got string"),
        ({"paused": 1}, ".spec.paused: expected boolean, got &{1}"),
    ],
)
def test_what_does_not_fit_cannot_be_applied(spec: dict[str, Any], message: str) -> None:
    """The message has the path and what was expected."""
    config = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec}
    with pytest.raises(StatusError) as caught:
        DEPLOYMENTS.apply(None, config, "m", "t", force=False)
    head = "failed to create typed patch object (/d; apps/v1, Kind=Deployment): "
    assert (caught.value.code, caught.value.message) == (500, head + message)


NAMES = st.lists(st.sampled_from("abcdef"), unique=True, max_size=6)


def _containers(names: list[str]) -> dict[str, Any]:
    containers = [{"name": name} for name in names]
    return {"spec": {"template": {"spec": {"containers": containers}}}}


@given(NAMES, NAMES)
def test_merged_lists_keep_both_orders(live: list[str], config: list[str]) -> None:
    """The applied items come in their order, and the others among themselves as before; none is lost."""
    assert _DEPLOYMENT is not None
    made = merged(_containers(live), _containers(config), _DEPLOYMENT)
    names = [item["name"] for item in made["spec"]["template"]["spec"]["containers"]]

    assert sorted(names) == sorted({*live, *config})
    assert [name for name in names if name in config] == config
    others = [name for name in live if name not in config]
    assert [name for name in names if name not in config] == others


DATA = st.dictionaries(st.sampled_from("abcd"), st.sampled_from("12"), max_size=4)


@given(DATA, DATA)
def test_differences_and_fields_belong_together(old: dict[str, str], new: dict[str, str]) -> None:
    """What was added is a field of the new object, what was removed of the old."""
    assert _CONFIG_MAP is not None
    before, after = _config_map(old), _config_map(new)
    found = compare(before, after, _CONFIG_MAP)

    keys = {f"f:{key}" for key in new.keys() - old.keys()}
    assert {path[-1] for path in paths(found.added) if len(path) > 1} == keys
    changed = {f"f:{key}" for key in new.keys() & old.keys() if new[key] != old[key]}
    assert {path[-1] for path in paths(found.modified) if len(path) > 1} == changed
    assert removed(after, {"f:data": field_set(new, _CONFIG_MAP.properties["data"])}, _CONFIG_MAP).get(
        "data"
    ) in (
        None,
        {},
    )


@given(st.lists(st.tuples(st.sampled_from("pqr"), DATA, st.booleans()), min_size=1, max_size=6))
def test_appliers_always_end_where_the_last_of_each_says(
    history: list[tuple[str, dict[str, str], bool]],
) -> None:
    """With force, an object that is only applied holds exactly what its appliers own."""
    live: dict[str, Any] | None = None
    for (manager, data, _), _ in itertools.product(history, range(2)):  # applying twice changes nothing more
        live = _stored(MAPS.apply(live, _config_map(data), manager, "t", force=True))

    assert live is not None
    owned = {key[2:] for fields in _owned(live).values() for key in fields.get("f:data", {}) if key != "."}
    assert owned == set(live.get("data", {}))
