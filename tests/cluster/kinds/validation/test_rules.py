"""Rules beyond those that were recorded."""

from typing import Any

import pytest

from container_kit.cluster.kinds import Context, strategy_for
from container_kit.cluster.kinds.validation.cron import schedule_problem
from container_kit.cluster.kinds.validation.expressions import expression_problem
from container_kit.cluster.kinds.validation.networking import network_policy
from container_kit.cluster.kinds.validation.pods import check_pod_spec
from container_kit.cluster.kinds.validation.scheduling import check_tolerations
from container_kit.cluster.kinds.validation.variables import config_key
from container_kit.cluster.kinds.validation.workloads import deployment
from tests.cluster.kinds.recorded import NOW, EmptyWorld
from tests.cluster.kinds.validation.test_recorded import errors_of

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
NAME = {"apiVersion": "v1", "fieldPath": "metadata.name"}
TOKEN = {"serviceAccountToken": {"path": "t", "expirationSeconds": 5}}
CONTAINER = {"name": "c", "image": "i", "terminationMessagePolicy": "File", "imagePullPolicy": "Always"}


def problems(container: dict[str, Any] | None = None, **spec: Any) -> list[str]:
    """The fields of a pod's spec with which something is wrong."""
    whole = {
        "containers": [CONTAINER | (container or {})],
        "restartPolicy": "Always",
        "dnsPolicy": "ClusterFirst",
        "terminationGracePeriodSeconds": 30,
        **spec,
    }
    return [error.field for error in check_pod_spec("spec", whole)]


def test_a_small_pod_is_right() -> None:
    """Nothing is wrong with a pod of one container."""
    assert problems() == []


@pytest.mark.parametrize(
    ("container", "field"),
    [
        ({"ports": [{"containerPort": 70000, "protocol": "TCP"}]}, "ports[0].containerPort"),
        ({"ports": [{"containerPort": 1, "protocol": "x"}]}, "ports[0].protocol"),
        ({"env": [{"name": "A=B"}]}, "env[0].name"),
        ({"envFrom": [{}]}, "envFrom"),
        ({"envFrom": [{"secretRef": {}}]}, "envFrom[0].secretRef.name"),
        ({"volumeMounts": [{"name": "v", "mountPath": "/a", "subPath": "../b"}]}, "volumeMounts.subPath"),
        ({"restartPolicy": "Always"}, "restartPolicy"),
        ({"lifecycle": {"preStop": {"sleep": {"seconds": 31}}}}, "lifecycle.preStop.sleep"),
        ({"readinessProbe": {"grpc": {"port": 0}}}, "readinessProbe.grpc.port"),
        ({"securityContext": {"runAsUser": 2**31}}, "securityContext.runAsUser"),
        (
            {"securityContext": {"seccompProfile": {"type": "Localhost"}}},
            "securityContext.seccompProfile.localhostProfile",
        ),
        (
            {"resources": {"requests": {"example.com/x": "1500m"}, "limits": {"example.com/x": "2"}}},
            "resources.requests[example.com/x]",
        ),
    ],
)
def test_what_containers_must_not_be(container: dict[str, Any], field: str) -> None:
    """Each mistake is named by its field."""
    volumes = [{"name": "v", "emptyDir": {}}]
    assert f"spec.containers[0].{field}" in problems(container, volumes=volumes)


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"shareProcessNamespace": True, "hostPID": True}, "securityContext.shareProcessNamespace"),
        ({"volumes": [{"name": "v", "nfs": {"server": "s", "path": "x"}}]}, "volumes[0].nfs.path"),
        (
            {"volumes": [{"name": "v", "projected": {"sources": [TOKEN]}}]},
            "volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds",
        ),
        (
            {"volumes": [{"name": "v", "downwardAPI": {"items": [{"path": "/x", "fieldRef": NAME}]}}]},
            "volumes[0].downwardAPI.path",
        ),
        ({"initContainers": [CONTAINER]}, "initContainers[0].name"),
        (
            {"initContainers": [CONTAINER | {"name": "i", "readinessProbe": {"exec": {"command": ["x"]}}}]},
            "initContainers[0].readinessProbe",
        ),
        ({"affinity": {"podAffinity": {REQUIRED: [{}]}}}, f"affinity.podAffinity.{REQUIRED}[0].topologyKey"),
        (
            {"affinity": {"nodeAffinity": {REQUIRED: {}}}},
            f"affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms",
        ),
        ({"tolerations": [{"key": "a", "operator": "Exists", "effect": "Never"}]}, "tolerations[0].effect"),
        ({"hostname": "a.b"}, "hostname"),
        ({"securityContext": {"sysctls": [{"name": ""}]}}, "securityContext.sysctls[0].name"),
        ({"schedulingGates": [{"name": "a"}, {"name": "a"}]}, "schedulingGates[1]"),
    ],
)
def test_what_pods_must_not_be(spec: dict[str, Any], field: str) -> None:
    """Each mistake is named by its field."""
    assert f"spec.{field}" in problems(**spec)


@pytest.mark.parametrize(
    "text", ["*/5 * * * *", "0 0 1-5/2 jan-mar mon,fri", "@hourly", "@every 5m", "0 0 ? * *"]
)
def test_schedules(text: str) -> None:
    """Names, steps, ranges and lists make a schedule."""
    assert schedule_problem(text) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
        ("0 24 * * *", "end of range (24) above maximum (23): 24"),
        ("0 0 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("0 0 * * x", 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax'),
        ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("TZ=UTC * * * * *", "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"),
        ("@never", "unrecognized descriptor: @never"),
    ],
)
def test_what_is_no_schedule(text: str, problem: str) -> None:
    """The problem is named in the words of the original."""
    assert schedule_problem(text) == problem


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("object.x", False),
        ("1", False),
        ("object.x > 1", True),
        ("has(object.x) && true", True),
        ("variables.ok", True),
    ],
)
def test_an_expression_must_say_yes_or_no(text: str, right: bool) -> None:
    """What certainly gives no truth value is no rule; what may give one is let pass."""
    assert (expression_problem(text) is None) is right


def test_keys_of_configuration() -> None:
    """A key is the name of a file."""
    assert config_key("k", "a.b-C_1") == []
    assert [len(config_key("k", key)) for key in ("", "..", "..a", "a/b", "a" * 254)] == [1] * 5


def test_tolerations_need_an_effect_for_their_time() -> None:
    """Only what evicts can be put off."""
    assert [error.field for error in check_tolerations("t", [{"key": "a", "tolerationSeconds": 1}])] == [
        "t[0].effect"
    ]


@pytest.mark.parametrize(
    ("api_version", "kind", "body", "field"),
    [
        ("batch/v1", "Job", {"spec": {"completions": 2, "completionMode": "Indexed"}}, "metadata.name"),
        ("apps/v1", "ControllerRevision", {"revision": -1}, "revision"),
        (
            "apiregistration.k8s.io/v1",
            "APIService",
            {"spec": {"group": "g", "version": "v1"}},
            "metadata.name",
        ),
        ("v1", "Node", {"spec": {"taints": [{"key": "a", "effect": "x"}]}}, "metadata.taints[0].effect"),
        ("v1", "ResourceQuota", {"spec": {"scopes": ["BestEffort", "NotBestEffort"]}}, "spec.scopes"),
        (
            "v1",
            "Pod",
            {"spec": {"volumes": [{"name": "v", "secret": {}}]}},
            "spec.volumes[0].secret.secretName",
        ),
    ],
)
def test_what_other_kinds_must_not_be(api_version: str, kind: str, body: dict[str, Any], field: str) -> None:
    """Each mistake is named by its field."""
    fields = [
        error.field
        for error in errors_of({"apiVersion": api_version, "kind": kind, "metadata": {"name": "a.b"}, **body})
    ]
    assert field in fields


UPDATES = [
    ("apps/v1", "ControllerRevision", {"data": {"a": 1}}, {"data": {"a": 2}}, "data"),
    (
        "networking.k8s.io/v1",
        "IngressClass",
        {"spec": {"controller": "a.b/c"}},
        {"spec": {"controller": "a.b/d"}},
        "spec.controller",
    ),
    (
        "v1",
        "PersistentVolume",
        {"spec": {"hostPath": {"path": "/a"}}},
        {"spec": {"hostPath": {"path": "/b"}}},
        "spec.persistentvolumesource",
    ),
    ("v1", "PersistentVolumeClaim", {"spec": {"volumeName": "a"}}, {"spec": {"volumeName": "b"}}, "spec"),
    ("v1", "ResourceQuota", {"spec": {"scopes": ["BestEffort"]}}, {"spec": {}}, "spec.scopes"),
    ("storage.k8s.io/v1", "StorageClass", {"provisioner": "a"}, {"provisioner": "b"}, "provisioner"),
    ("node.k8s.io/v1", "RuntimeClass", {"handler": "a"}, {"handler": "b"}, "handler"),
    ("discovery.k8s.io/v1", "EndpointSlice", {"addressType": "IPv4"}, {"addressType": "IPv6"}, "addressType"),
]


@pytest.mark.parametrize(("api_version", "kind", "before", "after", "field"), UPDATES)
def test_what_may_not_change(
    api_version: str, kind: str, before: dict[str, Any], after: dict[str, Any], field: str
) -> None:
    """What others rely on stays as it was made."""
    strategy = strategy_for(api_version.rpartition("/")[0], kind)
    old, new = (
        {"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}, **each}
        for each in (before, after)
    )
    for obj in (old, new):
        strategy.default(obj)
    context = Context(NOW, EmptyWorld())

    assert field in [error.field for error in strategy.validate_update(new, old, context)]
    assert field not in [error.field for error in strategy.validate_update(old, old, context)]


def test_exceptions_lie_inside_their_block() -> None:
    """A part that is excepted must be smaller than the whole."""
    block = {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16", "11.0.0.0/16", "10.0.0.0/8"]}
    policy = {"spec": {"podSelector": {}, "ingress": [{"from": [{"ipBlock": block}]}]}}
    fields = [error.field for error in network_policy(policy)]
    assert fields == [f"spec.ingress[0].from[0].ipBlock.except[{index}]" for index in (1, 2)]


def test_a_rolling_update_must_be_able_to_move() -> None:
    """With neither more nor fewer pods allowed nothing could ever be replaced."""
    obj: dict[str, Any] = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "template": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {"containers": [{"name": "c", "image": "i"}]},
            },
            "strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}},
        },
    }
    assert [error.field for error in errors_of(obj)] == ["spec.strategy.rollingUpdate.maxUnavailable"]
    obj["spec"]["strategy"]["rollingUpdate"]["maxSurge"] = 1
    assert deployment(obj) == []


def test_containers_of_a_stateful_set_mount_volumes_of_its_claims() -> None:
    """Its template names volumes that each pod gets from a claim, so only what is sure is judged."""
    mount = {"name": "data", "mountPath": "/data"}
    obj: dict[str, Any] = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "a", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "template": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {"containers": [{"name": "c", "image": "i", "volumeMounts": [mount]}]},
            },
            "volumeClaimTemplates": [
                {
                    "metadata": {"name": "data"},
                    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
                }
            ],
        },
    }
    assert not errors_of(obj)
    obj["spec"]["template"]["spec"]["activeDeadlineSeconds"] = 5
    (error,) = errors_of(obj)
    assert error.message.endswith("activeDeadlineSeconds in StatefulSet is not Supported")
