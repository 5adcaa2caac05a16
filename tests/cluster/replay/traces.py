"""What kubectl was seen to ask: the same requests, one after the other, get answers of the same shape.

The traces have no bodies, so those are here; names and versions that a server makes up are put in from ours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import attrs
import msgspec

from container_kit.cluster.api import Request, Response, WatchBody
from tests.cluster.replay.exchanges import Outcome
from tests.cluster.replay.in_process import ADMIN, InProcessTarget
from tests.cluster.replay.recorded import FOLDER

__all__ = ["TRACES", "play_trace"]

TRACES = sorted(path.name.removesuffix(".txt") for path in (FOLDER / "kubectl").glob("*.txt"))

_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
_PROTOBUF = "application/vnd.kubernetes.protobuf"
_REQUEST = re.compile(r"(GET|POST|PUT|PATCH|DELETE) (/\S*)((?: \[[^]]*\]| \{[^}]*\})*)")
_STATUS = re.compile(r"(?: -> |Response Status: )(\d{3})?")
_STREAM = re.compile(r"/(log|attach|exec|portforward)\b")


@attrs.define
class _Asked:
    """One request of a trace; *status* as answered, 0 if the trace does not say."""

    method: str
    path: str
    marks: str
    status: int = 0


def play_trace(name: str, target: InProcessTarget) -> Iterator[Outcome]:
    """Play one file of ``kubectl``, with a case for each command in it.

    No stream began while it was recorded, as the nodes had no addresses, and none begins here.
    """
    text = (FOLDER / "kubectl" / f"{name}.txt").read_text(errors="replace")
    player = _Player(target)
    player.create("pods", _pod("p2"))
    for part in text.split("### kubectl ")[1:]:
        command, _, rest = part.partition("\n")
        player.begin(command)
        yield Outcome(command, [one for asked in _requests(rest) for one in player.play(asked)], [])


def _requests(text: str) -> Iterator[_Asked]:
    """Those of one command; statuses may come after several requests at once."""
    waiting: list[_Asked] = []
    for line in text.splitlines():
        if found := _REQUEST.search(line):
            waiting.append(_Asked(*found.groups()))
        for status in _STATUS.findall(line):
            waiting[0].status = int(status or 0)
            yield waiting.pop(0)


class _Player:
    """Sends the requests of one command after the other."""

    def __init__(self, target: InProcessTarget) -> None:
        self._target, self._names = target, dict[str, str]()
        self._writes: Iterator[Any] = iter(())
        self._revision = ""

    def begin(self, command: str) -> None:
        """A command; controllers have their time before it, when there is something new for them."""
        if self._revision != self._target.revision():
            self._target.settle()
            self._revision = self._target.revision()
        self._writes = iter(_bodies(command))

    def create(self, resource: str, obj: Any) -> None:
        self._target.send("POST", f"/api/v1/namespaces/default/{resource}", "", {}, json.dumps(obj).encode())

    def play(self, asked: _Asked) -> Iterator[str]:
        path = self._with_our_names(asked.path)
        body = b"" if asked.method in ("GET", "DELETE") or _STREAM.search(path) else next(self._writes, {})
        request = self._request(asked, path, body)
        label = f"{asked.method} {path}"
        answer = self._target.pace.handle(request)
        if asked.method == "GET" and asked.status not in (0, answer.status):
            self._target.settle(lambda: self._target.pace.handle(request).status == asked.status)
            answer = self._target.pace.handle(request)
        if answer.status != (asked.status or answer.status):
            yield f"{label}: status {asked.status} expected, got {answer.status}: {str(answer.body)[:300]}"
        elif asked.method == "GET" and (problem := _misshapen(asked, path, answer)):
            yield f"{label}: {problem}"

    def _request(self, asked: _Asked, path: str, body: Any) -> Request:
        parts = urlsplit(path)
        accept = _TABLE if "[Table]" in asked.marks else "application/json"
        headers = {"accept": f"{_PROTOBUF},{accept}" if "acc:pb" in asked.marks else accept}
        headers["user-agent"] = "kubectl/v1.32.0"
        if body != b"":
            given = re.search(r"\{ct:([^}]*)\}", asked.marks)
            of_patch = "application/strategic-merge-patch+json" if asked.method == "PATCH" else ""
            content_type = (given[1] if given else of_patch) or "application/json"
            headers["content-type"] = "application/json" if content_type == _PROTOBUF else content_type
            body = msgspec.json.encode(body)
        query = parse_qs(parts.query, keep_blank_values=True)
        query.pop("hash", None)  # of a document of the recorded server
        return Request(asked.method, unquote(parts.path), query, headers, body, ADMIN)

    def _with_our_names(self, path: str) -> str:
        path = path.replace("fake-0", "node-1")
        path = re.sub(r"resourceVersion=[1-9]\d*", f"resourceVersion={self._target.revision()}", path)
        return re.sub(r"\b(web|j1)(-[a-z0-9]+)?-[a-z0-9]{5}\b", self._our_name, path)

    def _our_name(self, found: re.Match[str]) -> str:
        """One of our pods with the same owner, always the same."""
        if found.group() not in self._names:
            pods = self._target.send("GET", "/api/v1/namespaces/default/pods", "", {}, None).body["items"]
            names = sorted(pod["metadata"]["name"] for pod in pods)
            ours = [name for name in names if name.startswith(f"{found[1]}-")]
            self._names[found.group()] = next((name for name in ours), "gone")
        return self._names[found.group()]


def _misshapen(asked: _Asked, path: str, answer: Response) -> str:
    """What is wrong with the form of an answer that was read."""
    if "watch=true" in path:
        return "" if isinstance(answer.body, WatchBody) else "is no watch"
    if answer.status != 200 or not isinstance(answer.body, bytes) or not answer.body.startswith(b"{"):
        return ""
    kind = json.loads(answer.body).get("kind", "")
    if "[Table]" in asked.marks:
        return "" if kind == "Table" else f"a Table expected, got {kind}"
    is_list = "limit=" in path or "labelSelector=" in path
    return "" if not is_list or kind.endswith("List") else f"a list expected, got {kind}"


def _pod(name: str) -> dict[str, Any]:
    containers = [{"name": "c", "image": "pause"}]
    spec = {"nodeName": "node-1", "containers": containers}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def _deployment(name: str) -> dict[str, Any]:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "pause"}]}}
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    kind = {"apiVersion": "apps/v1", "kind": "Deployment"}
    return {**kind, "metadata": {"name": name, "labels": labels}, "spec": spec}


_NOTE = "kubectl.kubernetes.io/last-applied-configuration"
_NOTED = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p1", "annotations": {_NOTE: "{}"}}}
_CRON_TABS: dict[str, Any] = {
    "metadata": {"name": "crontabs.stable.example.com"},
    "spec": {
        "group": "stable.example.com",
        "scope": "Namespaced",
        "names": {"plural": "crontabs", "kind": "CronTab", "shortNames": ["ct"]},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {
                    "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
                },
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {"type": "object", "properties": {"replicas": {"type": "integer"}}}
                        },
                    }
                },
            }
        ],
    },
}
_SCALER = {
    "metadata": {"name": "web"},
    "spec": {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "minReplicas": 1,
        "maxReplicas": 3,
    },
}
_JOB = {
    "metadata": {"name": "j1"},
    "spec": {
        "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "pause"}]}}
    },
}
_IMAGE = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "pause:2"}]}}}}
_RESTARTED = {"spec": {"template": {"metadata": {"annotations": {"restartedAt": "now"}}}}}
_TAINTS = {"spec": {"taints": [{"key": "a", "value": "b", "effect": "NoSchedule"}]}}

# The beginning of a command -> what it writes, in order; an empty object where it does not matter.
_BODIES: dict[str, list[Any]] = {
    "create -f d.yaml": [_deployment("web")],
    "apply -f p.yaml --server-side": [_pod("p1"), _NOTED, [], _pod("p1")],
    "apply -f p.yaml": [_pod("p1")],
    "replace -f p.yaml": [{**_pod("p1"), "spec": {**_pod("p1")["spec"], "restartPolicy": "Never"}}],
    "create configmap": [{"metadata": {"name": "cm1"}, "data": {"a": "b"}}],
    "create deployment d2": [_deployment("d2")],
    "create job": [_JOB],
    "label pod": [{"metadata": {"labels": {"x": "y"}}}],
    "annotate pod": [{"metadata": {"annotations": {"x": "y"}}}],
    "patch deploy": [{"spec": {"replicas": 3}}],
    "scale deploy": [{"spec": {"replicas": 2}}],
    "autoscale": [_SCALER],
    "set image": [_IMAGE],
    "rollout undo": [[{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "pause"}]],
    "rollout restart": [_RESTARTED],
    "rollout pause": [{"spec": {"paused": True}}],
    "expose": [{"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}}],
    "run": [_pod("r1")],
    "auth can-i --list": [{"spec": {"namespace": "default"}}],
    "auth can-i": [{"spec": {"resourceAttributes": {"verb": "create", "resource": "pods"}}}],
    "cordon": [{"spec": {"unschedulable": True}}],
    "uncordon": [{"spec": {"unschedulable": None}}],
    "taint node fake-0 a=b": [_TAINTS],
    "taint node fake-0 a-": [{"spec": {"taints": None}}],
    "create -f crd.yaml": [_CRON_TABS],
    "create -f ct.yaml": [
        {"apiVersion": "stable.example.com/v1", "kind": "CronTab", "metadata": {"name": "c1"}}
    ],
    "scale crontab": [{"spec": {"replicas": 3}}],
}


def _bodies(command: str) -> list[Any]:
    return next((bodies for start, bodies in _BODIES.items() if command.startswith(start)), [])
