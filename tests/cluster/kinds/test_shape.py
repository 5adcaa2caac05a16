"""The canonical form of objects, and the table behind it."""

import json
import runpy
from pathlib import Path

import pytest

from container_kit.cluster.kinds import shape
from tests.cluster.kinds.recorded import FOLDER

ROOT = Path(__file__).parents[3]


def test_the_table_is_what_the_published_documents_say() -> None:
    """shapes.json is generated: running the generator again gives the same."""
    script = runpy.run_path(str(ROOT / "scripts" / "generate_shapes.py"))
    table = json.loads(Path(shape.__file__).with_name("shapes.json").read_bytes())

    assert script["shapes"](script["read_types"](FOLDER / "discovery" / "openapi" / "v3")) == table


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
    container = {"name": "c", "resources": {"requests": {"cpu": "0.0001", "memory": "1.5Gi"}}}

    shape.canonical_part("core.v1.Container", container)
    assert container["resources"] == {"requests": {"cpu": "1m", "memory": "1536Mi"}}


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
