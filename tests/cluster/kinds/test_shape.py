"""The canonical form of objects."""

import pytest

from container_kit.cluster.kinds import shape


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"hostNetwork": False, "hostname": "", "nodeSelector": {}}, {}),
        (
            {"automountServiceAccountToken": False, "priority": 0},
            {"automountServiceAccountToken": False, "priority": 0},
        ),
        ({"restartPolicy": None, "overhead": {"cpu": "0.5"}}, {"overhead": {"cpu": "500m"}}),
        ({"unknown": 0}, {"unknown": 0}),
    ],
)
def test_zero_values_vanish_unless_they_are_pointers(
    given: dict[str, object], kept: dict[str, object]
) -> None:
    """A plain field that says nothing is left out; one that can be unset keeps its zero."""
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": given}

    shape.canonical(pod)
    assert pod["spec"] == {"containers": None, **kept}


def test_quantities_of_resources_are_rounded_up_to_thousandths() -> None:
    """A tenth of a thousandth of a processor is a thousandth."""
    resources = {"requests": {"cpu": "0.0001", "memory": "1.5Gi"}}
    pod = {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "c", "resources": resources}]}}

    shape.canonical(pod)
    assert resources == {"requests": {"cpu": "1m", "memory": "1536Mi"}}


def test_a_text_that_is_null_is_empty() -> None:
    """In a map of texts null is a text, too."""
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"labels": {"a": None}}, "data": {"k": None}}

    shape.canonical(obj)
    assert (obj["metadata"]["labels"], obj["data"]) == ({"a": ""}, {"k": ""})  # type: ignore[index]


def test_objects_of_unknown_kinds_stay_as_they_are() -> None:
    """A custom resource has no published type; nothing is taken from it."""
    widget = {"apiVersion": "example.com/v1", "kind": "Widget", "spec": {"size": None, "on": False}}

    shape.canonical(widget)
    assert widget == {"apiVersion": "example.com/v1", "kind": "Widget", "spec": {"size": None, "on": False}}
