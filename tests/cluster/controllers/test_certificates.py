"""Requests for certificates, and what they get."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from container_kit.cluster.api.authentication.authority import Authority
from container_kit.cluster.controllers.certificates import CertificateController
from container_kit.cluster.controllers.framework import Manager
from tests.cluster.controllers.world import World

_AUTHORITY = Authority.create()
_REQUESTS = "certificatesigningrequests.certificates.k8s.io"
_CLIENT = "kubernetes.io/kube-apiserver-client"


def _add(manager: Manager) -> None:
    manager.add(CertificateController(manager, _AUTHORITY.sign_request))


def _request(signer: str = _CLIENT, name: str = "alice", **spec: Any) -> dict[str, Any]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    data = base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()
    return {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": "r"},
        "spec": {"request": data, "signerName": signer, "usages": ["client auth"]} | spec,
    }


def _approve(world: World) -> None:
    request = world.get(_REQUESTS, "r")
    words = {"type": "Approved", "status": "True", "reason": "Test", "message": ""}
    world.client.update({**request, "status": {"conditions": [words]}}, subresource="approval")
    world.settle()


def test_an_approved_request_gets_a_certificate_for_its_name() -> None:
    """Not before, and for no longer than was asked for."""
    world = World(0, _add)
    world.client.create(_request(expirationSeconds=3600))
    world.settle()
    assert "certificate" not in world.get(_REQUESTS, "r").get("status", {})
    _approve(world)
    data = base64.b64decode(world.get(_REQUESTS, "r")["status"]["certificate"])
    found = x509.load_pem_x509_certificate(data)
    assert found.subject.rfc4514_string() == "CN=alice"
    assert (found.not_valid_after_utc - found.not_valid_before_utc).total_seconds() < 2 * 3600


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"usages": ["client auth", "server auth"]}, "are not signed by this signer"),
        ({"usages": ["digital signature"]}, "usages are missing 'client auth'"),
    ],
)
def test_what_a_signer_is_not_for_fails_with_a_reason(spec: dict[str, Any], words: str) -> None:
    world = World(0, _add)
    world.client.create(_request(**spec))
    _approve(world)
    status = world.get(_REQUESTS, "r")["status"]

    assert "certificate" not in status
    assert status["conditions"][-1]["type"] == "Failed"
    assert words in status["conditions"][-1]["message"]


def test_signers_of_others_are_left_to_them() -> None:
    world = World(0, _add)
    world.client.create(_request("example.com/signer"))
    _approve(world)

    assert "certificate" not in world.get(_REQUESTS, "r")["status"]
