"""A pod's ``PodStatus``, from what its supervisor knows.

Source: Kubernetes API reference v1.32, PodStatus v1 core; Pod lifecycle.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from container_kit.errors import ContainerKitError
from container_kit.pods.deciding import phase_of
from container_kit.pods.member import Member
from container_kit.pods.seam import Object
from container_kit.pods.spec import Kind
from container_kit.pods.starting import message_file

if TYPE_CHECKING:
    from container_kit.pods.running import Runner

__all__ = ["container_id", "now", "pod_status", "seconds", "terminated"]

_MOST_MESSAGE = 4096
_MOST_LOG, _MOST_LINES = 2048, 80
_LISTS: tuple[tuple[str, tuple[Kind, ...]], ...] = (
    ("initContainerStatuses", ("init", "sidecar")),
    ("containerStatuses", ("main",)),
    ("ephemeralContainerStatuses", ("ephemeral",)),
)


def now() -> str:
    """The moment as Kubernetes writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds(stamp: str) -> str:
    """A state file's moment in whole seconds; empty stays empty."""
    return f"{stamp[:19]}Z" if stamp else ""


def container_id(digits: str) -> str:
    """As Kubernetes writes it, with the runtime's name."""
    return f"container-kit://{digits}" if digits else ""


def pod_status(runner: Runner) -> Object:
    """The status of the pod now; conditions that are as they were keep their times."""
    views = {name: member.view for name, member in runner.members.items()}
    found: Object = {
        "phase": phase_of(runner.spec, views, runner.outcome),
        "conditions": _conditions(runner),
        "startTime": seconds(runner.record.started_at),
    }
    if runner.world.ips:
        found["podIP"] = runner.world.ips[0]
        found["podIPs"] = [{"ip": address} for address in runner.world.ips]
    if runner.fate[0]:
        found["reason"], found["message"] = runner.fate
    for field, kinds in _LISTS:
        members = [runner.members[one.name] for one in runner.spec.of_kind(*kinds)]
        if members:
            found[field] = [_container_status(runner, member) for member in members]
    return found


def _conditions(runner: Runner) -> list[Object]:
    before = {one["type"]: one for one in runner.snapshot.get("conditions", ())}
    found = []
    for kind, reason, message in _judged(runner):
        status = "False" if reason else "True"
        if reason == "PodCompleted":
            status = "True" if kind == "Initialized" else "False"
        one: Object = {"type": kind, "status": status, "lastProbeTime": None}
        old = before.get(kind)
        is_same = old is not None and old["status"] == status
        one["lastTransitionTime"] = old["lastTransitionTime"] if old is not None and is_same else now()
        if reason:
            one["reason"] = reason
        if message:
            one["message"] = message
        found.append(one)
    return found


def _judged(runner: Runner) -> Iterable[tuple[str, str, str]]:
    """Type, reason (empty: it is true) and message of each condition."""
    spec, members = runner.spec, runner.members
    has_world = runner.shared is not None and runner.outcome is None
    yield "PodReadyToStartContainers", "" if has_world else "PodSandboxGone", ""
    waits = [
        one.name
        for one in spec.of_kind("init", "sidecar")
        if not (members[one.name].note.is_done or members[one.name].has_started_up)
    ]
    words = f"containers with incomplete status: [{' '.join(waits)}]"
    if runner.outcome is not None:
        yield "Initialized", "PodCompleted" if runner.outcome == "Succeeded" else "", ""
    else:
        yield "Initialized", "ContainersNotInitialized" if waits else "", words if waits else ""
    for kind in ("Ready", "ContainersReady"):
        yield kind, *_readiness(runner)


def _readiness(runner: Runner) -> tuple[str, str]:
    if runner.outcome == "Succeeded":
        return "PodCompleted", ""
    if runner.outcome == "Failed":
        return "PodFailed", ""
    unready = [
        one.name for one in runner.spec.of_kind("main", "sidecar") if not runner.members[one.name].is_ready
    ]
    if unready:
        return "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]"
    return "", ""


def _container_status(runner: Runner, member: Member) -> Object:
    found: Object = {
        "name": member.spec.name,
        "image": member.spec.image,
        "imageID": member.image_id,
        "ready": member.note.is_done if member.spec.kind == "init" else member.is_ready,
        "started": member.has_started_up,
        "restartCount": member.note.restarts,
        "state": _state(runner, member),
        "lastState": {} if (last := _last(runner, member)) is None else {"terminated": last},
    }
    if member.note.id:
        found["containerID"] = container_id(member.note.id)
    return found


def _is_waiting(runner: Runner, member: Member) -> bool:
    """Whether it does not run now but is going to."""
    if runner.outcome is not None or member.note.is_done or runner.is_stopping:
        return member.ended is None
    return member.ended is None or bool(member.waiting[0]) or member.stage == "creating"


def _state(runner: Runner, member: Member) -> Object:
    if member.stage == "live":
        return {"running": {"startedAt": seconds(member.state.started_at) or now()}}
    if not _is_waiting(runner, member):
        return {"terminated": member.ended}
    reason, message = member.waiting
    if not reason:
        is_first = member.spec.kind in ("init", "sidecar") or not runner.spec.of_kind("init", "sidecar")
        reason = "ContainerCreating" if is_first else "PodInitializing"
    return {"waiting": {"reason": reason, **({"message": message} if message else {})}}


def _last(runner: Runner, member: Member) -> Object | None:
    if member.stage != "live" and _is_waiting(runner, member):
        return member.ended
    return member.before


def terminated(runner: Runner, member: Member) -> Object:
    """The ``terminated`` state of a container that has ended."""
    state, code = member.state, 255 if member.state.exit_code is None else member.state.exit_code
    reason = "OOMKilled" if state.oom_killed else "Completed" if code == 0 else "Error"
    found: Object = {
        "exitCode": code,
        "reason": reason,
        "startedAt": seconds(state.started_at) or None,
        "finishedAt": seconds(state.finished_at) or now(),
        "containerID": container_id(member.note.id),
    }
    if 128 < code < 128 + 65:
        found["signal"] = code - 128
    message = _last_words(runner, member, code)
    if message:
        found["message"] = message
    return found


def _last_words(runner: Runner, member: Member, code: int) -> str:
    """What the container left in its message file; else, if it asks for that, the end of its log."""
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        fd = os.open(message_file(runner.world.places, member.spec.name), flags)
    except OSError:
        return ""
    try:
        words = os.read(fd, _MOST_MESSAGE).decode("utf-8", "replace")
    finally:
        os.close(fd)
    if words or not (member.spec.message_from_logs and code != 0) or member.container is None:
        return words
    try:
        lines = [line.text for line in member.container.logs(tail=_MOST_LINES)]
    except ContainerKitError:
        return ""
    return "\n".join(lines)[-_MOST_LOG:]
