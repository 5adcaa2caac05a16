"""Types as operators define them, with kubectl: large ones, their parts, and what is told of them."""

from __future__ import annotations

import json

import pytest

from tests.cluster.api.custom.real_types import certificates, monitors
from tests.cluster.kubectl.program import Kubectl, in_versions

pytestmark = pytest.mark.tool("kubectl")


@in_versions("1.27", "1.33")
def test_certificates_are_like_built_in_objects(kubectl: Kubectl) -> None:
    """Short names, categories, columns, selectable fields, rules, status, ownership, explain, deletion."""
    group = f"certs.{kubectl.namespace}.example.com"
    kind = f"certificates.{group}"
    kubectl("apply", "--server-side", "-f", "-", input=json.dumps(certificates(group)))
    kubectl("wait", f"crd/{kind}", "--for=condition=Established", "--timeout=60s")
    web = {
        "apiVersion": f"{group}/v1",
        "kind": "Certificate",
        "metadata": {"name": "web"},
        "spec": {"secretName": "tls", "issuerRef": {"name": "ca"}, "dnsNames": ["a.example.com"]},
    }
    kubectl("apply", "-f", "-", input=json.dumps(web))
    web["spec"] |= {"commonName": "web"}
    assert "configured" in kubectl("apply", "-f", "-", input=json.dumps(web))
    other = {**web, "metadata": {"name": "other"}}
    assert 'unknown field "spec.typo"' in kubectl.fails(
        "create", "-f", "-", input=json.dumps({**other, "spec": {**web["spec"], "typo": 1}})
    )
    wrong = {**other, "spec": {**web["spec"], "privateKey": {"size": 17}}}
    assert "RSA keys cannot have 17 bits" in kubectl.fails("apply", "-f", "-", input=json.dumps(wrong))

    ready = '{"status":{"conditions":[{"type":"Ready","status":"True"}]}}'
    kubectl("patch", kind, "web", "--subresource=status", "--type=merge", "-p", ready)
    kubectl("wait", f"{kind}/web", "--for=condition=Ready", "--timeout=60s")
    wide = kubectl.table("get", kind, "-o", "wide")
    assert wide[0] == ["NAME", "READY", "SECRET", "ISSUER", "AGE"]
    assert kubectl.table("get", kind)[0] == ["NAME", "READY", "SECRET", "AGE"]
    assert kubectl("get", kind, "--field-selector=spec.secretName=none", "-o", "name") == ""
    assert f"certificate.{group}/web" in kubectl("get", "security", "-o", "name")
    assert "web" in kubectl("describe", kind, "web")
    assert "secretName" in kubectl("explain", f"{kind}.spec")
    assert "algorithm <string>" in kubectl("explain", f"{kind}.spec.privateKey.algorithm").replace("\t", " ")
    kubectl("delete", "crd", kind)
    assert "the server doesn't have a resource type" in kubectl.fails("get", kind)


@in_versions("1.27", "1.33")
def test_monitors_are_scaled_and_large(kubectl: Kubectl) -> None:
    """A type of thousands of fields: explained, applied, scaled, autoscaled, read in two versions."""
    group = f"mons.{kubectl.namespace}.example.com"
    kind = f"monitors.{group}"
    kubectl("create", "-f", "-", input=json.dumps(monitors(group)))
    kubectl("wait", f"crd/{kind}", "--for=condition=Established", "--timeout=60s")
    assert "containerPort" in kubectl("explain", f"{kind}.spec.sidecar0.containers", "--recursive")
    monitor = {
        "apiVersion": f"{group}/v1",
        "kind": "Monitor",
        "metadata": {"name": "m"},
        "spec": {"replicas": 1, "containers": [{"name": "c", "image": "i"}], "storage": {"size": "1Gi"}},
    }
    kubectl("apply", "--server-side", "-f", "-", input=json.dumps(monitor))
    kubectl("scale", kind, "m", "--replicas=4")
    assert kubectl("get", kind, "m", "-o", "jsonpath={.spec.replicas}") == "4"
    assert "is too much" in kubectl.fails("scale", kind, "m", "--replicas=50")
    kubectl("autoscale", f"{kind}/m", "--max=3")
    assert "Monitor/m" in kubectl("get", "hpa", "m")

    conflict = kubectl.fails("apply", "--server-side", "-f", "-", input=json.dumps(monitor))
    assert ".spec.replicas" in conflict
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=json.dumps(monitor))
    assert kubectl.table("get", kind)[1] == ["m", "1"]
    older = kubectl.run("get", f"monitors.v1beta1.{group}", "m", "-o", "jsonpath={.apiVersion}")
    assert older.stdout == f"{group}/v1beta1" and "is deprecated" in older.stderr
    shown = json.loads(kubectl("get", "--raw", f"/openapi/v3/apis/{group}/v1"))
    assert len(shown["components"]["schemas"]) > 2
    kubectl("patch", kind, "m", "--type=merge", "-p", '{"metadata":{"finalizers":["example.com/held"]}}')
    kubectl("delete", "crd", kind, "--wait=false")
    assert kubectl("get", kind, "-o", "name") == f"monitor.{group}/m\n"
    kubectl("patch", kind, "m", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    kubectl("wait", f"crd/{kind}", "--for=delete", "--timeout=60s")
