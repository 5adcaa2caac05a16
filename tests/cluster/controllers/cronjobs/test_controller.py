"""CronJobs on a whole control plane: when a Job starts, beside which others, and which are kept."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.cluster.controllers.world import World, template

_START = datetime(2026, 3, 1, 11, 59, 30, tzinfo=UTC)


def _cron_job(schedule: str = "* * * * *", fake: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    pods = template(**(fake or {"fake_phase": "Succeeded"}))
    pods["spec"]["restartPolicy"] = "Never"
    job = {"spec": {"template": pods, "backoffLimit": 0}}
    body = {"schedule": schedule, "jobTemplate": job, **spec}
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "c"}, "spec": body}


def _world(*args: Any, **spec: Any) -> World:
    world = World(start=_START)
    world.client.create(_cron_job(*args, **spec))
    return world


def _reasons(world: World) -> list[str]:
    return [reason for reason, _ in world.events("CronJob/c")]


_FOR_EVER = {"fake_phase": "Running"}


def test_a_job_starts_each_minute_and_few_are_kept() -> None:
    """Each has its minute in its name; of those that ended, as many are kept as the limits say."""
    world = _world(successfulJobsHistoryLimit=2)
    world.run(25)
    assert world.names("jobs") == []
    world.run(10 + 3 * 60)

    first = int(_START.timestamp()) // 60 + 1
    assert world.names("jobs") == [f"c-{first + 2}", f"c-{first + 3}"]
    status = world.get("cronjobs", "c")["status"]
    assert status["lastScheduleTime"] == "2026-03-01T12:03:00Z"
    assert "active" not in status
    assert status["lastSuccessfulTime"] >= "2026-03-01T12:03:00Z"
    assert {"SuccessfulCreate", "SawCompletedJob", "SuccessfulDelete"} <= set(_reasons(world))


@pytest.mark.parametrize(
    ("policy", "running", "reason"),
    [("Allow", 3, "SuccessfulCreate"), ("Forbid", 1, "JobAlreadyActive"), ("Replace", 1, "SuccessfulDelete")],
)
def test_jobs_that_do_not_end(policy: str, running: int, reason: str) -> None:
    """Beside one that still runs, the next one starts, does not, or takes its place."""
    world = _world(fake=_FOR_EVER, concurrencyPolicy=policy)
    world.run(35 + 2 * 60)
    assert len(world.names("jobs")) == running == len(world.get("cronjobs", "c")["status"]["active"])
    assert reason in _reasons(world)


def test_a_time_that_was_forbidden_is_made_up_for() -> None:
    """What could not start beside another one starts as soon as that has ended."""
    world = _world(fake={"fake_phase": "Succeeded", "fake_after": "90"}, concurrencyPolicy="Forbid")
    world.run(30 + 85)
    assert len(world.names("jobs")) == 1
    world.run(10)
    assert len(world.names("jobs")) == 2


def test_who_was_away_for_long_starts_once() -> None:
    """Of many times that were missed only the last one is made up for, and people are told."""
    world = _world(suspend=True)
    world.run(3 * 3600)
    world.client.patch("cronjobs", "c", {"spec": {"suspend": False}})
    world.run(1)
    assert len(world.names("jobs")) == 1
    assert "TooManyMissedTimes" in _reasons(world)


def test_who_is_too_late_waits_for_the_next_time() -> None:
    """After ``startingDeadlineSeconds`` a time is over."""
    world = _world("0 * * * *", suspend=True, startingDeadlineSeconds=60)
    world.run(30 + 120)
    world.client.patch("cronjobs", "c", {"spec": {"suspend": False}})
    world.run(1)
    assert world.names("jobs") == []
    world.run(3600)
    assert len(world.names("jobs")) == 1


def test_the_time_is_that_of_a_zone() -> None:
    """Ten to six in Kathmandu is five past twelve elsewhere, and the Job says for which time it is."""
    world = _world("50 17 * * *", timeZone="Asia/Kathmandu")
    world.run(5 * 60)
    assert world.names("jobs") == []
    world.run(60)
    (job,) = world.client.list("jobs").items
    notes = job["metadata"]["annotations"]
    assert notes["batch.kubernetes.io/cronjob-scheduled-timestamp"] == "2026-03-01T17:50:00+05:45"
