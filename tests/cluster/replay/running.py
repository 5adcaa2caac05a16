"""A server as the recorded one was, and all recorded cases played on it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from container_kit.cluster import Cluster
from container_kit.cluster.api.authentication.authenticator import Authenticator
from container_kit.cluster.embedded import Embedded
from container_kit.cluster.node.simulated import SimulatedNodes
from tests.cluster.replay.defaults import play_default
from tests.cluster.replay.documents import DOCUMENTS, play_document
from tests.cluster.replay.exchanges import Outcome, play
from tests.cluster.replay.histories import play_history
from tests.cluster.replay.in_process import ALICE, InProcessTarget
from tests.cluster.replay.recorded import cases, document, topics
from tests.cluster.replay.stepped import SteppedTarget
from tests.cluster.replay.traces import TRACES, play_trace
from tests.cluster.replay.watches import play_watches
from tests.cluster.replay.wire import play_wire

__all__ = ["TOPICS", "outcomes", "play_recorded"]

TOPICS = [
    *DOCUMENTS,
    "protobuf-fields",
    "defaults",
    *(f"exchanges/{name}" for name in topics("exchanges")),
    *(f"watches/{name}" for name in topics("watches")),
    *(f"kubectl/{name}" for name in TRACES),
    *(f"controllers/{name}" for name in topics("controllers")),
]

# Two and a half seconds before the minute that is in the names of recorded Jobs of CronJobs.
_RECORDED = datetime.fromtimestamp(29_923_951 * 60 - 2.5, UTC)
_PLACES_MATTER = ("daemonsets", "nodes", "preemption", "scheduler")


_GADGETS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "gadgets.d.example.com"},
    "spec": {
        "group": "d.example.com",
        "scope": "Namespaced",
        "names": {"plural": "gadgets", "kind": "Gadget"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "default": {},
                                "properties": {
                                    "size": {"type": "integer", "default": 3},
                                    "mode": {"type": "string", "default": "auto"},
                                },
                            }
                        },
                    }
                },
            }
        ],
    },
}

# What cases rely on and do not make themselves: the parameters of the policy, the definition of gadgets and
# a ConfigMap of the recording server's own were there before.
_FOUND_THERE = {
    "vap": [
        (
            "/api/v1/namespaces/x-admission-vap/configmaps",
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "params"}, "data": {"max": "1"}},
        )
    ],
    "shapes": [
        (
            "/api/v1/namespaces/x-tables-shapes/configmaps",
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "service-ca.crt"}},
        )
    ],
    "cr-empty": [("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", _GADGETS)],
}


def outcomes(topic: str) -> Iterator[Outcome]:
    """Play all cases of a topic, in their order, on a server of its own."""
    folder, _, name = topic.partition("/")
    if folder == "controllers":
        yield from (play_recorded(name, case) for case in cases(topic))
    elif folder == "discovery":
        yield from play_document(topic)
    elif folder == "protobuf-fields":
        yield from play_wire()
    else:
        with _serving() as target:
            yield from _on_server(folder, name, target)


@contextmanager
def _serving() -> Iterator[InProcessTarget]:
    """A cluster for exchanges, with simulated nodes; as the recorded one without a default storage class."""
    with Cluster(nodes=0) as cluster, SimulatedNodes(cluster.client, 3):
        assert cluster._embedded is not None
        cluster.client.delete("storageclasses.storage.k8s.io", "standard")
        _know_by_token(cluster._embedded)
        yield InProcessTarget(cluster._embedded.api)


def _know_by_token(embedded: Embedded) -> None:
    """The recorded server knew Alice by a token, too."""
    issuer = embedded._identity.issuer
    known = Authenticator(issuer, embedded._uid_of, static={"alice-token": ALICE})
    embedded.api.use_tokens(issuer, known.review)


def _on_server(folder: str, name: str, target: InProcessTarget) -> Iterator[Outcome]:
    if folder == "watches":
        target.prepare(document(f"watches/{name}")["namespace"], {})
        with target.pace.held():
            yield from play_watches(name, target)
    elif folder == "kubectl":
        target.prepare("default", {})
        with target.pace.held():
            yield from play_trace(name, target)
    else:
        yield from _exchanges(f"{folder}/{name}" if name else folder, target)


def _exchanges(topic: str, target: InProcessTarget) -> Iterator[Outcome]:
    prepared: set[str] = set()
    for case in cases(topic):
        namespace = case.get("namespace", "defaults" if topic == "defaults" else "")
        if namespace and namespace not in prepared:
            target.prepare(namespace, case.get("namespaceLabels") or {})
            prepared.add(namespace)
        for path, obj in _FOUND_THERE.get(case["id"], ()):
            target.send("POST", path, "", {}, json.dumps(obj).encode())
        with target.pace.held():
            if topic == "defaults":
                yield play_default(case, target)
            else:
                yield play(topic.removeprefix("exchanges/"), case, target)


def play_recorded(topic: str, case: dict[str, Any]) -> Outcome:
    """Play one case of ``controllers/TOPIC`` on a cluster of its own, at the recorded time."""
    target = SteppedTarget(_RECORDED)
    target.prepare(case["namespace"], {})
    if topic == "quota":
        target.hide(case["namespace"])
    return play_history(case, target, places=topic in _PLACES_MATTER)
