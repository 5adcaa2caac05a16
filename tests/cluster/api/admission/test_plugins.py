"""What the default plugins add to objects, and what they refuse."""

from typing import Any

import pytest

from tests.cluster.api.admission.conftest import PODS, Admitting, pod

CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"


def test_nothing_is_made_where_no_namespace_is(admitting: Admitting) -> None:
    """A namespace must be there, and must not be going away."""
    assert admitting.fail("POST", "/api/v1/namespaces/absent/pods", pod())[:2] == (404, "NotFound")
    assert admitting.fail("DELETE", "/api/v1/namespaces/default")[1] == "Forbidden"


def test_a_pod_gets_token_tolerations_and_priority(admitting: Admitting) -> None:
    """A pod runs as the default account, finds its token, and outlives a short absence of its node."""
    spec = admitting.pod()["spec"]

    assert (spec["serviceAccountName"], spec["priority"]) == ("default", 0)
    volume = spec["volumes"][0]["name"]
    assert volume.startswith("kube-api-access-")
    assert spec["containers"][0]["volumeMounts"][0]["name"] == volume
    assert [each["tolerationSeconds"] for each in spec["tolerations"]] == [300, 300]


def test_an_account_may_keep_its_token_and_lends_its_secrets(admitting: Admitting) -> None:
    """A pod's own word counts more than its account's."""
    account = {
        "metadata": {"name": "a"},
        "automountServiceAccountToken": False,
        "imagePullSecrets": [{"name": "s"}],
    }
    admitting.do("POST", "/api/v1/namespaces/default/serviceaccounts", account)

    silent = admitting.pod("silent", serviceAccountName="a")["spec"]
    asking = admitting.pod("asking", serviceAccountName="a", automountServiceAccountToken=True)["spec"]
    assert ("volumes" in silent, "volumes" in asking) == (False, True)
    assert silent["imagePullSecrets"] == [{"name": "s"}]
    assert "absent" in admitting.fail("POST", PODS, pod("x", serviceAccountName="absent"))[2]


def test_a_priority_comes_from_its_class(admitting: Admitting) -> None:
    """The number cannot be chosen, only the class; the default class is used by all who name none."""
    classes = "/apis/scheduling.k8s.io/v1/priorityclasses"
    admitting.do("POST", classes, {"metadata": {"name": "high"}, "value": 7, "globalDefault": True})

    spec = admitting.pod("p")["spec"]
    assert (spec["priority"], spec["priorityClassName"]) == (7, "high")
    assert admitting.fail("POST", PODS, pod("q", priority=8))[0] == 403
    assert admitting.fail("POST", PODS, pod("q", priorityClassName="absent"))[0] == 403
    other = {"metadata": {"name": "other"}, "value": 8, "globalDefault": True}
    assert "already marked as default" in admitting.fail("POST", classes, other)[2]
    assert admitting.pod("sys", priorityClassName="system-node-critical")["spec"]["priority"] == 2000001000


def test_a_runtime_class_adds_its_cost_and_place(admitting: Admitting) -> None:
    """Overhead, node selector and tolerations come from the class."""
    body = {
        "metadata": {"name": "vm"},
        "handler": "vm",
        "overhead": {"podFixed": {"cpu": "100m"}},
        "scheduling": {"nodeSelector": {"vm": "yes"}, "tolerations": [{"key": "vm", "operator": "Exists"}]},
    }
    admitting.do("POST", "/apis/node.k8s.io/v1/runtimeclasses", body)

    spec = admitting.pod(runtimeClassName="vm")["spec"]
    assert (spec["overhead"], spec["nodeSelector"]) == ({"cpu": "100m"}, {"vm": "yes"})
    assert {"key": "vm", "operator": "Exists"} in spec["tolerations"]
    conflicting = pod("q", runtimeClassName="vm", nodeSelector={"vm": "no"})
    assert admitting.fail("POST", PODS, conflicting)[0] == 403


def test_limits_are_filled_in_and_kept(admitting: Admitting) -> None:
    """Containers that say nothing get the defaults; nobody may say too much."""
    limits = [
        {"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "100m"}, "max": {"cpu": "2"}}
    ]
    ranges = "/api/v1/namespaces/default/limitranges"
    admitting.do("POST", ranges, {"metadata": {"name": "l"}, "spec": {"limits": limits}})

    found = admitting.pod()
    assert found["spec"]["containers"][0]["resources"] == {
        "limits": {"cpu": "1"},
        "requests": {"cpu": "100m"},
    }
    assert "container c" in found["metadata"]["annotations"]["kubernetes.io/limit-ranger"]
    greedy = pod("q", containers=[{"name": "c", "image": "i", "resources": {"limits": {"cpu": "3"}}}])
    assert admitting.fail("POST", PODS, greedy)[2].endswith(
        "maximum cpu usage per Container is 2, but limit is 3"
    )


def claim(name: str, size: str = "1Gi", **spec: Any) -> dict[str, Any]:
    requests = {"resources": {"requests": {"storage": size}}}
    return {"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"], **requests, **spec}}


def test_a_claim_gets_the_default_class_and_protection(admitting: Admitting) -> None:
    """A claim that names no class gets the default one; an empty name means none at all."""
    annotations = {"storageclass.kubernetes.io/is-default-class": "true"}
    body = {"metadata": {"name": "fast", "annotations": annotations}, "provisioner": "example.com/p"}
    admitting.do("POST", "/apis/storage.k8s.io/v1/storageclasses", body)

    found = admitting.do("POST", CLAIMS, claim("a"))
    assert found["spec"]["storageClassName"] == "fast"
    assert found["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    assert admitting.do("POST", CLAIMS, claim("b", storageClassName=""))["spec"]["storageClassName"] == ""
    grown = {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
    patch = {"content_type": "application/merge-patch+json"}
    assert "bound" in admitting.fail("PATCH", f"{CLAIMS}/a", grown, **patch)[2]


def test_a_new_node_takes_no_pods_yet(admitting: Admitting) -> None:
    """A node is tainted until it has reported."""
    node = admitting.do("POST", "/api/v1/nodes", {"metadata": {"name": "n"}})
    assert node["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/nodes", {"metadata": {"name": "other"}}),
        (PODS, pod()),
        ("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", {"metadata": {"name": "other"}}),
    ],
)
def test_a_node_touches_only_what_is_its_own(admitting: Admitting, path: str, body: Any) -> None:
    """A node's credentials are no use against other nodes."""
    from container_kit.cluster.api import Request, User

    admitting.namespace("kube-node-lease")
    node = User("system:node:mine", ("system:nodes",))
    answer = admitting.api.handle(Request("POST", path, {}, {}, body, node))
    assert answer.status == 403
