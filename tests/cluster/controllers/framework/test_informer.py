"""Informers: what was seen last, found by name, namespace and index."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from container_kit.cluster.client import WatchEvent
from container_kit.cluster.controllers.framework import Informer

_changes = st.lists(
    st.tuples(
        st.sampled_from(["ADDED", "MODIFIED", "DELETED"]), st.sampled_from("abc"), st.sampled_from("xy")
    )
)


def _pod(name: str, color: str, revision: int, namespace: str = "default") -> dict[str, Any]:
    labels = {"color": color}
    meta = {"name": name, "namespace": namespace, "labels": labels, "resourceVersion": str(revision)}
    return {"metadata": meta}


def _colored() -> Informer:
    informer = Informer("pods")
    informer.add_index("color", lambda pod: (pod["metadata"]["labels"]["color"],))
    return informer


def _names(objects: list[dict[str, Any]]) -> set[str]:
    return {obj["metadata"]["name"] for obj in objects}


@given(_changes)
def test_indexes_say_what_a_look_at_every_object_says(changes: list[tuple[Any, str, str]]) -> None:
    """After any changes each index holds exactly the objects that have its value now."""
    informer = _colored()
    truth: dict[str, str] = {}
    for revision, (kind, name, color) in enumerate(changes):
        informer.apply(WatchEvent(kind, _pod(name, color, revision)))
        if kind == "DELETED":
            truth.pop(name, None)
        else:
            truth[name] = color

    for color in "xy":
        assert _names(informer.by_index("color", color)) == {n for n, c in truth.items() if c == color}
    assert _names(informer.in_namespace("default")) == set(truth) == _names(list(informer))
    assert len(informer) == len(truth)


@given(_changes, _changes)
def test_listeners_can_follow(before: list[tuple[Any, str, str]], after: list[tuple[Any, str, str]]) -> None:
    """A listener that applies what it is told knows what the informer knows, whenever it began to listen."""
    informer = _colored()
    copy: dict[str, dict[str, Any]] = {}

    def told(old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        if old is not None:
            assert copy.pop(old["metadata"]["name"]) == old
        if new is not None:
            copy[new["metadata"]["name"]] = new

    for revision, (kind, name, color) in enumerate(before):
        informer.apply(WatchEvent(kind, _pod(name, color, revision)))
    informer.listen(told)
    for revision, (kind, name, color) in enumerate(after, start=len(before)):
        informer.apply(WatchEvent(kind, _pod(name, color, revision)))

    assert copy == {obj["metadata"]["name"]: obj for obj in informer}


def test_a_list_takes_away_what_is_not_in_it() -> None:
    """After a watch that broke, what was deleted meanwhile is known to be gone."""
    informer, told = _colored(), []
    informer.replace([_pod("a", "x", 1), _pod("b", "x", 2)])
    informer.listen(lambda old, new: told.append((old and old["metadata"]["name"], new and True)))
    told.clear()
    informer.replace([_pod("b", "x", 2)])

    assert told == [("a", None)]
    assert informer.get("default", "a") is None


def test_the_same_revision_is_no_change() -> None:
    """What was listed and then comes by the watch again concerns nobody."""
    informer, told = _colored(), []
    informer.replace([_pod("a", "x", 1)])
    informer.listen(lambda old, new: told.append(new))
    informer.apply(WatchEvent("ADDED", _pod("a", "x", 1)))

    assert len(told) == 1


def test_before_the_first_list_nothing_is_certain() -> None:
    """Who must know whether an object is absent can tell that the informer has not looked yet."""
    informer = Informer("pods")
    assert not informer.is_synced
    informer.replace([])
    assert informer.is_synced
