"""Controllers whose server refuses, fails and loses its answers, and that are ended anywhere (R22)."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from container_kit.cluster.api.api import Api
from container_kit.cluster.api.encoding import json_response
from container_kit.cluster.api.messages import Request, Response
from container_kit.cluster.store import SqliteStore
from tests.cluster.controllers.world import World, deployment, every_controller, template

Object = dict[str, Any]


class Storm:
    """A server that often says no: by chance, though always in the same order for one seed."""

    def __init__(self, api: Api, seed: int) -> None:
        self._api, self._chance, self.is_raging = api, random.Random(seed), True

    def handle(self, request: Request) -> Response:
        kind = self._chance.choice(_WEATHER) if self.is_raging and request.method != "GET" else ""
        if kind in ("", "LostAnswer"):
            answer = self._api.handle(request)
            return _refusal(504, "Timeout") if kind else answer
        return _refusal(_CODES[kind], kind)


_CODES = {"Conflict": 409, "InternalError": 500, "TooManyRequests": 429}
_WEATHER = ("Conflict", "InternalError", "TooManyRequests", "LostAnswer", "", "", "", "")


def _refusal(code: int, reason: str) -> Response:
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    return json_response({**status, "message": "a storm", "reason": reason, "code": code}, code)


def _named(kind: str, name: str, api_version: str = "apps/v1", **spec: Any) -> Object:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": spec}


def _wishes() -> list[Object]:
    """One of each workload, all with pods of their own, and what looks at the pods of one."""

    def labelled(app: str, **fake: str) -> Object:
        pods = template(labels={"app": app}, **fake)
        return {"selector": {"matchLabels": {"app": app}}, "template": pods}

    job = template(labels={"app": "j"}, fake_phase="Succeeded")
    job["spec"]["restartPolicy"] = "Never"
    return [
        deployment(4, **labelled("d")),
        _named("StatefulSet", "s", replicas=3, serviceName="s", **labelled("s")),
        _named("DaemonSet", "ds", **labelled("ds")),
        _named("Job", "j", "batch/v1", template=job, completions=5, parallelism=2),
        _named("Service", "web", "v1", selector={"app": "d"}, ports=[{"port": 80}]),
        _named(
            "PodDisruptionBudget", "b", "policy/v1", minAvailable=3, selector={"matchLabels": {"app": "d"}}
        ),
    ]


def _change_images(world: World) -> None:
    spec = {"template": {"spec": {"containers": [{"name": "c", "image": "busybox:2"}]}}}
    for resource, name in (("deployments", "d"), ("statefulsets", "s"), ("daemonsets", "ds")):
        world.client.patch(resource, name, {"spec": spec})


def _images(world: World, app: str) -> list[str]:
    return [pod["spec"]["containers"][0]["image"] for pod in world.pods(f"app={app}")]


def _is_all_done(world: World) -> bool:
    """All pods are new, running and as many as wished; the Job has counted each of its pods once."""
    wanted = {"d": 4, "s": 3, "ds": 3}
    if any(_images(world, app) != ["busybox:2"] * count for app, count in wanted.items()):
        return False
    if any(pod["status"]["phase"] != "Running" for app in wanted for pod in world.pods(f"app={app}")):
        return False
    status = {kind: world.get(*kind).get("status", {}) for kind in _KINDS}
    conditions = [each["type"] for each in status["jobs", "j"].get("conditions") or ()]
    return (
        status["deployments", "d"].get("availableReplicas") == 4
        and status["statefulsets", "s"].get("currentRevision")
        == status["statefulsets", "s"]["updateRevision"]
        and status["daemonsets", "ds"].get("numberAvailable") == 3
        and "Complete" in conditions
        and status["jobs", "j"]["succeeded"] == 5
        and status["poddisruptionbudgets", "b"]["disruptionsAllowed"] == 1
        and _led_to(world) == {pod["status"]["podIP"] for pod in world.pods("app=d")}
    )


def _led_to(world: World) -> set[str]:
    """The addresses of the service."""
    slices = world.client.list("endpointslices").items
    ready = [
        one
        for each in slices
        for one in each["endpoints"]
        if each["metadata"]["name"].startswith("web-") and one["conditions"]["ready"]
    ]
    return {one["addresses"][0] for one in ready}


_KINDS = (
    ("deployments", "d"),
    ("statefulsets", "s"),
    ("daemonsets", "ds"),
    ("jobs", "j"),
    ("poddisruptionbudgets", "b"),
)


_SEEDS = [*range(4), *(pytest.param(seed, marks=pytest.mark.trial) for seed in range(4, 100))]


@pytest.mark.parametrize("seed", _SEEDS)
def test_storms_of_refusals_pass(seed: int) -> None:
    """Half of all writes conflict, fail, or lose their answers: in the end all is as wished, and once."""
    storms: list[Storm] = []

    def storm(api: Api) -> Storm:
        storms.append(Storm(api, seed))
        return storms[0]

    world = World(3, every_controller, through=storm)
    for wish in _wishes():
        world.client.create(wish)
    world.run(20)
    _change_images(world)
    world.run(20)
    storms[0].is_raging = False

    world.run_until(lambda: _is_all_done(world), 120)
    assert sum(pod["status"]["phase"] == "Succeeded" for pod in world.pods("app=j")) == 5


@pytest.mark.parametrize("seed", _SEEDS)
def test_a_cluster_that_stopped_anywhere_goes_on(tmp_path: Path, seed: int) -> None:
    """Ended after any number of steps of a rollout and begun again from its file, it gets to its end."""
    chance, path = random.Random(seed), str(tmp_path / "objects.db")
    wishes: list[Callable[[World], object]] = [
        lambda world: [world.client.create(wish) for wish in _wishes()],
        _change_images,
        *[lambda world: None] * 4,
    ]
    for act in wishes:
        with contextlib.closing(SqliteStore(path)) as store:
            world = World(3, every_controller, store=store)
            act(world)
            with contextlib.suppress(RuntimeError):  # so many steps, then it ends
                world.manager.run_until_idle(chance.randrange(60))
            world.run(chance.choice([0.0, 0.02, 0.1]))
            names = [pod["metadata"]["name"] for pod in world.pods("app=s")]
            assert len(names) <= 3
            assert set(names) <= {"s-0", "s-1", "s-2"}
            world.manager.stop()
    with contextlib.closing(SqliteStore(path)) as store:
        world = World(3, every_controller, store=store)
        world.run_until(lambda: _is_all_done(world), 300)
        world.manager.stop()
