"""Pods of an ordinary user: the same life, without a right on the host."""

from __future__ import annotations

import pytest

from tests.rootless.users import OrdinaryUser

pytestmark = [pytest.mark.root, pytest.mark.tool("newuidmap"), pytest.mark.tool("setpriv")]

POD = """
import os, time
import container_kit as ck

def one(name, words, **more):
    return {{"name": name, "image": "box:1", "imagePullPolicy": "Never", "command": words, **more}}

serve = ["sh", "-c", "busybox mkdir /www; echo fine > /www/well; exec busybox httpd -f -p 8080 -h /www"]
http = {{"httpGet": {{"path": "/well", "port": 8080}}}}
spec = {{
    "containers": [one("web", serve, readinessProbe=http), one("other", ["sleep", "1000"])],
    "initContainers": [one("first", ["sh", "-c", "exit 0"])],
    "terminationGracePeriodSeconds": 0,
    "shareProcessNamespace": {shares},
}}
manifest = {{"kind": "Pod", "metadata": {{"name": "shop"}}, "spec": spec}}
with ck.Pod.start(manifest, network={network!r}) as pod:
    pod.wait("Ready", timeout=50)
    found = {{"name": pod.exec(["busybox", "hostname"], "other").stdout}}
    found["ps"] = pod.exec(["busybox", "ps", "-o", "args"], "other").stdout
    found["page"] = pod.exec(["busybox", "wget", "-qO-", "http://127.0.0.1:8080/well"], "other").stdout
    with pod.connect(8080) as connection:
        connection.sendall(b"GET /well HTTP/1.0\\r\\n\\r\\n")
        found["from outside"] = connection.makefile("rb").read().decode()
ck.Engine.default().settle()
root = ck.Engine.default().root
found["left"] = os.listdir(root + "/pods") + os.listdir(root + "/containers")
report(found)
"""


@pytest.mark.parametrize(("network", "shares"), [("none", False), ("bridge", True)])
def test_a_pod_of_an_ordinary_user(user: OrdinaryUser, network: str, shares: bool) -> None:
    """Containers share network and name, and processes on request; probes reach them; nothing is left."""
    found = user.python(POD.format(network=network, shares=shares))
    assert found["name"] == "shop\n"
    assert found["page"] == "fine\n"
    assert found["from outside"].endswith("fine\n")
    assert ("httpd" in found["ps"]) == shares
    assert found["left"] == []
