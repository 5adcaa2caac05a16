"""Makes pytest fixtures of clusters, and of namespaces in them.

Loaded with the plugin in every run of pytest, so it imports next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from container_kit.cluster import Cluster
    from container_kit.containers.engine import Engine

__all__ = ["cluster_fixture", "namespace_fixture", "tell_of_clusters"]

_NAMESPACES = pytest.StashKey["list[tuple[Cluster, str]]"]()
Scope = Literal["function", "class", "module", "package", "session"]


def cluster_fixture(*, scope: Scope = "session", name: str | None = None, **options: Any) -> Any:
    """A fixture that starts a cluster of our own: ``cluster = cluster_fixture(nodes=3)``.

    Args:
        scope: How long it is kept, as for any fixture.
        name: Of the fixture; None means that of the variable.
        options: Of `Cluster`: nodes, simulated_nodes, ...
    """

    def cluster(engine: Engine) -> Iterator[Cluster]:
        from container_kit.cluster import Cluster

        with Cluster(engine=engine, **options) as started:
            yield started

    return pytest.fixture(scope=scope, name=name)(cluster)


def namespace_fixture(*, name: str | None = None, labels: dict[str, str] | None = None) -> Any:
    """A fixture that is the name of a new namespace of the fixture ``cluster``; gone after the test.

    What a test puts into it goes with it, in the background: the next test does not wait for that.
    """

    def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
        from container_kit.testing.running import unique_name

        chosen = unique_name()
        meta = {"name": chosen, "labels": labels or {}}
        cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
        cluster.wait("serviceaccount/default", "create", namespace=chosen)
        request.node.stash.setdefault(_NAMESPACES, []).append((cluster, chosen))
        try:
            yield chosen
        finally:
            cluster.delete(f"namespace/{chosen}", wait=False, missing_ok=True)

    return pytest.fixture(name=name)(namespace)


def tell_of_clusters(item: pytest.Item, lines: int) -> list[tuple[str, str]]:
    """The sections of a failed test's report: the pods of each namespace that it used, and what they wrote.

    Namespaces are those of `namespace_fixture`; where there is none, that which each `Cluster` among the
    test's fixtures means.
    """
    from container_kit.cluster import Cluster
    from container_kit.testing.reports import namespace_section

    used = item.stash.get(_NAMESPACES, [])
    if not used:
        clusters = [one for one in getattr(item, "funcargs", {}).values() if isinstance(one, Cluster)]
        used = [(one, one.client.namespace) for one in clusters]
    told = [(name, namespace_section(cluster.using(name), lines)) for cluster, name in used]
    return [(f"namespace {name}", text) for name, text in told if text]
