"""The controller of CronJobs.

A Job has the minute of its time in its name, so that one time can have one Job only, whatever happens.

Source: Kubernetes documentation, "CronJob"; API reference, batch/v1 CronJob.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from email.utils import format_datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from container_kit.cluster.client import ApiError, ApiExists, ApiNotFound
from container_kit.cluster.controllers.claims import index_owners, owned_by
from container_kit.cluster.controllers.cronjobs.schedule import Schedule, parse_schedule
from container_kit.cluster.controllers.framework import Manager, Mapper, keys_of
from container_kit.cluster.controllers.statuses import as_written, write_status
from container_kit.cluster.meta import (
    Key,
    Object,
    annotations_of,
    condition_of,
    controller_of,
    format_time,
    is_controlled_by,
    is_deleting,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    parse_time,
    uid_of,
)

__all__ = ["CronJobController"]

_RESOURCE, _JOBS = "cronjobs.batch", "jobs.batch"
_SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"
_TOO_MANY_MISSED = 100
_ADVICE = "Set or decrease .spec.startingDeadlineSeconds or check clock skew"
_SLACK_S = 0.1  # a clock that is read a moment too early would make one look twice

Reference = dict[str, Any]


class CronJobController:
    """Makes a Job at each time of each CronJob's schedule."""

    name = "cronjob-controller"

    def __init__(self, manager: Manager) -> None:
        self._clock = manager.clock
        self._client = manager.client_of(self.name)
        self._events = manager.recorder(self.name)
        self._crons, self._jobs = manager.informer(_RESOURCE), manager.informer(_JOBS)
        index_owners(self._jobs)

    def watches(self) -> Mapping[str, Mapper]:
        return {_RESOURCE: keys_of(lambda obj: (key_of(_RESOURCE, obj),)), _JOBS: keys_of(_owner_of)}

    def reconcile(self, key: Key) -> float | None:
        cron = self._crons.get(key.namespace, key.name)
        if cron is None:
            return None
        status = dict(cron.get("status", {}))
        active: list[Reference] = list(status.get("active") or ())
        jobs = [job for job in owned_by(self._jobs, cron) if not is_deleting(job)]
        jobs = self._trim(cron, jobs, active, status)
        self._note_ends(cron, jobs, active, status)
        again_s = None
        if not is_deleting(cron) and not cron["spec"].get("suspend"):
            again_s = self._run_due(cron, active, status)
        write_status(self._client, cron, as_written({**status, "active": active}))
        return again_s

    def _run_due(self, cron: Object, active: list[Reference], status: Object) -> float | None:
        """Make the Job of the last time that has come; returns when the next one does."""
        now = self._clock.now()
        schedule = self._schedule(cron)
        if schedule is None:
            return None
        due = self._due(cron, schedule, now)
        coming = schedule.after(now)
        again_s = (coming - now).total_seconds() + _SLACK_S if coming is not None else None
        if due is None or status.get("lastScheduleTime") == format_time(due):
            return again_s
        if self._is_too_late(cron, due, now) or not self._makes_room(cron, active):
            return again_s
        job = self._start(cron, due)
        if job is not None:
            active.append(_reference(job))
            status["lastScheduleTime"] = format_time(due)
        return again_s

    def _schedule(self, cron: Object) -> Schedule | None:
        """When it runs; None after telling why that cannot be known."""
        text = cron["spec"]["schedule"]
        try:
            return parse_schedule(text, _zone(cron))
        except ZoneInfoNotFoundError as error:
            message = f'invalid timeZone: "{cron["spec"]["timeZone"]}": {error}'
            self._events.event(cron, "Warning", "UnknownTimeZone", message)
        except ValueError as error:
            message = f'unparseable schedule: "{text}" : {error}'
            self._events.event(cron, "Warning", "UnparseableSchedule", message)
        return None

    def _due(self, cron: Object, schedule: Schedule, now: datetime) -> datetime | None:
        """The last time that has come and was not served; earlier ones are lost."""
        last = cron.get("status", {}).get("lastScheduleTime")
        since = parse_time(last or cron["metadata"]["creationTimestamp"])
        deadline_s = cron["spec"].get("startingDeadlineSeconds")
        if deadline_s is not None:
            since = max(since, now - timedelta(seconds=deadline_s))
        due = schedule.until(now, since)
        if due is not None and _is_long(schedule, since, now):
            message = f"too many missed start times. {_ADVICE}"
            self._events.event(cron, "Warning", "TooManyMissedTimes", message)
        return due

    def _is_too_late(self, cron: Object, due: datetime, now: datetime) -> bool:
        deadline_s = cron["spec"].get("startingDeadlineSeconds")
        if deadline_s is None or due + timedelta(seconds=deadline_s) >= now:
            return False
        message = f"Missed scheduled time to start a job: {format_datetime(due)}"
        self._events.event(cron, "Warning", "MissSchedule", message)
        return True

    def _makes_room(self, cron: Object, active: list[Reference]) -> bool:
        """Whether a Job may start beside those that run; with ``Replace`` they go."""
        policy = cron["spec"].get("concurrencyPolicy", "Allow")
        if policy == "Forbid" and active:
            message = "Not starting job because prior execution is running and concurrency policy is Forbid"
            self._events.event(cron, "Normal", "JobAlreadyActive", message)
            return False
        if policy == "Replace":
            for reference in list(active):
                self._delete(cron, reference, active)
        return True

    def _start(self, cron: Object, due: datetime) -> Object | None:
        """Make the Job of one time; None if it has run already."""
        wish = _job(cron, due)
        try:
            job = self._client.create(wish)
        except ApiExists:
            job = self._client.get(_JOBS, name_of(wish), namespace_of(wish))
            if not is_controlled_by(job, cron):
                raise
            return job if _end_of(job) is None else None
        except ApiError as error:
            self._events.event(cron, "Warning", "FailedCreate", f"Error creating job: {error}")
            raise
        self._events.event(cron, "Normal", "SuccessfulCreate", f"Created job {name_of(job)}")
        return job

    def _note_ends(self, cron: Object, jobs: list[Object], active: list[Reference], status: Object) -> None:
        """Jobs that ended or disappeared are active no more."""
        uids = {reference["uid"] for reference in active}
        for job in jobs:
            end = _end_of(job)
            if end is None and uid_of(job) not in uids:
                message = f"Saw a job that the controller did not create or forgot: {name_of(job)}"
                self._events.event(cron, "Warning", "UnexpectedJob", message)
            elif end is not None and uid_of(job) in uids:
                _drop(active, uid_of(job))
                message = f"Saw completed job: {name_of(job)}, condition: {end}"
                self._events.event(cron, "Normal", "SawCompletedJob", message)
            self._note_success(job, status)
        there = {uid_of(job) for job in jobs}
        for reference in [each for each in active if each["uid"] not in there]:
            _drop(active, reference["uid"])
            message = f"Active job went missing: {reference['name']}"
            self._events.event(cron, "Normal", "MissingJob", message)

    def _note_success(self, job: Object, status: Object) -> None:
        completed = job.get("status", {}).get("completionTime")
        if _end_of(job) == "Complete" and completed and completed > status.get("lastSuccessfulTime", ""):
            status["lastSuccessfulTime"] = completed

    def _trim(
        self, cron: Object, jobs: list[Object], active: list[Reference], status: Object
    ) -> list[Object]:
        """Delete the oldest ended Jobs beyond the limits; returns the others."""
        gone = set[str]()
        for end, field, default in _LIMITS:
            limit = cron["spec"].get(field, default)
            ended = sorted((job for job in jobs if _end_of(job) == end), key=_start_of)
            for job in ended[: max(0, len(ended) - limit)]:
                self._note_success(job, status)
                self._delete(cron, _reference(job), active)
                gone.add(uid_of(job))
        return [job for job in jobs if uid_of(job) not in gone]

    def _delete(self, cron: Object, reference: Reference, active: list[Reference]) -> None:
        name = reference["name"]
        try:
            self._client.delete(
                _JOBS, name, namespace_of(cron), propagation="Background", uid=reference["uid"]
            )
        except ApiNotFound:
            return
        except ApiError as error:
            self._events.event(cron, "Warning", "FailedDelete", f"Deleted job: {error}")
            raise
        finally:
            _drop(active, reference["uid"])
        self._events.event(cron, "Normal", "SuccessfulDelete", f"Deleted job {name}")


_LIMITS = (("Complete", "successfulJobsHistoryLimit", 3), ("Failed", "failedJobsHistoryLimit", 1))


def _job(cron: Object, due: datetime) -> Object:
    template = cron["spec"]["jobTemplate"]
    annotations = {**annotations_of(template), _SCHEDULED: _in_zone(due, _zone(cron))}
    meta = {
        "name": f"{name_of(cron)}-{int(due.timestamp()) // 60}",
        "namespace": namespace_of(cron),
        "labels": labels_of(template),
        "annotations": annotations,
        "ownerReferences": [owner_reference(cron)],
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": template["spec"]}


def _zone(cron: Object) -> tzinfo:
    name = cron["spec"].get("timeZone")
    return ZoneInfo(name) if name else UTC


def _in_zone(moment: datetime, zone: tzinfo) -> str:
    return moment.astimezone(zone).isoformat(timespec="seconds").replace("+00:00", "Z")


def _is_long(schedule: Schedule, since: datetime, now: datetime) -> bool:
    """Whether more times were missed than somebody would want to be told one by one."""
    moment: datetime | None = since
    for _ in range(_TOO_MANY_MISSED + 1):
        moment = schedule.after(moment) if moment is not None else None
    return moment is not None and moment <= now


def _end_of(job: Object) -> str | None:
    """How it ended: ``Complete`` or ``Failed``; None while it runs."""
    for type_ in ("Complete", "Failed"):
        condition = condition_of(job, type_)
        if condition is not None and condition["status"] == "True":
            return type_
    return None


def _start_of(job: Object) -> tuple[str, str]:
    return job.get("status", {}).get("startTime") or "", name_of(job)


def _reference(job: Object) -> Reference:
    meta = job["metadata"]
    names = {key: meta[key] for key in ("namespace", "name", "uid", "resourceVersion")}
    return {"kind": "Job", "apiVersion": "batch/v1", **names}


def _drop(active: list[Reference], uid: str) -> None:
    active[:] = [each for each in active if each["uid"] != uid]


def _owner_of(job: Object) -> Iterable[Key]:
    reference = controller_of(job)
    if reference is not None and reference["kind"] == "CronJob":
        yield Key(_RESOURCE, namespace_of(job), reference["name"])
