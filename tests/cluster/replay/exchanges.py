"""Requests and answers, step by step, as recorded.

What is compared how is in the README of the recorded facts, "How to compare".
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import attrs

from tests.cluster.replay.matching import Bindings, differences

__all__ = ["Answer", "Outcome", "Target", "body_differences", "play"]

_ADMIN = ""
_LONGEST_PREFIX = 58  # of a generated name, whose last five characters are random
_TRACKED = "apply"  # the only topic where managedFields are the point
_HURRIED = ("apply", "fieldvalidation", "patches", "validation")
_CONTROLLERS = "kube-controller-manager"
_OF_THE_CONTROLLER = ("Available", "Progressing", "ReplicaFailure")


@attrs.frozen
class Answer:
    """What a server answered; names of headers are in lower case; *body* is JSON, or text if it is none."""

    status: int
    headers: Mapping[str, list[str]]
    body: Any
    path: str = ""

    @property
    def is_list_of_others(self) -> bool:
        """Whether it shows what the recorder had besides this case; the recording cut such lists short."""
        return self.path.endswith(("?limit=6", "?limit=15"))


class Target(Protocol):
    """A server to try."""

    def send(
        self, method: str, path: str, user: str | None, headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        """One request; *user* is a name, "bad", a token, None for nobody, "" for the administrator."""

    def prepare(self, namespace: str, labels: Mapping[str, str]) -> None:
        """Make a namespace and wait until a pod could be created in it."""

    def compact(self) -> None:
        """Forget the history."""

    def revision(self) -> str:
        """The resourceVersion of now."""

    def settle(self, is_done: Callable[[], bool] | None = None) -> None:
        """Let controllers and nodes act until they have nothing to do, or *is_done*."""


@attrs.frozen
class Outcome:
    """How a case went: what differs, and of that what is only in the words of messages."""

    id: str
    wrong: list[str]
    words: list[str]

    @property
    def is_passed(self) -> bool:
        return not self.wrong and not self.words


def play(topic: str, case: Mapping[str, Any], target: Target) -> Outcome:
    """Play one case of ``exchanges/TOPIC``."""
    bindings = Bindings(lambda word: _unseen(word, bindings, target))
    _make_missing(case, target)
    wrong: list[str] = []
    words: list[str] = []
    for number, step in enumerate(case["steps"]):
        request = step["request"]
        if request["method"] == "NONE":
            continue  # the claims inside tokens, which the tests of tokens look at
        step = _as_sent(step, bindings)
        _do_outside(step, target)
        label = f"step {number} {request['method']} {request['path']}"
        for sentence, is_words in _play_step(topic, step, target, bindings):
            (words if is_words else wrong).append(f"{label}: {sentence}")
    return Outcome(case["id"], wrong, words)


# What controllers, the scheduler or a node act upon; for anything else nobody need wait for them.
_LIVELY = re.compile(
    "/(pods|deployments|replicasets|statefulsets|daemonsets|replicationcontrollers|jobs|cronjobs|events|namespaces"
    r"|poddisruptionbudgets|endpoints|endpointslices|resourcequotas|persistentvolume\w*|serviceaccounts)\b(?!/[^/]+/)"
    "|/(eviction|scale|status|ephemeralcontainers|finalize)$"
)


def _as_sent(step: Mapping[str, Any], bindings: Bindings) -> Mapping[str, Any]:
    """A request that is noted as stale had the first version; it was noted down without it."""
    if step.get("note") != "stale" or "resourceVersion" in step["request"]["body"]["metadata"]:
        return step
    body = step["request"]["body"]
    body = {**body, "metadata": {**body["metadata"], "resourceVersion": "1"}}
    return {**step, "request": {**step["request"], "body": body}}


def _do_outside(step: Mapping[str, Any], target: Target) -> None:
    """What the recorder did without noting it as a step."""
    note = step.get("note", "")
    if "was compacted before" in note:
        target.compact()
    if note == "deletion asked for":
        target.send("DELETE", step["request"]["path"], _ADMIN, {}, None)


def _play_step(
    topic: str, step: Mapping[str, Any], target: Target, bindings: Bindings
) -> list[tuple[str, bool]]:
    """What differs, each with whether it is only one of words.

    The recording took its time: controllers act until the answer is the recorded one.  What is written is
    rehearsed for that.
    """
    request, known = step["request"], dict(bindings.values)
    expected = _normalised(step["response"], request)

    def tried(request: Mapping[str, Any]) -> list[tuple[str, bool]]:
        bindings.values = dict(known)
        return list(_compared(topic, expected, send(target, request, bindings), bindings))

    is_read = request["method"] == "GET"
    rehearsal = request if is_read else _without_effect(request)

    def is_as_recorded() -> bool:
        found = tried(rehearsal)
        return not any((is_read or _is_state(one)) and not is_words for one, is_words in found) and not any(
            one.startswith(_WITH_OBJECT) for one, _ in found
        )

    if request["method"] == "POST" and _have_others_written(expected, known):
        target.settle()
    if _LIVELY.search(request["path"]) and not is_as_recorded():
        target.settle(is_as_recorded)
    return tried(request)


def _have_others_written(expected: Mapping[str, Any], known: Mapping[str, str]) -> bool:
    """Whether versions that later answers show lie between what is known and this answer."""
    body = expected.get("body")
    metadata = body.get("metadata") if isinstance(body, dict) else None
    version = (metadata or {}).get("resourceVersion", "")
    seen = [int(word[4:-1]) for word in known if word.startswith("<rv-")]
    return bool(seen) and version.startswith("<rv-") and int(version[4:-1]) > max(seen) + 1


def _without_effect(request: Mapping[str, Any]) -> dict[str, Any]:
    path = request["path"]
    rehearsal = {**request, "path": f"{path}{'&' if '?' in path else '?'}dryRun=All"}
    if request["method"] == "DELETE" and isinstance(request.get("body"), dict):
        rehearsal["body"] = {**request["body"], "dryRun": ["All"]}  # then what the path says does not count
    return rehearsal


def _is_state(difference: str) -> bool:
    """Whether it is more than that nothing was written."""
    return ".metadata.resourceVersion:" not in difference


def _compared(
    topic: str, expected: Mapping[str, Any], answer: Answer, bindings: Bindings
) -> Iterator[tuple[str, bool]]:
    if answer.status != expected["status"]:
        yield f"status {expected['status']} expected, got {answer.status}: {str(answer.body)[:300]}", False
    for one in _header_differences(expected.get("headers", {}), answer, bindings):
        yield one, False
    body, actual = expected.get("body"), answer.body
    if topic == "tables" and answer.is_list_of_others:
        body, actual = body["columnDefinitions"], actual.get("columnDefinitions")
    yield from body_differences(topic, body, actual, bindings)


def _make_missing(case: Mapping[str, Any], target: Target) -> None:
    """Pods that were there before the recording began: made as the first answer about each shows them."""
    if case["id"] != "pod-states":
        return
    bodies = [step["response"].get("body") or {} for step in case["steps"]]
    pods = [body for body in bodies if body.get("kind") == "Pod"]
    _make_pod(pods[0], "a", case["namespace"], target)  # of this one only a table is shown
    for pod in pods:
        _make_pod(pod, pod["metadata"]["name"], case["namespace"], target)


def _make_pod(shown: Mapping[str, Any], name: str, namespace: str, target: Target) -> None:
    spec = {
        key: shown["spec"][key]
        for key in ("nodeName", "restartPolicy", "readinessGates")
        if key in shown["spec"]
    }
    for part in ("containers", "initContainers"):
        if part in shown["spec"]:
            keys = ("name", "image", "restartPolicy")
            spec[part] = [{key: one[key] for key in keys if key in one} for one in shown["spec"][part]]
    obj = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
    target.send("POST", f"/api/v1/namespaces/{namespace}/pods", _ADMIN, {}, json.dumps(obj).encode())


def _normalised(response: dict[str, Any], request: Mapping[str, Any]) -> dict[str, Any]:
    """With placeholders for what the recording left in messages: hashes, generated names, revisions."""
    text = json.dumps(response)
    text = re.sub(r'(replica set|ReplicaSet) (\\"[\w-]+-)[a-z0-9]{8,10}\\"', r'\1 \2<hash>\\"', text)
    if isinstance(response.get("body"), str):  # YAML, whose last item was another server's and is cut off
        text = re.sub(r'resourceVersion: \\"\d+\\"', r'resourceVersion: \\"<rv>\\"', text)
        text = re.sub(r'(uid: <uid-\d+>\\n)"', r'\1<rest>"', text)
    if response["status"] >= 400:
        body = request.get("body")
        meta = body.get("metadata") or {} if isinstance(body, dict) else {}
        prefix = meta.get("generateName", "")[:_LONGEST_PREFIX]
        if prefix:
            text = re.sub(rf"({re.escape(prefix)})[a-z0-9]{{5}}(?![\w-])", r"\1<rand>", text)
        text = re.sub(r"\(0x[0-9a-f]+\)", "(<address>)", text)
        text = re.sub(r"(ResourceVersion in record) \(\d+\)", r"\1 (<rv>)", text)
        text = re.sub(r"(Too large resource version: <rv>, current:) \d+", r"\1 <rv>", text)
    made: dict[str, Any] = json.loads(text)
    return made


_WITH_OBJECT = ".message with an object"
_QUOTED_OBJECT = re.compile(r'"(\{(?:[^"\\]|\\.)*\})"')


def _in_order(message: str) -> str:
    """With the keys of quoted objects in order: Go's patches leave them in one of their own."""

    def ordered(found: re.Match[str]) -> str:
        try:
            obj = json.loads(json.loads(found.group()))
        except ValueError:
            return found.group()
        if obj.get("kind") == "Deployment":
            _drop_what_the_controller_writes(obj)
        text = json.dumps(obj, sort_keys=True)
        return re.sub(r'("resourceVersion": )"\d+"', r'\1"0"', text)

    return _QUOTED_OBJECT.sub(ordered, message)


def _unseen(word: str, bindings: Bindings, target: Target) -> str:
    """The value of a placeholder that no answer has shown: a version before or after all that were."""
    if word == "<time>":
        return "2026-01-01T00:00:00Z"
    if not word.startswith("<rv-"):
        return word
    known = {int(key[4:-1]): int(value) for key, value in bindings.values.items() if key.startswith("<rv-")}
    number = int(word[4:-1])
    if known and number > max(known):
        return str(int(target.revision()) + 1_000_000)
    return str(min(known.values()) - 1) if known and number < min(known) else target.revision()


def send(target: Target, request: Mapping[str, Any], bindings: Bindings) -> Answer:
    """Send a recorded request, with the values of this server in it."""
    import msgspec

    raw = request.get("rawBody")
    data = bindings.fill(raw).encode() if raw is not None else None
    if data is None and request.get("body") is not None:
        data = msgspec.json.encode(bindings.fill(request["body"]))
    user = (
        bindings.fill(request.get("user", _ADMIN))
        if request.get("user", _ADMIN)
        else request.get("user", _ADMIN)
    )
    headers = {key.lower(): bindings.fill(value) for key, value in (request.get("headers") or {}).items()}
    return target.send(request["method"], bindings.fill(request["path"]), user, headers, data)


def _header_differences(expected: Mapping[str, Any], answer: Answer, bindings: Bindings) -> Iterator[str]:
    for name in ("Warning", "Location", "Allow", "WWW-Authenticate", "Content-Type", "Retry-After"):
        wanted = expected.get(name)
        got = answer.headers.get(name.lower(), [])
        if name == "Content-Type" and wanted is None:
            continue  # JSON
        wanted_list = [wanted] if isinstance(wanted, str) else list(wanted or ())
        yield from differences(wanted_list, got, bindings, f"header {name}")


def body_differences(
    topic: str, expected: Any, actual: Any, bindings: Bindings
) -> Iterator[tuple[str, bool]]:
    """Differences, each with whether it is only one of words."""
    expected, actual = (_comparable(topic, copy.deepcopy(part)) for part in (expected, actual))
    if isinstance(expected, dict) and expected.get("kind") == "Status" and isinstance(actual, dict):
        message, got = expected.pop("message", ""), actual.pop("message", "")
        yield from ((one, False) for one in differences(expected, actual, bindings))
        where = ".message"
        if _QUOTED_OBJECT.search(message):
            message, got, where = _in_order(message), _in_order(got), _WITH_OBJECT
        yield from ((one, True) for one in differences(message, got, bindings, where))
        return
    yield from ((one, False) for one in differences(expected, actual, bindings))


def _comparable(topic: str, body: Any) -> Any:
    """Without what may differ."""
    if isinstance(body, dict):
        if body.get("kind") == "Status":
            _order_causes(body)
        if body.get("kind") == "Table":
            _drop_rows_objects(body)
        for obj in _objects(body):
            _drop_untracked(topic, obj)
            if obj.get("kind") == "Deployment" and topic in _HURRIED:
                _drop_what_the_controller_writes(obj)
            if obj.get("kind") == "Pod" and topic == "validation" and "nodeName" in obj["spec"]:
                obj["spec"]["nodeName"] = "one of several equal nodes"
    return body


def _objects(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield body
    for item in body.get("items") or ():
        if isinstance(item, dict):
            yield item
    for row in body.get("rows") or ():
        if isinstance(row.get("object"), dict):
            yield row["object"]


def _drop_untracked(topic: str, obj: dict[str, Any]) -> None:
    meta = obj.get("metadata")
    if not isinstance(meta, dict):
        return
    meta.pop("selfLink", None)
    meta.pop("remainingItemCount", None) if "continue" not in meta else None
    if topic != _TRACKED:
        meta.pop("managedFields", None)
    for entry in meta.get("managedFields") or ():
        entry.pop("time", None)


def _drop_what_the_controller_writes(deployment: dict[str, Any]) -> None:
    """How far the controller was between two requests is luck, in the recording as well as here."""
    meta, status = deployment.get("metadata") or {}, deployment.get("status") or {}
    meta.pop("resourceVersion", None)
    annotations = meta.pop("annotations", {})
    annotations.pop("deployment.kubernetes.io/revision", None)
    if annotations:
        meta["annotations"] = annotations
    if "managedFields" in meta:
        meta["managedFields"] = [each for each in meta["managedFields"] if each["manager"] != _CONTROLLERS]
    found = [each for each in status.get("conditions") or () if each["type"] not in _OF_THE_CONTROLLER]
    deployment["status"] = {"conditions": found} if found else {}


def _drop_rows_objects(table: dict[str, Any]) -> None:
    for row in table.get("rows") or ():
        row.pop("conditions", None)


def _order_causes(status: dict[str, Any]) -> None:
    causes = (status.get("details") or {}).get("causes")
    if causes:
        pairs: list[tuple[str, str]] = sorted({(c.get("reason", ""), c.get("field", "")) for c in causes})
        status["details"]["causes"] = [list(pair) for pair in pairs]
