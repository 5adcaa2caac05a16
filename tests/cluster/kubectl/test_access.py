"""Who may do what, kubectl's own configuration, and its commands that need no object."""

from __future__ import annotations

import base64
import http.client
import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.cluster.kubectl.program import Kubectl, in_every_version

pytestmark = pytest.mark.tool("kubectl")


@in_every_version
def test_rights_are_asked_and_reconciled(kubectl: Kubectl) -> None:
    """auth can-i in its forms, whoami, reconcile; what is refused says so."""
    account = f"system:serviceaccount:{kubectl.namespace}:default"
    assert kubectl("auth", "can-i", "get", "pods", "--subresource=log") == "yes\n"
    assert kubectl("auth", "can-i", "get", "/healthz") == "yes\n"
    assert kubectl.run("auth", "can-i", "delete", "nodes", "-q", "--as", account).returncode == 1
    rights = RIGHTS.replace("metadata: {", f"metadata: {{namespace: {kubectl.namespace}, ")
    kubectl.path("rights.yaml", rights)
    made = kubectl("auth", "reconcile", "-f", "rights.yaml")
    assert "role.rbac.authorization.k8s.io/reader reconciled" in made
    assert kubectl("auth", "can-i", "list", "configmaps", "--as", account, "--as-group", "readers") == "yes\n"
    kubectl.path("rights.yaml", rights.replace("[get, list]", "[watch]"))
    kubectl("auth", "reconcile", "-f", "rights.yaml")  # adds what is missing, takes nothing away
    listed = kubectl("auth", "can-i", "--list", "--as=u", "--as-group=readers")
    assert re.search(r"configmaps +\[\] +\[\] +\[get list watch\]", listed)
    if kubectl.version == "1.27":  # it knows but older versions of the question
        assert "not enabled in the cluster" in kubectl.fails("auth", "whoami")
    else:
        assert json.loads(kubectl("auth", "whoami", "-o", "json"))["status"]["userInfo"]["username"]


RIGHTS = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules: [{apiGroups: [""], resources: [configmaps], verbs: [get, list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: readers}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: readers}]
"""


@in_every_version
def test_certificates_are_approved_and_denied(kubectl: Kubectl) -> None:
    """certificate approve gives one with which its owner is known; deny gives none."""
    good, bad = f"{kubectl.namespace}-good", f"{kubectl.namespace}-bad"
    key, request = request_for(kubectl, "jane", "people")
    for name in (good, bad):
        kubectl("create", "-f", "-", input=json.dumps(signing(name, request)))
    assert kubectl.table("get", "csr", good)[1][-1] == "Pending"
    assert kubectl("certificate", "approve", good).endswith(f"{good} approved\n")
    assert kubectl("certificate", "deny", bad).endswith(f"{bad} denied\n")
    assert kubectl.table("get", "csr", bad)[1][-1] == "Denied"
    kubectl.cluster.wait(f"csr/{good}", "jsonpath={.status.certificate}")
    certificate = kubectl("get", "csr", good, "-o", "jsonpath={.status.certificate}")
    kubectl.path("user.crt", base64.b64decode(certificate).decode())
    own = ("--client-certificate=user.crt", f"--client-key={key}")
    bare: dict[str, object] = {"contexts": [], "users": []}
    config = yaml.safe_load(Path(kubectl.kubeconfig).read_text()) | bare | {"current-context": ""}
    kubectl.path("bare", yaml.safe_dump(config))
    cluster = config["clusters"][0]["name"]
    refused = kubectl.fails("--kubeconfig=bare", f"--cluster={cluster}", *own, "get", "pods")
    assert 'User "jane" cannot list resource "pods"' in refused
    assert "Approved,Issued" in kubectl("describe", "csr", good) + kubectl("get", "csr", good)
    kubectl("delete", "csr", good, bad)


def request_for(kubectl: Kubectl, name: str, organization: str) -> tuple[str, str]:
    """The path of a new key, and a request for a certificate of it, base64."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = [
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
        x509.NameAttribute(NameOID.COMMON_NAME, name),
    ]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    request = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return kubectl.path("user.key", pem.decode()), base64.b64encode(request).decode()


def signing(name: str, request: str) -> dict[str, object]:
    """A CertificateSigningRequest of a client."""
    return {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": name},
        "spec": {
            "request": request,
            "signerName": "kubernetes.io/kube-apiserver-client",
            "usages": ["client auth"],
        },
    }


@in_every_version
def test_its_configuration_is_read_and_written(kubectl: Kubectl) -> None:
    """config: all its commands, on a copy of the cluster's own kubeconfig, which works afterwards."""
    copy = kubectl.path("copy", Path(kubectl.kubeconfig).read_text())
    own = f"--kubeconfig={copy}"
    name = kubectl(own, "config", "current-context").strip()
    view = yaml.safe_load(kubectl(own, "config", "view", "--minify"))
    assert view["users"][0]["user"].get("client-key-data") == "DATA+OMITTED"
    assert "OMITTED" not in kubectl(own, "config", "view", "--raw")
    assert kubectl(own, "config", "get-contexts", "-o", "name") == f"{name}\n"
    cluster = kubectl(own, "config", "get-clusters").splitlines()[1]
    user = kubectl(own, "config", "get-users").splitlines()[1]
    kubectl(own, "config", "set-cluster", "other", "--server=https://127.0.0.1:1")
    kubectl(own, "config", "set-credentials", "nobody", "--token=x")
    made = kubectl(own, "config", "set-context", "second", f"--cluster={cluster}", f"--user={user}")
    assert made == 'Context "second" created.\n'
    kubectl(own, "config", "set", "contexts.second.namespace", "kube-public")
    assert kubectl(own, "config", "use-context", "second") == 'Switched to context "second".\n'
    assert (
        kubectl(own, "--namespace=", "get", "cm", "-o", "jsonpath={.items[0].metadata.namespace}")
        == "kube-public"
    )
    kubectl(own, "config", "rename-context", "second", "third")
    kubectl(own, "config", "unset", "contexts.third.namespace")
    assert kubectl(own, "--context", name, "get", "ns", "default", "-o", "name") == "namespace/default\n"
    kubectl(own, "config", "delete-context", "third")
    kubectl(own, "config", "delete-cluster", "other")
    kubectl(own, "config", "delete-user", "nobody")
    assert kubectl(own, "config", "get-users").splitlines()[1:] == [user]


@in_every_version
def test_the_server_is_reached_through_a_proxy(kubectl: Kubectl) -> None:
    """proxy: paths of the API without a credential; its filter refuses others."""
    proxy = kubectl.start("proxy", "--port=0", "--api-prefix=/k8s/")
    try:
        assert proxy.stdout is not None
        port = int(proxy.stdout.readline().rsplit(":", 1)[1])
        assert answer(port, "/k8s/api/v1/namespaces/default") == (200, "default")
        assert answer(port, "/k8s/api/v1/namespaces/none")[0] == 404
        assert answer(port, "/k8s/api/v1/namespaces/default/pods/x/exec")[0] == 403
    finally:
        proxy.terminate()
        proxy.communicate(timeout=60)


def answer(port: int, path: str) -> tuple[int, str]:
    """The status, and the name of the object if it is one."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        body = reply.read()
        return reply.status, json.loads(body)["metadata"]["name"] if reply.status == 200 else ""
    finally:
        connection.close()


@in_every_version
def test_commands_without_an_object(kubectl: Kubectl) -> None:
    """completion (also of names that are there), plugin list and a plugin, options, help."""
    for shell in ("bash", "zsh", "fish", "powershell"):
        assert "kubectl" in kubectl.bare("completion", shell)
    kubectl("create", "configmap", "completed")
    assert "completed\n" in completions(kubectl, "configmap", "comp")
    assert "deployments.apps" in completions(kubectl, "deploy")
    plugin = kubectl.path("bin/kubectl-hello", "#!/bin/sh\necho hello $1\n")
    subprocess.run(["chmod", "755", plugin], check=True)
    path = f"{kubectl.folder}/bin:{kubectl.environment('')['PATH']}"
    assert "kubectl-hello" in kubectl.bare("plugin", "list", PATH=path)
    assert kubectl.bare("hello", "you", PATH=path) == "hello you\n"
    assert "--as-group" in kubectl.bare("options")
    assert "Basic Commands" in kubectl.bare("help")


def completions(kubectl: Kubectl, *words: str) -> str:
    """What its completion scripts get for the words after ``get``; its name comes first there."""
    program, *own = kubectl.command(("get", *words))
    command = [program, "__complete", *own]
    return subprocess.run(command, env=kubectl.environment(""), capture_output=True, text=True).stdout


@in_every_version
def test_whatever_is_waited_for(kubectl: Kubectl) -> None:
    """wait for conditions that are false, for values, for several, for what does not come, for creation."""
    kubectl("run", "one", "--image=x", "--labels=set=a")
    kubectl("run", "two", "--image=x", "--labels=set=a")
    said = kubectl("wait", "pod", "-l", "set=a", "--for=condition=ready", "--timeout=60s")
    assert said == "pod/one condition met\npod/two condition met\n"
    assert kubectl("wait", "pod/one", "--for=jsonpath={.status.phase}=Running", "--timeout=60s")
    assert "timed out waiting for the condition on pods/one" in kubectl.fails(
        "wait", "pod/one", "--for=condition=Ready=false", "--timeout=1s"
    )
    assert "no matching resources found" in kubectl.fails(
        "wait", "pod", "-l", "set=b", "--for=condition=Ready"
    )
    if kubectl.version not in ("1.27", "1.28", "1.29", "1.30"):  # not yet there
        waiting = kubectl.start("wait", "cm/late", "--for=create", "--timeout=60s")
        kubectl("create", "configmap", "late")
        assert waiting.communicate(timeout=60)[0] == "configmap/late condition met\n"
    deleting = kubectl.start("wait", "pod", "-l", "set=a", "--for=delete", "--timeout=60s")
    kubectl("delete", "pod", "one", "two", "--grace-period=0", "--force")
    deleting.communicate(timeout=60)
    assert deleting.returncode == 0
