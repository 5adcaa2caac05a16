"""The API server of this project as the target of a replay: without a network, with real controllers."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from queue import Empty, SimpleQueue
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import attrs

from container_kit.cluster.api.api import Api
from container_kit.cluster.api.messages import LineBody, Request, Response, User, WatchBody, WatchItem
from container_kit.cluster.client import ApiNotFound
from container_kit.cluster.node.simulated import SimulatedNodes
from container_kit.cluster.node.simulated_node import NodeShape
from tests.cluster.replay.exchanges import Answer
from tests.cluster.replay.pace import Pace

__all__ = ["ADMIN", "ALICE", "InProcessTarget"]

ADMIN = User("admin", ("system:masters", "system:authenticated"), uid="u-admin")
ALICE = User("alice", ("dev", "system:authenticated"), uid="u-alice")
_AGENT = "rec"
_PATIENCE_S = 10.0
_WATCH_S = 0.2


class InProcessTarget:
    """Sends recorded requests to *api*, and lets simulated nodes do what the recorded ones did."""

    def __init__(self, api: Api, nodes: SimulatedNodes) -> None:
        self.api, self._nodes, self.pace = api, nodes, Pace(api)
        self._joined: list[str] = []

    def send(
        self, method: str, path: str, user: str | None, headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        parts = urlsplit(path)
        known = {"": ADMIN, "alice": ALICE}
        every = {"user-agent": _AGENT, "accept": "application/json", **headers}
        if body is not None:
            every.setdefault("content-type", "application/json")
        if user is not None and user not in known:
            every["authorization"] = f"Bearer {user}"
        query = parse_qs(parts.query, keep_blank_values=True)
        who = None if user is None else known.get(user)
        request = Request(method, unquote(parts.path), query, every, body or b"", who)
        return attrs.evolve(_answer(self.pace.handle(request)), path=path)

    def prepare(self, namespace: str, labels: Mapping[str, str]) -> None:
        obj = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": namespace, "labels": dict(labels)},
        }
        self.send("POST", "/api/v1/namespaces", "", {}, json.dumps(obj).encode())
        needed = [f"/api/v1/namespaces/{namespace}/{one}" for one in _NEEDED]
        deadline = time.monotonic() + _PATIENCE_S
        while any(self.send("GET", path, "", {}, None).status != 200 for path in needed):
            if time.monotonic() > deadline:
                raise AssertionError(f"{namespace} has no {_NEEDED} after {_PATIENCE_S} s")
            time.sleep(0.01)

    def compact(self) -> None:
        self.api.store.compact(self.api.store.revision)

    def note(self, text: str) -> None:
        """What happened to a node outside the API."""
        name = text.split()[0]
        if "stops renewing" in text:
            self._nodes.silence(name)
        elif text.endswith("is back"):
            self._nodes.revive(name)

    def join(self, node: Mapping[str, Any]) -> None:
        """A node of the case's own has come to the recorded cluster."""
        meta = node["metadata"]
        name = meta["name"]
        self._nodes.add(name, number=int(name.rpartition("-")[2]), shape=pool_node(meta["labels"]["pool"]))
        self._joined.append(name)

    def leave(self) -> None:
        """The case is over, and so are its nodes."""
        while self._joined:
            with contextlib.suppress(ApiNotFound):
                self._nodes.remove(self._joined.pop())

    def settle(self, is_done: Callable[[], bool] = lambda: False) -> None:
        self.pace.settle(is_done)

    def hide(self, namespace: str) -> None:
        """The recording server had one more ConfigMap in each namespace, which quotas counted."""
        obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": _HIDDEN}}
        self.send("POST", f"/api/v1/namespaces/{namespace}/configmaps", "", {}, json.dumps(obj).encode())

    def revision(self) -> str:
        return str(self.api.store.revision)

    def objects(self, resource: str, namespace: str) -> list[dict[str, Any]]:
        """What there is of a resource: in *namespace*, or of the whole cluster when it belongs to none."""
        info = next(
            one for one in self.api.registry if one.plural == resource and one.group != "events.k8s.io"
        )
        place = f"/namespaces/{namespace}" if info.namespaced else ""
        root = f"/apis/{info.group}/{info.version}" if info.group else f"/api/{info.version}"
        found = self.send("GET", f"{root}{place}/{resource}", "", {}, None).body
        kind = {"apiVersion": info.api_version, "kind": info.kind}
        return [{**kind, **item} for item in found["items"] if item["metadata"]["name"] != _HIDDEN]


def pool_node(pool: str) -> NodeShape:
    """A node that only pods which ask for its pool come to."""
    return NodeShape(labels={"pool": pool}, taints=({"key": "pool", "value": pool, "effect": "NoSchedule"},))


_HIDDEN = "service-ca.crt"
_NEEDED = ("serviceaccounts/default", "configmaps/kube-root-ca.crt")


def _events(body: WatchBody) -> Iterator[bytes]:
    """What a watch brings at once; a recorded exchange ends there."""
    arrived: SimpleQueue[WatchItem | None] = SimpleQueue()
    end = body.open(arrived.put)
    with contextlib.suppress(Empty):
        while (item := arrived.get(timeout=_WATCH_S)) is not None:
            yield item.line
    end()


def _answer(response: Response) -> Answer:
    headers = {
        key.lower(): [value] if isinstance(value, str) else list(value)
        for key, value in response.headers.items()
    }
    if isinstance(response.body, LineBody):
        data = b"".join(response.body)
    elif isinstance(response.body, WatchBody):
        data = b"".join(_events(response.body))
    else:
        assert isinstance(response.body, bytes), "a stream is no answer to a recorded exchange"
        data = response.body
    try:
        body = json.loads(data) if data else None
    except ValueError:
        body = data.decode()
    return Answer(response.status, headers, body)
