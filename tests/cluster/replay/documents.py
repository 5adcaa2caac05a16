"""Discovery and OpenAPI: each recorded document is asked for, and compared as a whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from container_kit.cluster.api import Api, Request
from container_kit.cluster.store import MemoryStore
from tests.cluster.replay.exchanges import Outcome
from tests.cluster.replay.in_process import ADMIN
from tests.cluster.replay.matching import Bindings, differences
from tests.cluster.replay.recorded import FOLDER, document

__all__ = ["DOCUMENTS", "play_document"]

DOCUMENTS = sorted(
    str(path.relative_to(FOLDER)).partition(".json")[0] for path in (FOLDER / "discovery").rglob("*.json*")
)
_SINGLE = {"root": "/", "version": "/version", "openapi_v3": "/openapi/v3", "openapi/v2": "/openapi/v2"}
_ADDRESS = "127.0.0.1:6443"  # where this server says it listens; the recorded one had another port
_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList,application/json"


def play_document(name: str) -> Iterator[Outcome]:
    """Play one file of ``discovery``; of OpenAPI documents each path and each type is a case."""
    path, accept = _request_of(name.removeprefix("discovery/"))
    answer = Api(MemoryStore()).handle(Request("GET", path, {}, {"accept": accept}, b"", ADMIN))
    assert isinstance(answer.body, bytes)
    if answer.status != 200:
        yield Outcome(name, [f"status 200 expected, got {answer.status}"], [])
        return
    expected, actual = dict(document(name)), json.loads(answer.body)
    if name.endswith("openapi_v3"):
        expected, actual = _without_hashes(expected), _without_hashes(actual)
    if name == "discovery/api":
        expected["serverAddressByClientCIDRs"] = [{"clientCIDR": "0.0.0.0/0", "serverAddress": _ADDRESS}]
    for part, (one, other) in _parts(expected, actual).items():
        yield Outcome(f"{name} {part}".strip(), list(differences(one, other, Bindings())), [])


def _request_of(name: str) -> tuple[str, str]:
    """Path and Accept header."""
    if name in _SINGLE:
        return _SINGLE[name], "application/json"
    root, _, version = name.partition(".aggregated.")
    if version:
        return f"/{root}", _AGGREGATED.format(version)
    return f"/{name.replace('_', '/')}", "application/json"


def _without_hashes(index: dict[str, Any]) -> dict[str, Any]:
    """The addresses of documents, without what stands for their contents."""
    return {place: entry["serverRelativeURL"].partition("?")[0] for place, entry in index["paths"].items()}


def _parts(expected: dict[str, Any], actual: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Name of a part -> as recorded, as answered; None for what is not there."""
    split = [
        place for place in (("paths",), ("definitions",), ("components", "schemas")) if _at(expected, place)
    ]
    if "openapi" not in expected and "swagger" not in expected:
        split = []
    found: dict[str, tuple[Any, Any]] = {}
    for place in split:
        ours, theirs = _at(actual, place) or {}, _at(expected, place)
        found |= {f"{place[-1]} {key}": (theirs.get(key), ours.get(key)) for key in sorted({*theirs, *ours})}
    return found | {"": (_without(expected, split), _without(actual, split))}


def _at(tree: Any, place: tuple[str, ...]) -> Any:
    for key in place:
        tree = (tree or {}).get(key)
    return tree


def _without(tree: dict[str, Any], places: list[tuple[str, ...]]) -> dict[str, Any]:
    rest = dict(tree)
    for first, *others in places:
        rest[first] = _without(rest[first], [tuple(others)]) if others and first in rest else None
    return rest
