"""An API server, asked in words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from container_kit.cluster.api.api import Api
from container_kit.cluster.api.messages import Request, User
from container_kit.cluster.store import MemoryStore

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
_ADMIN = User("admin", ("system:masters",))


class Asked:
    """An API server, as its administrator."""

    def __init__(self) -> None:
        self.api = Api(MemoryStore())

    def ask(self, method: str, path: str, body: Any = b"", **headers: str) -> tuple[int, Any]:
        """The status and the body of an answer."""
        path, _, query = path.partition("?")
        parameters: dict[str, list[str]] = {}
        for part in query.split("&") if query else ():
            key, _, value = part.partition("=")
            parameters.setdefault(key, []).append(value)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        data = body if isinstance(body, bytes) or "content-type" not in named else json.dumps(body).encode()
        answer = self.api.handle(Request(method, path, parameters, named, data, user=_ADMIN))
        text = answer.body.decode() if isinstance(answer.body, bytes) else ""
        return answer.status, json.loads(text) if text.startswith("{") else text

    def do(self, method: str, path: str, body: Any = b"", **headers: str) -> Any:
        """The body of an answer that must be good."""
        status, made = self.ask(method, path, body, **headers)
        assert status < 300, made
        return made

    def causes(self, method: str, path: str, body: Any = b"", **headers: str) -> list[tuple[str, str]]:
        """Field and message of each cause for which a request is refused."""
        status, refused = self.ask(method, path, body, **headers)
        assert status == 422, refused
        return [(cause["field"], cause["message"]) for cause in refused["details"]["causes"]]


@pytest.fixture
def asked() -> Asked:
    return Asked()
