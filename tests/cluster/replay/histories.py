"""Histories of controllers: actions, and what controllers make of them.

The order in which two controllers act is not fixed, and updates of a status may be merged or split.  So
what is compared is what must be true: before the next action, and at the end, there are the recorded objects
in the recorded states, and the recorded events have been written, as a set of (reason, about).

Who is faster than the recorded server may be further on: a state counts that was recorded later, before the
object was next touched by the test.  Which of several equal nodes a pod comes to is a matter of luck.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.cluster.replay.exchanges import Outcome, send
from tests.cluster.replay.matching import Bindings, differences, placeholders
from tests.cluster.replay.stepped import SteppedTarget

__all__ = ["WAIT_S", "play_history"]

WAIT_S = 10.0  # for what follows from an action, beyond the time that was recorded
_POLL_S = 0.02
_Name = tuple[str, str]
_EVENTS = "events"
_LOST_RACE = "the object has been modified"  # between two writers, which need not meet each time
_AT_ONCE_S = 0.2
_UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_NEVER_MADE = re.compile(r"(<hash-\d+>-)[a-z0-9]{5}\b")
# The nodes for all pods, those of one pool, their addresses and their zones.
_EQUAL_NODES = re.compile(r'"(node-|192\.168\.10\.|zone-)(5(?=[12]"))?[123abc]"')
# While this case was recorded there were nodes of ten others: what these say of its pods is left out.
_CROWDED = '"namespace": "h-sch-preempt"'
_OF_OTHERS = re.compile(
    r"(, )?\d+ node\(s\) "
    r"(didn't match Pod's node affinity/selector|were unschedulable|had untolerated taint \{[^}]*\})"
)
# Actions before which, not after which, the entries up to the next one belong.
_LATE = {"job-pod-deleted": 5.6}
# Ready pods of a Job are counted a second after they changed.
_LAST_WORDS = {
    "job-suspend": [
        {"type": "MODIFIED", "resource": "jobs", "name": "j", "changes": {"status": {"ready": 2}}, "t": 7.9}
    ]
}
_HEARTBEATS = ("lastHeartbeatTime", "lastProbeTime", "renewTime")


def play_history(case: Mapping[str, Any], target: SteppedTarget, *, places: bool = True) -> Outcome:
    """Play one case of ``controllers/TOPIC``; notes are the target's to act on (``target.note``).

    Args:
        places: Whether pods must be on the recorded nodes, or may be on others that are just as good.
    """
    history = _in_time(case["id"], _without_cleaning(_with_any_uids(case["history"])))
    player = _Player(case["namespace"], history, target, places)
    for node in _nodes_from_the_start(history):
        target.join(node)
    wrong: list[str] = []
    segment: list[dict[str, Any]] = []
    acted_at = -_AT_ONCE_S
    for entry in [*history, {"type": "END", "t": history[-1]["t"]}]:
        if entry["type"] not in ("ACTION", "END"):
            segment.append(entry)
            continue
        if entry["type"] == "END" or entry["t"] - acted_at > _AT_ONCE_S:
            wrong += player.expect(segment, entry["t"], entry["type"] == "END")
        else:
            player.pass_by(segment, entry)
        segment, acted_at = [], entry["t"]
        if entry["type"] == "ACTION":
            wrong += player.act(entry)
    return Outcome(case["id"], wrong, [])


def _nodes_from_the_start(history: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Nodes of a case's own pool that were there before its history began."""
    text = json.dumps(history)
    pool = re.search(r'"nodeSelector": {"pool": "(\w+)"}', text)
    joined = {e["name"] for e in history if e["type"] == "ADDED" and e["resource"] == "nodes"}
    joined |= {e["note"].split()[0] for e in history if e.get("note", "").endswith("joins")}
    for name in sorted(set(re.findall(r'"(node-4\d)"', text)) - joined):
        assert pool is not None, f"{name} is of no pool"
        yield {"metadata": {"name": name, "labels": {"pool": pool[1]}}}


def _in_time(case_id: str, history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """With what a controller, slowed down by its limit of requests, did too late for the recorder."""
    history = [*history, *_LAST_WORDS.get(case_id, ())]
    action = next((e for e in history if e["type"] == "ACTION" and e["t"] == _LATE.get(case_id)), None)
    if action is None:
        return history
    start = history.index(action)
    end = next(at for at in range(start + 1, len(history)) if history[at]["type"] == "ACTION")
    late = [entry for entry in history[start:end] if entry.get("by") not in (None, "user")]
    rest = [entry for entry in history[start:end] if entry not in late]
    return [*history[:start], *late, *rest, *history[end:]]


def _without_cleaning(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Up to where the recorder deleted what a case had made: no action of the case caused that."""
    deleted = {entry["path"].rpartition("/")[2] for entry in history if entry.get("method") == "DELETE"}
    for index, entry in enumerate(history):
        if (entry.get("by"), entry.get("verb")) == ("user", "delete") and entry["name"] not in deleted:
            return history[:index]
    return history


@dataclass
class _State:
    """An object after one entry (None: it is gone), and whether the test has made it so."""

    index: int
    is_by_test: bool
    obj: dict[str, Any] | None


def _timelines(history: list[dict[str, Any]]) -> dict[_Name, list[_State]]:
    """All states of each object."""
    found: dict[_Name, list[_State]] = {}
    for index, raw in enumerate(history):
        if raw["type"] in ("ADDED", "MODIFIED", "DELETED"):
            entry = _with_any_names(raw)
            states = found.setdefault((entry["resource"], entry["name"]), [])
            before = states[-1].obj if states else None
            after: dict[str, Any] | None = None
            if entry["type"] != "DELETED":
                after = entry["object"] if "object" in entry else _merged(before, entry["changes"])
            states.append(_State(index, entry.get("by") == "user", after))
    return found


class _Player:
    def __init__(
        self, namespace: str, history: list[dict[str, Any]], target: SteppedTarget, places: bool
    ) -> None:
        self._namespace = namespace
        self._timelines, self._seen = _timelines(history), 0
        self._target, self._places = target, places
        self._bindings = Bindings()
        self._used: set[str] = set()
        self._expected: dict[_Name, dict[str, Any]] = {}
        self._events: set[tuple[str, str]] = set()
        self._resources: set[str] = set()
        self._t = 0.0

    def act(self, entry: Mapping[str, Any]) -> Iterator[str]:
        self._seen += 1
        if "method" not in entry:
            self._target.note(entry["note"])
            return
        headers = {"Content-Type": entry.get("contentType") or "application/json"}
        request = {key: entry[key] for key in ("method", "path", "body") if key in entry} | {
            "headers": headers
        }
        answer = send(self._target, request, self._bindings)
        if answer.status < 400:  # one that was refused left its object as good as the others
            self._used.update(placeholders(json.dumps(request)))
        if answer.status != entry["status"]:
            label = f"{entry['method']} {entry['path']}"
            yield f"{label}: {entry['status']} expected, got {answer.status} {answer.body}"

    def pass_by(self, entries: list[dict[str, Any]], action: Mapping[str, Any]) -> None:
        """One action came right after another: what there is in between depends on who is faster.

        An action that failed came before anybody had answered the one before it.
        """
        for entry in entries:
            self._take(entry)
        if action.get("status", 200) < 400:
            self._target.wait(action["t"] - self._t)
        self._t = action["t"]
        self._missing()

    def expect(self, entries: list[dict[str, Any]], t: float, is_end: bool) -> list[str]:
        """Wait until what was recorded up to now is here; what is not is returned.

        Some recordings end right after an action, while controllers still act: then any moment counts.
        """
        for entry in entries:
            self._take(entry)
        deadline_s = self._target.now_s + WAIT_S + 1.5 * (t - self._t)
        if is_end and t - self._t <= _AT_ONCE_S:
            if not self._missing():
                return []
            t = self._t
        self._target.wait(t - self._t)
        self._t = t
        while wrong := self._missing():
            if self._target.now_s > deadline_s:
                return [f"at {t} s: {one}" for one in wrong]
            self._target.wait(_POLL_S)
        return []

    def _take(self, entry: Mapping[str, Any]) -> None:
        self._seen += 1
        if entry["type"] == "EVENT" and _LOST_RACE in entry["message"]:
            return
        if entry["type"] == "EVENT":
            self._events.add((entry["reason"], entry["about"]))
            return
        name = (entry["resource"], entry["name"])
        self._resources.add(entry["resource"])
        if entry["type"] == "ADDED" and entry["resource"] == "nodes":
            self._target.join(entry["object"])
        entry = _with_any_names(entry)
        if entry["type"] == "ADDED":
            self._expected[name] = copy.deepcopy(entry["object"])
        elif entry["type"] == "DELETED":
            self._expected.pop(name, None)
        else:
            self._expected[name] = _merged(self._expected.get(name, {}), entry["changes"])

    def _missing(self) -> list[str]:
        """Which of several equal pods a placeholder means is open until a request uses it."""
        wrong: list[str] = []
        known = self._bindings.values
        self._bindings = Bindings()
        self._bindings.values = {word: value for word, value in known.items() if word in self._used}
        for resource in sorted(self._resources, key=_owners_first):
            actual = self._target.objects(resource, self._namespace)
            wrong += self._of_resource(resource, actual)
        written = {
            (event["reason"], f"{event['involvedObject']['kind']}/{event['involvedObject']['name']}")
            for event in self._target.objects(_EVENTS, self._namespace)
        }
        for reason, about in sorted(self._events):
            if not any(reason == other and self._could_be(about, who) for other, who in written):
                wrong.append(f"no event {reason} about {about}")
        return wrong

    def _could_be(self, about: str, who: str) -> bool:
        """Events tell of objects that are gone, too: what they would bind proves nothing."""
        trial = Bindings()
        trial.values = {word: value for word, value in self._bindings.values.items() if word in self._used}
        return trial.matches(about, who)

    def _of_resource(self, resource: str, actual: list[dict[str, Any]]) -> Iterator[str]:
        """Give each recorded object one that is there; names with random parts fit several."""
        left = list(actual)
        wanted = [name for (kind, name) in self._expected if kind == resource]
        coming = [name for (kind, name) in self._timelines if kind == resource and name not in wanted]
        for name in [*sorted(wanted, key=lambda name: "<" in name), *coming]:
            expected = self._expected.get((resource, name))
            later = self._later((resource, name))
            tried = [(*self._try(state, one), one) for state in (expected, *later) if state for one in left]
            good = next((entry for entry in tried if not entry[0]), None)
            if good is not None:
                self._bindings.values = good[1]
                left.remove(good[2])
            elif expected is not None and None not in later:
                closest = min(tried, key=lambda entry: len(entry[0]), default=None)
                words = "there is none" if closest is None else "; ".join(closest[0][:6])
                yield f"{resource} {name}: {words}"
        known = {name for (kind, name) in self._timelines if kind == resource}
        for one in left:
            if one["metadata"].get("namespace", self._namespace) == self._namespace and _is_of_case(
                one, known
            ):
                yield f"{resource} {one['metadata']['name']}: is there and was not recorded"

    def _later(self, name: _Name) -> list[dict[str, Any] | None]:
        """The states that an object comes to before the test touches it again."""
        found: list[dict[str, Any] | None] = []
        for state in self._timelines.get(name, ()):
            if state.index >= self._seen:
                if state.is_by_test:
                    break
                found.append(state.obj)
        return found

    def _try(self, expected: dict[str, Any], one: dict[str, Any]) -> tuple[list[str], dict[str, str]]:
        trial = Bindings()
        trial.values = dict(self._bindings.values)
        stable = _stable if self._places else _placeless
        return list(differences(stable(expected), stable(one), trial)), trial.values


def _any_of_them(found: re.Match[str]) -> str:
    return f'"{found[1]}{found[2] or ""}N"'


def _is_of_case(obj: Mapping[str, Any], known: set[str]) -> bool:
    """Things without a namespace belong to other cases as well."""
    return "namespace" in obj["metadata"] or obj["metadata"]["name"] in known


def _with_any_names(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Messages name pods that never were, by names that are random each time."""
    found: Mapping[str, Any] = json.loads(_NEVER_MADE.sub(r"\1<rand>", json.dumps(entry)))
    return found


def _with_any_uids(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """UIDs that requests use are recorded as they were; here they are whatever our server gives."""
    text = json.dumps(history)
    for number, uid in enumerate(dict.fromkeys(_UID.findall(text)), start=1000):
        text = text.replace(uid, f"<uid-{number}>")
    found: list[dict[str, Any]] = json.loads(text)
    return found


def _owners_first(resource: str) -> tuple[int, str]:
    """What has a name of its own says what placeholders mean in the names of what it owns."""
    ranks = {"replicasets": 1, "controllerrevisions": 1, "jobs": 1, "pods": 2}
    return ranks.get(resource, 0), resource


def _placeless(obj: dict[str, Any]) -> dict[str, Any]:
    """`_stable`, and without the node of a pod."""
    made = _stable(obj)
    if made.get("kind") == "Pod":
        made["spec"].pop("nodeName", None)
        for key in ("hostIP", "hostIPs"):
            made.get("status", {}).pop(key, None)
    return made


def _stable(obj: dict[str, Any]) -> dict[str, Any]:
    """Without what changes on its own; conditions in the order of their types, equal nodes by one name."""
    text = _EQUAL_NODES.sub(_any_of_them, json.dumps(_without_nothing(obj)))
    if _CROWDED in text:
        text = re.sub(r"\b0/\d+ nodes", "0/N nodes", _OF_OTHERS.sub("", text))
    made: dict[str, Any] = json.loads(text)
    if made.get("kind") == "Secret" and "data" in made:
        made["data"] = sorted(made["data"])
    for key in ("managedFields", "resourceVersion", "selfLink"):
        made["metadata"].pop(key, None)
    made.get("endpoints", []).sort(key=lambda endpoint: endpoint["addresses"])
    for subset in made.get("subsets", ()):
        subset.get("addresses", []).sort(key=lambda address: address["ip"])
    status = made.get("status")
    if made["metadata"].get("ownerReferences"):
        _forget_steps(made["metadata"], status)
    if isinstance(status, dict) and isinstance(status.get("conditions"), list):
        for condition in status["conditions"]:
            for word in _HEARTBEATS:
                condition.pop(word, None)
        status["conditions"].sort(key=lambda condition: condition["type"])
    return made


def _forget_steps(meta: dict[str, Any], status: Any) -> None:
    """How many steps its controller took is chance; whether it has seen the last one is not."""
    generation = meta.pop("generation", None)
    if isinstance(status, dict) and "observedGeneration" in status:
        status["observedGeneration"] = status["observedGeneration"] == generation


def _without_nothing(part: Any) -> Any:
    """In the changes of a history a field that became null looks like one that was removed."""
    if isinstance(part, dict):
        return {key: _without_nothing(value) for key, value in part.items() if value is not None}
    return [_without_nothing(item) for item in part] if isinstance(part, list) else part


def _merged(state: Any, changes: Any) -> Any:
    """RFC 7386."""
    if not isinstance(changes, dict):
        return changes
    made = dict(state) if isinstance(state, dict) else {}
    for key, value in changes.items():
        if value is None:
            made.pop(key, None)
        else:
            made[key] = _merged(made.get(key), value)
    return made
