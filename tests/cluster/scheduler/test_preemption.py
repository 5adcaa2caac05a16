"""Who has to go for a pod of higher priority."""

from __future__ import annotations

from typing import Any

from container_kit.cluster.meta import LabelSelector
from container_kit.cluster.scheduler.placement import Unplaceable
from container_kit.cluster.scheduler.preemption import Budget, NoVictims, Preemption, preempt
from tests.cluster.scheduler import Room, node, pod


def _preempt(room: Room, budgets: tuple[Budget, ...] = (), **wish: Any) -> Preemption | NoVictims:
    important = room.info(pod("important", **wish))
    why = room.placer.place(important)
    assert isinstance(why, Unplaceable)
    return preempt(important, why, room.state, room.placer, budgets)


def _fill(room: Room, name: str, on: str, **spec: Any) -> None:
    one = pod(name, labels={"name": name}, **spec)
    room.state.add_pod(room.info(one), on)


def test_nobody_goes_for_a_pod_that_would_not_fit_an_empty_node() -> None:
    """Then it says why not, as the original does, and everybody is where he was."""
    room = Room(node("n1", cpu="2"), node("n2", taints=[{"key": "a", "effect": "NoSchedule"}]))
    _fill(room, "low", "n1", cpu="1")
    found = _preempt(room, cpu="3", priority=10)

    assert found == NoVictims(
        "preemption: 0/2 nodes are available: 1 Insufficient cpu, 1 Preemption is not helpful for scheduling."
    )
    assert len(room.state.nodes["n1"].pods) == 1


def test_as_few_as_possible_go_and_the_least_important() -> None:
    room = Room(node("n1", cpu="3"))
    for name, priority in (("a", 1), ("b", 5), ("c", 3)):
        _fill(room, name, "n1", cpu="1", priority=priority)
    found = _preempt(room, cpu="1", priority=10)

    assert isinstance(found, Preemption)
    assert [victim.name for victim in found.victims] == ["a"]


def test_the_node_where_the_least_important_go_is_chosen() -> None:
    room = Room(node("n1", cpu="1"), node("n2", cpu="1"), node("n3", cpu="1"))
    for on, priority in (("n1", 7), ("n2", 2), ("n3", 5)):
        _fill(room, f"on-{on}", on, cpu="1", priority=priority)
    found = _preempt(room, cpu="1", priority=10)

    assert isinstance(found, Preemption) and found.node_name == "n2"


def test_a_budget_is_broken_only_if_there_is_no_other_way() -> None:
    """Rather does a more important pod go than one whose budget forbids it."""
    room = Room(node("n1", cpu="1"), node("n2", cpu="1"))
    _fill(room, "protected", "n1", cpu="1", priority=1)
    _fill(room, "bare", "n2", cpu="1", priority=2)
    budget = Budget("default", LabelSelector.from_labels({"name": "protected"}), 0, frozenset())
    found = _preempt(room, (budget,), cpu="1", priority=10)
    assert isinstance(found, Preemption) and found.node_name == "n2"

    room.state.set_node("n2", None)
    found = _preempt(room, (budget,), cpu="1", priority=10)
    assert isinstance(found, Preemption) and (found.node_name, found.violations) == ("n1", 1)


def test_pods_of_the_same_priority_are_safe() -> None:
    room = Room(node("n1", cpu="1"))
    _fill(room, "equal", "n1", cpu="1", priority=10)

    assert _preempt(room, cpu="1", priority=10) == NoVictims(
        "preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
    )


def test_a_pod_that_is_not_to_preempt_does_not() -> None:
    room = Room(node("n1", cpu="1"))
    _fill(room, "low", "n1", cpu="1")

    assert _preempt(room, cpu="1", priority=10, preemptionPolicy="Never") == NoVictims(
        "preemption: not eligible due to preemptionPolicy=Never."
    )


def test_who_shuns_the_pod_goes_too() -> None:
    """Preemption makes room for rules about other pods, not for resources only."""
    room = Room(node("n1"))
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "x"}}}
    apart = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    _fill(room, "hermit", "n1", affinity=apart)
    _fill(room, "other", "n1")
    found = _preempt(room, labels={"app": "x"}, priority=10)

    assert isinstance(found, Preemption)
    assert [victim.name for victim in found.victims] == ["hermit"]


def test_room_that_is_made_for_one_is_not_taken_by_a_lesser_one() -> None:
    room = Room(node("n1", cpu="1"))
    room.state.nominate(room.info(pod("important", cpu="1", priority=10)), "n1")

    assert room.place(pod("late", cpu="1")) == "0/1 nodes are available: 1 Insufficient cpu."
    assert room.place(pod("urgent", cpu="1", priority=11)) == "n1"
