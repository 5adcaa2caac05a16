"""The API server of this project as the target of a replay: without a network, with real controllers."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from queue import Empty, SimpleQueue
from urllib.parse import parse_qs, unquote, urlsplit

import attrs

from container_kit.cluster.api.api import Api
from container_kit.cluster.api.messages import LineBody, Request, Response, User, WatchBody, WatchItem
from tests.cluster.replay.exchanges import Answer
from tests.cluster.replay.pace import Pace

__all__ = ["ADMIN", "ALICE", "InProcessTarget"]

ADMIN = User("admin", ("system:masters", "system:authenticated"), uid="u-admin")
ALICE = User("alice", ("dev", "system:authenticated"), uid="u-alice")
_AGENT = "rec"
_PATIENCE_S = 10.0
_WATCH_S = 0.2


class InProcessTarget:
    """Sends recorded requests to *api*."""

    def __init__(self, api: Api) -> None:
        self.api, self.pace = api, Pace(api)

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

    def settle(self, is_done: Callable[[], bool] | None = None) -> None:
        self.pace.settle(is_done)

    def revision(self) -> str:
        return str(self.api.store.revision)


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
