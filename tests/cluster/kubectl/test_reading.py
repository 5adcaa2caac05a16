"""kubectl get in every form, describe of common kinds, and what the server says of itself."""

from __future__ import annotations

import json
import re

import pytest

from tests.cluster.kubectl.program import Kubectl, in_every_version
from tests.cluster.kubectl.test_session import web

pytestmark = pytest.mark.tool("kubectl")


@in_every_version
def test_objects_are_shown_in_every_form(kubectl: Kubectl) -> None:
    """json, yaml, name, jsonpath (also from a file), go-template (also from a file), custom-columns, wide."""
    kubectl("create", "configmap", "one", "--from-literal=a=1")
    kubectl("create", "configmap", "two", "--from-literal=a=2", "--from-literal=b=3")
    kubectl("label", "configmap", "one", "two", "kind=test")
    ours = ("get", "configmaps", "-l", "kind=test")
    listed = json.loads(kubectl(*ours, "-o", "json"))
    assert (listed["kind"], [one["data"]["a"] for one in listed["items"]]) == ("List", ["1", "2"])
    assert '  data:\n    a: "1"\n' in kubectl(*ours, "-o", "yaml")
    assert kubectl(*ours, "-o", "name") == "configmap/one\nconfigmap/two\n"
    ranged = '{range .items[*]}{.metadata.name}:{.data.a}{"\\n"}{end}'
    assert kubectl(*ours, "-o", f"jsonpath={ranged}") == "one:1\ntwo:2\n"
    kubectl.path("path", "{.items[?(@.data.b)].metadata.name}")
    assert kubectl(*ours, "-o", "jsonpath-file=path") == "two"
    assert kubectl(*ours, "-o", "jsonpath-as-json={.items[*].data.a}").split() == ["[", '"1",', '"2"', "]"]
    template = '{{range .items}}{{.metadata.name}} {{len .data}}{{"\\n"}}{{end}}'
    assert kubectl(*ours, "-o", f"go-template={template}") == "one 1\ntwo 2\n"
    kubectl.path("template", "{{(index .items 0).kind}}")
    assert kubectl(*ours, "-o", "go-template-file=template") == "ConfigMap"
    assert kubectl.table(*ours, "-o", "custom-columns=N:.metadata.name,A:.data.a") == [
        ["N", "A"],
        ["one", "1"],
        ["two", "2"],
    ]
    kubectl.path("columns", "NAME .metadata.name\nB .data.b\n".replace(" ", "    "))
    assert kubectl.table(*ours, "-o", "custom-columns-file=columns")[0] != []
    assert "managedFields" in kubectl("get", "cm", "one", "-o", "yaml", "--show-managed-fields")
    assert kubectl("get", "cm", "none", "--ignore-not-found") == ""


@in_every_version
def test_tables_are_sorted_chosen_and_labelled(kubectl: Kubectl) -> None:
    """--sort-by, --show-labels, -L, -A, --field-selector, --chunk-size, --show-kind, --no-headers."""
    for name, size in (("a", "3"), ("b", "1"), ("c", "2")):
        kubectl("create", "configmap", name, f"--from-literal=size={size}")
        kubectl("label", "cm", name, f"size=s{size}")
    ours = ("get", "configmaps", "-l", "size")
    assert [row[0] for row in kubectl.table(*ours, "--sort-by=.data.size")[1:]] == ["b", "c", "a"]
    assert kubectl.table(*ours, "--show-labels")[1][-1] == "size=s3"
    assert [row[-1] for row in kubectl.table(*ours, "-L", "size")] == ["SIZE", "s3", "s1", "s2"]
    assert [row[0] for row in kubectl.table(*ours, "--no-headers", "--chunk-size=1")] == ["a", "b", "c"]
    assert kubectl.table(*ours, "--show-kind", "--no-headers")[0][0] == "configmap/a"
    assert kubectl(*ours, "--field-selector=metadata.name=b", "-o", "name") == "configmap/b\n"
    everywhere = kubectl.table("get", "configmaps", "-A", "-l", "size=s1")
    assert everywhere[0][:2] == ["NAMESPACE", "NAME"]
    assert [kubectl.namespace, "b", "1"] in [row[:3] for row in everywhere]
    several = [row[0] for row in kubectl.table("get", "cm/a", "cm/b", "sa/default", "--no-headers")]
    assert several == ["configmap/a", "configmap/b", "serviceaccount/default"]
    assert "No resources found in" in kubectl.run("get", "pods").stderr
    watching = kubectl.start("get", "cm", "a", "-w", "--no-headers")
    try:
        assert watching.stdout is not None and watching.stdout.readline().startswith("a ")
        kubectl("label", "cm", "a", "seen=yes")
        assert watching.stdout.readline().startswith("a ")
    finally:
        watching.kill()
        watching.communicate()


@in_every_version
def test_every_common_kind_is_described(kubectl: Kubectl) -> None:
    """describe of workloads, services, settings, rules, the namespace, a node, by name, label and prefix."""
    web(kubectl)
    own = kubectl.namespace
    kubectl("create", "configmap", "cm", "--from-literal=key=value")
    kubectl("create", "secret", "generic", "se", "--from-literal=key=hidden")
    kubectl("expose", "deploy", "web", "--port=80")
    kubectl("create", "ingress", "in", "--rule=h.x/p=web:80")
    kubectl("create", "job", "jo", "--image=x")
    kubectl("create", "cronjob", "cr", "--image=x", "--schedule=1 2 * * *")
    kubectl("create", "quota", "qu", "--hard=pods=9")
    kubectl("create", "poddisruptionbudget", "pd", "--selector=app=web", "--min-available=1")
    kubectl("create", "role", "ro", "--verb=get", "--resource=pods")
    kubectl("create", "rolebinding", "rb", "--role=ro", "--user=u")
    kubectl("autoscale", "deploy", "web", "--max=3", "--cpu-percent=50")
    kubectl("apply", "-f", "-", input=MORE)
    kubectl("rollout", "status", "ds/dae", "--timeout=60s")
    said = kubectl("describe", *DESCRIBED)
    for what, words in DESCRIBED.items():
        for word in words:
            assert re.search(word, said), f"describe {what} lacks {word!r}:\n{said}"
    assert "Controlled By:  Deployment/web" in kubectl("describe", "rs", "-l", "app=web")
    assert "hidden" not in said
    assert kubectl("describe", "pods", "-l", "app=web").count("Controlled By:  ReplicaSet/web-") == 2
    assert re.search(r"ResourceQuota|Resource Quotas", kubectl("describe", "ns", own))
    assert "Non-terminated Pods" in kubectl("describe", "node", "node-1")


MORE = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: sta}
spec:
  serviceName: web
  selector: {matchLabels: {app: sta}}
  template:
    metadata: {labels: {app: sta}}
    spec: {containers: [{name: c, image: x}]}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: dae}
spec:
  selector: {matchLabels: {app: dae}}
  template:
    metadata: {labels: {app: dae}}
    spec: {containers: [{name: c, image: x}]}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: claim}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: LimitRange
metadata: {name: range}
spec: {limits: [{type: Container, default: {cpu: 100m}}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: policy}
spec: {podSelector: {}, policyTypes: [Ingress]}
"""
DESCRIBED = {
    "deploy/web": (r"Replicas: +2 desired", "NewReplicaSet: +web-", "ScalingReplicaSet"),
    "sts/sta": ("Pods Status", "SuccessfulCreate"),
    "ds/dae": ("Desired Number of Nodes Scheduled: 3", "SuccessfulCreate"),
    "job/jo": ("Parallelism: +1", "Completions: +1"),
    "cronjob/cr": (r"Schedule: +1 2 \* \* \*", "Concurrency Policy: +Allow"),
    "svc/web": ("Type: +ClusterIP", r"Endpoints: +\d+\.\d+\.\d+\.\d+:80,", "Session Affinity: +None"),
    "ingress/in": (r"h\.x", r"/p +web:80 \("),
    "cm/cm": ("key:\n----\nvalue",),
    "secret/se": (r"key: +6 bytes", "Type: +Opaque"),
    "quota/qu": (r"pods +\d +9",),
    "pdb/pd": ("Min available: +1", "Allowed disruptions: +1"),
    "role/ro": (r"pods +\[\] +\[\] +\[get\]",),
    "rolebinding/rb": ("Kind: +Role", "User +u"),
    "hpa/web": (r"resource cpu on pods +\(as a percentage of request\): +\S+ / 50%", "Max replicas: +3"),
    "sa/default": ("Name: +default",),
    "pvc/claim": ("StorageClass: +standard", "WaitForFirstConsumer"),
    "limits/range": (r"Container +cpu +- +- +100m +100m",),
    "netpol/policy": ("Allowing ingress traffic",),
    "endpoints/web": (r"Addresses: +\d+\.",),
    "sc/standard": ("Provisioner: +container-kit/local", "VolumeBindingMode: +WaitForFirstConsumer"),
    "priorityclass/system-node-critical": ("Value: +2000001000",),
    "clusterrole/view": ("pods/log",),
    "clusterrolebinding/cluster-admin": ("system:masters",),
}


@in_every_version
def test_events_are_listed(kubectl: Kubectl) -> None:
    """events of a namespace, of one object, of one type, in several forms, and as they come."""
    web(kubectl)
    table = kubectl.table("events", "--for", "deployment/web")
    assert table[0] == ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
    assert table[1][1:4] == ["Normal", "ScalingReplicaSet", "Deployment/web"]
    assert "No events found" in kubectl.run("events", "--types=Warning").stderr
    assert kubectl.namespace in kubectl("events", "-A", "--no-headers")
    assert json.loads(kubectl("events", "-o", "json"))["items"]
    sorted_ = kubectl("get", "events", "--sort-by=.metadata.creationTimestamp", "-o", "wide")
    assert "ScalingReplicaSet" in sorted_ and "SuccessfulCreate" in sorted_


@in_every_version
def test_the_server_tells_what_it_has(kubectl: Kubectl) -> None:
    """api-resources and api-versions in their forms, explain (recursive, of a version), version."""
    wide = kubectl("api-resources", "-o", "wide", "--api-group=apps")
    assert re.search(r"deployments +deploy +apps/v1 +true +Deployment +create,delete.* +all\n", wide)
    names = kubectl("api-resources", "--namespaced=false", "--verbs=list,get", "-o", "name", "--sort-by=name")
    assert "nodes\n" in names and "pods\n" not in names
    assert "pods" in kubectl("api-resources", "--categories=all", "-o", "name").split()
    versions = kubectl("api-versions").splitlines()
    assert {"v1", "apps/v1", "autoscaling/v2", "metrics.k8s.io/v1beta1"} <= set(versions)
    assert versions == sorted(versions)
    deep = kubectl("explain", "job.spec.podFailurePolicy", "--recursive")
    assert re.search(r"operator\s+<(string|enum)>.*\n", deep) and "-required-" in deep
    older = kubectl("explain", "hpa", "--api-version=autoscaling/v1")
    assert re.search(r"VERSION: +(autoscaling/)?v1\n", older)
    assert "does not exist" in kubectl.fails("explain", "pod.spec.nothing")
    version = kubectl("version")
    assert "Server Version:" in version and "v1.32." in version
    assert "gitVersion: v1.32." in kubectl("version", "-o", "yaml")
    assert kubectl("version", "--client")
    assert (
        kubectl("get", "--raw", "/version") == kubectl.cluster.client.request("GET", "/version").body.decode()
    )


@in_every_version
def test_the_whole_cluster_is_dumped(kubectl: Kubectl) -> None:
    """cluster-info dump, to a folder and to standard output."""
    kubectl("run", "web", "--image=web:1")
    kubectl("wait", "pod/web", "--for=condition=Ready", "--timeout=60s")
    said = kubectl("cluster-info", "dump", "--namespaces", kubectl.namespace, "--output-directory=dump")
    assert said == "Cluster info dumped to dump\n"
    written = {path.name for path in (kubectl.folder / "dump" / kubectl.namespace).iterdir()}
    assert {"pods.json", "events.json", "services.json", "deployments.json", "web"} <= written
    assert json.loads((kubectl.folder / "dump" / "nodes.json").read_text())["items"]
