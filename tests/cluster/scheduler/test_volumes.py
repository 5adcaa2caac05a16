"""Where pods can have their volumes."""

from __future__ import annotations

from typing import Any

import pytest

from container_kit.cluster.meta.volumes import BIND_COMPLETED
from container_kit.cluster.scheduler.placement import Place
from tests.cluster.scheduler import Object, Room, node, pod

_ELSEWHERE = "0/2 nodes are available: 2 node(s) had volume node affinity conflict."


def _claim(volume: str = "", storage_class: str = "", **more: Any) -> Object:
    notes = {BIND_COMPLETED: "yes"} if volume else {}
    spec = {"storageClassName": storage_class, "volumeName": volume, "accessModes": ["ReadWriteOnce"]}
    meta = {"name": "c", "namespace": "default", "uid": "c1", "annotations": notes}
    return {"metadata": meta | more.pop("metadata", {}), "spec": spec | more, "status": {}}


def _volume(on: str = "", labels: dict[str, str] | None = None, **spec: Any) -> Object:
    made: Object = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]} | spec
    if on:
        wish = {"key": "kubernetes.io/hostname", "operator": "In", "values": [on]}
        made["nodeAffinity"] = {"required": {"nodeSelectorTerms": [{"matchExpressions": [wish]}]}}
    return {"metadata": {"name": "v", "uid": "v1", "labels": labels or {}}, "spec": made}


def _late(provisioner: str, **more: Any) -> Object:
    return {"provisioner": provisioner, "volumeBindingMode": "WaitForFirstConsumer"} | more


def _using(name: str = "p") -> Object:
    return pod(name, volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}])


def _room(**objects: Object) -> Room:
    named = {key.replace("_", "/", 1): obj for key, obj in objects.items()}
    zone = "topology.kubernetes.io/zone"
    return Room(node("n1", labels={zone: "a"}), node("n2", labels={zone: "b"}), objects=named)


def test_a_pod_goes_where_its_volume_is() -> None:
    assert _room(claim_c=_claim("v"), volume_v=_volume(on="n2")).place(_using()) == "n2"
    assert _room(claim_c=_claim("v"), volume_v=_volume(on="n9")).place(_using()) == _ELSEWHERE


def test_a_volume_of_a_zone_is_reached_in_the_zone_only() -> None:
    room = _room(claim_c=_claim("v"), volume_v=_volume(labels={"topology.kubernetes.io/zone": "b"}))

    assert room.place(_using()) == "n2"


def test_a_claim_for_one_pod_is_used_by_one() -> None:
    """Preemption may help: the reason is not for ever."""
    room = _room(claim_c=_claim("v", accessModes=["ReadWriteOncePod"]), volume_v=_volume(on="n1"))
    assert room.place(_using("first")) == "n1"

    assert "with the same name and ReadWriteOncePod access mode" in room.place(_using("second"))


def test_a_late_claim_takes_a_volume_or_has_one_made() -> None:
    """A volume that is there decides for its node; a class that makes volumes can make them anywhere."""
    late = {"claim_c": _claim(storage_class="late")}
    found = _room(**late, class_late=_late("x"), volume_v=_volume("n2", storageClassName="late"))
    place = found.try_to_place(_using())
    assert isinstance(place, Place)
    made = {choice.volume is None for choice in place.choices}
    assert made == ({False} if place.node_name == "n2" else {True})

    none = _room(**late, class_late=_late("kubernetes.io/no-provisioner"))
    assert none.place(_using()) == (
        "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind."
    )


def test_a_class_may_make_volumes_in_some_zones_only() -> None:
    wish = [{"key": "topology.kubernetes.io/zone", "values": ["b"]}]
    topologies = [{"matchLabelExpressions": wish}]
    late = _late("example.com/p", allowedTopologies=topologies)

    assert _room(claim_c=_claim(storage_class="late"), class_late=late).place(_using()) == "n2"


@pytest.mark.parametrize(
    ("claim", "words"),
    [
        (_claim(), "pod has unbound immediate PersistentVolumeClaims"),
        (
            _claim(metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}),
            'persistentvolumeclaim "c" is being deleted',
        ),
        (_claim("gone"), "2 node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"),
        (
            _claim("v") | {"status": {"phase": "Lost"}},
            'persistentvolumeclaim "c" bound to non-existent persistentvolume "v"',
        ),
    ],
)
def test_a_claim_that_cannot_be_used_keeps_its_pod_waiting(claim: Object, words: str) -> None:
    assert _room(claim_c=claim).place(_using()) == f"0/2 nodes are available: {words}."
