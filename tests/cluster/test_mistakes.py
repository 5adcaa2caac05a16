"""What people get wrong, and what they are told: what could not be done, to what, why, and what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from container_kit.cluster import ApiNotFound, Cluster
from container_kit.errors import InvalidInput, NotFound, TimedOut, Unreachable, WrongState
from tests.cluster.manifests import config_map, deployment, pod

pytestmark = [pytest.mark.root]

HEAD = "apiVersion: v1\nkind: ConfigMap\n"


@pytest.fixture(scope="module")
def cluster(real_cluster: Cluster) -> Cluster:
    real_cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "mistakes"}})
    real_cluster.wait("serviceaccount/default", "create", namespace="mistakes")
    return real_cluster.using("mistakes")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEAD + "metadata:\n\tname: x\n", "line 8: .*; indent with spaces, as YAML takes no tabs"),
        (HEAD + "data: {a: b}\n", "has a ConfigMap without a name: give it metadata.name"),
        ("- a\n- b\n", "has a document that is no object: it needs apiVersion and kind"),
        ("# nothing\n---\n", "holds no objects"),
    ],
)
def test_manifests(cluster: Cluster, tmp_path: Path, text: str, words: str) -> None:
    """The file is named, and nothing of it is applied."""
    path = tmp_path / "shop.yaml"
    path.write_text(HEAD + "metadata: {name: first}\n---\n" + text if "nothing" not in text else text)
    with pytest.raises(InvalidInput, match=f"shop.yaml.*{words}"):
        cluster.apply(str(path))
    with pytest.raises(ApiNotFound):
        cluster.get("cm/first")


def test_names(cluster: Cluster) -> None:
    """Files, kinds, versions and resources that are not there, and what may be meant instead."""
    with pytest.raises(NotFound, match=r"no manifest named 'shop\.yaml': give the path of a file"):
        cluster.apply("shop.yaml")
    with pytest.raises(NotFound, match=r"no manifest named 'shop\.yaml'"):
        cluster.delete("shop.yaml")
    with pytest.raises(NotFound, match="no kind named 'Deployment' in version 'v1': it is of apps/v1"):
        cluster.apply({"apiVersion": "v1", "kind": "Deployment", "metadata": {"name": "x"}})
    with pytest.raises(NotFound, match=r"no resource named 'deploymnt': .*is deployment"):
        cluster.get("deploymnt/web")
    with pytest.raises(InvalidInput, match="'web' names no object: write kind/name"):
        cluster.get("web")
    with pytest.raises(InvalidInput, match="configmaps/x cannot be scaled: its kind has no replicas"):
        cluster.scale("cm/x", 3)
    cluster.apply(config_map("plain"))
    with pytest.raises(InvalidInput, match="ConfigMap plain has no pods: name a pod, or a workload"):
        cluster.logs("cm/plain")


def test_namespaces(cluster: Cluster) -> None:
    """An object that is elsewhere is found there; a namespace that does not exist is named."""
    cluster.apply(config_map("here"))
    with pytest.raises(ApiNotFound, match="\"here\" not found in namespace 'default': there is one in 'mist"):
        cluster.get("cm/here", "default")
    with pytest.raises(ApiNotFound, match="in namespace 'nowhere', which does not exist either"):
        cluster.get("cm/none", "nowhere")
    with pytest.raises(ApiNotFound, match='namespaces "nowhere" not found'):
        cluster.apply(config_map("x"), namespace="nowhere")
    with pytest.raises(NotFound, match="no image named 'nothing:1'"):
        cluster.load("nothing:1")


def _with(name: str, **container: Any) -> dict[str, Any]:
    made = pod(name)
    made["spec"]["containers"][0] |= container
    return made


WAITS = {
    "no-image": (
        _with("no-image", image="nothing:1", imagePullPolicy="Never"),
        "ErrImageNeverPull",
        'ErrImageNeverPull Container image "nothing:1" is not present',
    ),
    "no-room": (
        _with("no-room", resources={"requests": {"cpu": "1000"}}),
        "",
        "0/1 nodes are available: 1 Insufficient cpu",
    ),
    "no-map": (
        _with("no-map", envFrom=[{"configMapRef": {"name": "nothing"}}]),
        "CreateContainerConfigError",
        'CreateContainerConfigError configmap "nothing" not found',
    ),
    "no-volume": (
        pod("no-volume", volumes=[{"name": "v", "configMap": {"name": "nothing"}}]),
        "FailedMount",
        'FailedMount: .*configmap "nothing" not found',
    ),
    "not-ready": (
        _with("not-ready", readinessProbe={"exec": {"command": ["sh", "-c", "echo too early; exit 1"]}}),
        "Unhealthy",
        "Unhealthy: Readiness probe failed: too early",
    ),
}


def _wait_and_read(cluster: Cluster, what: str, condition: str, seen: str) -> str:
    """What a wait in vain says, as soon as *seen* is known of the object."""
    for _ in range(300):
        with pytest.raises(TimedOut) as late:
            cluster.wait(what, condition, 0.1)
        if seen in str(late.value):
            break
    return str(late.value)


def test_waits(cluster: Cluster) -> None:
    """The reason why a pod is not ready: of its containers, its conditions, or the latest warning."""
    pods = [manifest for manifest, _, _ in WAITS.values()]
    cluster.apply(pods)
    for name, (_, seen, words) in WAITS.items():
        said = _wait_and_read(cluster, f"pod/{name}", "Ready", seen)
        assert f"pods/{name} was not Ready within 0.1 s: phase " in said
        assert re.search(words, said), said
    cluster.delete(pods)


def test_workloads(cluster: Cluster) -> None:
    """Of a workload that does not come, its pods say why; a condition that it never has is named."""
    broken = deployment("broken", "echo no config >&2; exit 3", replicas=1)
    broken["spec"]["minReadySeconds"] = 300
    cluster.apply(broken)
    said = _wait_and_read(cluster, "deployment/broken", "Available", "CrashLoopBackOff")
    assert "Available=False (Deployment does not have minimum availability.)" in said
    assert "pod broken-" in said and "with exit code 3 (restarts: " in said
    with pytest.raises(TimedOut, match=r"it has no condition Redy, but .*Available"):
        cluster.wait("deployment/broken", "Redy", 0.1)
    with pytest.raises(NotFound, match="no revision named 'before this one'"):
        cluster.rollout("deployment/broken").undo()
    cluster.delete("deployment/broken", propagation="Foreground")


def test_connections(tmp_path: Path) -> None:
    """A cluster that has ended, one that nobody serves, a file that is none."""
    with Cluster(nodes=0) as ended:
        ended.kubeconfig(tmp_path / "kubeconfig")
    with pytest.raises(WrongState, match="has been stopped"):
        ended.get("cm/x")
    with Cluster.connect(tmp_path / "kubeconfig") as gone, pytest.raises(Unreachable, match="is the cluster"):
        gone.get("cm/x")
    with pytest.raises(NotFound, match=r"no kubeconfig named '.*none': give the path of one"):
        Cluster.connect(tmp_path / "none")
    with pytest.raises(
        NotFound, match="no context in the kubeconfig named 'prod': the file has 'container-kit'"
    ):
        Cluster.connect(tmp_path / "kubeconfig", "prod")
