"""kubectl create with every generator, run and expose, and what they would make."""

from __future__ import annotations

import json

import pytest

from container_kit.cluster.api.authentication.authority import Authority
from tests.cluster.kubectl.program import Kubectl, in_every_version

pytestmark = pytest.mark.tool("kubectl")


def spec(kubectl: Kubectl, *words: str) -> dict[str, object]:
    """What a generator made, or would make."""
    found: dict[str, object] = json.loads(kubectl(*words, "-o", "json"))
    return found


@in_every_version
def test_workloads_are_created(kubectl: Kubectl) -> None:
    """deployment, job (of its own and from a cronjob), cronjob; dry runs of both kinds make nothing."""
    words = ["create", "deployment", "d", "--image=web:1", "--image=side:1", "--replicas=2"]
    shown = spec(kubectl, *words, "--dry-run=client")
    assert [one["image"] for one in shown["spec"]["template"]["spec"]["containers"]] == ["web:1", "side:1"]  # type: ignore[index]
    assert "uid" in spec(kubectl, *words, "--dry-run=server")["metadata"]  # type: ignore[operator]
    assert "not found" in kubectl.fails("get", "deploy", "d")
    assert kubectl(*words) == "deployment.apps/d created\n"
    assert kubectl("create", "deployment", "p", "--image=web:1", "--port=80") == "deployment.apps/p created\n"
    assert kubectl("get", "deploy", "p", "-o", "jsonpath={..containerPort}") == "80"
    assert kubectl("create", "cronjob", "c", "--image=x", "--schedule=0 0 * * *", "--", "date") == (
        "cronjob.batch/c created\n"
    )
    assert kubectl("create", "job", "one", "--from=cronjob/c") == "job.batch/one created\n"
    made = spec(kubectl, "get", "job", "one")
    assert made["metadata"]["annotations"]["cronjob.kubernetes.io/instantiate"] == "manual"  # type: ignore[index]
    assert made["spec"]["template"]["spec"]["containers"][0]["command"] == ["date"]  # type: ignore[index]
    assert kubectl("create", "job", "two", "--image=x", "--", "true") == "job.batch/two created\n"
    assert "is invalid" in kubectl.fails("create", "cronjob", "e", "--image=x", "--schedule=never")


@in_every_version
def test_settings_and_secrets_are_created(kubectl: Kubectl) -> None:
    """configmap from values, files, folders and env files; secrets of all three kinds; hashes in names."""
    kubectl.path("conf/a.txt", "alpha")
    kubectl.path("conf/b.txt", "beta")
    kubectl.path("vars.env", "X=1\nY=2\n")
    kubectl(
        "create", "configmap", "c", "--from-literal=k=v", "--from-file=conf", "--from-file=own=conf/a.txt"
    )
    data = spec(kubectl, "get", "cm", "c")["data"]
    assert data == {"k": "v", "a.txt": "alpha", "b.txt": "beta", "own": "alpha"}
    kubectl("create", "configmap", "env", "--from-env-file=vars.env")
    assert spec(kubectl, "get", "cm", "env")["data"] == {"X": "1", "Y": "2"}
    hashed = kubectl("create", "configmap", "h", "--from-literal=a=b", "--append-hash", "-o", "name")
    assert hashed.startswith("configmap/h-")
    kubectl("create", "secret", "generic", "g", "--from-literal=p=q", "--type=my/type")
    assert kubectl("get", "secret", "g", "-o", "jsonpath={.type} {.data.p}") == "my/type cQ=="
    registry = ("--docker-server=r", "--docker-username=u", "--docker-password=p")
    assert kubectl("create", "secret", "docker-registry", "r", *registry) == "secret/r created\n"
    assert kubectl("get", "secret", "r", "-o", "jsonpath={.type}") == "kubernetes.io/dockerconfigjson"
    certificate(kubectl)
    assert kubectl("create", "secret", "tls", "t", "--cert=tls.crt", "--key=tls.key") == "secret/t created\n"
    assert kubectl("get", "secret", "t", "-o", "jsonpath={.type}") == "kubernetes.io/tls"


def certificate(kubectl: Kubectl) -> None:
    """tls.crt and tls.key, as an authority would give them."""
    pair = Authority.create().issue("web", names=("web",))
    kubectl.path("tls.crt", pair.certificate.decode())
    kubectl.path("tls.key", pair.key.decode())


@in_every_version
def test_services_and_ingresses_are_created(kubectl: Kubectl) -> None:
    """service of four types, ingress with its rules, expose of a pod and of a service."""
    assert kubectl("create", "service", "clusterip", "a", "--tcp=80:8080") == "service/a created\n"
    assert kubectl("create", "service", "clusterip", "none", "--clusterip=None") == "service/none created\n"
    assert kubectl("create", "service", "nodeport", "b", "--tcp=80") == "service/b created\n"
    assert kubectl("create", "service", "loadbalancer", "c", "--tcp=80") == "service/c created\n"
    assert kubectl("create", "service", "externalname", "d", "--external-name=x.y") == "service/d created\n"
    rows = {row[0]: row[1:4] for row in kubectl.table("get", "services")[1:]}
    assert rows["none"][:2] == ["ClusterIP", "None"] and rows["c"][2] == "<pending>"
    assert rows["d"] == ["ExternalName", "<none>", "x.y"] and rows["b"][0] == "NodePort"
    assert kubectl("create", "ingress", "i", "--class=cl", "--rule=h.x/p*=a:80,tls=t") == (
        "ingress.networking.k8s.io/i created\n"
    )
    assert kubectl.table("get", "ingress")[1][:3] == ["i", "cl", "h.x"]
    assert kubectl("run", "web", "--image=web:1", "--port=80", "--labels=app=web") == "pod/web created\n"
    assert kubectl("expose", "pod", "web", "--port=8000", "--target-port=80") == "service/web exposed\n"
    assert kubectl("expose", "service", "web", "--name=more", "--port=9", "--type=NodePort") == (
        "service/more exposed\n"
    )
    assert kubectl("get", "svc", "web", "-o", "jsonpath={.spec.ports[0].targetPort}{.spec.selector}") == (
        '80{"app":"web"}'
    )


@in_every_version
def test_rules_are_created(kubectl: Kubectl) -> None:
    """quota, poddisruptionbudget, priorityclass, role, clusterrole and their bindings, accounts, tokens."""
    own = kubectl.namespace
    assert kubectl("create", "quota", "q", "--hard=pods=1,cpu=2") == "resourcequota/q created\n"
    assert kubectl("create", "poddisruptionbudget", "b", "--selector=a=b", "--max-unavailable=1") == (
        "poddisruptionbudget.policy/b created\n"
    )
    assert kubectl.table("get", "pdb")[1][:4] == ["b", "N/A", "1", "0"]
    assert kubectl("create", "priorityclass", own, "--value=7", "--description=high") == (
        f"priorityclass.scheduling.k8s.io/{own} created\n"
    )
    assert kubectl("create", "role", "r", "--verb=get,list", "--resource=pods/log", "--resource-name=x") == (
        "role.rbac.authorization.k8s.io/r created\n"
    )
    assert kubectl("create", "clusterrole", own, "--verb=get", "--non-resource-url=/x") == (
        f"clusterrole.rbac.authorization.k8s.io/{own} created\n"
    )
    assert kubectl("create", "rolebinding", "rb", "--role=r", "--user=u", "--group=g") == (
        "rolebinding.rbac.authorization.k8s.io/rb created\n"
    )
    assert kubectl("create", "clusterrolebinding", own, f"--clusterrole={own}", "--user=u") == (
        f"clusterrolebinding.rbac.authorization.k8s.io/{own} created\n"
    )
    assert kubectl("auth", "can-i", "get", "/x", "--as=u") == "yes\n"
    assert kubectl("create", "serviceaccount", "bot") == "serviceaccount/bot created\n"
    assert kubectl("create", "token", "bot", "--duration=10m", "--audience=me").count(".") == 2
    assert kubectl("create", "namespace", f"{own}-more") == f"namespace/{own}-more created\n"
    kubectl(
        "delete", f"ns/{own}-more", f"priorityclass/{own}", f"clusterrole/{own}", f"clusterrolebinding/{own}"
    )


@in_every_version
def test_objects_are_created_from_files(kubectl: Kubectl) -> None:
    """create, replace (also --force) and delete with -f of files and folders, -k of a kustomization."""
    kubectl.path("all/one.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\ndata: {a: b}\n")
    kubectl.path("all/two.json", '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "two"}}')
    assert kubectl("create", "-f", "all", "--save-config") == "configmap/one created\nconfigmap/two created\n"
    uid = kubectl("get", "cm", "one", "-o", "jsonpath={.metadata.uid}")
    assert kubectl("replace", "-f", "all") == "configmap/one replaced\nconfigmap/two replaced\n"
    assert "configmap/one replaced" in kubectl("replace", "--force", "-f", "all/one.yaml")
    assert kubectl("get", "cm", "one", "-o", "jsonpath={.metadata.uid}") != uid
    kubectl.path("all/kustomization.yaml", "namePrefix: my-\nresources: [one.yaml, two.json]\n")
    assert "name: my-one\n" in kubectl("kustomize", "all")
    assert kubectl("apply", "-k", "all") == "configmap/my-one created\nconfigmap/my-two created\n"
    assert kubectl("diff", "-k", "all") == ""
    assert kubectl("get", "-k", "all", "-o", "name") == "configmap/my-one\nconfigmap/my-two\n"
    kubectl("delete", "-k", "all")
    assert 'configmap "two" deleted' in kubectl("delete", "-f", "all/two.json")
    editor = "sed -i /uid:/!s/b$/edited/"
    made = kubectl("create", "--edit", "-f", "all/two.json", editor="sed -i s/two/three/")
    assert made == "configmap/three created\n"
    assert kubectl("edit", "cm", "one", editor=editor) == "configmap/one edited\n"
    assert kubectl("get", "cm", "one", "-o", "jsonpath={.data.a}") == "edited"
    assert kubectl.run("edit", "cm", "one", editor="true").stderr == "Edit cancelled, no changes made.\n"
