"""A node's agent with real pods: from what the API asks for to what runs, and back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from container_kit.pods import Pod
from tests.cluster.node.conftest import DNS, SLEEP, Site, condition_of, pod_on

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("own_network")]


def events_of(site: Site, name: str) -> list[str]:
    """The reasons of the events about a pod, in the order in which they came."""
    found = [one for one in site.client.list("events").items if one["involvedObject"]["name"] == name]
    return [one["reason"] for one in sorted(found, key=lambda one: int(one["metadata"]["resourceVersion"]))]


def test_a_node_registers_and_holds_its_lease(site: Site) -> None:
    """A node is Ready with its addresses, capacity and lease as soon as its agent has started."""
    agent = site.start_node(capacity={"cpu": "3"})
    node = site.client.get("nodes", "node-0")
    assert condition_of(node, "Ready")["status"] == "True"
    assert node["status"]["capacity"]["cpu"] == "3"
    assert node["spec"]["podCIDR"].rpartition(".")[0] == agent.address.rpartition(".")[0]
    lease = site.client.get("leases.coordination.k8s.io", "node-0", "kube-node-lease")
    assert lease["spec"]["holderIdentity"] == "node-0"


def test_a_pod_runs_and_its_status_says_so(shared: Site) -> None:
    """A pod gets an address of its node's range, all conditions become true, and events tell the steps."""
    shared.client.create(pod_on("node-0", "web", *SLEEP))
    pod = shared.wait_ready("web")
    status = pod["status"]
    assert status["phase"] == "Running" and status["startTime"]
    assert status["podIP"].rpartition(".")[0] == status["hostIP"].rpartition(".")[0]
    state = status["containerStatuses"][0]
    assert state["ready"] and state["restartCount"] == 0 and "running" in state["state"]
    assert all(one["status"] == "True" and "reason" not in one for one in status["conditions"])
    assert events_of(shared, "web") == ["Pulled", "Created", "Started"]


def test_a_pod_that_ends_has_succeeded_or_failed(shared: Site) -> None:
    """The phase, the exit code and the conditions of a pod that runs to its end follow from how it ended."""
    never = {"restartPolicy": "Never"}
    shared.client.create(pod_on("node-0", "good", "true", spec=never))
    shared.client.create(pod_on("node-0", "bad", "sh", "-c", "exit 3", spec=never))
    good = shared.wait("good", lambda pod: pod["status"]["phase"] == "Succeeded")
    bad = shared.wait("bad", lambda pod: pod["status"]["phase"] == "Failed")
    assert condition_of(good, "Ready")["reason"] == "PodCompleted"
    assert bad["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 3


def test_configuration_reaches_the_container_and_stays_live(shared: Site) -> None:
    """Variables are those of the start; files follow their ConfigMap while the container runs."""
    conf = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "conf"}, "data": {"k": "one"}}
    shared.client.create(conf)
    reference = {"configMapKeyRef": {"name": "conf", "key": "k"}}
    field = {"fieldRef": {"fieldPath": "status.podIP"}}
    shared.client.create(
        pod_on(
            "node-0",
            "web",
            *SLEEP,
            env=[{"name": "K", "valueFrom": reference}, {"name": "IP", "valueFrom": field}],
            volumeMounts=[{"name": "v", "mountPath": "/conf"}, {"name": "d", "mountPath": "/me"}],
            spec={
                "volumes": [
                    {"name": "v", "configMap": {"name": "conf"}},
                    {
                        "name": "d",
                        "downwardAPI": {
                            "items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]
                        },
                    },
                ]
            },
        )
    )
    pod = shared.wait_ready("web")
    assert shared.printed("web", "echo $K $IP") == f"one {pod['status']['podIP']}\n"
    assert shared.printed("web", "cat /conf/k") == "one"
    shared.client.patch("configmaps", "conf", {"data": {"k": "two"}}, kind="merge")
    shared.client.patch("pods", "web", {"metadata": {"labels": {"tier": "front"}}}, kind="merge")
    changed = "[ $(cat /conf/k) = two ] && [ $(cat /me/labels) = 'tier=\"front\"' ] && echo seen"
    assert shared.printed("web", changed) == "seen\n"


def test_what_is_missing_is_waited_for(shared: Site) -> None:
    """A pod whose ConfigMap is not there says so, and starts when it comes."""
    shared.client.create(pod_on("node-0", "web", *SLEEP, envFrom=[{"configMapRef": {"name": "late"}}]))
    waiting = shared.wait(
        "web",
        lambda pod: (
            pod["status"].get("containerStatuses", [{}])[0].get("state", {}).get("waiting", {}).get("reason")
            == "CreateContainerConfigError"
        ),
    )
    state = waiting["status"]["containerStatuses"][0]["state"]["waiting"]
    assert state["message"] == 'configmap "late" not found'


def test_a_volume_that_comes_late_is_mounted(shared: Site) -> None:
    """A pod waits for its volumes, tells why, and goes on when they can be made."""
    volumes = [{"name": "v", "secret": {"secretName": "late"}}]
    mounts = [{"name": "v", "mountPath": "/keys"}]
    shared.client.create(pod_on("node-0", "web", *SLEEP, volumeMounts=mounts, spec={"volumes": volumes}))
    shared.wait("web", lambda pod: pod["status"].get("containerStatuses"))
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "late"},
        "stringData": {"pw": "hush"},
    }
    shared.client.create({**secret, "data": {"pw": "aHVzaA=="}})
    shared.wait_ready("web")
    assert shared.printed("web", "cat /keys/pw") == "hush"
    assert "FailedMount" in events_of(shared, "web")


def test_an_image_that_is_not_here_is_told(shared: Site) -> None:
    """Without the right to pull, a missing image is ErrImageNeverPull."""
    shared.client.create(pod_on("node-0", "web", image="nowhere:1"))
    pod = shared.wait(
        "web",
        lambda pod: (
            pod["status"].get("containerStatuses", [{}])[0].get("state", {}).get("waiting", {}).get("reason")
            == "ErrImageNeverPull"
        ),
    )
    assert pod["status"]["phase"] == "Pending"


def test_a_deleted_pod_leaves_nothing(site: Site, tmp_path: Path) -> None:
    """When the API has forgotten a pod, soon nothing of it is left on the node."""
    agent = site.start_node()
    mounts, volumes = [{"name": "v", "mountPath": "/v"}], [{"name": "v", "emptyDir": {}}]
    site.client.create(pod_on("node-0", "web", *SLEEP, volumeMounts=mounts, spec={"volumes": volumes}))
    pod = site.wait_ready("web")
    site.client.delete("pods", "web")
    site.wait_gone("web")
    site.stop_node("node-0")
    assert agent.pods() == [] and Pod.list(engine=site.engine) == []
    assert not (tmp_path / "node-0" / "pods" / pod["metadata"]["uid"]).exists()
    assert not os.path.exists(agent.volumes.memory)


def test_a_new_agent_goes_on_with_the_pods_of_the_last(site: Site) -> None:
    """Pods that do not end with their agent run on, and the next one knows them: no restart, same address."""
    site.start_node(owned=False)
    spec = {"clusterIP": "10.96.0.7", "ports": [{"port": 80, "protocol": "TCP"}]}
    site.client.create({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec})
    site.client.create(pod_on("node-0", "web", *SLEEP))
    before = site.wait_ready("web")
    site.stop_node("node-0")
    site.renew_proxy()
    site.start_node(owned=True)
    site.client.patch("pods", "web", {"metadata": {"labels": {"seen": "again"}}}, kind="merge")
    assert site.printed("web", "echo alive") == "alive\n"
    assert DNS in site.printed("web", "busybox nslookup web.default.svc.cluster.local")  # by the new server
    after = site.client.get("pods", "web")
    same = ("containerID", "restartCount")
    assert [after["status"]["containerStatuses"][0][key] for key in same] == [
        before["status"]["containerStatuses"][0][key] for key in same
    ]
    assert after["status"]["podIP"] == before["status"]["podIP"]
    site.client.delete("pods", "web")
    site.wait_gone("web")


def test_what_has_ended_stays_told_when_the_agent_comes_back(site: Site) -> None:
    """A pod that has run to its end is not run again, and how it ended is still there."""
    site.start_node(owned=False)
    site.client.create(pod_on("node-0", "done", "sh", "-c", "exit 4", spec={"restartPolicy": "Never"}))
    before = site.wait("done", lambda pod: pod["status"]["phase"] == "Failed")
    site.agents.pop("node-0").close(end_pods=True)
    site.start_node()
    site.client.create(pod_on("node-0", "next", *SLEEP))
    site.wait_ready("next")
    after = site.client.get("pods", "done")
    assert after["status"]["containerStatuses"] == before["status"]["containerStatuses"]
    site.client.delete("pods", "done")
    site.wait_gone("done")


def test_clusters_with_nodes_of_the_same_name_leave_each_other_alone(site: Site, tmp_path: Path) -> None:
    """What one cluster has on this machine is no leftover of the other's, however alike they are."""
    (tmp_path / "other").mkdir()
    other = Site(site.engine, tmp_path / "other")
    try:
        for one in (site, other):
            one.start_node("node-0", owned=False)
            one.client.create(pod_on("node-0", "web", *SLEEP))
        addresses = {one.wait_ready("web")["status"]["podIP"] for one in (site, other)}
        assert len(addresses) == 2
        other.agents.pop("node-0").close(end_pods=True)
        assert site.run("web", "echo alive") == (0, "alive\n")
        site.agents.pop("node-0").close(end_pods=True)
    finally:
        other.close()
    assert Pod.list(engine=site.engine) == []


def test_pods_of_two_nodes_reach_each_other_as_themselves(site: Site) -> None:
    """Nodes have ranges of their own, and a pod sees the address of the pod that talks to it."""
    for name in ("node-0", "node-1"):
        site.start_node(name)
    serve = "while true; do busybox nc -lp 8080 -e sh -c 'busybox netstat -tn' ; done"
    site.client.create(pod_on("node-0", "server", "sh", "-c", serve))
    site.client.create(pod_on("node-1", "client", *SLEEP))
    server, client = site.wait_ready("server"), site.wait_ready("client")
    own, other = server["status"]["podIP"], client["status"]["podIP"]
    assert own.rpartition(".")[0] != other.rpartition(".")[0]
    assert other in site.printed("client", f"busybox nc {own} 8080 </dev/null")


def test_services_lead_to_their_pods_by_name(site: Site) -> None:
    """A pod finds a service by its name, reaches a backend at its address, and is refused without one."""
    site.start_node()
    serve = "busybox mkdir /www; echo backend >/www/index.html; busybox httpd -f -p 8080 -h /www"
    site.client.create(pod_on("node-0", "backend", "sh", "-c", serve))
    site.client.create(pod_on("node-0", "client", *SLEEP))
    address = site.wait_ready("backend")["status"]["podIP"]
    site.wait_ready("client")
    ports = [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}]
    spec = {"clusterIP": "10.96.0.77", "clusterIPs": ["10.96.0.77"], "ports": ports}
    site.client.create({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec})
    slices = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    }
    site.client.create(slices)
    names = site.printed("client", "busybox nslookup web.default.svc.cluster.local")
    assert "10.96.0.77" in names and DNS in names
    get = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | busybox nc 10.96.0.77 80"
    assert site.printed("client", get).endswith("backend\n")
    assert site.printed("backend", get).endswith("backend\n")  # a pod reaches itself, too
    code, words = site.run("client", "busybox nc 10.96.0.78 80 </dev/null")
    assert code != 0 and ("refused" in words or "unreachable" in words)
