"""Pods are let in by the level of their namespace."""

from typing import Any

import pytest

from container_kit.cluster.api.admission.pod_security.checks import violations
from tests.cluster.api.admission.conftest import Admitting, pod

GOOD = {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [
        {
            "name": "c",
            "image": "i",
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
    ],
}


def container(**security: Any) -> dict[str, Any]:
    return {"containers": [{"name": "c", "image": "i", "securityContext": security}]}


BAD_FOR_BASELINE = [
    {"hostPID": True},
    {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]},
    {"containers": [{"name": "c", "ports": [{"hostPort": 80}]}]},
    {"initContainers": [{"name": "i", "securityContext": {"privileged": True}}], "containers": []},
    {"ephemeralContainers": [{"name": "e", "securityContext": {"privileged": True}}], "containers": []},
    container(capabilities={"add": ["NET_ADMIN"]}),
    container(procMount="Unmasked"),
    container(seccompProfile={"type": "Unconfined"}),
    container(seLinuxOptions={"type": "spc_t"}),
    container(appArmorProfile={"type": "Unconfined"}),
    container(windowsOptions={"hostProcess": True}),
    {"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}, "containers": []},
]
BAD_FOR_RESTRICTED = [
    GOOD | {"volumes": [{"name": "v", "nfs": {"server": "s", "path": "/"}}]},
    GOOD | {"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}},
    GOOD | {"securityContext": {**GOOD["securityContext"], "runAsUser": 0}},  # type: ignore[dict-item]
    GOOD | {"securityContext": {"runAsNonRoot": True}},
    GOOD | container(allowPrivilegeEscalation=False),
    GOOD | container(capabilities={"drop": ["ALL"]}),
]


@pytest.mark.parametrize("spec", BAD_FOR_BASELINE, ids=str)
def test_baseline_allows_no_way_out_of_the_pod(spec: dict[str, Any]) -> None:
    """Each known way to the host is one violation, in any kind of container; privileged allows all."""
    assert len(violations("baseline", {}, spec)) == 1
    assert violations("privileged", {}, spec) == []


@pytest.mark.parametrize("spec", BAD_FOR_RESTRICTED, ids=str)
def test_restricted_wants_more_than_baseline(spec: dict[str, Any]) -> None:
    """What baseline lets pass is one violation of restricted."""
    assert violations("baseline", {}, spec) == []
    assert len(violations("restricted", {}, spec)) == 1


def test_a_good_pod_violates_nothing() -> None:
    """A pod can meet the strictest level."""
    assert violations("restricted", {}, GOOD) == []


def test_a_namespace_enforces_and_warns(admitting: Admitting) -> None:
    """A pod against the enforced level is refused; one against the other comes with a warning."""
    admitting.namespace("strict", enforce="baseline", warn="restricted")
    path = "/api/v1/namespaces/strict/pods"

    assert admitting.fail("POST", path, pod(hostNetwork=True))[2] == (
        'pods "p" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)'
    )
    answer = admitting.ask("POST", path, pod("ok"))
    assert answer.status == 201
    assert "would violate PodSecurity" in str(answer.headers)


def test_a_stricter_level_names_the_pods_it_would_not_let_in(admitting: Admitting) -> None:
    """A change of the level only warns about what is there; an unknown level is refused."""
    admitting.namespace("open")
    admitting.pod(namespace="open", hostNetwork=True)
    patch = {"content_type": "application/merge-patch+json"}

    def labelled(level: str) -> dict[str, Any]:
        return {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": level}}}

    answer = admitting.ask("PATCH", "/api/v1/namespaces/open", labelled("baseline"), **patch)
    assert answer.status == 200
    assert "p: host namespaces" in str(answer.headers)
    assert admitting.fail("PATCH", "/api/v1/namespaces/open", labelled("nope"), **patch)[0] == 422
