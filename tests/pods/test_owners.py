"""What becomes of a pod when the process that supervises it ends, or is killed."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import attrs
import pytest

from container_kit.containers.engine import Engine
from container_kit.containers.pod_places import PodPlaces, member_ids
from container_kit.errors import WrongState
from container_kit.pods import Pod
from container_kit.pods.record import read_pod_record, write_pod_record
from tests.pods.conftest import PATIENCE_S, Notes, StartPod, pod_of, sh, statuses, until


@contextmanager
def _killed_owner(engine: Engine, kind: str) -> Iterator[str]:
    """The id of a pod whose process has been killed."""
    command = [sys.executable, "-m", "tests.pods.owner", engine.root, kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pod_id = owner.stdout.readline().strip()
        assert pod_id
        owner.kill()
    yield pod_id


def _pids_of(pod_id: str) -> list[int]:
    """The processes that look after the pod, or are in it, by their command line."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{name}/cmdline").read_bytes()
        except OSError:
            continue
        if pod_id.encode() in words:
            found.append(int(name))
    return found


def test_an_owned_pod_ends_with_its_owner(engine: Engine) -> None:
    """When the owner is killed nothing of its pod stays: container, process, address, cgroup, directory."""
    with _killed_owner(engine, "owned") as pod_id:
        until(lambda: not os.path.exists(f"{engine.root}/pods/{pod_id}"), "the pod's directory is gone")
        until(lambda: not engine.containers(all=True), "its containers are gone")
        until(lambda: not _pids_of(pod_id), "its first process is gone")
        until(lambda: not engine.cgroups.open(f"pod-{pod_id}").exists(), "its cgroup is gone")
        until(lambda: engine.networks.endpoints_of(pod_id) == [], "its address is free")


def test_a_pod_that_is_not_owned_goes_on_and_is_taken_over(engine: Engine, notes: Notes) -> None:
    """Another process finds the containers of a killed agent running, and looks after them as they are."""
    with _killed_owner(engine, "free") as pod_id:
        before = {engine.container(one).pid for one in member_ids(engine, pod_id)}
        pod = Pod.adopt(pod_id, engine=engine, observer=notes)
        pod.wait(timeout=PATIENCE_S)
        assert {pod.container(name).pid for name in ("c0", "c1")} == before
        assert pod.ips and pod.status()["podIP"] == pod.ips[0]
        pod.container("c0").kill()
        until(lambda: statuses(pod)["c0"]["restartCount"] == 1)
        pod.wait(timeout=PATIENCE_S)
        kinds = {os.readlink(f"/proc/{pod.container(name).pid}/ns/net") for name in ("c0", "c1")}
        assert len(kinds) == 1  # the new container lives in the old one's namespaces


def test_only_one_process_looks_after_a_pod(start: StartPod, engine: Engine) -> None:
    """A pod that is supervised cannot be taken over."""
    pod = start(pod_of())
    with pytest.raises(WrongState):
        Pod.adopt(pod.id, engine=engine)


def test_a_pod_of_which_nothing_runs_gets_new_namespaces(start: StartPod, engine: Engine) -> None:
    """Taken over after all of its containers have ended, a pod is started again in namespaces of its own."""
    pod = start(pod_of(), owned=False)
    pod.wait(timeout=PATIENCE_S)
    pod.close()
    pod.container().stop(0)
    again = Pod.adopt(pod.id, engine=engine)
    again.wait(timeout=PATIENCE_S)
    assert statuses(again)["c0"]["restartCount"] == 1


def test_what_an_init_container_did_is_not_done_again(start: StartPod, engine: Engine) -> None:
    """A pod that is taken over remembers which init containers have succeeded."""
    work = {"volumeMounts": [{"name": "work", "mountPath": "/work"}]}
    once = {"name": "i", "command": sh("echo x >> /work/times"), **work}
    pod = start(pod_of(work, initContainers=[once], volumes=[{"name": "work", "emptyDir": {}}]), owned=False)
    pod.wait(timeout=PATIENCE_S)
    pod.close()
    again = Pod.adopt(pod.id, engine=engine)
    again.wait(timeout=PATIENCE_S)
    assert again.exec("cat /work/times", check=True).stdout == "x\n"


def test_after_all_has_ended_a_pod_begins_anew(start: StartPod, engine: Engine) -> None:
    """Where nothing of a pod runs any more, its init containers run again before the others do."""
    work = {"volumeMounts": [{"name": "work", "mountPath": "/work"}]}
    once = {"name": "i", "command": sh("echo x >> /work/times"), **work}
    done = {"name": "done", "command": sh("exit 0"), "image": "box", "imagePullPolicy": "Never"}
    manifest = pod_of(
        work,
        done,
        initContainers=[once],
        volumes=[{"name": "work", "emptyDir": {}}],
        restartPolicy="OnFailure",
    )
    pod = start(manifest, owned=False)
    until(lambda: statuses(pod)["done"]["state"].get("terminated"))
    pod.close()
    pod.container("c0").kill()
    pod.container("c0").wait(PATIENCE_S)
    again = Pod.adopt(pod.id, engine=engine)
    until(lambda: statuses(again)["c0"]["restartCount"] == 1)
    assert again.exec("cat /work/times", "c0", check=True).stdout == "x\nx\n"
    assert statuses(again)["done"]["restartCount"] == 0


def test_a_container_that_nobody_wrote_down_is_replaced(start: StartPod, engine: Engine) -> None:
    """One that was just started when the agent was killed is removed, so that no container runs twice."""
    pod = start(pod_of({}, {}), owned=False)
    pod.wait(timeout=PATIENCE_S)
    pod.close()
    directory = PodPlaces(engine.root, pod.id).directory
    record = read_pod_record(directory)
    forgotten = record.containers["c1"].id
    write_pod_record(directory, attrs.evolve(record, containers={"c0": record.containers["c0"]}))
    again = Pod.adopt(pod.id, engine=engine)
    again.wait(timeout=PATIENCE_S)
    assert forgotten not in [one.id for one in engine.containers(all=True)]
    assert len(list(member_ids(engine, pod.id))) == 2


_ROUNDS = pytest.mark.parametrize("rounds", [4, pytest.param(100, marks=pytest.mark.trial)])


def _kill_at_some_moment(engine: Engine, kind: str, chance: random.Random) -> str:
    """Start a process that starts a pod, and kill it while it does; returns the pod's id."""
    folder = f"{engine.root}/pods"
    command = [sys.executable, "-m", "tests.pods.owner", engine.root, kind]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as agent:
        (pod_id,) = until(lambda: os.path.isdir(folder) and os.listdir(folder))
        time.sleep(chance.uniform(0.0, 0.05))
        agent.kill()
    return str(pod_id)


@_ROUNDS
def test_an_agent_that_is_killed_at_any_moment(engine: Engine, rounds: int) -> None:
    """R15: whenever who starts a pod that is not owned is killed, another one makes it what it shall be."""
    chance = random.Random(rounds)
    for _ in range(rounds):
        _kill_at_some_moment(engine, "free", chance)
        Engine(engine.root).close()  # sweeps what was never finished
        for left in Pod.list(engine=engine):
            pod = Pod.adopt(left.id, engine=engine)
            pod.wait(timeout=PATIENCE_S)
            alive = [one for one in member_ids(engine, pod.id) if engine.container(one).pid]
            assert sorted(alive) == sorted(pod.container(name).id for name in ("c0", "c1"))
            pod.remove(force=True)
        assert engine.containers(all=True) == []


@_ROUNDS
def test_an_owner_that_is_killed_at_any_moment(engine: Engine, rounds: int) -> None:
    """R15: whenever the owner of a pod is killed, nothing of the pod stays."""
    chance = random.Random(rounds)
    for _ in range(rounds):
        pod_id = _kill_at_some_moment(engine, "owned", chance)
        until(partial(_is_gone, engine, pod_id), "nothing is left")


def _is_gone(engine: Engine, pod_id: str) -> bool:
    """Whether there is nothing of this pod, or of any pod and container, after a sweep."""
    Engine(engine.root).close()
    found = os.listdir(f"{engine.root}/pods") + os.listdir(f"{engine.root}/containers")
    networks = engine.networks
    members = [owner for record in networks.list() for owner in networks.membership(record.id).owners()]
    return not [*found, *members, *engine.cgroups.names(), *_pids_of(pod_id)]


def test_closing_an_engine_ends_its_pods(stocked_root: Path, tmp_path: Path) -> None:
    """Nothing of a pod is left when its engine is closed, though nobody ended it."""
    root = tmp_path / "own"
    subprocess.run(["cp", "-a", str(stocked_root), str(root)], check=True)
    with Engine(root) as engine:
        pod = Pod.start(pod_of({}, {}), engine=engine, network="none")
        pod.wait(timeout=PATIENCE_S)
    assert os.listdir(root / "pods") == os.listdir(root / "containers") == []


def test_a_pod_of_ours_costs_little(start: StartPod) -> None:
    """What is ours beside a container of a pod, its monitor, is below one megabyte of memory."""
    pod = start(pod_of())
    pod.wait(timeout=PATIENCE_S)
    container = pod.container()
    monitors = [pid for pid in _pids_of(container.id) if pid != container.pid]
    assert monitors
    assert sum(map(_pss_kb, monitors)) < 1000


def _pss_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def test_cgroups_around_pods_go_with_the_last(start: StartPod, engine: Engine) -> None:
    """Cgroups around those of pods are there while a pod is, or until the root is opened again."""
    pods = [start(pod_of(name=name), cgroup="kubepods/burstable") for name in ("one", "two")]
    for pod in pods:
        pod.wait(timeout=PATIENCE_S)
    pods[0].remove(force=True)
    assert engine.cgroups.names() == ["kubepods"]
    pods[1].remove(force=True)
    engine.settle()
    assert engine.cgroups.names() == []
    engine.cgroups_below("left").create("behind").close()
    Engine(engine.root).close()
    assert engine.cgroups.names() == []


def test_a_pod_that_was_never_finished_is_swept(engine: Engine) -> None:
    """A pod's directory without a record, whose maker was killed, goes when the root is opened again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("container_kit.pods.making.PodWorld.remove", lambda world: world.let_go_of_lock())
        patch.setattr("container_kit.pods.pod.write_pod_record", _is_killed)
        with pytest.raises(KeyboardInterrupt):
            Pod.start(pod_of(), engine=engine, owned=False)
    assert len(os.listdir(f"{engine.root}/pods")) == 1
    Engine(engine.root).close()
    assert os.listdir(f"{engine.root}/pods") == []


def _is_killed(*_: object) -> None:
    raise KeyboardInterrupt
