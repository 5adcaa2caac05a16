"""Tables show objects as a real server does."""

import json
from typing import Any

import pytest

from container_kit.cluster.kinds import strategy_for
from container_kit.cluster.meta import Object
from tests.cluster.kinds.recorded import FOLDER, cases

NOW = "2026-01-01T00:00:05Z"
BORN = "2026-01-01T00:00:00Z"


def kinds_by_path() -> dict[str, tuple[str, str]]:
    """``apps/v1/deployments`` to group and kind, from the recorded resources."""
    import gzip

    found = {}
    for path in (FOLDER / "discovery").glob("*_v*.json*"):
        data = path.read_bytes()
        content = json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)
        for resource in content.get("resources") or ():
            version = content["groupVersion"]
            found[f"{version}/{resource['name']}"] = (version.rpartition("/")[0], resource["kind"])
    return found


def tables() -> list[tuple[str, str, str, Any]]:
    """Every recorded table: case, group, kind and body."""
    kinds, found = kinds_by_path(), []
    for case in cases("exchanges/tables"):
        for step in case["steps"]:
            body = step["response"].get("body")
            if isinstance(body, dict) and body.get("kind") == "Table" and body["columnDefinitions"]:
                parts = step["request"]["path"].partition("?")[0].strip("/").split("/")[1:]
                version = "/".join(
                    parts[: parts.index("namespaces")] if "namespaces" in parts[:-1] else parts[:-1]
                )
                plural = next(part for part in parts[::-1] if f"{version}/{part}" in kinds)
                found.append((case["id"], *kinds[f"{version}/{plural}"], body))
    return found


def test_columns_are_those_recorded() -> None:
    """Names, types, formats, priorities and descriptions of columns are those of a real server."""
    for case, group, kind, table in tables():
        assert list(strategy_for(group, kind).columns.definitions) == table["columnDefinitions"], case


def pod_states() -> list[tuple[Object, Any]]:
    """The recorded pods, and the row that a real server made of each."""
    case = next(case for case in cases("exchanges/tables") if case["id"] == "pod-states")
    pods, found = {}, []
    for step in case["steps"]:
        body, name = step["response"]["body"], step["request"]["path"].split("/")[6].partition("?")[0]
        if step["request"]["method"] == "PATCH":
            pods[name] = body
        elif body.get("kind") == "Table" and name in pods:
            found.append((pods.pop(name), body["rows"][0]))
    return found


def test_a_pod_is_shown_with_the_word_for_its_state() -> None:
    """The row says in one word what is the matter with a pod."""
    columns, states = strategy_for("", "Pod").columns, pod_states()
    assert len(states) > 9
    for pod, row in states:
        pod["metadata"]["creationTimestamp"] = BORN
        assert columns.row(pod, NOW) == [cell if cell != "<age>" else "5s" for cell in row["cells"]]
        assert columns.conditions(pod) == row.get("conditions", [])


def test_a_pod_that_is_being_deleted_terminates() -> None:
    """A running pod with a deletion time is shown as Terminating; a finished one as what it ended with."""
    columns = strategy_for("", "Pod").columns
    pod = {
        "kind": "Pod",
        "metadata": {"name": "p", "deletionTimestamp": BORN},
        "status": {"phase": "Running"},
    }
    done = {**pod, "status": {"phase": "Succeeded"}}

    assert (columns.row(pod, NOW)[2], columns.row(done, NOW)[2]) == ("Terminating", "Succeeded")


SAMPLES: list[tuple[str, Object, list[Any]]] = [
    (
        "apps/v1",
        {
            "kind": "DaemonSet",
            "spec": {
                "selector": {"matchLabels": {"a": "b"}},
                "template": {
                    "spec": {"nodeSelector": {"x": "y"}, "containers": [{"name": "c", "image": "i"}]}
                },
            },
            "status": {"desiredNumberScheduled": 3, "currentNumberScheduled": 2, "numberReady": 1},
        },
        [3, 2, 1, 0, 0, "x=y", "5s", "c", "i", "a=b"],
    ),
    (
        "apps/v1",
        {
            "kind": "StatefulSet",
            "spec": {"replicas": 2, "template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}},
            "status": {"readyReplicas": 1},
        },
        ["1/2", "5s", "c", "i"],
    ),
    (
        "v1",
        {
            "kind": "ResourceQuota",
            "status": {"hard": {"pods": "2", "limits.cpu": "4"}, "used": {"pods": "1", "limits.cpu": "500m"}},
        },
        ["pods: 1/2", "limits.cpu: 500m/4", "5s"],
    ),
    (
        "batch/v1",
        {
            "kind": "Job",
            "spec": {"completions": 1, "template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}},
            "status": {
                "succeeded": 1,
                "startTime": BORN,
                "completionTime": "2026-01-01T00:00:03Z",
                "conditions": [{"type": "Complete", "status": "True"}],
            },
        },
        ["Complete", "1/1", "3s", "5s", "c", "i", "<none>"],
    ),
    (
        "v1",
        {
            "kind": "PersistentVolumeClaim",
            "spec": {"volumeName": "v", "storageClassName": "s", "volumeMode": "Block"},
            "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]},
        },
        ["Bound", "v", "1Gi", "RWO", "s", "<unset>", "5s", "Block"],
    ),
    (
        "v1",
        {
            "kind": "Node",
            "spec": {"unschedulable": True},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        },
        [
            "Ready,SchedulingDisabled",
            "<none>",
            "5s",
            "",
            "<none>",
            "<none>",
            "<unknown>",
            "<unknown>",
            "<unknown>",
        ],
    ),
]


@pytest.mark.parametrize(("api_version", "obj", "cells"), SAMPLES, ids=lambda value: str(value)[:20])
def test_rows_of_other_kinds(api_version: str, obj: Object, cells: list[Any]) -> None:
    """Rows are as `kubectl get` shows them."""
    obj = {**obj, "apiVersion": api_version, "metadata": {"name": "n", "creationTimestamp": BORN}}

    columns = strategy_for(api_version.rpartition("/")[0], obj["kind"]).columns
    assert columns.row(obj, NOW) == ["n", *cells]
    assert len(columns.definitions) == len(cells) + 1


def test_unknown_kinds_show_name_and_creation_time() -> None:
    """What nothing is known of has two columns."""
    columns = strategy_for("example.com", "Widget").columns

    assert columns.row({"metadata": {"name": "w", "creationTimestamp": BORN}}, NOW) == ["w", BORN]
