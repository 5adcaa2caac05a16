"""What a pod does next: decisions only.

From what its containers are doing follows which are to be started and which ended; `running` does it, and
asks again whenever something has changed.

Source: Kubernetes documentation, Pod lifecycle, Init containers, Sidecar containers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from container_kit._values import frozen
from container_kit.pods.spec import ContainerSpec, PodSpec

__all__ = ["Phase", "Steps", "View", "next_steps", "phase_of"]

Phase = Literal["Pending", "Running", "Succeeded", "Failed"]


@frozen(kw_only=True)
class View:
    """What one container is doing.

    Args:
        is_live: It runs, or is on its way to run or to end.
        is_ending: It has been told to end.
        is_started: It runs, its hook has returned and its startup probe has succeeded.
        exit_code: Of its last end; None when it has never ended.
        has_run: It has been started before.
        is_done: An init container that has succeeded.
    """

    is_live: bool = False
    is_ending: bool = False
    is_started: bool = False
    exit_code: int | None = None
    has_run: bool = False
    is_done: bool = False


@frozen(kw_only=True)
class Steps:
    """What is to be done now: starts in order, of which each waits for the one before, and ends.

    Args:
        outcome: How the pod has ended, when nothing of it lives and nothing will.
    """

    start: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    outcome: Literal["Succeeded", "Failed"] | None = None


def next_steps(
    pod: PodSpec, views: Mapping[str, View], *, is_stopping: bool = False, has_begun: bool = False
) -> Steps:
    """What brings the pod nearer to what its specification wants, or to its end.

    Args:
        has_begun: The init containers are behind it: a sidecar that fails later holds up nobody.
    """
    if is_stopping:
        return _ending(pod, views, None)
    mains = pod.of_kind("main")
    if all(_is_over(pod, _seen(one, views)) for one in mains):
        return _ending(pod, views, None)
    debuggers = tuple(one.name for one in pod.of_kind("ephemeral") if _is_new(_seen(one, views)))
    if not has_begun:
        initial = _next_initial(pod, views)
        if initial == "failed":
            return _ending(pod, views, "Failed")
        if initial is not None:
            return Steps(start=(*initial, *debuggers))
    wanted = (one.name for one in mains if _wants_start(pod, _seen(one, views)))
    return Steps(start=(*_dead_sidecars(pod, views), *wanted, *debuggers))


def _is_new(view: View) -> bool:
    return not view.is_live and not view.has_run


def _next_initial(pod: PodSpec, views: Mapping[str, View]) -> tuple[str, ...] | Literal["failed"] | None:
    """The init containers to start now, none of them while one is waited for; None when all have done."""
    to_start: list[str] = []
    for one in pod.of_kind("init", "sidecar"):
        view = _seen(one, views)
        if one.kind == "sidecar":
            if not view.is_live:
                to_start.append(one.name)
            if not view.is_started:
                return tuple(to_start)
            continue
        if view.is_done:
            continue
        if not view.is_live:
            if view.has_run and pod.restart_policy == "Never":
                return "failed"
            to_start.append(one.name)
        return tuple(to_start)
    return None


def _dead_sidecars(pod: PodSpec, views: Mapping[str, View]) -> Iterator[str]:
    return (one.name for one in pod.of_kind("sidecar") if not _seen(one, views).is_live)


def _ending(pod: PodSpec, views: Mapping[str, View], outcome: Literal["Failed"] | None) -> Steps:
    """The containers end together, then the sidecars one by one, the last one first."""
    live = [one for one in pod.containers if _seen(one, views).is_live]
    sidecars = [one for one in live if one.kind == "sidecar"]
    others = [one for one in live if one.kind != "sidecar"]
    if others:
        return Steps(stop=tuple(one.name for one in others if not _seen(one, views).is_ending))
    if sidecars:
        last = sidecars[-1]
        return Steps(stop=() if _seen(last, views).is_ending else (last.name,))
    return Steps(outcome=outcome or ("Failed" if _has_failed(pod, views) else "Succeeded"))


def _has_failed(pod: PodSpec, views: Mapping[str, View]) -> bool:
    """Whether a container ended, or never came to run, otherwise than well."""
    codes = [_seen(one, views).exit_code for one in pod.of_kind("main")]
    return any(code != 0 for code in codes)


def _is_over(pod: PodSpec, view: View) -> bool:
    return not view.is_live and view.has_run and not _restarts(pod, view)


def _wants_start(pod: PodSpec, view: View) -> bool:
    return not view.is_live and (not view.has_run or _restarts(pod, view))


def _restarts(pod: PodSpec, view: View) -> bool:
    if pod.restart_policy == "OnFailure":
        return view.exit_code != 0
    return pod.restart_policy == "Always"


def phase_of(pod: PodSpec, views: Mapping[str, View], outcome: Phase | None) -> Phase:
    """The pod's phase as Kubernetes words it."""
    if outcome is not None:
        return outcome
    mains = [_seen(one, views) for one in pod.of_kind("main")]
    return "Running" if all(view.has_run for view in mains) else "Pending"


def _seen(one: ContainerSpec, views: Mapping[str, View]) -> View:
    return views.get(one.name, _NOTHING)


_NOTHING = View()
