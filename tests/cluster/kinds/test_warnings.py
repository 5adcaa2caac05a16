"""What is stored all the same, but with a warning."""

from typing import Any

import pytest

from container_kit.cluster.kinds import strategy_for
from container_kit.cluster.meta import Object
from tests.cluster.kinds.recorded import cases, group_of


def warnings(obj: Object, old: Object | None = None) -> list[str]:
    strategy = strategy_for(group_of(obj), obj["kind"])
    strategy.default(obj)
    return strategy.warnings(obj, old)


def test_warnings_are_those_recorded() -> None:
    """Objects that a real server warned about bring the same warnings, and the others none."""
    for case in cases("defaults"):
        obj = case["request"]["body"]
        if case["status"] == 201 and "example.com" not in obj["apiVersion"] and "metadata" in obj:
            expected = [
                text.removeprefix('299 - "')[:-1].replace('\\"', '"') for text in case.get("warnings") or ()
            ]
            assert warnings(obj) == expected, case["id"]


def pod(container: dict[str, Any] | None = None, name: str = "p", **spec: Any) -> Object:
    containers = [{"name": "c", "image": "i", **(container or {})}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": containers, **spec},
    }


REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
OLD_ZONE = "failure-domain.beta.kubernetes.io/zone"
OLD_TERM = {"matchExpressions": [{"key": OLD_ZONE, "operator": "Exists"}]}
PORT: Any = {"container": {"ports": [{"containerPort": 1}]}}


@pytest.mark.parametrize(
    ("obj", "warning"),
    [
        (pod({"env": [{"name": "A"}, {"name": "A"}]}), "env[1]: hides previous definition"),
        (pod({"ports": [{"containerPort": 1}, {"containerPort": 1}]}), "ports[1]: duplicate port definition"),
        (pod({"resources": {"requests": {"memory": "100m"}}}), 'fractional byte value "100m"'),
        (pod(nodeSelector={"beta.kubernetes.io/os": "linux"}), 'use "kubernetes.io/os" instead'),
        (pod(imagePullSecrets=[{"name": "a"}, {"name": "a"}]), 'duplicate name "a"'),
        (pod(hostAliases=[{"ip": "1.1.1.1"}, {"ip": "1.1.1.1"}]), 'duplicate ip "1.1.1.1"'),
        (pod({"ports": [{"containerPort": 1, "hostPort": 2}, {"containerPort": 1}]}), "overlapping port"),
        (
            pod({"ports": [{"containerPort": 1, "hostIP": "127.0.0.1"}]}),
            "hostIP set without hostPort: {Name: HostPort:0 ContainerPort:1 Protocol:TCP HostIP:127.0.0.1}",
        ),
        (
            pod(initContainers=[{"name": "a", "image": "i", "ports": [{"containerPort": 1}]}], **PORT),
            "spec.containers[0].ports[0]: duplicate port definition with spec.initContainers[0].ports[0]",
        ),
        (pod(imagePullSecrets=[{}]), 'imagePullSecrets[0].name: invalid empty name ""'),
        (pod(terminationGracePeriodSeconds=-1), "negative values are invalid and will be treated as 1"),
        (
            pod(topologySpreadConstraints=[{"topologyKey": OLD_ZONE, "labelSelector": {}}]),
            f"[0].topologyKey: {OLD_ZONE} is deprecated since v1.17",
        ),
        (
            pod(affinity={"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [OLD_TERM]}}}),
            f"nodeSelectorTerms[0].matchExpressions[0].key: {OLD_ZONE} is deprecated",
        ),
        (pod(volumes=[{"name": "v", "storageos": {"volumeName": "v"}}]), "volumes[0].storageOS: deprecated"),
        (pod(name="a.b"), "a DNS label is recommended: [must not contain dots]"),
    ],
)
def test_a_pod_with_a_warning(obj: Object, warning: str) -> None:
    """Each oddity brings one warning, at creation; a change elsewhere does not repeat it."""
    found = warnings(obj)
    assert len(found) == 1 and warning in found[0]
    assert warnings(obj, obj) == []


def test_a_variable_may_build_upon_the_one_before() -> None:
    """What replaces a value wholly is odd, what contains it is not."""
    for values, is_odd in ((("a", "$(A)b"), False), (("a", "$(A)"), True), (("a", "b"), True)):
        obj = pod({"env": [{"name": "A", "value": value} for value in values]})
        assert bool(warnings(obj)) == is_odd, values


def test_annotations_whose_time_has_passed() -> None:
    """Pods and templates are told of fields that have replaced annotations."""
    notes = {
        "scheduler.alpha.kubernetes.io/critical-pod": "",
        "container.seccomp.security.alpha.kubernetes.io/c": "unconfined",
        "container.apparmor.security.beta.kubernetes.io/c": "unconfined",
    }
    obj = pod()
    obj["metadata"]["annotations"] = notes
    template = {"metadata": {"labels": {"a": "b"}, "annotations": notes}, "spec": obj["spec"]}
    workload = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template},
    }
    found = warnings(workload)
    assert found[0] == (
        "spec.template.metadata.annotations[scheduler.alpha.kubernetes.io/critical-pod]: "
        'non-functional in v1.16+; use the "priorityClassName" field instead'
    )
    assert [r"use the \"seccompProfile\" field" in found[1], "deprecated since v1.30" in found[2]] == [
        True
    ] * 2
    assert len(found) == 3
    on_pod = [each for each in warnings(obj) if "apparmor" not in each]
    assert on_pod == [each.removeprefix("spec.template.") for each in found[:2]]


def test_stateful_sets_and_jobs_have_warnings_of_their_own() -> None:
    """Sizes that are no bytes, histories without an end, and too many indexes."""
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod()["spec"]}
    claim = {"metadata": {"name": "c"}, "spec": {"resources": {"requests": {"storage": "100m"}}}}
    of_set = {
        "selector": {"matchLabels": {"a": "b"}},
        "template": template,
        "revisionHistoryLimit": -1,
        "volumeClaimTemplates": [claim],
    }
    first, second = warnings(
        {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "s"}, "spec": of_set}
    )
    assert first.startswith("spec.volumeClaimTemplates[0].resources.requests[storage]: fractional byte value")
    assert second.startswith("spec.revisionHistoryLimit: a negative value")
    template["spec"]["restartPolicy"] = "Never"
    of_job = {
        "completionMode": "Indexed",
        "completions": 100_001,
        "parallelism": 10_001,
        "template": template,
    }
    [large] = warnings({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": of_job})
    assert large.startswith("spec: In Indexed Jobs")
