"""Claims and the volumes that they get."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from container_kit.cluster.controllers.framework import Manager
from container_kit.cluster.controllers.infrastructure import add_infrastructure_controllers
from container_kit.cluster.meta.volumes import smallest_fitting
from tests.cluster.controllers.world import World

Object = dict[str, Any]


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A cluster whose local volumes are below ``tmp_path``."""

    def add(manager: Manager) -> None:
        add_infrastructure_controllers(manager, lambda request, usages, lifetime: b"", str(tmp_path))

    return World(2, add)


def _volume(name: str, size: str = "5Gi", **spec: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": size},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "manual",
            "hostPath": {"path": "/x"},
            "persistentVolumeReclaimPolicy": "Retain",
        }
        | spec,
    }


def _claim(size: str = "1Gi", name: str = "claim", storage_class: str = "manual", **spec: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": storage_class,
            "resources": {"requests": {"storage": size}},
        }
        | spec,
    }


def _pod(claim: str = "claim") -> Object:
    volume = {"name": "v", "persistentVolumeClaim": {"claimName": claim}}
    spec = {"containers": [{"name": "c", "image": "busybox"}], "volumes": [volume]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}


def _phase(world: World, resource: str, name: str) -> str:
    phase: str = world.get(resource, name)["status"]["phase"]
    return phase


def test_a_claim_gets_the_smallest_volume_that_fits(world: World) -> None:
    """However many come while it waits, and too small ones stay free."""
    world.client.create(_claim("2Gi"))
    world.settle()
    for name, size in (("small", "1Gi"), ("large", "9Gi"), ("right", "3Gi")):
        world.client.create(_volume(name, size))
        world.run(0.9)
    world.run(1)

    claim = world.get("persistentvolumeclaims", "claim")
    assert (claim["spec"]["volumeName"], claim["status"]["phase"]) == ("right", "Bound")
    assert claim["status"]["capacity"] == {"storage": "3Gi"}
    assert [_phase(world, "persistentvolumes", each) for each in ("small", "large", "right")] == [
        "Available",
        "Available",
        "Bound",
    ]


def test_a_claim_does_not_wait_for_ever_for_a_better_volume(world: World) -> None:
    """Also when there is a new one every half second."""
    world.client.create(_claim("2Gi"))
    for number in range(40):
        world.client.create(_volume(f"pv-{number}", "9Gi"))
        world.run(0.5)

    assert _phase(world, "persistentvolumeclaims", "claim") == "Bound"


def test_a_volume_is_released_when_its_claim_goes_and_free_when_somebody_says_so(world: World) -> None:
    world.client.create(_volume("pv"))
    world.client.create(_claim())
    world.run(2)
    world.client.delete("persistentvolumeclaims", "claim")
    world.run(1)
    assert _phase(world, "persistentvolumes", "pv") == "Released"
    world.client.patch("persistentvolumes", "pv", {"spec": {"claimRef": None}}, kind="merge")
    world.run(1)
    assert _phase(world, "persistentvolumes", "pv") == "Available"


def test_a_claim_whose_volume_is_gone_is_lost(world: World) -> None:
    world.client.create(_volume("pv"))
    world.client.create(_claim(volumeName="pv"))
    world.client.create(_claim(name="second", volumeName="pv"))
    world.run(2)
    said = world.events("PersistentVolumeClaim/second")
    assert said == [("FailedBinding", 'volume "pv" already bound to a different claim.')]
    world.client.delete("persistentvolumes", "pv")
    world.run(1)
    assert _phase(world, "persistentvolumeclaims", "claim") == "Lost"
    assert _phase(world, "persistentvolumeclaims", "second") == "Pending"


def test_a_claim_that_waits_for_a_pod_gets_a_volume_where_the_pod_can_be(world: World) -> None:
    """The scheduler takes the node of the only volume, and binds the pod when the claim has it."""
    storage_class = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "local"}}
    mode = {"provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer"}
    world.client.create(storage_class | mode)
    wish = {"key": "kubernetes.io/hostname", "operator": "In", "values": ["node-2"]}
    affinity = {"required": {"nodeSelectorTerms": [{"matchExpressions": [wish]}]}}
    world.client.create(_volume("pv", storageClassName="local", nodeAffinity=affinity))
    world.client.create(_claim(storage_class="local"))
    world.run(2)
    assert _phase(world, "persistentvolumeclaims", "claim") == "Pending"
    world.client.create(_pod())
    world.run(1)
    assert world.get("pods", "p")["spec"]["nodeName"] == "node-2"
    assert _phase(world, "persistentvolumeclaims", "claim") == "Bound"


def test_the_default_class_makes_directories_and_removes_them(world: World, tmp_path: Path) -> None:
    """A volume of the class ``standard`` lives as long as its claim, with what is in it."""
    world.client.create(_claim(storage_class="standard"))
    world.run(1)
    assert os.listdir(tmp_path) == []  # nobody needs it yet
    world.client.create(_pod())
    world.run(1)
    assert world.get("pods", "p")["status"]["phase"] == "Running"
    (directory,) = tmp_path.iterdir()
    assert directory.name == world.get("persistentvolumeclaims", "claim")["spec"]["volumeName"]
    (directory / "data").write_text("kept")
    world.client.delete("pods", "p")
    world.run(1)
    assert (directory / "data").exists()
    world.client.delete("persistentvolumeclaims", "claim")
    world.run(1)
    assert os.listdir(tmp_path) == []
    assert world.client.list("persistentvolumes").items == []


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"resources": {"requests": {"storage": "9Gi"}}}, "requested PV is too small"),
        ({"storageClassName": "other"}, "storageClassName does not match"),
        ({"accessModes": ["ReadWriteMany"]}, "incompatible accessMode"),
    ],
)
def test_a_named_volume_that_does_not_fit_is_refused(world: World, wish: Object, words: str) -> None:
    world.client.create(_volume("pv"))
    world.client.create(_claim(**(wish | {"volumeName": "pv"})))
    world.run(1)

    said = world.events("PersistentVolumeClaim/claim")
    assert said == [("VolumeMismatch", f'Cannot bind to requested volume "pv": {words}')]
    assert _phase(world, "persistentvolumes", "pv") == "Available"


def test_a_volume_that_is_promised_by_hand_waits_for_its_claim(world: World) -> None:
    """No other claim gets it, also if it would fit."""
    world.client.create(_volume("pv", claimRef={"namespace": "default", "name": "claim"}))
    world.client.create(_claim(name="other"))
    world.run(2)
    assert _phase(world, "persistentvolumes", "pv") == "Available"
    world.client.create(_claim("9Gi"))
    world.run(2)
    assert _phase(world, "persistentvolumeclaims", "claim") == "Pending"
    world.client.delete("persistentvolumeclaims", "claim")
    world.client.create(_claim())
    world.run(2)
    assert _phase(world, "persistentvolumes", "pv") == "Bound"
    assert _phase(world, "persistentvolumeclaims", "other") == "Pending"


def test_a_volume_that_does_not_come_holds_a_node_for_ten_minutes(world: World) -> None:
    """Then the room is for others, and the pod is tried again."""
    mode = {"provisioner": "example.com/never", "volumeBindingMode": "WaitForFirstConsumer"}
    meta = {"metadata": {"name": "never"}}
    world.client.create({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass"} | meta | mode)
    world.client.create(_claim(storage_class="never"))
    resources = {"requests": {"cpu": "4"}}
    waiting = _pod()
    waiting["spec"]["containers"][0]["resources"] = resources
    world.client.create(waiting)
    world.run(1)
    chosen = world.get("persistentvolumeclaims", "claim")["metadata"]["annotations"]
    node = chosen["volume.kubernetes.io/selected-node"]
    container = {"name": "c", "image": "busybox", "resources": resources}
    wish = {"nodeSelector": {"kubernetes.io/hostname": node}, "containers": [container]}
    world.client.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "other"}, "spec": wish})
    world.run(500)
    assert "nodeName" not in world.get("pods", "other")["spec"]
    world.run(110)
    assert world.get("pods", "other")["spec"]["nodeName"] == node
    assert "nodeName" not in world.get("pods", "p")["spec"]


def test_a_pod_may_bring_its_own_volume(world: World) -> None:
    """The claim is made for it, bound where it runs, and its own; one of somebody else is left alone."""
    template = {"metadata": {"labels": {"mine": "yes"}}, "spec": _claim(storage_class="standard")["spec"]}
    pod = _pod()
    pod["spec"]["volumes"] = [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}]
    world.client.create(pod)
    world.run(2)
    claim = world.get("persistentvolumeclaims", "p-scratch")
    assert claim["metadata"]["labels"] == {"mine": "yes"}
    assert claim["metadata"]["ownerReferences"][0]["uid"] == world.get("pods", "p")["metadata"]["uid"]
    assert (claim["status"]["phase"], world.get("pods", "p")["status"]["phase"]) == ("Bound", "Running")

    other = {**pod, "metadata": {"name": "q"}}
    world.client.create(_claim(name="q-scratch"))
    world.client.create(other)
    world.run(2)
    assert "nodeName" not in world.get("pods", "q")["spec"]
    assert "ConflictingClaim" in {reason for reason, _ in world.events("Pod/q")}


def test_a_claim_in_use_stays_until_its_pod_is_gone(world: World) -> None:
    world.client.create(_volume("pv"))
    claim = _claim()
    claim["metadata"]["finalizers"] = ["kubernetes.io/pvc-protection"]
    world.client.create(claim)
    world.client.create(_pod())
    world.run(2)
    world.client.delete("persistentvolumeclaims", "claim")
    world.run(2)
    assert world.names("persistentvolumeclaims") == ["claim"]
    world.client.delete("pods", "p")
    world.run(2)
    assert world.names("persistentvolumeclaims") == []


def test_volumes_made_by_hand_are_not_deleted(world: World) -> None:
    """Reclaim policy Delete needs somebody who can: without, the volume fails and says why."""
    world.client.create(_volume("pv", persistentVolumeReclaimPolicy="Delete"))
    world.client.create(_claim())
    world.run(2)
    world.client.delete("persistentvolumeclaims", "claim")
    world.run(1)

    status = world.get("persistentvolumes", "pv")["status"]
    assert status["phase"] == "Failed"
    assert status["message"] == "host_path deleter only supports /tmp/.+ but received provided /x"


@pytest.mark.parametrize(
    ("storage_class", "reason"),
    [("absent", "ProvisioningFailed"), ("", "FailedBinding"), ("theirs", "ExternalProvisioning")],
)
def test_a_claim_without_a_volume_says_what_it_waits_for(
    world: World, storage_class: str, reason: str
) -> None:
    meta = {"metadata": {"name": "theirs"}, "provisioner": "example.com/p"}
    world.client.create({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass"} | meta)
    world.client.create(_claim(storage_class=storage_class))
    world.run(1)

    assert [each[0] for each in world.events("PersistentVolumeClaim/claim")] == [reason]


@pytest.mark.parametrize(
    ("wish", "name"),
    [
        ({}, "small"),
        ({"accessModes": ["ReadWriteMany"]}, "shared"),
        ({"volumeMode": "Block"}, None),
        ({"selector": {"matchLabels": {"fast": "yes"}}}, "fast"),
    ],
)
def test_what_a_claim_asks_for_is_what_it_gets(wish: Object, name: str | None) -> None:
    volumes = [
        _volume("fast", "2Gi"),
        _volume("shared", "3Gi", accessModes=["ReadWriteOnce", "ReadWriteMany"]),
        _volume("small", "1Gi"),
        _volume("other", "1Gi", storageClassName="other"),
    ]
    volumes[0]["metadata"]["labels"] = {"fast": "yes"}
    claim = _claim(**wish)
    claim["metadata"]["namespace"] = "default"
    found = smallest_fitting(volumes, claim)

    assert (found and found["metadata"]["name"]) == name
