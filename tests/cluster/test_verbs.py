"""Every verb of a cluster, three times: in this process, over TLS by a kubeconfig, and awaited."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from container_kit.cluster import ApiError, ApiNotFound, Cluster
from container_kit.errors import CommandFailed, Conflict, InvalidInput, WrongState
from tests.cluster.faces import Awaited
from tests.cluster.manifests import config_map, deployment, pod
from tests.cluster.serving import http_pod, read_url

pytestmark = [pytest.mark.root]

_NUMBERS = itertools.count(1)


@pytest.fixture(params=["here", "connected", "awaited"])
def cluster(real_cluster: Cluster, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """In a namespace of the test alone."""
    namespace = f"verbs-{next(_NUMBERS)}"
    real_cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    real_cluster.wait("serviceaccount/default", "create", namespace=namespace)
    path = str(tmp_path / "kubeconfig")
    real_cluster.kubeconfig(path)
    if request.param == "here":
        yield real_cluster.using(namespace)
    elif request.param == "connected":
        with Cluster.connect(path, "container-kit", namespace=namespace) as connected:
            yield connected
    else:
        awaited = Awaited(path, namespace)
        yield awaited
        awaited.stop()
    real_cluster.delete(f"namespace/{namespace}")


def test_objects(cluster: Any) -> None:
    """create apply get list label annotate patch watch wait events describe delete."""
    made = cluster.create(config_map("m", a="1"))[0]
    assert cluster.apply(config_map("m", a="1", b="2"), force=True)[0]["data"] == {"a": "1", "b": "2"}
    assert cluster.apply(config_map("dry"), dry_run=True)[0]["metadata"]["name"] == "dry"
    with pytest.raises(ApiNotFound):
        cluster.get("cm/dry")
    cluster.label("cm/m", tier="front")
    cluster.annotate("cm/m", note="read me")
    cluster.patch("cm/m", {"data": {"c": "3"}})
    cluster.patch(made, [{"op": "remove", "path": "/data/a"}], kind="json")
    found = cluster.get("cm/m")
    assert found["data"] == {"b": "2", "c": "3"} and found["metadata"]["annotations"] == {"note": "read me"}
    assert [one["metadata"]["name"] for one in cluster.list("cm", labels="tier=front")] == ["m"]
    assert len(cluster.list("namespaces")) > 1 and len(cluster.list("cm", None)) > len(cluster.list("cm"))
    with cluster.watch("cm", fields="metadata.name=m") as watch:
        events = iter(watch)
        assert next(events).type == "ADDED"
        cluster.patch("cm/m", {"data": {"d": "4"}}, kind="merge")
        assert next(events).object["data"]["d"] == "4"
    assert cluster.wait("cm/m", "jsonpath={.data.d}=4")["metadata"]["name"] == "m"
    assert "note: read me" in cluster.describe("cm/m") and cluster.events("cm/m") == []
    cluster.delete("cm/m")
    with pytest.raises(ApiNotFound, match='configmaps "m" not found'):
        cluster.delete("cm/m")


def test_workloads(cluster: Any) -> None:
    """scale logs pods rollout: status wait restart pause resume undo history; what they raise."""
    cluster.apply(deployment("web", "echo one; sleep 1000", replicas=1))
    rollout = cluster.rollout("deployment/web")
    rollout.wait(60)
    cluster.scale("deployment/web", 2)
    rollout.wait(60)
    assert len(cluster.pods("deployment/web")) == 2 and "is rolled out" in rollout.status()
    rollout.pause()
    changed = {"name": "main", "command": ["sh", "-c", "echo two; sleep 1000"]}
    patch = {"spec": {"template": {"spec": {"containers": [changed]}}}}
    cluster.patch("deployment/web", patch)
    assert [revision.number for revision in rollout.history()] == [1]
    rollout.resume()
    rollout.wait(60)
    assert [revision.number for revision in rollout.history()] == [1, 2]
    latest = next(one for one in cluster.pods("deployment/web") if "two" in str(one["spec"]))
    with contextlib.closing(cluster.follow_logs(latest)) as lines:
        assert next(lines) == "two"
    assert cluster.logs(latest, tail=1) == "two\n"
    rollout.undo()
    rollout.wait(60)
    rollout.restart()
    rollout.wait(60)
    assert [revision.number for revision in rollout.history()] == [2, 3, 4]
    with pytest.raises(InvalidInput, match="configmaps/x has no rollouts"):
        cluster.rollout("cm/x").status()


def test_pods(cluster: Any, tmp_path: Path) -> None:
    """exec attach cp port_forward top; a program that fails, a container that takes no input."""
    talker = pod("talker", "while read word; do echo got $word; done; echo over >&2", restartPolicy="Never")
    talker["spec"]["containers"][0] |= {"stdin": True, "stdinOnce": True}
    cluster.apply([http_pod("web"), talker])
    for name in ("web", "talker"):
        cluster.wait(f"pod/{name}", "Ready", 60)
    assert cluster.exec("pod/web", ["cat"], input="words").stdout == "words"
    with pytest.raises(CommandFailed, match="exit code 3"):
        cluster.exec("pod/web", ["sh", "-c", "exit 3"], check=True)
    with pytest.raises(ApiError, match="not found in PATH of the container"):
        cluster.exec("pod/web", ["no-such-program"])

    written = {"stdout": b"", "stderr": b""}
    for stream, data in cluster.attach("pod/talker", input=[b"a\n", b"b\n"]):
        written[stream] += data
    assert written == {"stdout": b"got a\ngot b\n", "stderr": b"over\n"}

    (tmp_path / "in").write_text("inside\n")
    cluster.cp(str(tmp_path / "in"), "pod/web:/tmp/copied")
    cluster.cp("pod/web:/tmp/copied", str(tmp_path / "out"))
    assert (tmp_path / "out").read_text() == "inside\n"
    with pytest.raises(InvalidInput, match="write one of them as 'pod/web:/path'"):
        cluster.cp("here", "there")

    with cluster.port_forward("pod/web", 8080) as forward:
        assert read_url(forward.port) == "it works\n"
    used = {one["metadata"]["name"] for one in cluster.top("pods")}
    assert "web" in used and len(cluster.top("nodes")) == 1


def test_nodes(cluster: Any) -> None:
    """cordon drain uncordon; what only a cluster of one's own can do says so elsewhere."""
    node = cluster.list("nodes")[0]["metadata"]["name"]
    cluster.apply(pod("lone"))
    cluster.wait("pod/lone", "Ready", 60)
    try:
        cluster.cordon(node)
        with pytest.raises(Conflict, match=r"nobody makes again \(lone\): force=True"):
            cluster.drain(node)
        assert cluster.drain(node, force=True, grace=0) == [f"{cluster.client.namespace}/lone"]
    finally:
        cluster.uncordon(node)
    assert "unschedulable" not in cluster.get(f"node/{node}")["spec"]
    if isinstance(cluster, Cluster) and cluster._embedded is not None:
        cluster.load("box:1")
    else:
        with pytest.raises(WrongState, match="runs elsewhere: it gets its images from a registry"):
            cluster.load("box:1")
