"""What subscribers keep: lean objects that share what is alike."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from container_kit.cluster.client.sharing import Sharing

_scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-1, 1) | st.sampled_from(["", "a", "b"])
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)


def _pod(name: str) -> dict[str, Any]:
    tolerations = [{"key": "a", "operator": "Exists"}]
    containers = [{"name": name, "resources": {"limits": {"cpu": "1"}}}]
    metadata = {"name": name, "labels": {"app": "a"}, "managedFields": [{"manager": "m"}]}
    return {"metadata": metadata, "spec": {"tolerations": tolerations, "containers": containers}}


@given(st.lists(st.dictionaries(st.sampled_from(["spec", "status", "data"]), _values), max_size=5))
def test_objects_stay_what_they_are(contents: list[dict[str, Any]]) -> None:
    """Whatever came before, an object is seen as it is, types and all, but for who manages what."""
    sharing = Sharing()
    for number, content in enumerate(contents):
        obj = {"metadata": {"name": str(number)}, **content}
        seen = sharing.of({**obj, "metadata": {**obj["metadata"], "managedFields": [{}]}})
        assert repr(seen) == repr({"metadata": obj["metadata"], **content})


def test_parts_that_are_alike_are_one() -> None:
    """Two pods of a template have their tolerations, labels and resources together."""
    sharing = Sharing()
    one, other = sharing.of(_pod("one")), sharing.of(_pod("other"))
    assert one["spec"]["tolerations"] is other["spec"]["tolerations"]
    assert one["metadata"]["labels"] is other["metadata"]["labels"]
    assert one["spec"]["containers"][0]["resources"] is other["spec"]["containers"][0]["resources"]
    assert one["metadata"]["name"] == "one" and other["spec"]["containers"][0]["name"] == "other"


def test_the_same_object_is_made_once() -> None:
    """Subscribers of one event have one object together."""
    sharing, pod = Sharing(), _pod("one")
    assert sharing.of(pod) is sharing.of(pod)
