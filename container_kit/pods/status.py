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
    for kind, is_true, reason, message in _judged(runner):
        status = "True" if is_true else "False"
        old = before.get(kind)
        since = old["lastTransitionTime"] if old is not None and old["status"] == status else now()
        one: Object = {"type": kind, "status": status, "lastProbeTime": None, "lastTransitionTime": since}
        found.append(one | {"reason": reason} if reason else one)
        if message:
            found[-1]["message"] = message
    return found


def _judged(runner: Runner) -> Iterable[tuple[str, bool, str, str]]:
    """Type of each condition, whether it is true, and reason and message."""
    yield "PodReadyToStartContainers", runner.shared is not None and runner.outcome is None, "", ""
    completed = "PodCompleted" if runner.outcome == "Succeeded" else ""
    waits = _uninitialized(runner) if runner.outcome is None else []
    if waits:
        words = f"containers with incomplete status: [{' '.join(waits)}]"
        yield "Initialized", False, "ContainersNotInitialized", words
    else:
        yield "Initialized", True, completed, ""
    reason, message = _unreadiness(runner)
    yield "Ready", not reason, reason, message
    yield "ContainersReady", not reason, reason, message


def _uninitialized(runner: Runner) -> list[str]:
    initial = [runner.members[one.name] for one in runner.spec.of_kind("init", "sidecar")]
    return [one.spec.name for one in initial if not (one.note.is_done or one.has_started_up)]


def _unreadiness(runner: Runner) -> tuple[str, str]:
    """Why the pod is not ready; empty when it is."""
    if runner.outcome is not None:
        return "PodCompleted" if runner.outcome == "Succeeded" else "PodFailed", ""
    needed = [runner.members[one.name] for one in runner.spec.of_kind("main", "sidecar")]
    unready = [one.spec.name for one in needed if not one.is_ready]
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
