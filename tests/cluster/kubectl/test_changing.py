"""kubectl apply in its ways, and every command that changes what is there."""

from __future__ import annotations

import json

import pytest

from tests.cluster.kubectl.program import Kubectl, in_every_version
from tests.cluster.kubectl.test_session import WEB, web

pytestmark = pytest.mark.tool("kubectl")


def settings(**names: str) -> str:
    """ConfigMaps as a manifest."""
    return "---\n".join(
        "apiVersion: v1\nkind: ConfigMap\n"
        f"metadata: {{name: {name}, labels: {{set: a}}}}\ndata: {{v: '{value}'}}\n"
        for name, value in names.items()
    )


@in_every_version
def test_what_is_no_longer_written_is_pruned(kubectl: Kubectl) -> None:
    """apply --prune by label, and by an apply set where kubectl has it."""
    kubectl("apply", "-f", "-", input=settings(one="1", two="2"))
    pruning = ("apply", "--prune", "-l", "set=a", "--prune-allowlist=core/v1/ConfigMap", "-f", "-")
    assert "configmap/two pruned" in kubectl(*pruning, input=settings(one="1"))
    assert kubectl("get", "cm", "-l", "set=a", "-o", "name") == "configmap/one\n"
    by_set = ("apply", "--prune", "--applyset=secrets/parent", "-f", "-")
    kubectl.run(*by_set, input=settings(three="3", four="4"), KUBECTL_APPLYSET="true")
    said = kubectl.run(*by_set, input=settings(three="3"), KUBECTL_APPLYSET="true").stdout
    assert "configmap/four pruned" in said
    kinds = kubectl("get", "secret", "parent", "-o", "jsonpath={.metadata.annotations}")
    assert "ConfigMap" in kinds or "configmaps" in kinds  # the second is 1.27


@in_every_version
def test_dry_runs_and_last_words_of_apply(kubectl: Kubectl) -> None:
    """apply --dry-run of both kinds, diff, view-, set- and edit-last-applied."""
    said = kubectl("apply", "-f", "-", "--dry-run=client", input=settings(one="1"))
    assert said == "configmap/one created (dry run)\n"
    said = kubectl("apply", "-f", "-", "--dry-run=server", input=settings(one="1"))
    assert said == "configmap/one created (server dry run)\n"
    assert "not found" in kubectl.fails("get", "cm", "one")
    kubectl("apply", "-f", "-", input=settings(one="1"))
    changed = settings(one="2")
    assert '+  v: "2"' in kubectl.run("diff", "-f", "-", input=changed).stdout
    assert (
        '+  v: "2"'
        in kubectl.run("diff", "--server-side", "--force-conflicts", "-f", "-", input=changed).stdout
    )
    said = kubectl("apply", "-f", "-", "--dry-run=server", "-o", "jsonpath={.data.v}", input=changed)
    assert said == "2" and kubectl("get", "cm", "one", "-o", "jsonpath={.data.v}") == "1"
    assert 'v: "1"' in kubectl("apply", "view-last-applied", "cm/one")
    kubectl.path("one.yaml", settings(one="3"))
    assert kubectl("apply", "set-last-applied", "-f", "one.yaml") == "configmap/one configured\n"
    assert 'v: "3"' in kubectl("apply", "view-last-applied", "cm", "one")
    edited = kubectl("apply", "edit-last-applied", "cm/one", editor="sed -i s/'\"3\"'/'\"4\"'/")
    assert edited == "configmap/one edited\n"
    assert json.loads(kubectl("apply", "view-last-applied", "cm/one", "-o", "json"))["data"] == {"v": "4"}
    assert "not found" in kubectl.fails("apply", "set-last-applied", "-f", "-", input=settings(none="1"))


@in_every_version
def test_workloads_are_set(kubectl: Kubectl) -> None:
    """set image, env, resources, serviceaccount, selector, subject; nothing is stored by a dry run."""
    web(kubectl)
    assert "deployment.apps/web image updated" in kubectl("set", "image", "deploy/web", "main=web:2")
    assert "(server dry run)" in kubectl("set", "image", "deploy/web", "*=web:9", "--dry-run=server")
    kubectl("create", "configmap", "c", "--from-literal=KEY=v")
    assert "env updated" in kubectl("set", "env", "deploy/web", "A=1", "B=2")
    assert "env updated" in kubectl("set", "env", "deploy/web", "--from=configmap/c", "A-")
    listed = kubectl("set", "env", "deploy/web", "--list", "--resolve")
    assert "B=2" in listed and "KEY=v" in listed and "A=1" not in listed
    assert "requirements updated" in kubectl(
        "set", "resources", "deploy/web", "-c=main", "--limits=cpu=1,memory=1Gi", "--requests=cpu=10m"
    )
    kubectl("create", "sa", "bot")
    assert "serviceaccount updated" in kubectl("set", "serviceaccount", "deploy/web", "bot")
    spec = json.loads(kubectl("get", "deploy", "web", "-o", "json"))["spec"]["template"]["spec"]
    assert (spec["serviceAccountName"], spec["containers"][0]["image"]) == ("bot", "web:2")
    assert spec["containers"][0]["resources"]["requests"] == {"cpu": "10m"}
    kubectl("expose", "deploy", "web", "--port=80")
    assert kubectl("set", "selector", "service/web", "app=other") == "service/web selector updated\n"
    assert kubectl("get", "svc", "web", "-o", "jsonpath={.spec.selector}") == '{"app":"other"}'
    kubectl("create", "rolebinding", "rb", "--clusterrole=view", "--user=u")
    assert "subjects updated" in kubectl("set", "subject", "rolebinding", "rb", "--user=v", "--group=g")
    assert kubectl("get", "rolebinding", "rb", "-o", "jsonpath={.subjects[*].name}") == "u v g"


@in_every_version
def test_marks_are_set_and_taken_away(kubectl: Kubectl) -> None:
    """label and annotate: all, by label, overwriting, removal, listing, only at a version, from a file."""
    kubectl("apply", "-f", "-", input=settings(one="1", two="2"))
    assert kubectl("label", "cm", "-l", "set=a", "x=y") == "configmap/one labeled\nconfigmap/two labeled\n"
    assert kubectl("label", "cm", "one", "x=z", "--overwrite") == "configmap/one labeled\n"
    assert kubectl("label", "cm", "one", "x-") == "configmap/one unlabeled\n"
    assert kubectl("label", "cm", "one", "--list") == "set=a\n"
    assert "not labeled" in kubectl("label", "cm", "one", "set=a")
    kubectl.path("one.yaml", settings(one="1"))
    assert kubectl("annotate", "-f", "one.yaml", "note=text").startswith("configmap/one annotate")
    assert "note=text" in kubectl("annotate", "cm", "one", "--list")
    assert "--overwrite is false" in kubectl.fails("annotate", "cm", "one", "note=other")
    stale = kubectl.fails("annotate", "cm", "one", "a=b", "--resource-version=1")
    assert "the object has been modified" in stale
    kubectl("annotate", "cm", "--all", "seen=yes")
    assert kubectl("get", "cm", "-o", "jsonpath={.items[*].metadata.annotations.seen}").split() == ["yes"] * 3
    assert "invalid label value" in kubectl.fails("label", "cm", "one", "bad=not valid")


@in_every_version
def test_objects_are_patched(kubectl: Kubectl) -> None:
    """patch in three ways, from a file, of a subresource, without effect, and refused."""
    web(kubectl)
    assert (
        kubectl("patch", "deploy", "web", "-p", '{"spec":{"replicas":3}}') == "deployment.apps/web patched\n"
    )
    assert kubectl("patch", "deploy", "web", "-p", '{"spec":{"replicas":3}}') == (
        "deployment.apps/web patched (no change)\n"
    )
    kubectl.path("patch.yaml", "metadata:\n  labels: {tier: front}\n")
    kubectl("patch", "deploy", "web", "--type=merge", "--patch-file=patch.yaml")
    tier = "/metadata/labels/tier"
    operations = json.dumps([{"op": "test", "path": tier, "value": "front"}, {"op": "remove", "path": tier}])
    kubectl("patch", "deploy/web", "--type=json", "-p", operations)
    refused = kubectl.fails("patch", "deploy/web", "--type=json", "-p", operations)
    assert "the server rejected our request" in refused
    kubectl("patch", "deploy", "web", "--subresource=scale", "--type=merge", "-p", '{"spec":{"replicas":1}}')
    assert kubectl("get", "deploy", "web", "-o", "jsonpath={.spec.replicas}") == "1"
    scale = json.loads(kubectl("get", "deploy", "web", "--subresource=scale", "-o", "json"))
    assert (scale["kind"], scale["spec"]["replicas"]) == ("Scale", 1)
    locally = kubectl("patch", "--local", "-f", "-", "-p", '{"spec":{"replicas":9}}', "-o", "name", input=WEB)
    assert locally == "deployment.apps/web\n"


@in_every_version
def test_workloads_are_scaled(kubectl: Kubectl) -> None:
    """scale if it is as thought, several at once, a stateful set; autoscale between bounds."""
    web(kubectl)
    kubectl("create", "deployment", "more", "--image=x")
    assert kubectl("scale", "--replicas=3", "deploy/web", "deploy/more") == (
        "deployment.apps/web scaled\ndeployment.apps/more scaled\n"
    )
    assert "Expected replicas to be 9, was 3" in kubectl.fails(
        "scale", "deploy/web", "--current-replicas=9", "--replicas=1"
    )
    kubectl("wait", "deploy", "--all", "--for=jsonpath={.status.availableReplicas}=3", "--timeout=60s")
    assert kubectl("autoscale", "deploy", "web", "--min=2", "--max=5", "--cpu-percent=80", "--name=auto") == (
        "horizontalpodautoscaler.autoscaling/auto autoscaled\n"
    )
    assert kubectl.table("get", "hpa", "auto")[1][:2] == ["auto", "Deployment/web"]
    assert "--min" in kubectl.fails("autoscale", "deploy", "more", "--min=5", "--max=2")


@in_every_version
def test_every_workload_rolls_out(kubectl: Kubectl) -> None:
    """rollout status, restart, history and undo of stateful sets and daemon sets too."""
    kubectl("apply", "-f", "-", input=SETS)
    for one in ("sts/web", "ds/web"):
        assert "successfully rolled out" in kubectl("rollout", "status", one, "--timeout=60s") or (
            "roll out complete" in kubectl("rollout", "status", one, "--timeout=60s")
        )
        assert kubectl("rollout", "restart", one).endswith(" restarted\n")
        kubectl("rollout", "status", one, "--timeout=60s")
        rows = [row[0] for row in kubectl.table("rollout", "history", one)[2:]]
        assert rows == ["1", "2"]
        assert "Image:" in kubectl("rollout", "history", one, "--revision=1")
        assert kubectl("rollout", "undo", one, "--to-revision=1").endswith(" rolled back\n")
        kubectl("rollout", "status", one, "--timeout=60s")
    assert "skipped rollback" in kubectl("rollout", "undo", "ds/web", "--to-revision=3")
    assert "unable to find specified revision" in kubectl.fails(
        "rollout", "undo", "ds/web", "--to-revision=9"
    )
    assert "pausing is not supported" in kubectl.fails("rollout", "pause", "ds/web")


SETS = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: web}
spec:
  replicas: 2
  serviceName: web
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {terminationGracePeriodSeconds: 0, containers: [{name: c, image: x}]}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: web}
spec:
  selector: {matchLabels: {app: dae}}
  template:
    metadata: {labels: {app: dae}}
    spec: {terminationGracePeriodSeconds: 0, containers: [{name: c, image: x}]}
"""


@in_every_version
def test_objects_are_deleted_in_every_way(kubectl: Kubectl) -> None:
    """delete --all, by label, by field, --cascade, --grace-period, --now, --force, --dry-run."""
    web(kubectl)
    names = kubectl("get", "pods", "-o", "name").splitlines()
    first, second = (name.removeprefix("pod/") for name in names)
    assert "deleted (server dry run)" in kubectl("delete", "pod", first, "--dry-run=server")
    assert f'pod "{first}" force deleted' in kubectl("delete", "pod", first, "--grace-period=0", "--force")
    assert f'pod "{second}" deleted' in kubectl("delete", "pod", second, "--now")
    replica_set = kubectl("get", "rs", "-o", "name").strip()
    assert 'deployment.apps "web" deleted' in kubectl("delete", "deploy", "web", "--cascade=orphan")
    assert kubectl("get", "rs", "-o", "name").strip() == replica_set
    kubectl("delete", replica_set, "--cascade=foreground", "--timeout=60s")
    assert "Running" not in kubectl("get", "pods")
    kubectl("apply", "-f", "-", input=settings(one="1", two="2", three="3"))
    kubectl("delete", "cm", "--field-selector=metadata.name=one")
    assert kubectl("delete", "cm", "two", "-o", "name") == "configmap/two\n"
    assert kubectl("delete", "cm", "two", "--ignore-not-found") == ""
    kubectl("patch", "cm", "three", "-p", '{"metadata":{"finalizers":["a.b/c"]}}')
    kubectl("delete", "cm", "three", "--wait=false")
    assert kubectl("get", "cm", "three", "-o", "jsonpath={.metadata.deletionTimestamp}")
    kubectl("patch", "cm", "three", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    kubectl("wait", "cm/three", "--for=delete", "--timeout=60s")
    kubectl("create", "secret", "generic", "s")
    assert "deleted" in kubectl("delete", "cm,secret", "--all")
    assert kubectl("get", "secret", "-o", "name") == ""
