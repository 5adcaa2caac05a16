"""What ``container-kit kube`` shows is what kubectl shows of the same cluster."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from container_kit.cli.app import cli
from tests.cli.kubectl.conftest import Words
from tests.cluster.kubectl.terminal import Terminal

pytestmark = pytest.mark.tool("kubectl")

OBJECTS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: one, labels: {set: a, other: b}}
data: {"yes": "no", number: "1", empty: "", text: "two\\nlines\\n", sign: "a<b&c", date: "2024-01-01"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: two, labels: {set: a}}
data:
  long: a line that is so long that it has to be folded somewhere or other, since eighty columns are all there
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: main, image: "web:1", command: [sh, -c, "sleep: 1"]}]
"""


@pytest.fixture
def shown(words: Words) -> Words:
    """With some objects, which rest."""
    words("apply", "-f", "-", input=OBJECTS)
    words("rollout", "status", "deploy/web")
    return words


def test_tables_are_kubectls(shown: Words) -> None:
    """Of one kind, several, all; wide, sorted, chosen, with labels; what is not there."""
    for line in (
        "get cm",
        "get pods -o wide",
        "get pods,deploy,svc",
        "get all",
        "get nodes -o wide",
        "get nodes --show-labels",
        "get cm -l set=a -L set,other",
        "get cm --sort-by=.metadata.name --no-headers",
        "get cm --field-selector=metadata.name=one --show-kind",
        "get cm one two",
        "get cm/one deploy/web",
        "get ns",
        "get crd",
        "get jobs",
        "get cm one none",
        "get cm none --ignore-not-found",
        "get nonsense",
        "get sc",
        "get -A cm -l set=a",
    ):
        shown.same(*line.split())


def test_objects_are_kubectls(shown: Words) -> None:
    """yaml with all its quoting, json, names, jsonpath, custom columns, templates."""
    for line in ("get cm -o yaml", "get cm one -o yaml", "get deploy web -o yaml", "get nodes -o yaml"):
        shown.same(*line.split())
    for line in ("get cm -o json", "get deploy web -o json", "get all -o name", "get cm one two -o name"):
        shown.same(*line.split())
    ranged = '{range .items[*]}{.metadata.name}{"\\n"}{end}'
    shown.same("get", "cm", "-o", f"jsonpath={ranged}")
    shown.same("get", "cm", "one", "-o", "jsonpath={.data.sign} {.data}")
    shown.same("get", "cm", "-o", "custom-columns=N:.metadata.name,NUMBER:.data.number")
    shown.same("get", "cm", "one", "-o", "go-template={{.data.number}}")
    shown.same("get", "--raw", "/version")


def test_fields_are_explained(shown: Words) -> None:
    """A kind, fields of several types, all below, what is not there."""
    for path in (
        "cm",
        "deploy.spec",
        "pod.spec.containers.image",
        "pod.spec.restartPolicy",
        "svc.spec.ports",
    ):
        shown.same("explain", path)
    shown.same("explain", "deploy.spec.strategy", "--recursive")
    shown.same("explain", "pod.nothing")


def test_facts_are_told(shown: Words) -> None:
    """api-resources, top, config view, events of an object, the server's version."""
    shown.same("api-resources")
    shown.same("top", "nodes")
    shown.same("config", "view")
    assert "Server Version: v1.32." in shown("version")
    assert "ScalingReplicaSet" in shown.same("events", "--for", "deployment/web")
    assert "deployment-controller" not in shown("describe", "cm", "one")
    assert "replicas: 2" in shown("describe", "deploy/web")


def test_changes_are_told_as_kubectl_tells_them(shown: Words) -> None:
    """label, annotate, patch, scale, rollout, wait; what is changed twice is changed the same way twice."""
    for line in (
        "label cm one new=1 --overwrite",
        "label cm one set=b",
        "annotate cm one note=1",
        "rollout history deploy/web",
        "scale deploy/web --replicas=2",
        "rollout pause deploy/web",
    ):
        if line.startswith(("label cm one new", "rollout pause")):
            shown(*line.split())  # what is so already, is told as such by both
            continue
        shown.same(*line.split())
    assert shown.same("label", "cm", "one", "new=1") == "configmap/one not labeled\n"
    assert shown("label", "cm", "one", "new-") == "configmap/one unlabeled\n"
    assert shown("patch", "cm", "one", "-p", '{"data":{"x":"y"}}') == "configmap/one patched\n"
    assert shown.same("patch", "cm", "one", "-p", '{"data":{"x":"y"}}').endswith("(no change)\n")
    assert shown("rollout", "resume", "deploy/web") == "deployment.apps/web resumed\n"
    assert shown("rollout", "restart", "deploy/web") == "deployment.apps/web restarted\n"
    assert shown("rollout", "status", "deploy/web") == 'deployment "web" successfully rolled out\n'
    assert shown("rollout", "undo", "deploy/web") == "deployment.apps/web rolled back\n"
    shown("rollout", "status", "deploy/web")
    shown.same("wait", "deploy/web", "--for=condition=Available")


def test_objects_come_and_go(words: Words) -> None:
    """apply says what it did; create, and delete by name, by label and by file."""
    manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: b}\n"
    changed = manifest.replace("a: b", "a: c")
    assert words("apply", "-f", "-", input=manifest) == "configmap/c created\n"
    assert words("apply", "-f", "-", input=manifest) == "configmap/c unchanged\n"
    tried = words("apply", "-f", "-", "--dry-run=server", input=changed)
    assert tried == "configmap/c configured (server dry run)\n"
    assert words("apply", "-f", "-", input=changed) == "configmap/c configured\n"
    assert words("create", "configmap", "d", "--from-literal=x=y") == "configmap/d created\n"
    assert words("create", "secret", "generic", "s", "--from-literal=p=q") == "secret/s created\n"
    assert words("create", "deployment", "web", "--image=web:1") == "deployment.apps/web created\n"
    refused = words("create", "configmap", "d", code=1)
    assert refused == 'Error from server (AlreadyExists): configmaps "d" already exists\n'
    assert words("delete", "cm", "d") == 'configmap "d" deleted\n'
    assert words("delete", "-f", "-", input=manifest) == 'configmap "c" deleted\n'
    assert words("delete", "deploy", "--all") == 'deployment.apps "web" deleted\n'
    assert words("delete", "cm", "d", code=1).startswith("Error from server (NotFound)")


def test_changes_are_watched(words: Words) -> None:
    """get -w shows what is there, and each change as it comes."""
    words("create", "configmap", "there")
    watching = subprocess.Popen(
        words.process("get", "cm", "-w", "--no-headers", "--field-selector=metadata.name!=kube-root-ca.crt"),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert watching.stdout is not None
        assert watching.stdout.readline().split()[:2] == ["there", "0"]
        words("create", "configmap", "later", "--from-literal=a=b")
        assert watching.stdout.readline().split()[:2] == ["later", "1"]
    finally:
        watching.kill()
        watching.communicate()


def test_what_a_cluster_says_does_not_command_the_terminal(words: Words) -> None:
    """On a terminal control characters are written out, into a pipe they go unchanged."""
    words("create", "configmap", "evil", "--from-literal=a=\x1b[2Jgone\x07")
    shown = ("get", "cm", "evil", "-o", "jsonpath={.data.a}")
    assert words(*shown) == "\x1b[2Jgone\x07"
    with Terminal(words.process(*shown)) as terminal:
        assert "\x1b" not in terminal.wait_for("gone\\x07")
    words("annotate", "cm", "evil", "note=\x1b]0;title\x07")
    with Terminal(words.process("describe", "cm", "evil")) as terminal:
        assert "\x1b" not in terminal.wait_for("events: none")


def test_the_right_cluster_is_found(words: Words) -> None:
    """By KUBECONFIG and the context's own namespace; one that is not there is told."""
    runner = CliRunner(env={"KUBECONFIG": words.kubeconfig})
    assert (
        "default/kubernetes"
        in runner.invoke(
            cli,
            ["kube", "get", "svc", "-o", "jsonpath={.items[0].metadata.namespace}/{.items[0].metadata.name}"],
        ).output
    )
    missing = runner.invoke(cli, ["kube", "get", "svc", "--context", "elsewhere"])
    assert missing.exit_code == 1 and "elsewhere" in missing.output
    bare = CliRunner(env={"KUBECONFIG": None, "HOME": str(words.folder)})
    alone = bare.invoke(cli, ["--root", str(words.folder), "kube", "get", "svc"])
    assert alone.exit_code == 1 and "set KUBECONFIG" in alone.output
    place = words.folder / ".kube" / "config"
    place.parent.mkdir()
    place.write_text(Path(words.kubeconfig).read_text())
    assert bare.invoke(cli, ["kube", "get", "ns", "default", "-o", "name"]).output == "namespace/default\n"
    nowhere = runner.invoke(cli, ["kube", "get", "svc", "--kubeconfig", "/nonexistent"])
    assert nowhere.exit_code == 1 and "/nonexistent" in nowhere.output


def test_nodes_are_taken_out_of_use(words: Words) -> None:
    """cordon, drain and uncordon say what kubectl says."""
    assert words("cordon", "node-1") == "node/node-1 cordoned\n"
    words.same("cordon", "node-1")
    assert words("drain", "node-1").endswith("node/node-1 drained\n")
    assert words("uncordon", "node-1") == "node/node-1 uncordoned\n"
    words.same("uncordon", "node-1")
