"""What a DaemonSet creates and deletes next: decisions only.

Source: Kubernetes documentation, "Perform a Rolling Update on a DaemonSet" (maxUnavailable, maxSurge).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from container_kit._values import frozen
from container_kit.cluster.controllers.daemonsets.nodes import Fit, is_updated, target_of
from container_kit.cluster.controllers.pods import is_available, is_ready, node_of, phase_of
from container_kit.cluster.meta import Object, is_deleting, name_of, scaled_value

__all__ = ["Changes", "View", "counts_of", "missing_and_surplus", "rolling_update", "view_of"]


@frozen
class View:
    """All that the decisions depend on.

    Attributes:
        fits: What each node is to the DaemonSet, by name.
        pods: The pods of each node, the oldest first.
        digest: The hash of the template of now.
    """

    wish: Object
    fits: Mapping[str, Fit]
    pods: Mapping[str, Sequence[Object]]
    digest: str
    now: datetime

    def is_new(self, pod: Object) -> bool:
        return is_updated(self.wish, pod, self.digest)

    def is_available(self, pod: Object) -> bool:
        return is_available(pod, self.wish["spec"].get("minReadySeconds") or 0, self.now)


@frozen
class Changes:
    """Nodes that get a pod, and pods that go."""

    create: list[str]
    delete: list[Object]


def view_of(
    wish: Object, fits: Mapping[str, Fit], pods: Iterable[Object], digest: str, now: datetime
) -> View:
    """Sorts *pods* by the nodes that they are on or meant for."""
    found: dict[str, list[Object]] = {}
    for pod in sorted(pods, key=_order):
        found.setdefault(target_of(pod), []).append(pod)
    return View(wish, fits, found, digest, now)


def missing_and_surplus(view: View, failed: Iterable[Object]) -> Changes:
    """One pod for each node that fits, none elsewhere.

    Args:
        failed: Pods that ended and are to be replaced now.
    """
    changes = Changes([], list(failed))
    for name, fit in view.fits.items():
        pods = view.pods.get(name, ())
        alive = [pod for pod in pods if not is_deleting(pod)]
        if fit.runs and not pods:
            changes.create.append(name)
        elif fit.keeps:
            running = [pod for pod in alive if phase_of(pod) not in ("Failed", "Succeeded")]
            changes.delete.extend(_surplus(view, running))
        else:
            changes.delete.extend(pod for pod in alive if pod not in changes.delete)
    changes.delete.extend(_lost(view))
    return changes


def rolling_update(view: View) -> Changes:
    """Which old pods go now, or with surge, which nodes get a second, new one."""
    surge, unavailable = _bounds(view)
    return _update_with_surge(view, surge) if surge else _update_in_place(view, unavailable)


def counts_of(view: View) -> dict[str, int]:
    """The numbers of the status."""
    first = {name: pods[0] for name, pods in view.pods.items() if pods}
    wanted = [name for name, fit in view.fits.items() if fit.runs]
    running = [first[name] for name in wanted if name in first]
    available = sum(map(view.is_available, running))
    return {
        "currentNumberScheduled": len(running),
        "numberMisscheduled": sum(name in first and not fit.runs for name, fit in view.fits.items()),
        "desiredNumberScheduled": len(wanted),
        "numberReady": sum(map(is_ready, running)),
        "updatedNumberScheduled": sum(map(view.is_new, running)),
        "numberAvailable": available,
        "numberUnavailable": len(wanted) - available,
    }


def _surplus(view: View, running: list[Object]) -> list[Object]:
    """All but the oldest; with surge all but the oldest of each template, while the old one is needed."""
    if not _bounds(view)[0]:
        return running[1:]
    new = [pod for pod in running if view.is_new(pod)]
    old = [pod for pod in running if not view.is_new(pod)]
    surplus = [*new[1:], *old[1:]]
    if new and old and (not is_ready(old[0]) or view.is_available(new[0])):
        surplus.append(old[0])
    return surplus


def _lost(view: View) -> list[Object]:
    """Pods that wait for a node that is gone."""
    waiting = (pod for name, pods in view.pods.items() if name not in view.fits for pod in pods)
    return [pod for pod in waiting if not node_of(pod) and not is_deleting(pod)]


def _update_in_place(view: View, unavailable: int) -> Changes:
    replaceable: list[Object] = []
    candidates: list[Object] = []
    missing = 0
    for pods in _on_nodes(view):
        new, old, is_clear = _new_and_old(view, pods)
        if not is_clear or (new is None) == (old is None):
            missing += 1
        elif new is not None:
            missing += not view.is_available(new)
        elif old is not None:
            (candidates if view.is_available(old) else replaceable).append(old)
    return Changes([], [*replaceable, *candidates[: max(0, unavailable - missing)]])


def _update_with_surge(view: View, surge: int) -> Changes:
    changes, candidates, surging = Changes([], []), list[str](), 0
    for pods in _on_nodes(view):
        new, old, is_clear = _new_and_old(view, pods)
        if not is_clear:
            surging += 1
        elif old is None:
            continue
        elif new is None:
            (candidates if view.is_available(old) else changes.create).append(target_of(old))
        elif view.is_available(new):
            changes.delete.append(old)
        else:
            surging += 1
    changes.create.extend(candidates[: max(0, surge - surging)])
    return changes


def _on_nodes(view: View) -> Iterable[Sequence[Object]]:
    return (pods for name, pods in view.pods.items() if name in view.fits)


def _new_and_old(view: View, pods: Iterable[Object]) -> tuple[Object | None, Object | None, bool]:
    """The pod of the new template, that of an old one, and False if there are several of one."""
    alive = [pod for pod in pods if not is_deleting(pod)]
    new = [pod for pod in alive if view.is_new(pod)]
    old = [pod for pod in alive if not view.is_new(pod)]
    return new[0] if new else None, old[0] if old else None, len(new) <= 1 and len(old) <= 1


def _bounds(view: View) -> tuple[int, int]:
    """Of how many nodes there may be a second pod, and how many may have none."""
    strategy = view.wish["spec"].get("updateStrategy") or {}
    rolling = strategy.get("rollingUpdate") or {}
    if strategy.get("type") == "OnDelete":
        return 0, 0
    wanted = sum(fit.runs for fit in view.fits.values())
    surge = scaled_value(rolling.get("maxSurge", 0), wanted, round_up=True)
    unavailable = scaled_value(rolling.get("maxUnavailable", 1), wanted, round_up=True)
    return surge, unavailable if surge or unavailable else 1


def _order(pod: Object) -> tuple[bool, str, str]:
    """Pods that have a node first, then the oldest."""
    return not node_of(pod), pod["metadata"].get("creationTimestamp", ""), name_of(pod)
