"""Where pods go, and what is said of pods that can go nowhere."""

from __future__ import annotations

import random
from typing import Any

import pytest

from container_kit.cluster.scheduler.placement import Place, Unplaceable
from tests.cluster.scheduler import Object, Room, node, pod

_TAINT = [{"key": "pool", "value": "sch", "effect": "NoSchedule"}]
_SELF = {"app": "a"}
_TERM = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": _SELF}}
_APART = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [_TERM]}}
_TOGETHER = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [_TERM]}}


def _spread(key: str, skew: int = 1, when: str = "DoNotSchedule", **more: Any) -> list[Object]:
    wish = {"maxSkew": skew, "topologyKey": key, "whenUnsatisfiable": when}
    return [wish | {"labelSelector": {"matchLabels": _SELF}} | more]


@pytest.mark.parametrize(
    ("wish", "text"),
    [
        ({"cpu": "100"}, "2 node(s) had untolerated taint {pool: sch}, 3 Insufficient cpu"),
        (
            {"nodeSelector": {"no": "where"}},
            "2 node(s) had untolerated taint {pool: sch}, "
            "3 node(s) didn't match Pod's node affinity/selector",
        ),
        (
            {"affinity": _TOGETHER},
            "2 node(s) had untolerated taint {pool: sch}, 3 node(s) didn't match pod affinity rules",
        ),
        (
            {"topologySpreadConstraints": _spread("nokey")},
            "2 node(s) had untolerated taint {pool: sch}, "
            "3 node(s) didn't match pod topology spread constraints (missing required label)",
        ),
        (
            {
                "affinity": {
                    "nodeAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": {
                            "nodeSelectorTerms": [
                                {
                                    "matchFields": [
                                        {"key": "metadata.name", "operator": "In", "values": ["zzz"]}
                                    ]
                                }
                            ]
                        }
                    }
                }
            },
            "5 node(s) didn't satisfy plugin(s) [NodeAffinity]",
        ),
        (
            {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "absent"}}]},
            'persistentvolumeclaim "absent" not found',
        ),
    ],
)
def test_the_reasons_are_those_of_the_original(wish: dict[str, Any], text: str) -> None:
    """A pod that can go nowhere says why, node by node, in kube-scheduler's words and order."""
    room = Room(*(node(f"n{i}") for i in range(3)), *(node(f"t{i}", taints=_TAINT) for i in range(2)))

    assert room.place(pod("p", **wish)) == f"0/5 nodes are available: {text}."


def test_without_any_node_it_says_so() -> None:
    assert Room().place(pod("p")) == "no nodes available to schedule pods"


def test_a_node_takes_no_more_than_it_has() -> None:
    """Whatever pods come in whatever order, no node is given more CPU or more pods than it offers."""
    rng = random.Random(5)
    room = Room(*(node(f"n{i}", cpu=str(1 + i % 3), pods="7") for i in range(10)))
    for number in range(200):
        room.place(pod(f"p{number}", cpu=f"{rng.choice((100, 250, 900))}m"))

    for info in room.state.nodes.values():
        assert info.requested["cpu"] <= info.allocatable["cpu"]
        assert len(info.pods) <= 7


def test_what_is_remembered_of_nodes_is_what_a_fresh_look_finds() -> None:
    """However pods and nodes come and go, a placer that remembers decides as one that has just started."""
    rng = random.Random(6)
    room = Room(*(node(f"n{i}", cpu="2") for i in range(5)))
    placed: list[Object] = []
    for number in range(300):
        one = pod(f"p{number}", cpu=rng.choice(("100m", "700m", "")), ports=rng.choice((_port(80), [])))
        if isinstance(room.try_to_place(one), Place):
            room.place(one)
            placed.append(one)
        if placed and rng.random() < 0.4:
            room.state.remove_pod(placed.pop(rng.randrange(len(placed)))["metadata"]["uid"])
        if rng.random() < 0.2:
            changed = node(f"n{rng.randrange(7)}", cpu=rng.choice(("1", "3")))
            room.state.set_node(changed["metadata"]["name"], rng.choice((None, changed)))
        fresh = Room(*(info.node for info in room.state.nodes.values() if info.node))
        for info in room.state.nodes.values():
            for other in info.pods.values():
                fresh.state.add_pod(other, info.name)
        probe = pod("probe", cpu="700m", ports=_port(80))
        mine, theirs = room.try_to_place(probe), fresh.try_to_place(probe)
        assert type(mine) is type(theirs)
        if isinstance(mine, Unplaceable):
            assert str(mine) == str(theirs)


def _port(number: int) -> list[Object]:
    return [{"containerPort": number, "hostPort": number}]


def test_one_host_port_is_taken_once_per_node() -> None:
    """Pods that want the same port of the node share no node; other addresses do not collide."""
    room = Room(node("n1"), node("n2"))
    places = [room.place(pod(f"p{i}", ports=_port(8080))) for i in range(3)]

    assert set(places[:2]) == {"n1", "n2"}
    assert places[2] == (
        "0/2 nodes are available: 2 node(s) didn't have free ports for the requested pod ports."
    )
    elsewhere = [{"containerPort": 8080, "hostPort": 8080, "protocol": "UDP"}]
    assert room.place(pod("udp", ports=elsewhere)) in ("n1", "n2")


def test_pods_that_shun_each_other_share_no_node() -> None:
    room = Room(node("n1"), node("n2"))
    places = [room.place(pod(f"p{i}", labels=_SELF, affinity=_APART)) for i in range(3)]

    assert set(places[:2]) == {"n1", "n2"}
    assert places[2] == "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules."


def test_a_pod_is_kept_away_by_those_that_shun_it() -> None:
    """Anti-affinity of a pod that is there works against one that comes later and says nothing."""
    room = Room(node("n1"))
    room.place(pod("hermit", affinity=_APART))

    assert room.place(pod("p", labels=_SELF)) == (
        "0/1 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules."
    )


def test_the_first_of_pods_that_seek_each_other_may_go_anywhere() -> None:
    """The second then follows it."""
    room = Room(*(node(f"n{i}") for i in range(5)))
    first = room.place(pod("p1", labels=_SELF, affinity=_TOGETHER))

    assert first.startswith("n")
    assert {room.place(pod(f"p{i}", labels=_SELF, affinity=_TOGETHER)) for i in range(2, 9)} == {first}


def test_hard_spread_keeps_the_difference_small() -> None:
    """No two zones ever differ by more than the allowed number of pods."""
    nodes = [node(f"n{i}", labels={"zone": f"z{i % 3}"}) for i in range(7)]
    room = Room(*nodes)
    counts = dict.fromkeys(("z0", "z1", "z2"), 0)
    for number in range(30):
        name = room.place(pod(f"p{number}", labels=_SELF, topologySpreadConstraints=_spread("zone")))
        counts[f"z{int(name[1:]) % 3}"] += 1
        assert max(counts.values()) - min(counts.values()) <= 1


def test_a_zone_without_room_stops_hard_spread() -> None:
    room = Room(node("n1", labels={"zone": "a"}), node("n2", labels={"zone": "b"}, pods="1"))
    wish = _spread("zone")
    for number in range(3):
        room.place(pod(f"p{number}", labels=_SELF, topologySpreadConstraints=wish))

    assert room.place(pod("p", labels=_SELF, topologySpreadConstraints=wish)) == (
        "0/2 nodes are available: 1 Too many pods, 1 node(s) didn't match pod topology spread constraints."
    )


def test_fewer_domains_than_wished_for_count_as_empty() -> None:
    """``minDomains`` holds pods back until there are enough zones."""
    room = Room(node("n1", labels={"zone": "a"}))
    wish = _spread("zone", minDomains=2)

    assert room.place(pod("p0", labels=_SELF, topologySpreadConstraints=wish)) == "n1"
    assert "spread constraints" in room.place(pod("p1", labels=_SELF, topologySpreadConstraints=wish))


def test_pods_of_one_controller_lie_evenly() -> None:
    """Without any wish, replicas of a controller are spread over nodes and zones."""
    room = Room(*(node(f"n{i}", labels={"topology.kubernetes.io/zone": f"z{i % 2}"}) for i in range(10)))
    owner = {"kind": "ReplicaSet", "name": "r", "uid": "r1", "controller": True}
    places = []
    for number in range(20):
        one = pod(f"p{number}", labels=_SELF)
        one["metadata"]["ownerReferences"] = [owner]
        places.append(room.place(one))

    assert all(places.count(f"n{i}") == 2 for i in range(10))


@pytest.mark.parametrize(
    ("spec", "there"),
    [
        (
            {
                "affinity": {
                    "nodeAffinity": {
                        "preferredDuringSchedulingIgnoredDuringExecution": [
                            {
                                "weight": 1,
                                "preference": {"matchExpressions": [{"key": "ssd", "operator": "Exists"}]},
                            }
                        ]
                    }
                }
            },
            "liked",
        ),
        (
            {
                "affinity": {
                    "podAffinity": {
                        "preferredDuringSchedulingIgnoredDuringExecution": [
                            {"weight": 50, "podAffinityTerm": _TERM}
                        ]
                    }
                }
            },
            "liked",
        ),
        (
            {
                "affinity": {
                    "podAntiAffinity": {
                        "preferredDuringSchedulingIgnoredDuringExecution": [
                            {"weight": 50, "podAffinityTerm": _TERM}
                        ]
                    }
                }
            },
            "plain",
        ),
    ],
)
def test_preferences_decide_among_nodes_that_would_do(spec: dict[str, Any], there: str) -> None:
    room = Room(node("liked", labels={"ssd": "yes"}), node("plain"), node("tainted", taints=_prefer_not()))
    room.state.add_pod(room.info(pod("friend", labels=_SELF)), "liked")

    assert [room.place(pod(f"p{i}", **spec)) for i in range(2)] == [there, there]


def _prefer_not() -> list[Object]:
    return [{"key": "old", "effect": "PreferNoSchedule"}]


def test_a_node_that_prefers_no_pods_is_taken_last() -> None:
    room = Room(node("old", taints=_prefer_not()), node("new", pods="2"))

    assert [room.place(pod(f"p{i}")) for i in range(3)] == ["new", "new", "old"]


def test_a_cordoned_node_takes_none() -> None:
    room = Room(node("n1", unschedulable=True))

    assert room.place(pod("p")) == "0/1 nodes are available: 1 node(s) were unschedulable."


def test_extended_resources_are_counted() -> None:
    room = Room(node("n1", extended={"example.com/gpu": "1"}), node("n2"))
    wish = {"containers": [{"name": "c", "resources": {"requests": {"example.com/gpu": "1"}}}]}

    assert room.place(pod("p1", **wish)) == "n1"
    assert room.place(pod("p2", **wish)) == "0/2 nodes are available: 2 Insufficient example.com/gpu."
