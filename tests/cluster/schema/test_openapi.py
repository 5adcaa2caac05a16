"""The documents that are made equal those of a real server, word for word."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from container_kit.cluster import api
from container_kit.cluster.schema.openapi.documents import (
    discovery_document,
    group_document,
    other_documents,
    version_document,
)
from container_kit.cluster.schema.openapi.swagger import whole_document

from .recorded import read_recorded

GROUPS = json.loads((Path(api.__file__).parent / "resources.json").read_text())


def _served(group: dict[str, Any]) -> list[Any]:
    """The resources of one group and version, as the documents ask for them."""
    found: dict[str, Any] = {}
    for entry in group["resources"]:
        plural, _, part = entry["name"].partition("/")
        base = {"group": group["group"], "version": group["version"], "kind": entry["kind"], "list_kind": ""}
        resource = found.setdefault(
            plural,
            SimpleNamespace(
                **base,
                plural=plural,
                namespaced=entry["namespaced"],
                verbs=tuple(entry["verbs"]),
                subresources={},
            ),
        )
        if part:
            resource.subresources[part] = SimpleNamespace(
                kind=entry["kind"],
                group=entry.get("group", group["group"]),
                version=entry.get("version", group["version"]),
                verbs=tuple(entry["verbs"]),
            )
    return list(found.values())


DOCUMENTS = {
    ("api/v1" if not group["group"] else f"apis/{group['group']}/{group['version']}"): version_document(
        group["group"], group["version"], _served(group)
    )
    for group in GROUPS
    if group["group"] != "metrics.k8s.io"
}
DOCUMENTS |= {
    (f"apis/{name}" if name else "api"): group_document(name)
    for name in {group["group"] for group in GROUPS if group["group"] != "metrics.k8s.io"}
}
DOCUMENTS |= {"apis": discovery_document(), **other_documents()}


def test_the_index_lists_these_documents() -> None:
    """There is a document for each entry of the recorded index, and no other."""
    assert set(DOCUMENTS) == set(read_recorded("discovery/openapi_v3.json.gz")["paths"])


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_documents_of_version_3(name: str) -> None:
    """Paths, operations, parameters and types, all of them."""
    recorded = read_recorded(f"discovery/openapi/v3/{name.replace('/', '_')}.json.gz")

    assert DOCUMENTS[name]["paths"] == recorded["paths"]
    assert DOCUMENTS[name] == recorded


def test_document_of_version_2() -> None:
    """The same in the words of Swagger."""
    made, recorded = whole_document(DOCUMENTS.values()), read_recorded("discovery/openapi/v2.json.gz")

    assert made["paths"] == recorded["paths"]
    assert made == recorded
