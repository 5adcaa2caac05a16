"""`Cluster` as its users have it: real pods, every verb."""

from __future__ import annotations

import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from container_kit.cluster import ApiConflict, ApiError, ApiInvalid, ApiNotFound, Cluster
from container_kit.errors import CommandFailed, Conflict, InvalidInput, NotFound, TimedOut, WrongState
from tests.cluster.serving import http_pod, read_url
from tests.pods.conftest import until

pytestmark = [pytest.mark.root]


def pod(name: str, script: str = "sleep 1000", **spec: Any) -> dict[str, Any]:
    container = {
        "name": "main",
        "image": "box:1",
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", script],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0, **spec},
    }


def deployment(name: str, script: str = "sleep 1000", replicas: int = 2) -> dict[str, Any]:
    template = pod(name, script)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": template["metadata"] | {"name": ""}, "spec": template["spec"]},
        },
    }


@pytest.fixture
def cluster(real_cluster: Cluster, request: pytest.FixtureRequest) -> Cluster:
    """In a namespace of the test alone."""
    name = request.node.name.replace("_", "-").partition("[")[0][-50:].strip("-")
    real_cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    real_cluster.wait("serviceaccount/default", "create", namespace=name)
    request.addfinalizer(lambda: real_cluster.delete(f"namespace/{name}"))
    return real_cluster.using(name)


def test_a_pod_runs_from_apply_to_delete(cluster: Cluster) -> None:
    """It gets ready, says what it writes, runs programs, and is gone afterwards."""
    made = cluster.apply(pod("one", "echo hello; sleep 1000"))
    assert [obj["metadata"]["name"] for obj in made] == ["one"]
    ready = cluster.wait("pod/one", "Ready")
    assert ready is not None and ready["status"]["phase"] == "Running"
    until(lambda: cluster.logs("pod/one") == "hello\n", "the log")
    done = cluster.exec("pod/one", ["sh", "-c", "cat; echo $HOSTNAME >&2; exit 3"], input="in")
    assert (done.exit_code, done.stdout, done.stderr) == (3, "in", "one\n")
    with pytest.raises(CommandFailed, match="exit code 3"):
        cluster.exec("pod/one", ["sh", "-c", "exit 3"], check=True)
    cluster.delete("pod/one")
    with pytest.raises(ApiNotFound, match='pods "one" not found'):
        cluster.get("pod/one")
    cluster.delete("pod/one", missing_ok=True)


def _without_marks(log: str) -> list[str]:
    return [line.partition("] ")[2] for line in log.splitlines()]


def test_a_deployment_grows_changes_and_goes_back(cluster: Cluster) -> None:
    """scale, a new template, history, undo, restart; logs of all its pods at once."""
    cluster.apply(deployment("web", "echo one; sleep 1000"))
    cluster.wait("deployment/web", "Available")
    cluster.scale("deployment/web", 3)
    cluster.rollout("deployment/web").wait()
    assert len(cluster.pods("deployment/web")) == 3
    until(lambda: _without_marks(cluster.logs("deployment/web", tail=1)) == ["one"] * 3, "the logs")

    cluster.apply(deployment("web", "echo two; sleep 1000", replicas=1), force=True)  # scaling took a field
    cluster.rollout("deployment/web").wait()
    assert [revision.number for revision in cluster.rollout("deployment/web").history()] == [1, 2]
    cluster.rollout("deployment/web").undo()
    cluster.rollout("deployment/web").wait()
    assert cluster.get("deployment/web")["spec"]["template"]["spec"]["containers"][0]["command"][
        2
    ].startswith("echo one")
    assert "rolled out" in cluster.rollout("deployment/web").status()
    with pytest.raises(InvalidInput, match="has no rollouts"):
        cluster.rollout("service/web")
    with pytest.raises(NotFound, match="no revision named '9'"):
        cluster.rollout("deployment/web").undo(9)


def test_what_does_not_come_says_what_it_is_instead(cluster: Cluster) -> None:
    """A wait that fails names the state of the object, with the reason of its containers."""
    missing = pod("none")
    missing["spec"]["containers"][0] |= {"image": "nowhere:1", "imagePullPolicy": "Never"}
    cluster.apply(missing)
    cluster.wait("pod/none", "jsonpath={.status.containerStatuses[0].state.waiting.reason}=ErrImageNeverPull")
    with pytest.raises(
        TimedOut, match=r"pods/none was not Ready within 0\.2 s: phase Pending.*ErrImageNeverPull"
    ):
        cluster.wait("pod/none", "Ready", timeout=0.2)
    with pytest.raises(TimedOut, match="it does not exist"):
        cluster.wait("pod/never", "Ready", timeout=0.1)


def test_bad_input_is_refused_with_its_place(cluster: Cluster, tmp_path: Path) -> None:
    """What is no object, what is invalid, what is not there: each error says which and what to do."""
    with pytest.raises(ApiInvalid, match=r"spec\.containers: Required value"):
        cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {}})
    with pytest.raises(ApiError, match=r"\.spec\.nodes: field not declared in schema"):
        cluster.apply(pod("x", nodes=1))
    with pytest.raises(InvalidInput, match="needs apiVersion and kind"):
        cluster.apply("a: b\n")
    with pytest.raises(NotFound, match="no manifest named"):
        cluster.apply(str(tmp_path / "none.yaml"))
    with pytest.raises(NotFound, match="no resource named 'widget'"):
        cluster.get("widget/x")
    with pytest.raises(InvalidInput, match="write kind/name"):
        cluster.get("x")
    with pytest.raises(InvalidInput, match="0 or more"):
        cluster.scale("deployment/x", -1)


def test_manifests_are_files_folders_texts_and_typed_objects(cluster: Cluster, tmp_path: Path) -> None:
    """All that users have; several documents and lists are taken apart."""
    maps = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"m{n}"}, "data": {"n": str(n)}}
        for n in range(6)
    ]
    (tmp_path / "a.yaml").write_text(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: m0}\n--- # more\n\n---\n"
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m1}\n"
    )
    (tmp_path / "b.json").write_text('{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m2"}}')
    (tmp_path / "notes.txt").write_text("no manifest")

    class Typed:
        def to_dict(self) -> dict[str, Any]:
            return {**maps[4], "immutable": None}

    made = cluster.apply([tmp_path, {"apiVersion": "v1", "kind": "List", "items": [maps[3]]}, Typed()])

    assert [obj["metadata"]["name"] for obj in made] == ["m0", "m1", "m2", "m3", "m4"]
    assert len(cluster.list("cm", labels="!none")) == 6  # and that of every namespace
    cluster.delete(str(tmp_path / "a.yaml"))
    assert {obj["metadata"]["name"] for obj in cluster.list("cm")} == {"m2", "m3", "m4", "kube-root-ca.crt"}


def test_fields_have_owners(cluster: Cluster) -> None:
    """Two who write the same field are told of each other; force takes it over."""
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "1"}}
    cluster.apply(obj)
    other = {**obj, "data": {"a": "2"}}
    with pytest.raises(ApiConflict, match=r'conflict with "container-kit".*\.data\.a'):
        cluster.apply(other, field_manager="other")
    assert cluster.apply(other, field_manager="other", force=True)[0]["data"] == {"a": "2"}


def test_labels_annotations_and_patches(cluster: Cluster) -> None:
    """Set, refused, replaced, taken away."""
    cluster.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}})
    assert cluster.label("cm/m", tier="front")["metadata"]["labels"] == {"tier": "front"}
    with pytest.raises(Conflict, match="has tier=front already"):
        cluster.label("cm/m", tier="back")
    assert "labels" not in cluster.label("cm/m", tier=None)["metadata"]
    assert cluster.annotate("cm/m", **{"a.b/c": "d"})["metadata"]["annotations"] == {"a.b/c": "d"}
    assert cluster.patch("cm/m", {"data": {"x": "y"}}, kind="merge")["data"] == {"x": "y"}


def test_a_port_leads_into_a_pod(cluster: Cluster) -> None:
    """Several connections at once, and a port where nobody listens."""
    cluster.apply(http_pod("server"))
    cluster.wait("pod/server", "Ready")
    with cluster.port_forward("pod/server", 8080) as forward:
        answers: list[str] = []
        threads = [threading.Thread(target=lambda: answers.append(read_url(forward.port))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == ["it works\n"] * 4
    with cluster.port_forward("pod/server", 8081) as forward, pytest.raises(OSError):
        read_url(forward.port)
    assert "8081" in forward.errors[-1]  # its connections have ended with it


def test_files_go_in_and_out(cluster: Cluster, tmp_path: Path) -> None:
    """By tar inside, as kubectl cp; folders too; what is not there is said."""
    cluster.apply(pod("files"))
    cluster.wait("pod/files", "Ready")
    source = tmp_path / "in"
    source.mkdir()
    (source / "a").write_text("A")
    (source / "link").symlink_to("a")
    cluster.copy_in("pod/files", str(source), "/tmp/there")
    assert cluster.exec("pod/files", ["cat", "/tmp/there/link"]).stdout == "A"
    cluster.copy_out("pod/files", "/tmp/there", str(tmp_path / "out"))
    assert (tmp_path / "out" / "a").read_text() == "A" and (tmp_path / "out" / "link").is_symlink()
    with pytest.raises(CommandFailed, match="none"):
        cluster.copy_out("pod/files", "/tmp/none", str(tmp_path / "none"))
    with pytest.raises(NotFound, match="no file named"):
        cluster.copy_in("pod/files", str(tmp_path / "none"), "/tmp/x")


def test_logs_are_followed_to_the_end(cluster: Cluster) -> None:
    """Lines come while the pod runs, and the iteration ends with it."""
    cluster.apply(pod("talks", "echo 1; sleep 0.3; echo 2", restartPolicy="Never"))
    cluster.wait("pod/talks", "jsonpath={.status.phase}=Running")
    assert list(cluster.follow_logs("pod/talks")) == ["1", "2"]


def test_things_are_described_with_what_happened(cluster: Cluster) -> None:
    """Fields, events in order; what is secret is not shown."""
    cluster.create(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"p": "hidden"}}
    )
    text = cluster.describe("secret/s")
    assert "p: 6 bytes" in text and "hidden" not in text and "aGlkZGVu" not in text
    cluster.apply(pod("seen"))
    cluster.wait("pod/seen", "Ready")
    assert "Scheduled" in cluster.describe("pod/seen")
    assert "Scheduled" in [event["reason"] for event in cluster.events("pod/seen")]


def test_a_node_is_drained_and_comes_back(cluster: Cluster) -> None:
    """Pods nobody makes again are not lost unasked."""
    node = cluster.list("nodes")[0]["metadata"]["name"]
    cluster.apply(pod("lone"))
    cluster.wait("pod/lone", "Ready")
    try:
        with pytest.raises(Conflict, match=r"nobody makes again \(lone\): force=True"):
            cluster.drain(node)
        assert cluster.drain(node, force=True, grace=0) == [f"{cluster.client.namespace}/lone"]
        assert cluster.get(f"node/{node}")["spec"]["unschedulable"] is True
    finally:
        cluster.uncordon(node)
    assert "unschedulable" not in cluster.get(f"node/{node}")["spec"]


def test_the_kubeconfig_is_for_its_owner_and_works(cluster: Cluster, tmp_path: Path) -> None:
    """Mode 0600; a client of another process does the same by it."""
    path = tmp_path / "kubeconfig"
    cluster.kubeconfig(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with Cluster.connect(path, namespace=cluster.client.namespace) as other:
        other.apply(pod("far"))
        other.wait("pod/far", "Ready")
        assert other.exec("pod/far", ["sh", "-c", "echo hello"]).stdout == "hello\n"
        with other.watch("pods") as watch:
            assert next(iter(watch)).object["metadata"]["name"] == "far"
        with pytest.raises(WrongState, match="runs elsewhere"):
            other.kubeconfig()
