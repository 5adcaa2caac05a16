"""An operator with `kopf` and its CRD, run as operators are: a process that watches."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from container_kit.cluster import ApiInvalid, Cluster
from tests.cluster.clients.definitions import definition
from tests.docs.reader import PROJECT

pytestmark = [pytest.mark.root]

OPERATOR = Path(__file__).parent / "programs" / "lamps.py"
COLUMNS = [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}]


@pytest.fixture
def cluster(real_cluster: Cluster, namespace: str) -> Iterator[Cluster]:
    """With the custom kind that the operator is for."""
    made = definition("lamps", "Lamp", subresources={"status": {}}, additionalPrinterColumns=COLUMNS)
    real_cluster.apply(made)
    real_cluster.wait("crd/lamps.clients.test", "Established", timeout=60)
    chosen = real_cluster.using(namespace)
    yield chosen
    for lamp in chosen.list("lamps"):  # of a test that failed
        chosen.patch(lamp, {"metadata": {"finalizers": None}}, kind="merge")
    real_cluster.delete("crd/lamps.clients.test")


@contextmanager
def _operator(kubeconfig: str, namespace: str) -> Iterator[None]:
    """A life of the operator, which ends in good order when it is told to."""
    command = [sys.executable, "-m", "kopf", "run", str(OPERATOR), "--standalone", "--namespace", namespace]
    environment = {**os.environ, "KUBECONFIG": kubeconfig}
    with subprocess.Popen(
        command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield
            process.send_signal(signal.SIGTERM)
            said = process.communicate(timeout=60)[0]
            print(said)
        except BaseException:
            process.kill()
            print(process.communicate()[0])
            raise
    assert process.returncode == 0 and "Traceback" not in said, said


def _lamp(name: str, size: int) -> dict[str, Any]:
    return {
        "apiVersion": "clients.test/v1",
        "kind": "Lamp",
        "metadata": {"name": name},
        "spec": {"size": size},
    }


def test_an_operator_keeps_its_objects(cluster: Cluster, kubeconfig: str, namespace: str) -> None:
    """Create, status, events, update, timers, a finalizer with a retry, owned objects; and a second life.

    The operator's own notes (annotations, finalizers) tell it what it has done, and what is left to do.
    """
    with _operator(kubeconfig, namespace):
        cluster.apply(_lamp("red", 3))
        cluster.wait("lamp/red", "jsonpath={.status.create.child}=red", timeout=60)
        assert cluster.get("cm/red")["data"] == {"size": "3"}
        assert cluster.get("lamp/red")["metadata"]["finalizers"] == ["clients.test/lamps"]
        cluster.apply(_lamp("red", 5))
        cluster.wait("cm/red", "jsonpath={.data.size}=5", timeout=60)
        cluster.wait("lamp/red", "jsonpath={.status.ticks}", timeout=60)
        with pytest.raises(ApiInvalid, match=r"spec\.size: Invalid value: -1"):
            cluster.apply(_lamp("red", -1))
        cluster.delete("lamp/red", timeout=60)
        cluster.wait("cm/red-ended", "create", timeout=60)
        cluster.wait("cm/red", "delete", timeout=60)  # collected as its owner is gone
        cluster.apply(_lamp("blue", 1))
        cluster.apply(_lamp("white", 1))
        for name in ("blue", "white"):
            cluster.wait(f"lamp/{name}", "jsonpath={.status.create.child}=" + name, timeout=60)
    events = {(one["involvedObject"]["name"], one["reason"]) for one in cluster.events()}
    assert ("red", "Changed") in events
    cluster.delete("lamp/blue", wait=False)
    assert cluster.get("lamp/blue")["metadata"]["deletionTimestamp"]  # nobody lets it go
    cluster.apply(_lamp("green", 2))
    with _operator(kubeconfig, namespace):
        cluster.wait("lamp/blue", "delete", timeout=60)
        cluster.wait("lamp/green", "jsonpath={.status.create.child}=green", timeout=60)
        cluster.wait("lamp/white", "jsonpath={.status.resumed}=true", timeout=60)
        for name in ("green", "white"):
            cluster.delete(f"lamp/{name}", timeout=60)
