"""Who comes in, with what, and what those may do who bring nothing: through kubectl and bare requests."""

from __future__ import annotations

import base64
import http.client
import json
import os
import ssl
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from container_kit.cluster import Cluster
from container_kit.cluster.client import ApiInvalid
from container_kit.errors import InvalidInput
from tests.cluster.kubectl.program import program_of

REQUESTS = "certificatesigningrequests.certificates.k8s.io"
REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
HERE = "https://kubernetes.default.svc.cluster.local"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(nodes=0) as started:
        yield started


class Visitor:
    """Whoever speaks HTTP to a cluster, with a bearer token, a certificate or nothing."""

    def __init__(self, cluster: Cluster, token: str = "", certificate: Path | None = None) -> None:
        host, _, port = cluster.address.removeprefix("https://").rpartition(":")
        context = ssl.create_default_context(cadata=authority_of(cluster))
        if certificate is not None:
            context.load_cert_chain(certificate)
        self._connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=60)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def __enter__(self) -> Visitor:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Status and document of an answer; in names of headers ``_`` stands for ``-``."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        data = None if body is None else json.dumps(body)
        more |= {"Content-Type": "application/json"} if data else {}
        self._connection.request(method, path, data, self._headers | more)
        answer = self._connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text.startswith(b"{") else text.decode()

    def name(self) -> str:
        """As whom the server sees this visitor; empty if it does not let it in."""
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        status, answer = self.ask("POST", path, review)
        return str(answer["status"]["userInfo"]["username"]) if status == 201 else ""


def authority_of(cluster: Cluster) -> str:
    found = yaml.safe_load(cluster.kubeconfig())["clusters"][0]["cluster"]["certificate-authority-data"]
    return base64.b64decode(found).decode()


def asked(cluster: Cluster, method: str, path: str, body: Any = None) -> Any:
    """What the administrator is told."""
    return json.loads(cluster.client.request(method, path, body=body).body)


def resources(cluster: Cluster) -> list[str]:
    """The paths of all lists of all resources that the server tells of."""
    found = []
    for root in ("/api", "/apis"):
        answer = asked(cluster, "GET", root)
        versions = [f"/api/{version}" for version in answer.get("versions") or ()]
        for group in answer.get("groups") or ():
            versions += [f"/apis/{each['groupVersion']}" for each in group["versions"]]
        for version in versions:
            for each in asked(cluster, "GET", version)["resources"]:
                if "list" in each["verbs"]:
                    found.append(f"{version}/{each['name']}")
    return found


def test_who_brings_nothing_sees_nothing(cluster: Cluster) -> None:
    """Without credentials only version and health are told; no object is read, listed, watched or made."""
    paths = resources(cluster)
    assert len(paths) > 50
    with Visitor(cluster) as nobody:
        for path in ("/version", "/healthz", "/livez", "/readyz"):
            assert nobody.ask("GET", path)[0] == 200
        for path in paths:
            for asked in (path, f"{path}/x", f"{path}?watch=true"):
                assert nobody.ask("GET", asked)[0] == 403, asked
            assert nobody.ask("POST", path, {})[0] == 403
        others = ("/api", "/apis", "/apis/apps/v1", "/openapi/v2", "/openapi/v3", "/metrics", "/logs")
        for path in (*others, "/.well-known/openid-configuration", "/openid/v1/jwks"):
            assert nobody.ask("GET", path)[0] == 403, path
        assert nobody.ask("GET", "/api/v1/secrets", Impersonate_User="kubernetes-admin")[0] == 403


def test_a_cluster_may_answer_nobody_at_all() -> None:
    """Where nobody may be anonymous, not even the version is told without credentials."""
    with Cluster(nodes=0, anonymous=False) as closed, Visitor(closed) as nobody:
        assert [nobody.ask("GET", path)[0] for path in ("/version", "/healthz", "/api/v1/pods")] == [401] * 3
        assert asked(closed, "GET", "/version")["major"] == "1"


@pytest.mark.parametrize("token", ["x", "a.b.c", "e30.e30.e30", "x" * 20_000])
def test_a_wrong_token_is_not_nobody(cluster: Cluster, token: str) -> None:
    """Who shows a token that is none is refused, even what nobody needs a token for."""
    with Visitor(cluster, token) as stranger:
        assert stranger.ask("GET", "/version")[0] in (401, 431)


def listened_at() -> set[str]:
    """The addresses at which this process listens, as the kernel writes them."""
    own = {os.readlink(entry) for entry in Path("/proc/self/fd").iterdir() if os.path.lexists(entry)}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/self/net", table).read_text().splitlines()[1:]:
            address, state, inode = (line.split()[column] for column in (1, 3, 9))
            if state == "0A" and f"socket:[{inode}]" in own:
                found.add(address.partition(":")[0])
    return found


def test_it_listens_on_this_machine_alone(cluster: Cluster, tmp_path: Path) -> None:
    """Every listener of the process is on the loopback; other addresses are refused before all."""
    assert listened_at() == {"0100007F"}
    for listen in ("0.0.0.0:0", "[::]:0", "192.0.2.1:6443", "example.com:1"):
        with pytest.raises(InvalidInput, match="for this machine alone"):
            Cluster(nodes=0, listen=listen)


def test_credentials_are_their_owners(cluster: Cluster, tmp_path: Path) -> None:
    """A kubeconfig has mode 0600 whatever the umask; the keys of a kept cluster and its folder likewise."""
    before = os.umask(0)
    try:
        cluster.kubeconfig(tmp_path / "kubeconfig")
        with Cluster(nodes=0, path=tmp_path / "kept"):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "kubeconfig").stat().st_mode) == 0o600
    files = [path for path in (tmp_path / "kept").rglob("*") if path.is_file()]
    keys = [path for path in files if b"PRIVATE KEY" in path.read_bytes()]
    assert keys and not any(path.stat().st_mode & 0o077 for path in keys)
    assert not (tmp_path / "kept").stat().st_mode & 0o077


def token_for(cluster: Cluster, account: str, **spec: Any) -> str:
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    made = asked(cluster, "POST", f"{ACCOUNTS}/{account}/token", request)
    return str(made["status"]["token"])


def new_account(cluster: Cluster, name: str) -> None:
    cluster.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}})


def test_a_token_is_its_account(cluster: Cluster) -> None:
    """It comes in as its account until the account is gone, and not at all when it is for somebody else."""
    new_account(cluster, "robot")
    token, other = token_for(cluster, "robot"), token_for(cluster, "robot", audiences=["vault"])
    user = "system:serviceaccount:default:robot"
    with Visitor(cluster, token) as robot, Visitor(cluster, other) as stranger:
        assert (robot.name(), stranger.name()) == (user, "")
        assert stranger.ask("GET", "/api/v1/pods")[0] == 401
        status, answer = robot.ask("GET", "/api/v1/namespaces/default/pods")
        assert status == 403 and f'User "{user}" cannot list resource "pods"' in answer["message"]

        cluster.delete("serviceaccount/robot")
        assert robot.ask("GET", "/version")[0] == 401


def test_a_token_ends_with_its_pod(cluster: Cluster) -> None:
    """A token that is bound to a pod is worth nothing without it, nor when another pod has its name."""
    new_account(cluster, "walker")
    pod: Any = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "walker"},
        "spec": {"serviceAccountName": "walker", "containers": [{"name": "c", "image": "i"}]},
    }
    cluster.create(pod)
    bound = {"kind": "Pod", "apiVersion": "v1", "name": "walker"}
    with Visitor(cluster, token_for(cluster, "walker", boundObjectRef=bound)) as walker:
        assert walker.name() == "system:serviceaccount:default:walker"
        cluster.client.delete("pods", "walker", "default", grace_s=0)
        assert walker.name() == ""
        cluster.create(pod)
        assert walker.name() == ""


def test_tokens_are_reviewed(cluster: Cluster) -> None:
    """A review says whose token it is, for which of the audiences, or why it is nobody's."""
    new_account(cluster, "guest")

    def review(token: str, *audiences: str) -> Any:
        spec = {"token": token, **({"audiences": list(audiences)} if audiences else {})}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
        return asked(cluster, "POST", REVIEWS, body)["status"]

    token = token_for(cluster, "guest", audiences=["vault", HERE])
    found = review(token)
    assert found["authenticated"] and found["user"]["username"] == "system:serviceaccount:default:guest"
    assert found["audiences"] == [HERE]
    assert review(token, "vault", "bank")["audiences"] == ["vault"]
    assert "authenticated" not in review(token, "bank") and "audiences" in review(token, "bank")["error"]
    assert review("nonsense")["error"] == "invalid bearer token"


KUBECTL = program_of("1.32")
needs_kubectl = pytest.mark.skipif(KUBECTL is None, reason="needs kubectl 1.32")


class Person:
    """Somebody with a kubeconfig."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig

    def run(self, *words: str, input: str = "") -> subprocess.CompletedProcess[str]:
        assert KUBECTL is not None
        folder = self.kubeconfig.parent
        own = ["--kubeconfig", str(self.kubeconfig), "--cache-dir", str(folder / "cache")]
        environment = {"HOME": str(folder), "PATH": os.environ["PATH"], "GOGC": "400"}
        return subprocess.run(
            [KUBECTL, *own, *words], env=environment, input=input, capture_output=True, text=True, timeout=120
        )

    def __call__(self, *words: str, input: str = "") -> str:
        done = self.run(*words, input=input)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def admin(cluster: Cluster, tmp_path: Path) -> Person:
    cluster.kubeconfig(tmp_path / "admin")
    return Person(tmp_path / "admin")


def request_for(name: str, *groups: str) -> tuple[bytes, str]:
    """A new key, and a request for a certificate of it, as signing requests have it."""
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]
    names += [x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, group) for group in groups]
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names))
    pem = request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    form = serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return secret, base64.b64encode(pem).decode()


def signing_request(name: str, request: str) -> str:
    return json.dumps(
        {
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": {"name": name},
            "spec": {
                "request": request,
                "signerName": "kubernetes.io/kube-apiserver-client",
                "usages": ["client auth"],
            },
        }
    )


@needs_kubectl
def test_a_person_gets_a_certificate(cluster: Cluster, admin: Person, tmp_path: Path) -> None:
    """A request is approved and signed; the certificate is its person, who may what a binding says."""
    key, request = request_for("jane", "dev")
    admin("create", "-f", "-", input=signing_request("jane", request))
    assert "Pending" in admin("get", "csr", "jane")
    admin("certificate", "approve", "jane")
    admin("wait", "csr/jane", "--for=jsonpath={.status.certificate}", "--timeout=60s")
    signed = base64.b64decode(admin("get", "csr", "jane", "-o", "jsonpath={.status.certificate}"))

    place = tmp_path / "jane.pem"
    place.write_bytes(key + signed)
    jane = Person(admin.kubeconfig.with_name("jane"))
    jane.kubeconfig.write_text(admin.kubeconfig.read_text())
    pem = f"--client-certificate={place}", f"--client-key={place}"
    jane("config", "set-credentials", "jane", *pem)
    jane("config", "set-context", "--current", "--user=jane")

    told = json.loads(jane("auth", "whoami", "-o", "json"))["status"]["userInfo"]
    assert (told["username"], told["groups"]) == ("jane", ["dev", "system:authenticated"])
    assert 'User "jane" cannot list resource "pods"' in jane.run("get", "pods").stderr
    admin("create", "role", "looker", "--verb=list", "--resource=pods")
    admin("create", "rolebinding", "lookers", "--role=looker", "--group=dev")
    assert jane.run("get", "pods").returncode == 0
    assert jane.run("get", "secrets").returncode != 0


@needs_kubectl
def test_nobody_gets_a_certificate_of_a_master(cluster: Cluster, admin: Person) -> None:
    """Requests in the name of system:masters are refused, and those that were denied are not signed."""
    _, request = request_for("eve", "system:masters")
    refused = admin.run("create", "-f", "-", input=signing_request("eve", request))
    assert "system:masters group is not allowed" in refused.stderr

    _, request = request_for("eve")
    admin("create", "-f", "-", input=signing_request("eve", request))
    admin("certificate", "deny", "eve")
    assert "Denied" in admin("get", "csr", "eve")
    assert "already Denied" in admin.run("certificate", "approve", "eve").stderr
    approved = {"op": "add", "path": "/status/conditions/-", "value": {"type": "Approved", "status": "True"}}
    with pytest.raises(ApiInvalid, match="mutually exclusive"):
        cluster.client.patch(REQUESTS, "eve", [approved], kind="json", subresource="approval")
    assert admin("get", "csr", "eve", "-o", "jsonpath={.status.certificate}") == ""


@needs_kubectl
def test_acting_as_others(admin: Person) -> None:
    """Who may, acts as users, groups and accounts; who may not, does not even as itself in another group."""
    told = json.loads(
        admin("auth", "whoami", "-o", "json", "--as=kim", "--as-group=ops", "--as-group=dev", "--as-uid=7")
    )["status"]["userInfo"]
    assert (told["username"], told["uid"]) == ("kim", "7")
    assert told["groups"] == ["ops", "dev", "system:authenticated"]
    assert admin.run("auth", "can-i", "list", "pods", "--as=kim").stdout == "no\n"
    assert admin("auth", "can-i", "list", "pods", "--as=kim", "--as-group=system:masters") == "yes\n"

    admin("create", "clusterrole", "actor", "--verb=impersonate", "--resource=users", "--resource-name=kim")
    admin("create", "clusterrolebinding", "actor", "--clusterrole=actor", "--user=lou")
    rules = admin("auth", "can-i", "--list", "--as=lou")
    assert [line.split() for line in rules.splitlines() if line.startswith("users")] == [
        ["users", "[]", "[kim]", "[impersonate]"]
    ]


@needs_kubectl
def test_nobody_gives_what_they_do_not_have(admin: Person) -> None:
    """Who may write roles and bindings gives only rights of their own, unless they may escalate or bind."""
    rbac = "--resource=roles,rolebindings"
    admin("create", "role", "chief", "--verb=create,get,update,patch", rbac, "-n", "default")
    admin("create", "rolebinding", "chief", "--role=chief", "--user=max")
    maker = ("create", "role", "deep", "--verb=get", "--resource=secrets", "--as=max")
    assert "attempting to grant RBAC permissions not currently held" in admin.run(*maker).stderr
    binder = ("create", "rolebinding", "wide", "--clusterrole=cluster-admin", "--user=max", "--as=max")
    assert "attempting to grant RBAC permissions not currently held" in admin.run(*binder).stderr
    absent = ("create", "rolebinding", "gone", "--role=absent", "--user=max", "--as=max")
    assert 'roles.rbac.authorization.k8s.io "absent" not found' in admin.run(*absent).stderr

    admin("create", "role", "escalator", "--verb=escalate", "--resource=roles")
    admin("create", "rolebinding", "escalator", "--role=escalator", "--user=max")
    admin(*maker)
    admin("create", "clusterrole", "binder", "--verb=bind", "--resource=clusterroles", "--resource-name=view")
    admin("create", "clusterrolebinding", "binder", "--clusterrole=binder", "--user=max")
    admin("create", "rolebinding", "viewers", "--clusterrole=view", "--user=max", "--as=max")
    assert admin.run(*binder).returncode != 0


@needs_kubectl
def test_roles_are_put_together_by_their_labels(admin: Person) -> None:
    """A role that bears the label of `view` is soon a part of it, and the rights of viewers grow."""
    admin("create", "clusterrole", "more", "--verb=list", "--resource=leases.coordination.k8s.io")
    admin("create", "clusterrolebinding", "viewer", "--clusterrole=view", "--user=vic")
    assert admin.run("auth", "can-i", "list", "leases", "--as=vic").stdout == "no\n"
    admin("label", "clusterrole", "more", "rbac.authorization.k8s.io/aggregate-to-view=true")
    admin("wait", "clusterrole/view", "--timeout=60s", '--for=jsonpath={.rules[?(@.resources[0]=="leases")]}')
    assert admin("auth", "can-i", "list", "leases", "--as=vic") == "yes\n"
