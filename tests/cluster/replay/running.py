"""A server as the recorded one was, and all recorded cases played on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from container_kit.cluster import Cluster
from tests.cluster.replay.defaults import play_default
from tests.cluster.replay.exchanges import Outcome, play
from tests.cluster.replay.histories import play_history
from tests.cluster.replay.in_process import InProcessTarget
from tests.cluster.replay.recorded import cases, topics

__all__ = ["TOPICS", "outcomes", "serving"]

TOPICS = [
    "defaults",
    *(f"exchanges/{name}" for name in topics("exchanges")),
    *(f"controllers/{name}" for name in topics("controllers")),
]


@contextmanager
def serving() -> Iterator[InProcessTarget]:
    """A cluster with three simulated nodes, as the recorded one had them."""
    with Cluster(nodes=0, simulated_nodes=3) as cluster:
        assert cluster._embedded is not None
        yield InProcessTarget(cluster._embedded.api)


def outcomes(topic: str, target: InProcessTarget) -> Iterator[Outcome]:
    """Play all cases of a topic, in their order."""
    prepared: set[str] = set()
    for case in cases(topic):
        namespace = case.get("namespace", "defaults" if topic == "defaults" else "")
        is_history = topic.startswith("controllers/")
        if namespace and namespace not in prepared and not is_history:
            target.prepare(namespace, case.get("namespaceLabels") or {})
            prepared.add(namespace)
        if is_history:
            target.prepare(namespace, {})
            yield play_history(case, target)
        elif topic == "defaults":
            yield play_default(case, target)
        else:
            yield play(topic.removeprefix("exchanges/"), case, target)
