"""Every command of kubectl that needs no real containers, in four versions, with what it prints."""

from __future__ import annotations

import json
import re
import signal

import pytest

from tests.cluster.kubectl.program import Kubectl, in_every_version

pytestmark = pytest.mark.tool("kubectl")

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: main, image: "web:1"}]
"""

_PREFERRED = """tolerations: [{key: kubectl, operator: Exists}]
      affinity:
        nodeAffinity:
          preferredDuringSchedulingIgnoredDuringExecution:
          - weight: 100
            preference: {matchExpressions: [{key: kubectl, operator: In, values: ["%s"]}]}
      containers:"""


def web(kubectl: Kubectl) -> None:
    """A deployment of two that are there."""
    kubectl("apply", "-f", "-", input=WEB)
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")


@in_every_version
def test_what_the_server_is_and_has(kubectl: Kubectl) -> None:
    """version, api-resources, api-versions, cluster-info, get --raw."""
    version = json.loads(kubectl("version", "-o", "json"))
    assert version["serverVersion"]["gitVersion"].startswith("v1.32.")
    resources = kubectl("api-resources", "--no-headers")
    assert re.search(r"^deployments +deploy +apps/v1 +true +Deployment$", resources, re.MULTILINE)
    assert "batch/v1\n" in kubectl("api-versions")
    assert re.search(r"control plane\S* is running at", kubectl("cluster-info"))  # older ones colour it
    assert kubectl("get", "--raw", "/readyz") == "ok"


@in_every_version
def test_explain_reads_the_published_schema(kubectl: Kubectl) -> None:
    """With the field's type and its description."""
    words = kubectl("explain", "deployment.spec.replicas")
    assert re.search(r"FIELD: +replicas <integer>", words)
    assert "Number of desired pods" in words


@in_every_version
def test_objects_are_created_read_and_deleted(kubectl: Kubectl) -> None:
    """create of several kinds (in protobuf from 1.32 on), get in several forms, delete."""
    assert kubectl("create", "configmap", "c", "--from-literal=a=b") == "configmap/c created\n"
    assert kubectl("create", "secret", "generic", "s", "--from-literal=p=q") == "secret/s created\n"
    assert kubectl("create", "serviceaccount", "bot") == "serviceaccount/bot created\n"
    assert kubectl("create", "quota", "q", "--hard=pods=9") == "resourcequota/q created\n"
    assert kubectl("create", "role", "r", "--verb=get", "--resource=pods").endswith(
        "role.rbac.authorization.k8s.io/r created\n"
    )
    assert kubectl("create", "job", "j", "--image=x").endswith("job.batch/j created\n")
    assert kubectl("create", "cronjob", "cj", "--image=x", "--schedule=0 0 * * *").endswith("created\n")
    assert kubectl("create", "service", "clusterip", "v", "--tcp=80").endswith("service/v created\n")
    assert "already exists" in kubectl.fails("create", "configmap", "c")

    assert kubectl("get", "configmap", "c", "-o", "jsonpath={.data.a}") == "b"
    assert kubectl("get", "secret", "s", "-o", "go-template={{.data.p}}") == "cQ=="
    head, row = kubectl.table("get", "configmap", "c")
    assert (head, row[:2]) == (["NAME", "DATA", "AGE"], ["c", "1"])
    assert kubectl("get", "sa", "-o", "name").splitlines() == ["serviceaccount/bot", "serviceaccount/default"]
    names = kubectl("get", "cm,secret", "-o", "name").splitlines()
    assert names == ["configmap/c", "configmap/kube-root-ca.crt", "secret/s"]

    assert 'configmap "c" deleted' in kubectl("delete", "configmap", "c")
    assert 'configmaps "c" not found' in kubectl.fails("get", "configmap", "c")


@in_every_version
def test_apply_changes_only_what_is_written(kubectl: Kubectl) -> None:
    """apply three ways, diff, server side, conflicts, prune of a field."""
    assert kubectl("apply", "-f", "-", input=WEB) == "deployment.apps/web created\n"
    assert kubectl("apply", "-f", "-", input=WEB) == "deployment.apps/web unchanged\n"
    kubectl("scale", "deployment/web", "--replicas=4")
    without = WEB.replace("  replicas: 2\n", "")
    assert kubectl("apply", "-f", "-", input=without) == "deployment.apps/web configured\n"
    assert kubectl("get", "deploy", "web", "-o", "jsonpath={.spec.replicas}") == "1"

    changed = WEB.replace("web:1", "web:2")
    difference = kubectl.run("diff", "-f", "-", input=changed)
    assert difference.returncode == 1 and "+      - image: web:2" in difference.stdout

    applied = kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=changed)
    assert applied == "deployment.apps/web serverside-applied\n"
    other = kubectl.fails("apply", "--server-side", "--field-manager=other", "-f", "-", input=WEB)
    assert 'conflict with "kubectl"' in other and ".spec.template.spec.containers" in other


@in_every_version
def test_bad_input_is_refused_with_the_field(kubectl: Kubectl) -> None:
    """An unknown field, a wrong value, a name that cannot be."""
    assert 'unknown field "spec.replicaz"' in kubectl.fails(
        "apply", "-f", "-", input=WEB.replace("replicas", "replicaz")
    )
    wrong = kubectl.fails("apply", "-f", "-", input=WEB.replace("replicas: 2", "replicas: -1"))
    assert "spec.replicas: Invalid value: -1" in wrong
    assert "metadata.name: Invalid value" in kubectl.fails("create", "configmap", "Not_A_Name")
    assert "the server doesn't have a resource type" in kubectl.fails("get", "widgets")


@in_every_version
def test_objects_are_changed_in_place(kubectl: Kubectl) -> None:
    """label, annotate, patch in three ways, set, edit, replace."""
    web(kubectl)
    assert kubectl("label", "deploy", "web", "tier=front") == "deployment.apps/web labeled\n"
    assert kubectl("get", "deploy", "-l", "tier=front", "-o", "name") == "deployment.apps/web\n"
    assert "--overwrite is false" in kubectl.fails("label", "deploy", "web", "tier=back")
    said = kubectl("annotate", "deploy", "web", "why=because")
    assert said.endswith((" annotated\n", " annotate\n"))  # the second is 1.27
    kubectl(
        "patch",
        "deploy",
        "web",
        "-p",
        '{"spec":{"template":{"spec":{"containers":[{"name":"main","env":[{"name":"A","value":"1"}]}]}}}}',
    )
    kubectl(
        "patch", "deploy", "web", "--type=json", "-p", '[{"op":"replace","path":"/spec/replicas","value":3}]'
    )
    kubectl("patch", "deploy", "web", "--type=merge", "-p", '{"metadata":{"annotations":{"why":null}}}')
    kubectl("set", "image", "deploy/web", "main=web:3")
    kubectl("set", "env", "deploy/web", "B=2")
    kubectl("set", "resources", "deploy/web", "--limits=memory=64Mi")
    edited = kubectl("edit", "deploy", "web", editor="sed -i s/web:3/web:4/")
    assert edited == "deployment.apps/web edited\n"
    found = json.loads(kubectl("get", "deploy", "web", "-o", "json"))
    container = found["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "web:4"
    assert {one["name"] for one in container["env"]} == {"A", "B"}
    assert container["resources"]["limits"] == {"memory": "64Mi"}
    assert found["spec"]["replicas"] == 3 and "why" not in found["metadata"]["annotations"]
    kubectl("rollout", "status", "deploy/web", "--timeout=60s")  # nobody else writes it from here on
    found["spec"]["replicas"] = 1
    del found["metadata"]["resourceVersion"]
    assert kubectl("replace", "-f", "-", input=json.dumps(found)) == "deployment.apps/web replaced\n"


@in_every_version
def test_a_rollout_is_followed_and_undone(kubectl: Kubectl) -> None:
    """rollout status, history, undo, pause, resume, restart; scale, autoscale, expose."""
    web(kubectl)
    kubectl("set", "image", "deploy/web", "main=web:2")
    assert 'deployment "web" successfully rolled out' in kubectl(
        "rollout", "status", "deploy/web", "--timeout=60s"
    )
    assert [row[0] for row in kubectl.table("rollout", "history", "deploy/web")[2:]] == ["1", "2"]
    assert "web:1" in kubectl("rollout", "history", "deploy/web", "--revision=1")
    assert kubectl("rollout", "undo", "deploy/web") == "deployment.apps/web rolled back\n"
    kubectl("rollout", "status", "deploy/web", "--timeout=60s")
    assert kubectl("get", "deploy", "web", "-o", "jsonpath={..image}") == "web:1"
    assert kubectl("rollout", "pause", "deploy/web") == "deployment.apps/web paused\n"
    assert kubectl("rollout", "resume", "deploy/web") == "deployment.apps/web resumed\n"
    assert kubectl("rollout", "restart", "deploy/web") == "deployment.apps/web restarted\n"
    kubectl("rollout", "status", "deploy/web", "--timeout=60s")
    assert kubectl("scale", "deploy/web", "--replicas=3") == "deployment.apps/web scaled\n"
    kubectl("wait", "deploy/web", "--for=jsonpath={.status.readyReplicas}=3", "--timeout=60s")
    kubectl("autoscale", "deploy", "web", "--max=5")
    assert kubectl("get", "hpa", "web", "-o", "jsonpath={.spec.maxReplicas}") == "5"
    assert kubectl("expose", "deploy", "web", "--port=80") == "service/web exposed\n"
    assert kubectl("get", "service", "web", "-o", "jsonpath={.spec.ports[0].port}") == "80"


@in_every_version
def test_tables_show_what_is_going_on(kubectl: Kubectl) -> None:
    """get all, wide, sorted, over all namespaces, with labels; describe; events."""
    web(kubectl)
    shown = kubectl("get", "all")
    assert re.search(r"deployment\.apps/web +2/2 +2 +2 ", shown)
    wide = kubectl.table("get", "pods", "-o", "wide")
    assert wide[0] == [
        "NAME",
        "READY",
        "STATUS",
        "RESTARTS",
        "AGE",
        "IP",
        "NODE",
        "NOMINATED NODE",
        "READINESS GATES",
    ]
    assert all(row[1:3] == ["1/1", "Running"] for row in wide[1:]) and len(wide) == 3
    assert len(kubectl.table("get", "pods", "--sort-by=.metadata.name")) == 3
    assert kubectl.table("get", "pods", "-L", "app")[0][-1] == "APP"
    assert kubectl.namespace in kubectl("get", "pods", "--all-namespaces")
    described = kubectl("describe", "deployment", "web")
    assert re.search(r"Replicas: +2 desired \| 2 updated \| 2 total \| 2 available", described)
    assert "ScalingReplicaSet" in described
    assert re.search(r"Node: +node-\d/", kubectl("describe", "pods"))
    assert "SuccessfulCreate" in kubectl("get", "events")
    assert "Scheduled" in kubectl("events")


@in_every_version
def test_what_happens_is_watched_and_waited_for(kubectl: Kubectl) -> None:
    """get --watch, wait for conditions and for deletion."""
    watching = kubectl.start("get", "configmaps", "--watch", "--output-watch-events", "--no-headers")
    try:
        assert watching.stdout is not None
        assert "kube-root-ca.crt" in watching.stdout.readline()
        kubectl("create", "configmap", "seen")
        assert re.match(r"ADDED +seen ", watching.stdout.readline())
        kubectl("delete", "configmap", "seen")
        assert re.match(r"DELETED +seen ", watching.stdout.readline())
    finally:
        watching.send_signal(signal.SIGINT)
        watching.communicate(timeout=30)
    web(kubectl)
    assert "condition met" in kubectl("wait", "deploy/web", "--for=condition=Available", "--timeout=60s")
    assert "condition met" in kubectl(
        "wait", "pods", "-l", "app=web", "--for=condition=Ready", "--timeout=60s"
    )
    kubectl("delete", "deploy", "web", "--wait=false")
    kubectl("wait", "deploy/web", "--for=delete", "--timeout=60s")


@in_every_version
def test_who_may_do_what(kubectl: Kubectl) -> None:
    """auth whoami, can-i, --list, as another; a role that gives a right; a token."""
    if kubectl.version != "1.27":
        assert "kubernetes-admin" in kubectl("auth", "whoami")
    assert kubectl("auth", "can-i", "create", "pods") == "yes\n"
    account = f"system:serviceaccount:{kubectl.namespace}:default"
    refused = kubectl.run("auth", "can-i", "get", "pods", "--as", account)
    assert (refused.returncode, refused.stdout) == (1, "no\n")
    kubectl("create", "role", "reader", "--verb=get,list", "--resource=pods")
    kubectl(
        "create", "rolebinding", "readers", "--role=reader", f"--serviceaccount={kubectl.namespace}:default"
    )
    assert kubectl("auth", "can-i", "get", "pods", "--as", account) == "yes\n"
    assert re.search(
        r"^pods +\[\] +\[\] +\[get list\]$", kubectl("auth", "can-i", "--list", "--as", account), re.MULTILINE
    )
    assert "cannot delete resource" in kubectl.fails("delete", "pod", "x", "--as", account)
    assert kubectl("create", "token", "default").count(".") == 2


@in_every_version
def test_nodes_are_taken_out_of_use(kubectl: Kubectl) -> None:
    """cordon, drain within a budget, uncordon, taint; pods go elsewhere."""
    node = kubectl("get", "nodes", "-l", f"kubectl={kubectl.version}", "-o", "name").strip()
    name = node.removeprefix("node/")
    kubectl("apply", "-f", "-", input=WEB.replace("containers:", _PREFERRED % kubectl.version))
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    assert name in kubectl("get", "pods", "-o", "wide")
    assert kubectl("cordon", name) == f"{node} cordoned\n"
    assert re.search(rf"^{name} +Ready,SchedulingDisabled", kubectl("get", "nodes"), re.MULTILINE)
    kubectl("create", "poddisruptionbudget", "web", "--selector=app=web", "--min-available=2")
    kubectl("wait", "pdb/web", "--for=jsonpath={.status.expectedPods}=2", "--timeout=60s")
    refused = kubectl.fails("drain", name, "--ignore-daemonsets", "--timeout=4s")
    assert "Cannot evict pod as it would violate the pod's disruption budget." in refused
    kubectl("delete", "pdb", "web")
    assert f"{node} drained" in kubectl("drain", name, "--ignore-daemonsets", "--timeout=60s")
    kubectl("rollout", "status", "deploy/web", "--timeout=60s")
    assert name not in kubectl("get", "pods", "-o", "wide", "--field-selector=status.phase=Running").split()
    assert kubectl("uncordon", name) == f"{node} uncordoned\n"
    assert kubectl("taint", "nodes", name, "a=b:NoSchedule") == f"{node} tainted\n"
    assert "a=b:NoSchedule" in kubectl("describe", "node", name)
    assert kubectl("taint", "nodes", name, "a-") == f"{node} untainted\n"


@in_every_version
def test_a_custom_resource_is_like_any_other(kubectl: Kubectl) -> None:
    """A definition, an object of it, its columns, explain, validation."""
    group = f"{kubectl.namespace}.example.com"
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "shortNames": ["wd"]},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "additionalPrinterColumns": [
                        {"name": "Size", "type": "integer", "jsonPath": ".spec.size"}
                    ],
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "properties": {
                                "spec": {
                                    "type": "object",
                                    "properties": {
                                        "size": {"type": "integer", "minimum": 1, "description": "How big."}
                                    },
                                }
                            },
                        }
                    },
                }
            ],
        },
    }
    kubectl("apply", "-f", "-", input=json.dumps(definition))
    kubectl("wait", f"crd/widgets.{group}", "--for=condition=Established", "--timeout=60s")
    widget = {"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"size": 3}}
    kubectl("apply", "-f", "-", input=json.dumps(widget))
    assert kubectl.table("get", f"widgets.{group}")[1][:2] == ["w", "3"]
    widget["spec"] = {"size": 0}
    assert "should be greater than or equal to 1" in kubectl.fails(
        "apply", "-f", "-", input=json.dumps(widget)
    )
    assert "How big." in kubectl("explain", f"widgets.{group}.spec.size")
    kubectl("delete", "crd", f"widgets.{group}")


@in_every_version
def test_many_objects_go_at_once(kubectl: Kubectl) -> None:
    """delete by label, all of a kind, a namespace with everything in it."""
    for name in ("a", "b", "c"):
        kubectl("create", "configmap", name)
    kubectl("label", "configmap", "a", "b", "group=1")
    kubectl("delete", "configmap", "-l", "group=1")
    assert kubectl("get", "configmaps", "-o", "name").splitlines() == [
        "configmap/c",
        "configmap/kube-root-ca.crt",
    ]
    web(kubectl)
    kubectl("delete", "namespace", kubectl.namespace, "--timeout=60s")
    assert "not found" in kubectl.fails("get", "namespace", kubectl.namespace)
