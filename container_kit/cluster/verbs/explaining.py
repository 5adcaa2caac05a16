"""Why an object is not as wanted: its state, its pods', and the latest warnings about it, in a line.

For messages only: what cannot be asked for is left out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from container_kit.cluster.client.client import Client
from container_kit.cluster.verbs.describing import events_about
from container_kit.cluster.verbs.targets import Target, pods_of
from container_kit.errors import ContainerKitError

__all__ = ["explain", "is_ready", "state_of"]

Object = dict[str, Any]
_MOST_PODS, _MOST_WARNINGS, _LONGEST = 3, 2, 300
_TELLING = ("waiting", "terminated")


def explain(client: Client, target: Target, obj: Object | None, wanted: str = "") -> str:
    """What *target* is instead of *wanted*, as far as that can be found out."""
    if obj is None:
        return "it does not exist"
    words = [state_of(obj)]
    known = [one["type"] for one in (obj.get("status") or {}).get("conditions") or ()]
    name = wanted.partition("=")[0]
    if name.isidentifier() and known and name.lower() not in map(str.lower, known) and name[0].isupper():
        words.append(f"it has no condition {name}, but {', '.join(known)}")
    with contextlib.suppress(ContainerKitError):
        words += _warnings(client, target, obj)
        words += _of_its_pods(client, target, obj)
    return "; ".join(words)


def state_of(obj: Mapping[str, Any]) -> str:
    """The phase, the conditions that do not hold, and what containers wait for or ended with."""
    status = obj.get("status") or {}
    words = [f"phase {status['phase']}"] if "phase" in status else []
    words += _container_words(status)
    for one in status.get("conditions") or ():
        why = one.get("message") or one.get("reason") or ""
        if one["status"] != "True" or (why and "phase" not in status):
            words.append(f"{one['type']}={one['status']}" + (f" ({why[:_LONGEST]})" if why else ""))
    return ", ".join(words) or ("it has no conditions" if status else "it has no status")


def _container_words(status: Mapping[str, Any]) -> Iterator[str]:
    for field in ("initContainerStatuses", "containerStatuses"):
        for one in status.get(field) or ():
            for moment in ("state", "lastState"):
                for kind in _TELLING:
                    if told := (one.get(moment) or {}).get(kind):
                        yield f"container {one['name']}: {_told(told, one.get('restartCount', 0))}"


def _told(told: Mapping[str, Any], restarts: int) -> str:
    words = str(told.get("reason") or "")
    if "exitCode" in told:
        words += f" with exit code {told['exitCode']} (restarts: {restarts})"
    return f"{words} {(told.get('message') or '').strip()[:_LONGEST]}".strip()


def _warnings(client: Client, target: Target, obj: Object) -> Iterator[str]:
    events = [one for one in events_about(client, target, obj) if one.get("type") == "Warning"]
    for event in events[-_MOST_WARNINGS:]:
        yield f"{event['reason']}: {(event.get('message') or '').strip()[:_LONGEST]}"


def _of_its_pods(client: Client, target: Target, obj: Object) -> Iterator[str]:
    """Of a workload: those of its pods that are not ready."""
    if target.info.full_name == "pods" or not (obj.get("spec") or {}).get("selector"):
        return
    pods = pods_of(client, target)
    if not pods:
        yield "it has no pods"
    unready = [one for one in pods if not is_ready(one)]
    for pod in unready[:_MOST_PODS]:
        of_pod = Target(client.resource("pods"), pod["metadata"]["name"], target.namespace)
        yield f"pod {of_pod.name}: " + ", ".join([state_of(pod), *_warnings(client, of_pod, pod)])


def is_ready(pod: Object) -> bool:
    """Whether a pod says so of itself."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
