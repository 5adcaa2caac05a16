"""Jobs on a whole control plane: completions, failures, indexes, policies, and that each pod counts once."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from container_kit.cluster.controllers.jobs.words import FINALIZER
from container_kit.cluster.meta import parse_time
from tests.cluster.controllers.world import World, template


def _job(fake: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    pods = template(**(fake or {"fake_phase": "Succeeded"}))
    pods["metadata"].pop("labels")
    pods["spec"]["restartPolicy"] = "Never"
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "j"},
        "spec": {"template": pods, **spec},
    }


def _end(world: World) -> tuple[str, str]:
    """The last condition of the Job and its reason."""
    conditions = world.get("jobs", "j").get("status", {}).get("conditions") or [{"type": "", "reason": ""}]
    return conditions[-1]["type"], conditions[-1]["reason"]


def _status(world: World) -> dict[str, Any]:
    status: dict[str, Any] = world.get("jobs", "j")["status"]
    return status


_DONE = "CompletionsReached"
_INDEXED = {"completionMode": "Indexed", "completions": 3, "parallelism": 3}


@pytest.mark.parametrize(
    ("fake", "spec", "end", "numbers"),
    [
        ({}, {}, ("Complete", _DONE), {"succeeded": 1}),
        ({}, {"completions": 7, "parallelism": 3}, ("Complete", _DONE), {"succeeded": 7}),
        ({}, {"parallelism": 3}, ("Complete", _DONE), {"succeeded": 3}),
        ({}, {"completions": 0}, ("Complete", _DONE), {}),
        ({}, _INDEXED, ("Complete", _DONE), {"succeeded": 3, "completedIndexes": "0-2"}),
        ({"fake_phase": "Failed"}, {"backoffLimit": 2}, ("Failed", "BackoffLimitExceeded"), {"failed": 3}),
        (
            {"fake_phase": "Running"},
            {"activeDeadlineSeconds": 5},
            ("Failed", "DeadlineExceeded"),
            {"failed": 1},
        ),
        (
            {"fake_failIndex": "1"},
            {**_INDEXED, "backoffLimitPerIndex": 1},
            ("Failed", "FailedIndexes"),
            {"succeeded": 2, "failed": 2, "completedIndexes": "0,2", "failedIndexes": "1"},
        ),
        (
            {"fake_failIndex": "0,1,2"},
            {**_INDEXED, "backoffLimitPerIndex": 0, "maxFailedIndexes": 0, "parallelism": 1},
            ("Failed", "MaxFailedIndexesExceeded"),
            {"failed": 1, "failedIndexes": "0"},
        ),
        (
            {"fake_failIndex": "2"},
            {**_INDEXED, "successPolicy": {"rules": [{"succeededIndexes": "0-1", "succeededCount": 2}]}},
            ("Complete", "SuccessPolicy"),
            {"succeeded": 2, "completedIndexes": "0,1"},
        ),
        (
            {"fake_phase": "Failed", "fake_exitCode": "42"},
            {
                "podFailurePolicy": {
                    "rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}]
                }
            },
            ("Failed", "PodFailurePolicy"),
            {"failed": 1},
        ),
        (
            {"fake_failIndex": "1", "fake_exitCode": "7"},
            {
                **_INDEXED,
                "backoffLimitPerIndex": 5,
                "podFailurePolicy": {
                    "rules": [{"action": "FailIndex", "onExitCodes": {"operator": "NotIn", "values": [1]}}]
                },
            },
            None,
            {"completedIndexes": "0,2"},
        ),
    ],
)
def test_how_a_job_ends(
    fake: dict[str, str], spec: dict[str, Any], end: tuple[str, str] | None, numbers: dict[str, Any]
) -> None:
    """The last condition, its reason and the numbers follow from what the pods did and what was wished."""
    world = World()
    world.client.create(
        _job({"fake_phase": "Succeeded", **fake} if "fake_failIndex" not in fake else fake, **spec)
    )
    world.run(60)

    status = _status(world)
    if end is not None:
        assert _end(world) == end
        assert not any(FINALIZER in (pod["metadata"].get("finalizers") or ()) for pod in world.pods())
    assert {key: status.get(key) for key in numbers} == numbers
    assert status["uncountedTerminatedPods"] == {} or end is None


def test_failures_in_a_row_slow_it_down() -> None:
    """After a failure the next pod waits ten seconds from its end on, after the second one twice that."""
    world = World()
    world.client.create(_job({"fake_phase": "Failed"}, backoffLimit=9))
    world.run(80)
    made = sorted(parse_time(pod["metadata"]["creationTimestamp"]) for pod in world.pods())

    assert [round((b - a).total_seconds()) for a, b in pairwise(made)] == [10, 20, 40]


def test_a_suspended_job_has_no_pods() -> None:
    """Suspending deletes the pods without counting them; going on makes others."""
    world = World()
    world.client.create(_job({"fake_phase": "Running"}, parallelism=2, completions=2))
    world.run(1)
    first = set(world.names("pods"))
    world.client.patch("jobs", "j", {"spec": {"suspend": True}})
    world.run(2)
    assert (world.names("pods"), _end(world)) == ([], ("Suspended", "JobSuspended"))
    world.client.patch("jobs", "j", {"spec": {"suspend": False}})
    world.run(2)

    assert len(set(world.names("pods")) - first) == 2
    assert "failed" not in _status(world)
    assert [reason for reason, _ in world.events("Job/j")].count("Suspended") == 1


def test_less_parallelism_takes_pods_away() -> None:
    """A Job that may run fewer pods at once deletes some, which do not count as failed."""
    world = World()
    world.client.create(_job({"fake_phase": "Running"}, parallelism=4, completions=9))
    world.run(1)
    world.client.patch("jobs", "j", {"spec": {"parallelism": 1}})
    world.run(2)
    assert len(world.pods()) == 1
    assert "failed" not in _status(world)


def test_a_job_that_is_gone_holds_no_pod() -> None:
    """Pods of a deleted Job lose their finalizers, so that they can go."""
    world = World()
    world.client.create(_job({"fake_phase": "Running"}, parallelism=2, completions=2))
    world.run(1)
    world.client.delete("jobs", "j", propagation="Background")
    world.run(2)
    assert world.names("pods") == []


def test_ttl_takes_a_finished_job_away() -> None:
    """A finished Job goes after its time, with its pods, and not before."""
    world = World()
    world.client.create(_job(ttlSecondsAfterFinished=20))
    world.run(15)
    assert world.names("jobs") == ["j"]
    world.run(10)
    assert (world.names("jobs"), world.names("pods")) == ([], [])


@given(st.data())
@settings(max_examples=12, deadline=None)
def test_each_completion_counts_once_whoever_interferes(data: st.DataObject) -> None:
    """Pods deleted at any moment are counted as failed, those that succeeded as succeeded, none twice."""
    world = World()
    world.client.create(
        _job({"fake_phase": "Succeeded", "fake_after": "1"}, parallelism=3, completions=6, backoffLimit=99)
    )
    for _ in range(data.draw(st.integers(1, 5))):
        world.run(data.draw(st.sampled_from([0.02, 0.3, 0.7, 12.0])))
        names = [pod["metadata"]["name"] for pod in world.pods() if pod["status"]["phase"] != "Succeeded"]
        if names:
            world.client.delete("pods", data.draw(st.sampled_from(names)))
    world.run(1500)

    assert _end(world) == ("Complete", _DONE)
    assert _status(world)["succeeded"] == 6
    succeeded = [pod for pod in world.pods() if pod["status"]["phase"] == "Succeeded"]
    assert len(succeeded) == 6
