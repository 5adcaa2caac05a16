"""The fixtures `cluster` and `namespace`, by runs of pytest that use them."""

from __future__ import annotations

import pytest

from tests.testing.sessions import Session

pytestmark = pytest.mark.root

POD = """
    def pod(name, script="sleep 600"):
        command = ["sh", "-c", script]
        container = {"name": "main", "image": "tools", "imagePullPolicy": "Never", "command": command}
        spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
"""


def test_a_cluster_and_namespaces_of_it(session: Session) -> None:
    """One cluster for all tests, a namespace for each that goes with it; others of one's own."""
    session.write(
        {
            "pods.py": POD,
            "conftest.py": """
                from container_kit.testing import cluster_fixture, namespace_fixture

                played = cluster_fixture(scope="module", nodes=0, simulated_nodes=2)
                team = namespace_fixture(labels={"kind": "team"})
            """,
            "test_it.py": """
                import pytest
                from pods import pod

                seen = []

                @pytest.mark.parametrize("turn", [1, 2])
                def test_namespaces(cluster, namespace, turn):
                    seen.append((cluster, namespace))
                    cluster.apply(pod("one"), namespace=namespace)
                    cluster.wait("pod/one", "Ready", 60, namespace=namespace)
                    assert cluster.exec("pod/one", ["echo", "hi"], namespace).stdout == "hi\\n"

                def test_that_they_go(cluster):
                    assert {one for one, _ in seen} == {cluster} and len(set(seen)) == 2
                    for _, name in seen:
                        cluster.wait(f"namespace/{name}", "delete", 60)

                def test_labels(cluster, team):
                    assert cluster.get(f"namespace/{team}")["metadata"]["labels"]["kind"] == "team"

                def test_simulated(played):
                    assert len(played.list("nodes")) == 2
            """,
        }
    )
    outcome = session.run()
    assert outcome.counts == {"passed": 5}, outcome.output


def test_a_failed_test_shows_its_pods(session: Session) -> None:
    """Their states, what they wrote, and what was told of them; nothing of a test that passes."""
    session.write(
        {
            "pods.py": POD,
            "test_it.py": """
                from pods import pod

                def test_fails(cluster, namespace):
                    missing = pod("missing")
                    missing["spec"]["containers"][0]["image"] = "nowhere:1"
                    cluster.apply([pod("talks", "echo the database is gone; exec sleep 600"), missing],
                                  namespace=namespace)
                    cluster.wait("pod/talks", "Ready", 60, namespace=namespace)
                    next(iter(cluster.follow_logs("pod/talks", namespace)))
                    wanted = "jsonpath={.status.containerStatuses[0].state.waiting.reason}=ErrImageNeverPull"
                    cluster.wait("pod/missing", wanted, 60, namespace=namespace)
                    assert False
            """,
        }
    )
    outcome = session.run()
    assert outcome.counts == {"failed": 1}, outcome.output
    assert "the database is gone" in outcome.output and "pod talks: phase Running" in outcome.output
    assert "pod missing: phase Pending, container main: ErrImageNeverPull" in outcome.output
    assert "Pod missing: ErrImageNeverPull: " in outcome.output


def test_workers_have_clusters_of_their_own(session: Session) -> None:
    """With pytest-xdist over one root: nodes of the same name are in nobody's way."""
    session.write(
        {
            "pods.py": POD,
            "test_it.py": """
                import pytest
                from pods import pod

                @pytest.mark.parametrize("turn", range(4))
                def test_one(cluster, namespace, turn):
                    cluster.apply(pod("one", f"echo {turn}; sleep 600"), namespace=namespace)
                    cluster.wait("pod/one", "Ready", 60, namespace=namespace)
                    assert next(iter(cluster.follow_logs("pod/one", namespace))) == str(turn)
            """,
        }
    )
    outcome = session.run("-n", "2")
    assert outcome.counts == {"passed": 4}, outcome.output
