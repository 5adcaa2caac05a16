"""What a simulated node says of a pod: which part the pod plays, and its status at each step.

Decisions only, as pure functions; `SimulatedNodes` keeps the time and talks to the server.  A pod plays by
its annotations, those that also the recorded histories of a real control plane were made with:

``fake/startDelay``, ``fake/stopDelay``
    Seconds until it runs, and from its deletion until it is gone (0.05 and 0.1).
``fake/ready``
    ``"false"``: it runs and never becomes ready.
``fake/phase``, ``fake/after``, ``fake/exitCode``
    ``Succeeded`` or ``Failed``: it ends so after that many seconds (0.3). ``Running``: it never ends.
``fake/failIndex``
    Which indexes of an Indexed Job fail, such as ``1,3``; the others succeed.

Without any of them a pod runs until it is deleted. What it uses meanwhile says `simulated_link`.
"""

from __future__ import annotations

from typing import Any, Literal

from container_kit._values import frozen

__all__ = ["Ending", "Script", "Step", "ended_status", "next_step", "running_status", "script_of"]

Object = dict[str, Any]
Step = Literal["run", "end", "remove"]

_COMPLETION_INDEX = "batch.kubernetes.io/job-completion-index"


@frozen
class Ending:
    """How the containers of a pod end.

    Args:
        after_s: So long after the pod began to run.
        exit_code: Of every container; 0 makes the pod ``Succeeded``, anything else ``Failed``.
    """

    after_s: float
    exit_code: int


@frozen
class Script:
    """What a pod does on a simulated node.

    Args:
        start_delay_s: From its binding until it runs.
        stop_delay_s: From its deletion until it is gone.
        ready: Whether it becomes ready.
        ending: How it ends by itself, or None to run until it is deleted.
    """

    start_delay_s: float = 0.05
    stop_delay_s: float = 0.1
    ready: bool = True
    ending: Ending | None = None


def script_of(pod: Object) -> Script:
    """What the annotations of *pod* ask for; what cannot be read is as if it were not there."""
    notes = pod["metadata"].get("annotations") or {}
    return Script(
        start_delay_s=_seconds(notes, "fake/startDelay", 0.05),
        stop_delay_s=_seconds(notes, "fake/stopDelay", 0.1),
        ready=notes.get("fake/ready") != "false",
        ending=_ending(notes),
    )


def _ending(notes: dict[str, str]) -> Ending | None:
    failing = notes.get("fake/failIndex")
    phase = notes.get("fake/phase", "" if failing is None else "Succeeded")
    if failing is not None and notes.get(_COMPLETION_INDEX) in failing.replace(" ", "").split(","):
        phase = "Failed"
    if phase not in ("Succeeded", "Failed"):
        return None
    code = int(_seconds(notes, "fake/exitCode", 1)) or 1
    return Ending(_seconds(notes, "fake/after", 0.3), code if phase == "Failed" else 0)


def _seconds(notes: dict[str, str], name: str, default: float) -> float:
    try:
        return max(0.0, float(notes[name]))
    except (KeyError, ValueError):
        return default


def next_step(pod: Object, script: Script) -> tuple[Step, float] | None:
    """What happens to a bound pod next, and in how many seconds; None while nothing does.

    Read off the pod alone, so that a simulation which starts late goes on where the pods are.
    """
    if pod["metadata"].get("deletionTimestamp"):
        return "remove", script.stop_delay_s
    phase = pod.get("status", {}).get("phase")
    if phase == "Pending":
        return "run", script.start_delay_s
    if phase == "Running" and script.ending is not None:
        return "end", script.ending.after_s
    return None


def running_status(pod: Object, script: Script, host_ip: str, pod_ip: str, now: str) -> Object:
    """The status, as a merge patch, of a pod whose containers have just started at *now* (RFC 3339)."""
    spec = pod["spec"]
    unready = None if script.ready else _unready(spec)
    status: Object = {
        "phase": "Running",
        "conditions": _conditions(pod, now, unready),
        "hostIP": host_ip,
        "hostIPs": [{"ip": host_ip}],
        "podIP": pod_ip,
        "podIPs": [{"ip": pod_ip}],
        "startTime": now,
        "containerStatuses": [_running(container, script.ready, now) for container in spec["containers"]],
    }
    if spec.get("initContainers"):
        status["initContainerStatuses"] = [
            _initialized(container, now) for container in spec["initContainers"]
        ]
    return status


def ended_status(pod: Object, ending: Ending, now: str) -> Object:
    """The status, as a merge patch, of a pod whose containers have all ended at *now*."""
    succeeded = ending.exit_code == 0
    why = {"reason": "PodCompleted" if succeeded else "PodFailed"}
    started = pod.get("status", {}).get("startTime", now)
    return {
        "phase": "Succeeded" if succeeded else "Failed",
        "conditions": _conditions(pod, now, why, ended=True),
        "containerStatuses": [
            _ended(container, ending, started, now) for container in pod["spec"]["containers"]
        ],
    }


def _conditions(pod: Object, now: str, unready: Object | None, *, ended: bool = False) -> list[Object]:
    """All that a node agent writes, and after them whatever others wrote (a readiness gate, say)."""
    readiness = _condition("True", now) if unready is None else _condition("False", now) | unready
    own = {
        "PodReadyToStartContainers": _condition("False" if ended else "True", now),
        "Initialized": _condition("True", now),
        "Ready": readiness,
        "ContainersReady": readiness,
        "PodScheduled": _condition("True", now),
    }
    before = {condition["type"]: condition for condition in pod.get("status", {}).get("conditions") or ()}
    for kind, condition in own.items():
        if (old := before.get(kind)) is not None and old["status"] == condition["status"]:
            own[kind] = condition | {"lastTransitionTime": old.get("lastTransitionTime", now)}
    others = [condition for kind, condition in before.items() if kind not in own]
    return [{"type": kind} | condition for kind, condition in own.items()] + others


def _condition(status: str, now: str) -> Object:
    return {"status": status, "lastProbeTime": None, "lastTransitionTime": now}


def _unready(spec: Object) -> Object:
    names = " ".join(container["name"] for container in spec["containers"])
    return {"reason": "ContainersNotReady", "message": f"containers with unready status: [{names}]"}


def _container(container: Object) -> Object:
    image = container.get("image", "")
    return {
        "name": container["name"],
        "lastState": {},
        "restartCount": 0,
        "image": image,
        "imageID": f"{image}@sha256:0",
        "containerID": f"containerd://{container['name']}",
    }


def _running(container: Object, ready: bool, now: str) -> Object:
    return _container(container) | {"state": {"running": {"startedAt": now}}, "ready": ready, "started": True}


def _initialized(container: Object, now: str) -> Object:
    """An init container has ended well before the others start, save a sidecar, which runs beside them."""
    if container.get("restartPolicy") == "Always":
        return _running(container, ready=True, now=now)
    return _ended(container, Ending(0, 0), now, now) | {"ready": True}


def _ended(container: Object, ending: Ending, started: str, now: str) -> Object:
    terminated = {
        "exitCode": ending.exit_code,
        "reason": "Error" if ending.exit_code else "Completed",
        "startedAt": started,
        "finishedAt": now,
    }
    return _container(container) | {"state": {"terminated": terminated}, "ready": False, "started": False}
