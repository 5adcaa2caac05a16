"""An API server over an empty store, and short words for asking it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from container_kit.cluster.api import Api, Request, Response, User
from container_kit.cluster.meta import FakeClock
from container_kit.cluster.store import MemoryStore

ADMIN = User("admin", ("system:masters", "system:authenticated"))


class Asking:
    """An API and its administrator."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = MemoryStore()
        self.api = Api(self.store, clock=self.clock)

    def ask(self, method: str, path: str, body: Any = b"", **headers: str) -> Response:
        """The answer; the path may have a query, names of headers have ``_`` for ``-``."""
        from urllib.parse import parse_qs, unquote, urlsplit

        parts = urlsplit(path)
        query = parse_qs(parts.query, keep_blank_values=True)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.api.handle(
            Request(method, unquote(parts.path), query, {"user-agent": "test"} | given, body, ADMIN)
        )

    def do(self, method: str, path: str, body: Any = b"", **headers: str) -> Any:
        """The document of an answer that must be a success."""
        answer = self.ask(method, path, body, **headers)
        assert answer.status < 300, answer.body
        return document(answer)

    def fail(self, method: str, path: str, body: Any = b"", **headers: str) -> tuple[int, str, str]:
        """Code, reason and message of an answer that must be a failure."""
        answer = self.ask(method, path, body, **headers)
        status = document(answer)
        assert answer.status == status["code"] >= 400
        return status["code"], status.get("reason", ""), status["message"]

    def config_map(self, name: str, **metadata: Any) -> Any:
        """A new ConfigMap in the namespace default."""
        body = {"metadata": {"name": name, **metadata}, "data": {"key": "value"}}
        return self.do("POST", MAPS, body)


MAPS = "/api/v1/namespaces/default/configmaps"


def document(answer: Response) -> Any:
    """What a whole answer says."""
    assert isinstance(answer.body, bytes)
    return msgspec.json.decode(answer.body)


@pytest.fixture
def server() -> Asking:
    return Asking()
