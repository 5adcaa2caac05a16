"""Protobuf bodies of real clients become the objects that they would have sent as JSON."""

import base64
import json
import random
from pathlib import Path
from typing import Any

import pytest

from container_kit.cluster.schema import DecodeError, check, decode_body
from container_kit.cluster.schema.decode import PROTOBUF

SENT = json.loads((Path(__file__).parent / "kubectl-1.33.json").read_text())


def _decoded(command: str) -> Any:
    return decode_body(base64.b64decode(SENT[command]), PROTOBUF)[0]


@pytest.mark.parametrize("command", SENT)
def test_what_kubectl_sends_has_the_shape_of_its_kind(command: str) -> None:
    """Every body is a sound object of the kind that its envelope names."""
    obj = _decoded(command)
    group, _, version = obj["apiVersion"].rpartition("/")

    findings = check(obj, (group, version, obj["kind"]))
    assert (findings.errors, findings.unknown_fields) == ([], [])


def test_a_deployment_says_what_was_asked_for() -> None:
    """Plain zero values are left out, structs without a pointer stay, and so do pointers."""
    assert _decoded("create deployment web --image=nginx --replicas=3 --port=80") == {
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "metadata": {"name": "web", "labels": {"app": "web"}},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {
                    "containers": [
                        {"name": "nginx", "image": "nginx", "ports": [{"containerPort": 80}], "resources": {}}
                    ]
                },
            },
            "strategy": {},
        },
        "status": {},
    }


def test_wrapped_values_are_unwrapped() -> None:
    """Quantities, int-or-strings, bytes and embedded structs are in JSON what people write."""
    assert _decoded("create quota q --hard=pods=2,cpu=1500m")["spec"] == {
        "hard": {"cpu": "1500m", "pods": "2"}
    }
    assert _decoded("create pdb pdb --selector=a=b --min-available=50%")["spec"]["minAvailable"] == "50%"
    service = _decoded("create service nodeport np --tcp=80:8080 --node-port=30080")
    assert service["spec"]["ports"][0]["targetPort"] == 8080
    assert _decoded("create secret generic s --from-literal=p=hunter2")["data"] == {"p": "aHVudGVyMg=="}
    rule = _decoded("create ingress ing --rule=foo.com/bar*=svc:8080")["spec"]["rules"][0]
    assert rule["host"] == "foo.com" and rule["http"]["paths"][0]["pathType"] == "Prefix"


def test_an_unknown_kind_is_refused() -> None:
    """A kind without a protobuf form gets the original's message."""
    body = b"k8s\x00\x0a\x0e\x0a\x06a.b/v1\x12\x04Nope"
    with pytest.raises(DecodeError, match=r'no kind "Nope" is registered for version "a\.b/v1"'):
        decode_body(body, PROTOBUF)


def test_damaged_bodies_never_crash() -> None:
    """Whatever bytes come, the answer is an object or a `DecodeError`."""
    chance = random.Random(7)
    for command in SENT:
        body = bytearray(base64.b64decode(SENT[command]))
        for _ in range(200):
            damaged = bytearray(body)
            for _ in range(chance.randint(1, 4)):
                damaged[chance.randrange(4, len(damaged))] = chance.randrange(256)
            if chance.random() < 0.3:
                del damaged[chance.randrange(4, len(damaged)) :]
            try:
                decode_body(bytes(damaged), PROTOBUF)
            except DecodeError:
                continue
