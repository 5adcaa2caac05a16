"""S07, S08 and S19 for pods: a container of a pod has the walls of a container by itself, and no way around.

What a container by itself sees is compared with the published table elsewhere (``tests/runtime/test_walls``);
here a program in a pod, started in every way in which a pod starts one, has to see the same.
"""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from container_kit.containers.engine import Engine
from container_kit.images import Image
from container_kit.pods import NotReady, Pod
from tests.pods.conftest import PATIENCE_S, StartPod, pod_of, sh, statuses, until
from tests.runtime.boxes import build_probe

_WALLS = (
    "capabilities",
    "no_new_privs",
    "seccomp",
    "uids",
    "gids",
    "groups",
    "uid_map",
    "rlimits",
    "syscalls",
    "sockets",
)

# What a pod says, and what a container by itself is told to be alike: both of the container, then of the pod.
_CASES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "default": ({}, {}, {}),
    "as a user": ({"runAsUser": 1000, "runAsGroup": 1000}, {"user": "1000:1000"}, {}),
    "with groups": (
        {"runAsUser": 1000, "runAsGroup": 1000},
        {"user": "1000:1000", "group_add": ["2000", "3000"]},
        {"securityContext": {"fsGroup": 3000, "supplementalGroups": [2000]}},
    ),
    "a capability more": ({"capabilities": {"add": ["SYS_ADMIN"]}}, {"cap_add": ["SYS_ADMIN"]}, {}),
    "no capabilities": ({"capabilities": {"drop": ["ALL"]}}, {"cap_drop": ["ALL"]}, {}),
    "may gain rights": ({"allowPrivilegeEscalation": True}, {"no_new_privs": False}, {}),
    "may not gain rights": ({"allowPrivilegeEscalation": False}, {"no_new_privs": True}, {}),
    "privileged": ({"privileged": True}, {"profile": "privileged"}, {}),
    "unconfined": ({"seccompProfile": {"type": "Unconfined"}}, {"seccomp": "unconfined"}, {}),
    "runtime default": ({"seccompProfile": {"type": "RuntimeDefault"}}, {}, {}),
    "host network": ({}, {"network": "host"}, {"hostNetwork": True}),
    "shared processes": ({}, {}, {"shareProcessNamespace": True}),
}


@pytest.fixture(scope="session")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program that tells what it sees."""
    return build_probe(tmp_path_factory.mktemp("probe"))


@pytest.fixture
def seeing(engine: Engine, probe: Path) -> Engine:
    """An engine whose image ``seer`` has the program that tells what it sees."""
    files = [(str(probe), "/bin/probe")]
    Image.from_host("busybox", "sh", "sleep", "id", files=files, tag="seer", engine=engine)
    return engine


def _told(text: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(text)
    return {key: told[key] for key in _WALLS}


@pytest.mark.parametrize("name", _CASES)
def test_the_walls_of_a_pod_are_those_of_a_container(start: StartPod, seeing: Engine, name: str) -> None:
    """S07: started as a container, by exec, or as an init container, a program sees the same walls."""
    context, options, spec = _CASES[name]
    seer = {"image": "seer", "securityContext": context}
    initial = {"name": "i", "command": ["probe"], **seer}
    pod = start(pod_of({**seer, "command": sh("probe; exec sleep 1000")}, initContainers=[initial], **spec))
    pod.wait(timeout=PATIENCE_S)
    alone = seeing.run("seer", ["probe"], check=True, text=True, **options).stdout
    expected = _told(str(alone))
    until(lambda: list(pod.logs()), "the probe's words")
    assert _told("\n".join(line.text for line in pod.logs("i"))) == expected
    assert _told(_whole(pod)) == expected
    assert _told(pod.exec(["probe"], check=True).stdout) == expected


def _whole(pod: Pod) -> str:
    def text() -> str:
        return "\n".join(line.text for line in pod.logs())

    until(lambda: text().rstrip().endswith("}"))
    return text()


@pytest.mark.parametrize(
    ("user", "context", "words"),
    [
        ("", {}, "will run as root"),
        ("0", {}, "will run as root"),
        ("0:7", {}, "will run as root"),
        ("00", {}, "will run as root"),
        ("root", {}, "will run as root"),
        ("app", {}, "non-numeric user (app)"),
        ("+1000", {}, "non-numeric user (+1000)"),
        ("1000", {"runAsUser": 0}, "user is 0"),
    ],
)
def test_who_must_not_be_root_is_not(user: str, context: dict[str, Any], words: str) -> None:
    """S08: runAsNonRoot is refused where the image, or the pod, says root, or nothing that is surely not."""
    from container_kit.images import RunDefaults
    from container_kit.pods.settings import check_user
    from container_kit.pods.spec import PodSpec

    pod = PodSpec.of(pod_of({"securityContext": {"runAsNonRoot": True, **context}}))
    with pytest.raises(NotReady) as refused:
        check_user(pod, pod.containers[0], RunDefaults(user=user))
    assert words in str(refused.value)
    assert refused.value.reason == "CreateContainerConfigError"


def test_a_pod_that_must_not_be_root_waits(start: StartPod) -> None:
    """A container that would run as root is never started; one with a number of its own is."""
    pod = start(
        pod_of(
            {"securityContext": {"runAsUser": 1000}},
            {},
            securityContext={"runAsNonRoot": True},
        )
    )
    until(lambda: statuses(pod)["c1"]["state"]["waiting"]["reason"] == "CreateContainerConfigError")
    assert "running" in statuses(pod)["c0"]["state"]
    assert statuses(pod)["c1"].get("containerID") is None


@pytest.mark.parametrize("profile", [{}, {"localhostProfile": ""}, {"localhostProfile": "../../etc/passwd"}])
def test_a_seccomp_profile_of_the_node_is_never_taken_for_none(
    start: StartPod, profile: dict[str, str]
) -> None:
    """S19, CVE-2023-2431: a Localhost profile, empty or not, is never a container without a filter."""
    pod = start(pod_of({"securityContext": {"seccompProfile": {"type": "Localhost", **profile}}}))
    until(lambda: statuses(pod)["c0"]["state"]["waiting"]["reason"] == "CreateContainerConfigError")
    assert pod.status()["phase"] == "Pending"


def test_a_subpath_does_not_lead_out_of_its_volume(start: StartPod) -> None:
    """S19, CVE-2021-25741: a link of a container where a sub-path is leads nowhere but into the volume."""
    volume = {"volumes": [{"name": "work", "emptyDir": {}}]}
    link = {
        "name": "i",
        "command": sh("busybox ln -s /etc /work/part; busybox ln -s ../../../../../.. /work/up"),
        "volumeMounts": [{"name": "work", "mountPath": "/work"}],
    }
    for index, part in enumerate(("part", "up")):
        mount = {"volumeMounts": [{"name": "work", "mountPath": "/seen", "subPath": part}]}
        pod = start(pod_of(mount, name=f"p{index}", initContainers=[link], **volume))
        until(partial(_runs_or_says_why, pod))
        if "running" in statuses(pod)["c0"]["state"]:
            seen = pod.exec("ls /seen").stdout.split()
            assert "shadow" not in seen and "proc" not in seen


def _runs_or_says_why(pod: Pod) -> bool:
    return "running" in statuses(pod)["c0"]["state"] or bool(_why(pod))


def _why(pod: Pod) -> str:
    found: str = statuses(pod)["c0"]["state"].get("waiting", {}).get("message", "")
    return found


def test_what_is_projected_cannot_be_written(start: StartPod, engine: Engine) -> None:
    """S19, CVE-2025-9566: no container can put a link where a ConfigMap's or Secret's files are written."""
    from container_kit.pods.providing import LocalProvider

    secret = {"kind": "Secret", "metadata": {"name": "s"}, "stringData": {"key": "word"}}
    mount = {"volumeMounts": [{"name": "s", "mountPath": "/s"}]}
    volume = {"name": "s", "secret": {"secretName": "s", "defaultMode": 0o400}}
    pod = start(pod_of(mount, volumes=[volume]), provider=LocalProvider([secret]))
    pod.wait(timeout=PATIENCE_S)
    assert pod.exec("cat /s/key", check=True).stdout == "word"
    assert pod.exec(sh("echo x > /s/key || busybox ln -s /etc /s/link")).exit_code != 0


def test_last_words_are_not_read_through_a_link(start: StartPod, engine: Engine) -> None:
    """S19: the message file is the pod's own; a container that is root cannot make us read another."""
    script = "busybox rm -f /dev/termination-log; busybox ln -s /etc/shadow /dev/termination-log; exit 1"
    pod = start(pod_of({"command": sh(script)}, restartPolicy="Never"))
    pod.wait("Ended", timeout=PATIENCE_S)
    assert "message" not in statuses(pod)["c0"]["state"]["terminated"]


@pytest.mark.parametrize("count", [100, pytest.param(10_000, marks=pytest.mark.trial)])
def test_executing_again_and_again_leaves_nothing(start: StartPod, count: int) -> None:
    """S19, R18: commands, terminals and their sizes leave no descriptor behind, however many there are."""
    pod = start(pod_of())
    pod.wait(timeout=PATIENCE_S)
    pod.exec(["true"])
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(count):
        with pod.popen(["true"], tty=True) as process:
            process.resize(10, 20)
            process.wait(PATIENCE_S)
    assert len(os.listdir("/proc/self/fd")) <= before + 2


def test_a_privileged_container_finds_nothing_in_the_first_process(start: StartPod) -> None:
    """S07: even with the right to look into it, process 1 of a pod shows nothing but the pod itself."""
    seer = {"securityContext": {"privileged": True}}
    pod = start(pod_of(seer, shareProcessNamespace=True))
    pod.wait(timeout=PATIENCE_S)
    assert "ckit-reaper" in pod.exec("cat /proc/1/cmdline", check=True).stdout
    assert pod.exec("ls -A /proc/1/root/", check=True).stdout == ""
    assert pod.exec("ls /proc/1/fd", check=True).stdout.split() == ["4"]
    for kind in ("net", "ipc", "uts"):
        seen = [
            pod.exec(f"busybox readlink /proc/{one}/ns/{kind}", check=True).stdout for one in ("1", "self")
        ]
        assert seen[0] == seen[1] != ""
