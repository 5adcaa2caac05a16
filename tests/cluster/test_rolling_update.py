"""A rolling update of real pods beside a client that never stops asking."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from container_kit.cluster import Cluster
from container_kit.containers import Engine
from tests.cluster.conftest import add_box
from tests.cluster.serving import http_pod

pytestmark = [pytest.mark.root]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Of the test alone, with its engine: its pods take their time to go, and end with it."""
    with Engine(tmp_path / "root") as engine:
        add_box(engine)
        with Cluster(engine=engine) as made:
            yield made


def _service(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"type": "NodePort", "selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]},
    }


def _deployment(name: str, words: str, replicas: int) -> dict[str, Any]:
    pod = http_pod(name, words)
    # As everywhere: who is to go goes on serving until all have heard that it is asked no more.
    pod["spec"]["terminationGracePeriodSeconds"] = 60
    pod["spec"]["containers"][0]["readinessProbe"]["failureThreshold"] = 60  # slow is not unready
    pod["spec"]["containers"][0]["lifecycle"] = {"preStop": {"sleep": {"seconds": 30}}}
    template = {"metadata": {"labels": {"app": name}}, "spec": pod["spec"]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template},
    }


@contextmanager
def _asking(url: str) -> Iterator[Counter[str]]:
    """Asks from the first answer on until the end; what was answered how often, and what went wrong."""
    answers, is_over = Counter[str](), threading.Event()
    _until_led(url)

    def ask() -> None:
        while not is_over.wait(0.005):
            try:
                with urlopen(url, timeout=20) as answer:
                    answers[answer.read().decode().strip()] += 1
            except (URLError, OSError) as error:
                answers[f"failed: {error}"] += 1

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        yield answers
    finally:
        is_over.set()
        asker.join()


def _until_led(url: str) -> None:
    """A service that was just made is not yet known to the packet filter."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with urlopen(url, timeout=20):
                return
        except (URLError, OSError):
            assert time.monotonic() < deadline
            time.sleep(0.02)


def _until(answers: Counter[str], words: str) -> None:
    deadline, before = time.monotonic() + 60, answers[words]
    while answers[words] < before + 20:
        assert time.monotonic() < deadline, answers
        time.sleep(0.02)


@pytest.mark.parametrize("replicas", [4, pytest.param(20, marks=pytest.mark.trial)])
def test_a_rolling_update_is_not_noticed(cluster: Cluster, replicas: int) -> None:
    """While all pods are replaced, each request is answered, and never too few pods are available."""
    name, what = "web", "deployment/web"
    cluster.apply([_deployment(name, "one", replicas), _service(name)])
    cluster.rollout(what).wait()
    host = cluster.pods(what)[0]["status"]["hostIP"]
    port = cluster.get(f"service/{name}")["spec"]["ports"][0]["nodePort"]
    least = replicas - replicas // 4  # a quarter may be missing
    with (
        cluster.watch("deployments", fields=f"metadata.name={name}") as changes,
        _asking(f"http://{host}:{port}/") as answers,
    ):
        _until(answers, "one")
        cluster.apply(_deployment(name, "two", replicas))
        cluster.rollout(what).wait()
        _until(answers, "two")
        cluster.annotate(what, over="yes")
        for change in changes:
            assert change.object["status"].get("availableReplicas", 0) >= least
            if change.object["metadata"]["annotations"].get("over"):
                break
    assert set(answers) == {"one", "two"}
