"""Kubernetes files without a cluster, and pods that nobody supervises, by the command line."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from container_kit.containers.engine import Engine
from container_kit.errors import CommandFailed, InvalidInput, NameInUse
from container_kit.pods import Pod
from container_kit.pods.kube import down, manifest_of_pod, plan_of, play
from tests.pods.conftest import pod_of, sh, until

_ENTRY = "from container_kit.cli import main; main()"
_SHOP: list[dict[str, Any]] = [
    {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "words"},
        "data": {"greeting": "good day"},
    },
    {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "store"}, "spec": {}},
    {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "shop"},
        "spec": {
            "template": {
                "metadata": {"labels": {"app": "shop"}},
                "spec": pod_of(
                    {
                        "command": sh("cat /words/greeting; echo; echo $GREETING; exec sleep 1000"),
                        "env": [
                            {
                                "name": "GREETING",
                                "valueFrom": {"configMapKeyRef": {"name": "words", "key": "greeting"}},
                            }
                        ],
                        "volumeMounts": [
                            {"name": "words", "mountPath": "/words"},
                            {"name": "store", "mountPath": "/store"},
                        ],
                    },
                    volumes=[
                        {"name": "words", "configMap": {"name": "words"}},
                        {"name": "store", "persistentVolumeClaim": {"claimName": "store"}},
                    ],
                )["spec"],
            }
        },
    },
]


def _command(engine: Engine, *words: str, code: int = 0) -> str:
    command = [sys.executable, "-c", _ENTRY, "--root", engine.root, *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done.stdout


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A file with a Deployment, its ConfigMap and its claim."""
    path = tmp_path / "shop.yaml"
    path.write_text(yaml.safe_dump_all(_SHOP))
    return str(path)


def test_a_file_is_played_looked_at_and_taken_down(engine: Engine, file: str) -> None:
    """The commands make, list, show, stop, start and remove the pods of a file, which outlive them."""
    said = _command(engine, "kube", "play", file, "--network", "none").split()
    pod = Pod.get("shop-pod", engine=engine)
    assert said[:2] == ["Pod:", pod.id]
    until(lambda: _command(engine, "pod", "logs", "shop-pod") == "good day\ngood day\n")
    assert "shop-pod" in _command(engine, "pod", "ls") and "Running" in _command(engine, "pod", "ls")
    assert "c0" in _command(engine, "pod", "ps", "shop-pod")
    assert yaml.safe_load(_command(engine, "pod", "inspect", "shop-pod"))[0]["phase"] == "Running"
    _command(engine, "pod", "stop", "-t", "0", "shop-pod")
    assert pod.status()["phase"] in ("Failed", "Succeeded")
    _command(engine, "pod", "start", "shop-pod")
    assert pod.status()["phase"] == "Running"
    _command(engine, "pod", "rm", "shop-pod", code=1)
    assert pod.id in _command(engine, "kube", "down", file, "--force")
    assert Pod.list(engine=engine) == [] and "store" not in engine.volumes.names()


def test_monitors_start_containers_again(engine: Engine) -> None:
    """A container of a pod that nobody supervises is restarted by its monitor, in the pod's namespaces."""
    pod = Pod.create(pod_of({}, {}), engine=engine, network="none").run()
    first, second = pod.containers()
    before = os.readlink(f"/proc/{first.pid}/ns/net")
    os.kill(first.pid, 9)
    until(lambda: first.info().restarts == 1 and first.pid)
    assert {os.readlink(f"/proc/{one.pid}/ns/net") for one in (first, second)} == {before}


def test_what_is_generated_can_be_played(engine: Engine) -> None:
    """The file that is written for a pod makes the same pod again, also for a container."""
    plan = plan_of(_SHOP)
    (pod,) = play(engine, plan, network="none")
    written = yaml.safe_load(_command(engine, "kube", "generate", "shop-pod"))
    assert written == manifest_of_pod(pod)
    down(engine, plan)
    again = plan_of([*_SHOP[:2], written])
    assert play(engine, again, network="none")[0].status()["phase"] == "Running"


def test_a_container_as_a_pod(engine: Engine) -> None:
    """A container's image, command, variables, volumes, user and restart policy are in its file."""
    container = engine.create(
        "box",
        ["sleep", "5"],
        name="lone",
        env={"A": "b"},
        mounts=["store:/data"],
        user="7:8",
        restart="always",
    )
    written = yaml.safe_load(_command(engine, "kube", "generate", "lone"))
    (one,) = written["spec"]["containers"]
    assert one["args"] == ["sleep", "5"] and one["env"] == [{"name": "A", "value": "b"}]
    assert one["securityContext"] == {"runAsUser": 7, "runAsGroup": 8}
    assert written["spec"]["volumes"][0]["persistentVolumeClaim"] == {"claimName": "store"}
    assert written["spec"]["restartPolicy"] == "Always"
    container.remove()


def test_an_init_container_that_fails_leaves_no_pod(engine: Engine) -> None:
    """A pod whose init container fails for good is an error that says so, and is removed again."""
    bad = pod_of({}, initContainers=[{"name": "i", "command": sh("echo no; exit 3")}], restartPolicy="Never")
    with pytest.raises(CommandFailed, match="no"):
        play(engine, plan_of([bad]), network="none")
    assert Pod.list(engine=engine) == []


def test_published_ports_are_held_by_monitors(engine: Engine) -> None:
    """A port that a pod publishes is reached, and nobody else gets it, though no process of ours is left."""
    web: dict[str, Any] = {
        "command": sh("busybox mkdir /www; echo hello > /www/a; exec busybox httpd -f -p 80 -h /www")
    }
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    web["ports"] = [{"containerPort": 80, "hostPort": port, "hostIP": "127.0.0.1"}]
    path = Path(engine.root).parent / "web.yaml"
    path.write_text(yaml.safe_dump({"apiVersion": "v1", **pod_of(web)}))
    _command(engine, "kube", "play", str(path))
    with socket.socket() as other, pytest.raises(OSError):
        other.bind(("127.0.0.1", port))
    assert until(lambda: _hear(port)).endswith(b"hello\n")


def _hear(port: int) -> bytes:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(b"GET /a HTTP/1.0\r\n\r\n")
            return connection.makefile("rb").read()
    except OSError:
        return b""


def test_a_name_is_given_once(engine: Engine) -> None:
    """A second pod of the same name is refused; with replace it takes the first one's place."""
    plan = plan_of([pod_of()])
    (first,) = play(engine, plan, network="none")
    with pytest.raises(NameInUse):
        play(engine, plan, network="none")
    (second,) = play(engine, plan, network="none", replace=True)
    assert Pod.list(engine=engine) == [second] != [first]


def test_workloads_are_pods_by_their_number() -> None:
    """A workload stands for as many pods as it has replicas, with names of their own."""
    spec = {"replicas": 2, "template": pod_of()}
    sets = [{"kind": kind, "metadata": {"name": "x"}, "spec": spec} for kind in ("Deployment", "StatefulSet")]
    names = [one["metadata"]["name"] for one in plan_of(sets).pods]
    assert names == ["x-pod-0", "x-pod-1", "x-0", "x-1"]


def test_what_needs_a_cluster_is_said() -> None:
    """A kind that means nothing here is refused by name; a Service is passed over."""
    with pytest.raises(InvalidInput, match="NetworkPolicy 'wall'"):
        plan_of([{"kind": "NetworkPolicy", "metadata": {"name": "wall"}}])
    assert plan_of([{"kind": "Service", "metadata": {"name": "web"}}]).skipped == ("Service web",)


@pytest.mark.parametrize("name", ["../../etc", "a/b", "..", "x" * 64])
def test_names_of_a_file_are_no_paths(engine: Engine, name: str) -> None:
    """The name of a volume or of a key that would lead out of the pod's directory is refused."""
    from container_kit.pods import NotReady

    mount = {"volumeMounts": [{"name": name, "mountPath": "/x"}]}
    with pytest.raises(NotReady):
        play(engine, plan_of([pod_of(mount, volumes=[{"name": name, "emptyDir": {}}])]), network="none")
    data = {"kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"../../out": "x"}}
    mount = {"volumeMounts": [{"name": "v", "mountPath": "/x"}]}
    with pytest.raises(NotReady):
        play(
            engine,
            plan_of([data, pod_of(mount, volumes=[{"name": "v", "configMap": {"name": "c"}}])]),
            network="none",
        )


def test_a_pod_that_is_started_again_begins_with_its_init_containers(engine: Engine) -> None:
    """Stopped and started again, a pod runs its init containers again; the others go on as they are."""
    work = {"volumeMounts": [{"name": "work", "mountPath": "/work"}]}
    once = {"name": "i", "command": sh("echo x >> /work/times"), **work}
    volumes = [{"name": "work", "emptyDir": {}}]
    pod = Pod.create(
        pod_of(work, initContainers=[once], volumes=volumes), engine=engine, network="none"
    ).run()
    pod.stop(0)
    pod.run()
    assert pod.exec("cat /work/times", check=True).stdout == "x\nx\n"
