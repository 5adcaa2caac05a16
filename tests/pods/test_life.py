"""What a pod does from its start to its end, with real containers."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

from container_kit.containers.engine import Engine
from container_kit.containers.state_file import read_state
from container_kit.errors import InvalidInput, NotFound, TimedOut, WrongState
from container_kit.pods import Pod, Provision
from tests.pods.conftest import PATIENCE_S, Notes, StartPod, pod_of, sh, statuses, until


def test_containers_of_a_pod_share_what_is_to_be_shared(start: StartPod) -> None:
    """Network, IPC and host name are one for all containers; processes and files are each one's own."""
    pod = start(pod_of({}, {}))
    pod.wait(timeout=PATIENCE_S)
    seen = {
        kind: {os.readlink(f"/proc/{pod.container(name).pid}/ns/{kind}") for name in ("c0", "c1")}
        for kind in ("net", "ipc", "uts", "pid", "mnt")
    }
    assert [kind for kind, ids in seen.items() if len(ids) == 1] == ["net", "ipc", "uts"]
    assert all(os.readlink(f"/proc/self/ns/{kind}") not in ids for kind, ids in seen.items())
    assert pod.exec("busybox hostname", "c1", check=True).stdout == "web\n"


def test_processes_are_shared_on_request(start: StartPod) -> None:
    """With shareProcessNamespace a container sees the others' processes, and process 1 shows it nothing."""
    pod = start(pod_of({}, {"command": ["sleep", "77"]}, shareProcessNamespace=True))
    pod.wait(timeout=PATIENCE_S)
    seen = pod.exec("busybox ps -o pid,args", "c0", check=True).stdout
    assert "sleep 1000" in seen and "sleep 77" in seen and "ckit-reaper" in seen
    assert pod.exec("ls /proc/1/root/", "c0").exit_code != 0


def test_a_pod_has_one_cgroup_with_those_of_its_containers_in_it(start: StartPod, engine: Engine) -> None:
    """The limits of the containers together are the pod's, and each container's cgroup is below the pod's."""
    some = {"resources": {"limits": {"memory": "32Mi", "cpu": "500m"}}}
    pod = start(pod_of(some, some))
    pod.wait(timeout=PATIENCE_S)
    groups = engine.cgroups_below(f"pod-{pod.id}")
    assert sorted(groups.names()) == sorted(pod.container(name).id for name in ("c0", "c1"))
    whole = engine.cgroups.open(f"pod-{pod.id}").stats().memory
    assert whole is not None and whole.limit == 64 << 20
    assert pod.stats().keys() == {"c0", "c1"}


def test_init_containers_run_one_after_the_other_before_all_else(start: StartPod) -> None:
    """Each init container begins when the one before has succeeded, the others when the last one has."""
    note = {"volumeMounts": [{"name": "work", "mountPath": "/work"}]}
    steps = [{"name": f"i{n}", "command": sh(f"echo i{n} >> /work/order"), **note} for n in range(3)]
    main = {"command": sh("echo main >> /work/order; sleep 1000"), **note}
    pod = start(pod_of(main, initContainers=steps, volumes=[{"name": "work", "emptyDir": {}}]))
    pod.wait(timeout=PATIENCE_S)
    lines = until(lambda: pod.exec("cat /work/order", check=True).stdout.split()[3:] and pod).exec(
        "cat /work/order"
    )
    assert lines.stdout.split() == ["i0", "i1", "i2", "main"]
    assert all(statuses(pod)[f"i{n}"]["state"]["terminated"]["reason"] == "Completed" for n in range(3))


def test_a_failed_init_container_fails_a_pod_that_never_restarts(start: StartPod) -> None:
    """With restartPolicy Never the first failure of an init container is the end of the pod."""
    pod = start(pod_of({}, initContainers=[{"name": "i", "command": sh("exit 3")}], restartPolicy="Never"))
    status = pod.wait("Ended", timeout=PATIENCE_S)
    assert status["phase"] == "Failed"
    assert statuses(pod)["i"]["state"]["terminated"]["exitCode"] == 3
    assert "waiting" in statuses(pod)["c0"]["state"]


def test_a_failed_init_container_is_tried_again(start: StartPod) -> None:
    """With restartPolicy Always an init container is tried until it succeeds, with a pause in between."""
    work = {"volumeMounts": [{"name": "work", "mountPath": "/work"}]}
    script = sh("echo x >> /work/tries; [ $(busybox wc -l < /work/tries) -ge 3 ]")
    volumes = [{"name": "work", "emptyDir": {}}]
    pod = start(pod_of({}, initContainers=[{"name": "i", "command": script, **work}], volumes=volumes))
    pod.wait(timeout=PATIENCE_S)
    assert statuses(pod)["i"]["restartCount"] == 2
    assert statuses(pod)["i"]["lastState"]["terminated"]["exitCode"] == 1


def test_a_sidecar_starts_first_and_ends_last(start: StartPod, notes: Notes) -> None:
    """A restartable init container lets the others begin once it has started, and ends when they have."""
    sidecar = {"name": "side", "restartPolicy": "Always", "command": ["sleep", "1000"]}
    pod = start(pod_of({"command": sh("exit 0")}, initContainers=[sidecar], restartPolicy="Never"))
    status = pod.wait("Ended", timeout=PATIENCE_S)
    started = [one.container for one in notes.events if one.reason == "Started"]
    assert started == ["side", "c0"]
    assert status["phase"] == "Succeeded"
    assert [one.container for one in notes.events if one.reason == "Killing"] == ["side"]


def test_a_sidecar_is_restarted_also_when_nothing_else_is(start: StartPod) -> None:
    """A restartable init container that ends is started again, whatever the pod's policy says."""
    sidecar = {"name": "side", "restartPolicy": "Always", "command": sh("sleep 0.05")}
    pod = start(pod_of({}, initContainers=[sidecar], restartPolicy="Never"))
    until(lambda: statuses(pod)["side"]["restartCount"] >= 2)
    assert pod.status()["phase"] == "Running"


@pytest.mark.parametrize(
    ("policy", "script", "phase"),
    [
        ("Never", "exit 0", "Succeeded"),
        ("Never", "exit 1", "Failed"),
        ("OnFailure", "exit 0", "Succeeded"),
    ],
)
def test_how_a_pod_ends(start: StartPod, policy: str, script: str, phase: str) -> None:
    """A pod whose containers have all ended and are not to be restarted has succeeded, or failed."""
    pod = start(pod_of({"command": sh(script)}, {"command": sh("exit 0")}, restartPolicy=policy))
    assert pod.wait("Ended", timeout=PATIENCE_S)["phase"] == phase
    with pytest.raises(WrongState):
        pod.wait("Ready")


def test_restarts_come_ever_more_slowly(start: StartPod, notes: Notes) -> None:
    """A container that keeps failing is a new container each time, waits in CrashLoopBackOff, and says so."""
    pod = start(pod_of({"command": sh("echo $HOSTNAME; exit 7")}))
    first = until(lambda: statuses(pod)["c0"].get("containerID"))
    until(lambda: statuses(pod)["c0"]["restartCount"] >= 2)
    seen = until(lambda: _waiting(pod))
    assert seen["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert seen["lastState"]["terminated"]["exitCode"] == 7
    assert seen["containerID"] != first
    assert "BackOff" in notes.reasons("c0")
    assert [line.text for line in pod.logs(previous=True)] == ["web"]


def _waiting(pod: Pod) -> dict[str, Any] | None:
    one = statuses(pod)["c0"]
    return one if one["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff" else None


def test_a_container_leaves_last_words(start: StartPod) -> None:
    """What it wrote to its termination message file, or else the end of its log, is in its state."""
    told = {"command": sh("echo because > /dev/termination-log; exit 1")}
    logged = {
        "command": sh("echo one; echo two; exit 1"),
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    pod = start(pod_of(told, logged, restartPolicy="Never"))
    pod.wait("Ended", timeout=PATIENCE_S)
    found = statuses(pod)
    assert found["c0"]["state"]["terminated"]["message"] == "because\n"
    assert found["c1"]["state"]["terminated"]["message"] == "one\ntwo"


def test_last_words_are_bounded_and_never_a_link(start: StartPod) -> None:
    """A container can write much to its message file; no more than 4096 bytes of it are read."""
    script = "busybox yes | busybox head -c 100000 > /dev/termination-log; exit 1"
    pod = start(pod_of({"command": sh(script)}, restartPolicy="Never"))
    pod.wait("Ended", timeout=PATIENCE_S)
    assert len(statuses(pod)["c0"]["state"]["terminated"]["message"]) == 4096


def test_stopping_gives_a_container_time(start: StartPod, notes: Notes) -> None:
    """A pod that is stopped runs its hook, gets its signal and ends as it likes within its grace period."""
    script = "trap 'cat /dev/termination-log > /tmp/x; exit 4' TERM; echo up; while :; do sleep 0.02; done"
    hook = {"preStop": {"exec": {"command": sh("echo hooked > /dev/termination-log")}}}
    main = {"command": sh(script), "lifecycle": hook}
    pod = start(pod_of(main, restartPolicy="Never", terminationGracePeriodSeconds=30))
    pod.wait(timeout=PATIENCE_S)
    until(lambda: [line.text for line in pod.logs()] == ["up"])
    pod.stop(timeout=PATIENCE_S)
    ended = statuses(pod)["c0"]["state"]["terminated"]
    assert (ended["exitCode"], ended["message"]) == (4, "hooked\n")
    assert "Killing" in notes.reasons("c0")


def test_who_does_not_end_in_time_is_killed(start: StartPod) -> None:
    """A container that ignores its signal is killed when the grace period is over, which can be shortened."""
    pod = start(pod_of({"command": sh("trap '' TERM; echo up; while :; do sleep 1; done")}))
    until(lambda: pod.wait(timeout=PATIENCE_S) and [line.text for line in pod.logs()] == ["up"])
    with pytest.raises(TimedOut):
        pod.stop(grace_s=1000, timeout=0.1)
    pod.stop(grace_s=0, timeout=PATIENCE_S)
    assert statuses(pod)["c0"]["state"]["terminated"]["signal"] == 9


def test_a_hook_after_the_start_holds_up_the_next(start: StartPod, notes: Notes) -> None:
    """Containers start in order, each when the hook of the one before has returned; a bad hook ends it."""
    slow = {"lifecycle": {"postStart": {"exec": {"command": sh("sleep 0.1; echo > /tmp/done")}}}}
    pod = start(pod_of(slow, {}))
    pod.wait(timeout=PATIENCE_S)
    assert pod.exec("ls /tmp/done", "c0").exit_code == 0
    bad = start(
        pod_of(
            {"lifecycle": {"postStart": {"exec": {"command": sh("exit 5")}}}},
            name="bad",
            restartPolicy="Never",
        )
    )
    assert bad.wait("Ended", timeout=PATIENCE_S)["phase"] == "Failed"
    assert "FailedPostStartHook" in notes.reasons("c0")


def test_a_pod_that_takes_too_long_fails(start: StartPod) -> None:
    """activeDeadlineSeconds ends a pod that is still running then, and says why."""
    pod = start(pod_of(activeDeadlineSeconds=1))
    status = pod.wait("Ended", timeout=PATIENCE_S)
    assert (status["phase"], status["reason"]) == ("Failed", "DeadlineExceeded")


def test_an_ephemeral_container_joins_a_running_pod(start: StartPod) -> None:
    """A debugger that is added later shares the pod's network, and is not started again when it ends."""
    pod = start(pod_of())
    pod.wait(timeout=PATIENCE_S)
    debugger = {"name": "debug", "command": sh("busybox hostname")}
    pod.update({**pod.manifest, "spec": pod_of(ephemeralContainers=[debugger])["spec"]})
    until(lambda: statuses(pod).get("debug", {}).get("state", {}).get("terminated"))
    assert [line.text for line in pod.logs("debug")] == ["web"]
    assert statuses(pod)["debug"]["restartCount"] == 0
    assert pod.status()["phase"] == "Running"


def test_a_debugger_sees_the_processes_of_its_target(start: StartPod) -> None:
    """An ephemeral container with a target shares that container's processes, and no other's."""
    pod = start(pod_of({}, {"command": ["sleep", "77"]}))
    pod.wait(timeout=PATIENCE_S)
    debugger = {"name": "debug", "command": ["sleep", "1"], "targetContainerName": "c1"}
    both = pod_of({}, {"command": ["sleep", "77"]}, ephemeralContainers=[debugger])
    pod.update({**pod.manifest, "spec": both["spec"]})
    until(lambda: statuses(pod).get("debug", {}).get("state", {}).get("running"))
    seen = pod.exec("busybox ps -o args", "debug", check=True).stdout
    assert "sleep 77" in seen and "sleep 1000" not in seen
    until(lambda: statuses(pod)["debug"]["state"].get("terminated"))
    assert "running" in statuses(pod)["c1"]["state"]


def test_another_image_starts_a_container_again(start: StartPod, engine: Engine) -> None:
    """A pod whose container is given another image runs that, as a new container."""
    from container_kit.images import Image

    Image.from_host("busybox", "sleep", tag="other", engine=engine)
    pod = start(pod_of())
    pod.wait(timeout=PATIENCE_S)
    pod.update({**pod.manifest, "spec": pod_of({"image": "other"})["spec"]})
    until(lambda: statuses(pod)["c0"]["restartCount"] == 1)
    assert pod.container().info().image.startswith("other")


def test_a_missing_image_is_waited_for(start: StartPod, engine: Engine) -> None:
    """A pod whose image is not there is pending, says why, and starts once it is."""
    from container_kit.images import Image

    pod = start(pod_of({"image": "late"}))
    until(lambda: statuses(pod)["c0"]["state"]["waiting"]["reason"] == "ErrImageNeverPull")
    assert pod.status()["phase"] == "Pending"
    Image.from_host("busybox", "sleep", tag="late", engine=engine)
    pod.wait(timeout=PATIENCE_S)


def test_a_program_that_is_not_there_is_told(start: StartPod) -> None:
    """A command that cannot be executed makes the container wait, with the reason."""
    pod = start(pod_of({"command": ["/nowhere"]}))
    waiting = until(lambda: _reason(pod) == "RunContainerError" and statuses(pod)["c0"]["state"]["waiting"])
    assert "/nowhere" in waiting["message"]


def _reason(pod: Pod) -> str:
    found: str = statuses(pod)["c0"]["state"].get("waiting", {}).get("reason", "")
    return found


def test_finding_and_removing(start: StartPod, engine: Engine) -> None:
    """A pod is found by name and by its id's beginning; removing it leaves nothing, and needs force."""
    pod = start(pod_of())
    assert Pod.get("web", engine=engine) == Pod.get(pod.id[:10], engine=engine) == pod
    with pytest.raises(WrongState):
        pod.remove()
    pod.remove(force=True)
    with pytest.raises(NotFound):
        Pod.get("web", engine=engine)
    assert not engine.cgroups.open(f"pod-{pod.id}").exists()


@pytest.mark.parametrize(
    ("manifest", "field"),
    [
        ({"kind": "Job"}, "kind"),
        ({"metadata": {"name": "x"}}, "spec"),
        ({"metadata": {"name": "X"}, "spec": {}}, "metadata.name"),
        ({"metadata": {"name": "x"}, "spec": {"containers": []}}, "spec.containers"),
        (pod_of({"name": "a"}, {"name": "a"}), "spec.containers"),
        (pod_of({"livenessProbe": {}}, restartPolicy="Now"), "spec.restartPolicy"),
        (pod_of({"livenessProbe": {"periodSeconds": 3}}), "spec.containers[0].livenessProbe"),
        (pod_of({"livenessProbe": {"tcpSocket": {"port": "web"}}}), "livenessProbe.tcpSocket.port"),
    ],
)
def test_what_is_no_pod_is_refused(start: StartPod, manifest: dict[str, Any], field: str) -> None:
    """A manifest that cannot be used is refused with the path of the field, and leaves nothing."""
    with pytest.raises(InvalidInput, match=field.replace("[", r"\[").replace("]", r"\]")):
        start(manifest)


def test_whatever_a_provider_raises_the_pod_goes_on(start: StartPod) -> None:
    """A provider that fails, in whichever way, keeps the container waiting until it does not."""
    wrong = [KeyError("key"), OSError(5, "no"), WrongState("not now")]

    def provide(pod: Pod, container: dict[str, Any]) -> Provision:
        if wrong:
            raise wrong.pop()
        return Provision(image="box")

    pod = start(pod_of(), provider=provide)
    until(lambda: _reason(pod) == "CreateContainerError")
    pod.wait(timeout=PATIENCE_S)


def test_a_pod_can_be_removed_at_any_moment(start: StartPod, engine: Engine) -> None:
    """However far the start of a pod has come when it is removed, nothing is left."""
    for pause_s in (0.0, 0.002, 0.005, 0.01, 0.02):
        pod = start(pod_of({}, {}))
        time.sleep(pause_s)
        pod.remove(force=True)
        assert engine.containers(all=True) == [] and Pod.list(engine=engine) == []


def test_a_container_that_lost_its_monitor_is_started_again(start: StartPod) -> None:
    """When a container's monitor is killed, what it leaves is killed and a new container takes its place."""
    pod = start(pod_of())
    pod.wait(timeout=PATIENCE_S)
    first = pod.container()
    state = read_state(pod.engine.catalogue.directory(first.id))
    os.kill(state.monitor_pid, 9)
    until(lambda: statuses(pod)["c0"]["restartCount"] == 1)
    until(lambda: _has_ended(state.pid), "the end of what it left")
    pod.wait(timeout=PATIENCE_S)


def _has_ended(pid: int) -> bool:
    """Whether a process is no more, or waits only for whoever collects orphans, which may take long."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_container_leaves_no_processes_to_the_others(start: StartPod) -> None:
    """Where processes are shared, those that a container's program left end with it, and no other's do."""
    leaving = {"command": sh("sleep 555 & exec sleep 0.05")}
    pod = start(pod_of(leaving, {}, shareProcessNamespace=True, restartPolicy="Never"))
    until(lambda: "terminated" in statuses(pod)["c0"]["state"])
    until(lambda: "555" not in pod.exec("busybox ps -o args", "c1", check=True).stdout)
    assert "running" in statuses(pod)["c1"]["state"]
