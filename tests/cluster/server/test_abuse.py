"""S17: bodies that are small to send and large to read are refused, soon and without filling the memory."""

from __future__ import annotations

import gzip
import json
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from container_kit.cluster.api import Api, Request, User
from container_kit.cluster.server.listening import HttpServer
from container_kit.cluster.store import MemoryStore

_PATH = "/api/v1/namespaces/default/configmaps"
_MEMORY = 100 << 20


class Served(Api):
    """The real API, open to everybody, with one object."""

    def __init__(self) -> None:
        super().__init__(MemoryStore())
        self._create("/api/v1/namespaces", {"kind": "Namespace", "metadata": {"name": "default"}})
        self._create(_PATH, {"kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"a": "x" * 1000}})

    def _create(self, path: str, obj: dict[str, Any]) -> None:
        request = Request("POST", path, body={"apiVersion": "v1", **obj})
        self.admit(request)
        assert self.handle(request).status == 201

    def admit(self, request: Request) -> None:
        request.user = User("admin", ("system:masters",))


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with HttpServer(Served()) as server:
        yield server


def _bomb(width: int = 10, depth: int = 9) -> bytes:
    """A billion laughs, as YAML."""
    lines = ["a0: &a0 [" + ",".join(['"x"'] * width) + "]"]
    for level in range(1, depth):
        lines.append(f"a{level}: &a{level} [" + ",".join([f"*a{level - 1}"] * width) + "]")
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\ndata: {a: b}\n" + "\n".join(lines)
    return text.encode()


def _doubling(steps: int) -> bytes:
    """A JSON patch that copies what is there into itself, again and again."""
    patch: list[dict[str, Any]] = [{"op": "add", "path": "/data/l", "value": {"a": "x" * 1000}}]
    patch += [{"op": "copy", "from": "/data/l", "path": f"/data/l/n{n}"} for n in range(steps)]
    return json.dumps(patch).encode()


def _deep(depth: int) -> bytes:
    return b'{"data":' * depth + b"1" + b"}" * depth


_CASES: dict[str, tuple[str, str, str, bytes]] = {
    "aliases of YAML": ("POST", _PATH, "application/yaml", _bomb()),
    "many aliases of one": (
        "POST",
        _PATH,
        "application/yaml",
        b"a: &a [" + b"x," * 100_000 + b"]\nb: [" + b"*a," * 100_000 + b"]",
    ),
    "brackets of JSON": ("POST", _PATH, "application/json", b"[" * 3_000_000),
    "braces of JSON": ("POST", _PATH, "application/json", b'{"a":' * 600_000),
    "brackets of YAML": ("POST", _PATH, "application/yaml", b"[" * 500_000),
    "lists of YAML": ("POST", _PATH, "application/yaml", b"- " * 100_000),
    "a patch that doubles": ("PATCH", f"{_PATH}/a", "application/json-patch+json", _doubling(40)),
    "a patch of many steps": (
        "PATCH",
        f"{_PATH}/a",
        "application/json-patch+json",
        b"[" + b",".join([b'{"op":"test","path":"/data/a","value":"y"}'] * 60_000) + b"]",
    ),
    "a deep merge patch": ("PATCH", f"{_PATH}/a", "application/merge-patch+json", _deep(100_000)),
    "a deep strategic patch": (
        "PATCH",
        f"{_PATH}/a",
        "application/strategic-merge-patch+json",
        _deep(100_000),
    ),
    "a deep applied object": (
        "PATCH",
        f"{_PATH}/a?fieldManager=m",
        "application/apply-patch+yaml",
        _deep(100_000),
    ),
    "a body that is packed": ("POST", _PATH, "application/json", gzip.compress(b" " * 50_000_000)),
    "a selector of a thousand words": (
        "GET",
        f"{_PATH}?labelSelector=" + ",".join(["a%20in%20(" + "b," * 20 + "c)"] * 600) + ",((",
        "",
        b"",
    ),
    "protobuf that ends early": (
        "POST",
        _PATH,
        "application/vnd.kubernetes.protobuf",
        b"k8s\0" + b"\x0a\xff\xff\xff\xff\x7f" * 1000,
    ),
    "protobuf inside protobuf": (
        "POST",
        _PATH,
        "application/vnd.kubernetes.protobuf",
        b"k8s\0" + b"\x12\x80\x80\x40" * 100_000,
    ),
}


@pytest.mark.parametrize("what", _CASES)
def test_abuse_is_refused(server: HttpServer, connect: Any, what: str) -> None:
    """The answer is a refusal of the 400s, the memory stays bounded, and the server answers the next one."""
    method, path, media_type, body = _CASES[what]
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    head += f"Content-Type: {media_type}\r\n\r\n" if media_type else "\r\n"
    if what == "a body that is packed":
        head = head.replace("\r\n\r\n", "\r\nContent-Encoding: gzip\r\n\r\n")
    tracemalloc.start()
    try:
        begun = time.process_time()
        status, _, answer = connect(server).ask(head.encode() + body)
        elapsed = time.process_time() - begun
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    print(f"{what}: {status}, {elapsed * 1e3:.0f} ms, {peak >> 20} MB: {answer[:200]!r}")
    assert status in (400, 413, 415, 422), answer
    assert peak < _MEMORY
    assert connect(server).ask(b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n")[0] == 200
