"""What kubectl does with real containers: logs, exec, attach, cp, port-forward, debug, run, top."""

from __future__ import annotations

import os
import re
import subprocess
import time
import urllib.request

import pytest

from container_kit.cluster import Cluster
from tests.cluster.kubectl.program import Kubectl, in_every_version
from tests.cluster.kubectl.terminal import Terminal

pytestmark = [pytest.mark.tool("kubectl"), pytest.mark.tool("busybox"), pytest.mark.root]

_PATIENCE_S = 60.0
# An echo that says what it got, and a web server beside it.
BOX = """
apiVersion: v1
kind: Pod
metadata: {name: box, labels: {app: box}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: box:1
    stdin: true
    command: [sh, -c, "echo begin; while read line; do echo got $line; done; exec sleep 1000"]
  - name: web
    image: box:1
    command:
    - sh
    - -c
    - echo serving; busybox mkdir /w /tmp; echo hello > /w/index.html; exec busybox httpd -f -p 8080 -h /w
    ports: [{containerPort: 8080, name: http}]
    readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
"""


@pytest.fixture(scope="module")
def cluster(real_cluster: Cluster) -> Cluster:
    """One node with real containers, instead of simulated ones."""
    return real_cluster


def box(kubectl: Kubectl) -> None:
    """The pod, ready."""
    kubectl("apply", "-f", "-", input=BOX)
    kubectl("wait", "pod/box", "--for=condition=Ready", "--timeout=60s")


def on_terminal(kubectl: Kubectl, *words: str, size: tuple[int, int] = (24, 80)) -> Terminal:
    """The command on a terminal."""
    env = kubectl.environment("false") | {"TERM": "xterm"}
    return Terminal(kubectl.command(words), env=env, cwd=kubectl.folder, size=size)


@in_every_version
def test_logs_are_read_in_every_way(kubectl: Kubectl) -> None:
    """logs -f, --previous, --since, --tail, --timestamps, --limit-bytes, of all containers and by label."""
    kubectl("apply", "-f", "-", input=TALKER)
    kubectl("wait", "pod/talker", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")
    assert kubectl("logs", "talker", "-c", "main") == "second\nlast\n"
    assert kubectl("logs", "talker", "--previous") == "first\n"
    assert kubectl("logs", "talker", "--tail=1") == "last\n"
    assert kubectl("logs", "talker", "--since=1h") == "second\nlast\n"
    assert kubectl("logs", "talker", "--since-time=2030-01-01T00:00:00Z") == ""
    assert kubectl("logs", "talker", "--limit-bytes=4") == "seco"
    assert re.fullmatch(
        r"(\d{4}-\d\d-\d\dT\S+Z (second|last)\n){2}", kubectl("logs", "talker", "--timestamps")
    )
    assert kubectl("logs", "-f", "talker") == "second\nlast\n"
    assert sorted(kubectl("logs", "talker", "--all-containers").split()) == ["last", "second", "set", "up"]
    prefixed = kubectl("logs", "-l", "app=talker", "--all-containers", "--prefix")
    assert "[pod/talker/main] last\n" in prefixed and "[pod/talker/init] set up\n" in prefixed
    assert "container nothing is not valid for pod talker" in kubectl.fails("logs", "talker", "-c", "nothing")
    kubectl("create", "job", "j", "--image=box:1", "--", "sh", "-c", "echo from a job")
    kubectl("wait", "job/j", "--for=condition=complete", "--timeout=60s")
    assert kubectl("logs", "job/j") == "from a job\n"


TALKER = """
apiVersion: v1
kind: Pod
metadata: {name: talker, labels: {app: talker}}
spec:
  restartPolicy: OnFailure
  volumes: [{name: kept, emptyDir: {}}]
  initContainers: [{name: init, image: "box:1", command: [sh, -c, "echo set up"]}]
  containers:
  - name: main
    image: box:1
    command:
    - sh
    - -c
    - if [ ! -e /kept/once ]; then echo first; echo > /kept/once; exit 1; fi; echo second; echo last
    volumeMounts: [{name: kept, mountPath: /kept}]
"""


@in_every_version
def test_programs_run_in_containers(kubectl: Kubectl) -> None:
    """exec with input, with an exit code, in a workload's pod, on a terminal that changes its size."""
    box(kubectl)
    done = kubectl.run("exec", "box", "-c", "web", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done.returncode, done.stdout) == (3, "out\n")
    assert "err\n" in done.stderr and "command terminated with exit code 3" in done.stderr
    text = "line\n" * 20_000
    for way in ("true", "false"):  # a WebSocket or SPDY, where this version can choose
        done = kubectl.run(
            "exec",
            "-i",
            "box",
            "-c",
            "web",
            "--",
            "cat",
            input=text,
            KUBECTL_REMOTE_COMMAND_WEBSOCKETS=way,
        )
        assert done.stdout == text, f"{way}: {done.stderr}"
    said = kubectl.fails("exec", "box", "--", "nothing")
    assert "error: Internal error occurred: error executing command in container" in said
    assert "not found" in said
    assert "container nothing is not valid for pod box" in kubectl.fails(
        "exec", "box", "-c", "nothing", "--", "cat"
    )
    with on_terminal(kubectl, "exec", "-it", "box", "-c", "web", "--", "sh", size=(33, 101)) as terminal:
        terminal.wait_for("# ")
        terminal.type("busybox stty size\r")
        terminal.wait_for("33 101")
        terminal.resize(44, 122)
        terminal.type(
            "while [ \"$(busybox stty size)\" != '44 122' ]; do busybox sleep 0.1; done; echo re''sized\r"
        )
        terminal.wait_for("resized")
        terminal.type("exit 5\r")
        terminal.wait_for("command terminated with exit code 5")
        assert terminal.exit_code() == 5


@in_every_version
def test_running_containers_are_attached_to(kubectl: Kubectl) -> None:
    """attach sees what comes, gives input; on a terminal too."""
    box(kubectl)
    attached = kubectl.start("attach", "-i", "box", "-c", "main", stdin=subprocess.PIPE)
    try:
        assert attached.stdin is not None and attached.stdout is not None
        attached.stdin.write("hello\n")
        attached.stdin.flush()
        while "got hello" not in (line := attached.stdout.readline()):
            assert line
    finally:
        attached.kill()
        attached.communicate()
    assert "got hello\n" in kubectl("logs", "box", "-c", "main")


@in_every_version
def test_pods_are_run_and_gone_again(kubectl: Kubectl) -> None:
    """run --rm -i with input and an exit code, and --rm -it on a terminal."""
    words = ("run", "--rm", "-i", "--image=box:1", "--restart=Never", "--override-type=strategic")
    quick = '--overrides={"spec":{"terminationGracePeriodSeconds":0}}'
    counted = kubectl(
        *words, quick, "counter", "--", "sh", "-c", "cat > /dev/null; exec sleep 0", input="x\n"
    )
    assert 'pod "counter" deleted' in counted
    failed = kubectl.run(*words, quick, "failing", "--", "sh", "-c", "read line; exit 7", input="x\n")
    assert failed.returncode == 7 and "terminated (Error)" in failed.stderr
    with on_terminal(
        kubectl, "run", "--rm", "-it", "--image=box:1", "--restart=Never", quick, "shell", "--", "sh"
    ) as one:
        one.wait_for("try pressing enter.")
        one.type("echo 'on a 'terminal\r")
        one.wait_for("on a terminal\r\n")
        one.type("exit\r")
        one.wait_for('pod "shell" deleted')
        assert one.exit_code() == 0
    assert kubectl("get", "pods", "-o", "name") == ""


@in_every_version
def test_files_are_copied(kubectl: Kubectl) -> None:
    """cp both ways: a file, a folder with a link in it (which does not come out), what is not there."""
    box(kubectl)
    kubectl.path("from/a.txt", "alpha")
    kubectl.path("from/sub/b.bin", "beta" * 100_000)
    os.symlink("a.txt", kubectl.folder / "from" / "link")
    kubectl("cp", "from", "box:/tmp/dir", "-c", "web")
    shown = kubectl(
        "exec", "box", "-c", "web", "--", "sh", "-c", "cat /tmp/dir/link; busybox wc -c /tmp/dir/sub/b.bin"
    )
    assert shown == "alpha400000 /tmp/dir/sub/b.bin\n"
    said = kubectl.run("cp", f"{kubectl.namespace}/box:/tmp/dir", "back", "-c", "web").stderr
    assert "skipping symlink" in said
    assert (kubectl.folder / "back/sub/b.bin").read_text() == "beta" * 100_000
    assert sorted(os.listdir(kubectl.folder / "back")) == ["a.txt", "sub"]
    kubectl("cp", "box:/tmp/dir/a.txt", "one.txt", "-c", "web")
    assert (kubectl.folder / "one.txt").read_text() == "alpha"
    assert "doesn't exist" in kubectl.fails("cp", "nothing", "box:/tmp", "-c", "web")


@in_every_version
def test_ports_are_forwarded(kubectl: Kubectl) -> None:
    """port-forward to a pod, a service and a deployment, in both ways of speaking; a port that is closed."""
    kubectl("apply", "-f", "-", input=SERVED)
    kubectl("rollout", "status", "deploy/served", "--timeout=60s")
    pod = kubectl("get", "pods", "-l", "app=served", "-o", "name").strip()
    for target, port in ((pod, "8080"), ("service/served", "80"), ("deployment/served", "http")):
        for way in ("true", "false"):
            assert fetched(kubectl, target, port, way) == b"hello\n", f"{target} {way}"


SERVED = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: served}
spec:
  selector: {matchLabels: {app: served}}
  template:
    metadata: {labels: {app: served}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: web
        image: box:1
        command: [sh, -c, "busybox mkdir /w; echo hello > /w/index.html; exec busybox httpd -f -p 8080 -h /w"]
        ports: [{containerPort: 8080, name: http}]
        readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: served}
spec: {selector: {app: served}, ports: [{port: 80, targetPort: http}]}
"""


def fetched(kubectl: Kubectl, target: str, port: str, way: str) -> bytes:
    """What the port gives, forwarded over a WebSocket or not; from two connections, one after the other."""
    running = kubectl.start("port-forward", target, f":{port}", KUBECTL_PORT_FORWARD_WEBSOCKETS=way)
    try:
        assert running.stdout is not None
        line = running.stdout.readline()
        found = re.search(r"127\.0\.0\.1:(\d+) ->", line)
        assert found, line
        first, second = (
            urllib.request.urlopen(f"http://127.0.0.1:{found[1]}/", timeout=_PATIENCE_S).read()
            for _ in range(2)
        )
        assert first == second
        return bytes(first)
    finally:
        running.terminate()
        running.communicate(timeout=_PATIENCE_S)


@in_every_version
def test_pods_and_nodes_are_debugged(kubectl: Kubectl) -> None:
    """debug by an ephemeral container, by a copy with another program, and by a pod on the node."""
    box(kubectl)
    words = ("--image=box:1", "--profile=general") if kubectl.version != "1.27" else ("--image=box:1",)
    kubectl(
        "debug",
        "box",
        "-q",
        "-c",
        "helper",
        "--target=main",
        *words,
        "--",
        "sh",
        "-c",
        "busybox ps; exec sleep 1000",
    )
    kubectl.cluster.wait(
        "pod/box",
        "jsonpath={.status.ephemeralContainerStatuses[0].state.running.startedAt}",
        timeout=60,
        namespace=kubectl.namespace,
    )
    assert re.search(
        r"1 root .*(sh -c echo begin|sh)", until(kubectl, "sh -c", "logs", "box", "-c", "helper")
    )
    assert "helper:" in kubectl("describe", "pod", "box")
    kubectl(
        "debug", "box", "--copy-to=copy", "--container=main", "--set-image=web=box:1", "--", "sleep", "999"
    )
    kubectl("wait", "pod/copy", "--for=jsonpath={.status.phase}=Running", "--timeout=60s")
    assert kubectl("get", "pod", "copy", "-o", "jsonpath={.spec.containers[0].command}") == '["sleep","999"]'
    node = kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
    said = kubectl("debug", f"node/{node}", *words, "--", "sh", "-c", "busybox ls /host")
    pod = re.search(r"node-debugger-\S+", said)
    assert pod, said
    kubectl("wait", f"pod/{pod[0]}", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")
    assert {"etc", "proc", "usr"} <= set(kubectl("logs", pod[0]).split())


def until(kubectl: Kubectl, text: str, *words: str) -> str:
    """What a command prints as soon as *text* is in it."""
    end = time.monotonic() + _PATIENCE_S
    while text not in (said := kubectl.run(*words).stdout):
        assert time.monotonic() < end, said
        time.sleep(0.1)
    return said


@in_every_version
def test_usage_is_shown(kubectl: Kubectl) -> None:
    """top of nodes and of pods, by container, sorted, in sum."""
    box(kubectl)
    head = until(kubectl, "CPU", "top", "node").splitlines()[0].replace("(%)", "%").split()  # as in 1.33
    assert head == ["NAME", "CPU(cores)", "CPU%", "MEMORY(bytes)", "MEMORY%"]
    assert until(kubectl, "box", "top", "pod").splitlines()[0].split() == [
        "NAME",
        "CPU(cores)",
        "MEMORY(bytes)",
    ]
    until(kubectl, "web", "top", "pod", "box", "--containers")
    rows = kubectl.table("top", "pod", "box", "--containers", "--no-headers")
    assert sorted(row[1] for row in rows) == ["main", "web"]
    assert all(re.fullmatch(r"\d+m", row[2]) and re.fullmatch(r"\d+Mi", row[3]) for row in rows)
    assert kubectl("top", "pod", "-l", "app=box", "--sort-by=memory", "--sum").splitlines()[-1].strip()
