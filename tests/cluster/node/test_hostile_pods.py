"""S19: pods that fill, hide and outgrow; the node takes back what is its own."""

from __future__ import annotations

import os

import pytest

from container_kit.cluster.meta import Object
from tests.cluster.node.conftest import SLEEP, Site, pod_on
from tests.pods.conftest import until

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("own_network")]


def _evicted(site: Site, name: str) -> Object:
    """The pod, after the node has looked at what it uses."""
    (agent,) = site.agents.values()
    until(lambda: agent.beat() or site.client.get("pods", name)["status"].get("reason") == "Evicted", "it")
    return site.wait(name, lambda pod: pod["status"]["phase"] == "Failed")


@pytest.mark.parametrize(
    "command",
    [
        "busybox dd if=/dev/zero bs=100000 count=30 >> /etc/hosts",
        "busybox dd if=/dev/zero bs=100000 count=30 of=/dev/termination-log",
        "busybox dd if=/dev/zero bs=100000 count=30 of=/tmp/file",
        "busybox dd if=/dev/zero bs=100000 count=30 | busybox tr '\\0' 'x'",
    ],
    ids=["hosts", "last words", "files", "log"],
)
def test_all_that_a_pod_writes_counts(shared: Site, command: str) -> None:
    """CVE-2020-8557: what goes to ``/etc/hosts``, to the log, or beside the volumes, is the pod's as well."""
    limits = {"limits": {"ephemeral-storage": "1Mi"}}
    shared.client.create(pod_on("node-0", "full", "sh", "-c", f"{command}; sleep 1000", resources=limits))
    shared.wait_ready("full")
    found = _evicted(shared, "full")
    assert "ephemeral local storage usage exceeds" in found["status"]["message"]


def test_a_pod_within_its_limits_stays(shared: Site) -> None:
    """The control: a little of everything is allowed."""
    limits = {"limits": {"ephemeral-storage": "1Mi"}}
    shared.client.create(pod_on("node-0", "small", *SLEEP, resources=limits))
    shared.wait_ready("small")
    shared.agents["node-0"].beat()
    assert shared.client.get("pods", "small")["status"]["phase"] == "Running"


def test_a_volume_that_is_too_deep_to_walk_is_measured_and_removed(shared: Site) -> None:
    """Directories in one another, a thousand of them, hide no bytes and do not stay behind."""
    volumes = [{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}]
    mounts = [{"name": "v", "mountPath": "/v"}]
    shared.client.create(pod_on("node-0", "deep", *SLEEP, volumeMounts=mounts, spec={"volumes": volumes}))
    uid = shared.wait_ready("deep")["metadata"]["uid"]
    agent = shared.agents["node-0"]
    own = f"{agent.volumes.directory}/{uid}"
    here = os.open(f"{own}/volumes/v", os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=here)
        there = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = there
    os.close(here)
    assert "EmptyDir" in _evicted(shared, "deep")["status"]["message"]
    shared.client.delete("pods", "deep", grace_s=0)
    shared.wait_gone("deep")
    until(lambda: not os.path.exists(own), "the removal")
