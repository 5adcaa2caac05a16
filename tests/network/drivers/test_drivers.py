"""Drivers: ours, and those of other packages."""

from __future__ import annotations

import importlib.metadata

import pytest

from container_kit.errors import InvalidInput, NameInUse, NotFound, UnsupportedFeature
from container_kit.network import Driver, NetworkOptions, Networks
from container_kit.network.drivers import driver, driver_names
from tests.network.inside import add_wire, addresses, join, links, run_in

pytestmark = pytest.mark.root


@pytest.mark.parametrize("name", ["bridge", "cni", "macvlan", "host", "none"])
def test_our_drivers_are_drivers(name: str) -> None:
    """Each has what the interface asks for."""
    assert isinstance(driver(name), Driver)
    assert name in driver_names()


def test_an_unknown_driver_is_told_with_those_there_are() -> None:
    """The error names the drivers that can be used."""
    with pytest.raises(NotFound, match="bridge, cni, host, macvlan, none"):
        driver("overlay")


def test_a_driver_of_another_package_that_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong with it is said, and whose it is."""
    broken = importlib.metadata.EntryPoint("wire", "no_such_module:Wire", "container_kit.network_drivers")
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: (broken,))

    with pytest.raises(NotFound, match="no_such_module"):
        driver("wire")


def test_two_containers_on_the_wire_of_a_link(networks: Networks) -> None:
    """On a macvlan network each has a MAC address of its own on the parent, and an address of the subnet."""
    add_wire(networks.site.host, "wire0", mtu=1450)
    networks.create(
        "lan", NetworkOptions(driver="macvlan", subnets=["192.168.7.0/24"], options={"parent": "wire0"})
    )
    with join(networks, "lan") as one, join(networks, "lan") as two:
        inside = links(one.namespace)["eth0"]

        assert inside["linkinfo"]["info_kind"] == "macvlan"
        assert inside["mtu"] == 1450
        assert addresses(one.namespace, "eth0") == ["192.168.7.2/24"]
        assert one.endpoints[0].mac != two.endpoints[0].mac


def test_a_vlan_of_the_parent_is_made_when_it_is_missing(networks: Networks) -> None:
    """A parent ``wire0.12`` is the link with the tag 12 on ``wire0``."""
    add_wire(networks.site.host, "wire0")
    networks.create(
        "lan", NetworkOptions(driver="macvlan", subnets=["192.168.7.0/24"], options={"parent": "wire0.12"})
    )
    try:
        with join(networks, "lan"):
            assert links(networks.site.host)["wire0.12"]["linkinfo"]["info_data"]["id"] == 12
    except UnsupportedFeature as error:  # a kernel without VLANs
        assert "wire0.12" in str(error)
        assert networks.endpoints("lan") == []


def test_a_parent_that_is_not_there(networks: Networks) -> None:
    """It is named, and nothing stays."""
    networks.create(
        "lan", NetworkOptions(driver="macvlan", subnets=["192.168.7.0/24"], options={"parent": "wire9"})
    )
    with pytest.raises(NotFound, match="wire9"):
        join(networks, "lan")
    assert networks.endpoints("lan") == []


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        (NetworkOptions(options={"colour": "red"}), "colour"),
        (NetworkOptions(options={"icc": "maybe"}), "maybe"),
        (NetworkOptions(options={"bridge_name": "far-too-long-a-name"}), "15"),
        (NetworkOptions(options={"bridge_name": "a/b"}), "a/b"),
        (NetworkOptions(driver="macvlan"), "parent"),
        (NetworkOptions(driver="macvlan", options={"parent": "eth0"}), "subnets"),
        (NetworkOptions(driver="macvlan", options={"parent": "eth0", "mode": "x"}), "mode"),
        (NetworkOptions(driver="none", subnets=["10.1.0.0/16"]), "no subnets"),
    ],
)
def test_what_a_driver_cannot_do_is_refused_at_once(
    networks: Networks, wish: NetworkOptions, said: str
) -> None:
    """When the network is made, not when the first container comes."""
    with pytest.raises(InvalidInput, match=said):
        networks.create("shop", wish)


def test_a_bridge_has_the_name_that_was_given(networks: Networks) -> None:
    """And what has this name and is somebody else's is left alone, be it a bridge."""
    add_wire(networks.site.host, "mine0")
    run_in(networks.site.host, "ip", "link", "add", "mine1", "type", "bridge")
    networks.create("named", NetworkOptions(options={"bridge_name": "shop0"}))

    with join(networks, "named"):
        assert links(networks.site.host)["shop0"]["linkinfo"]["info_kind"] == "bridge"
    for name in ("mine0", "mine1"):
        networks.create(name, NetworkOptions(options={"bridge_name": name}))
        with pytest.raises(NameInUse, match=name):
            join(networks, name)
        networks.remove(name)
        assert name in links(networks.site.host)


def test_the_bridge_is_the_gateway(networks: Networks) -> None:
    """It has the first address of each subnet, and a MAC address that does not change with its members."""
    record = networks.create("shop", NetworkOptions(ipv6=True))
    with join(networks, "shop"):
        shown = links(networks.site.host)[record.link]

        assert addresses(networks.site.host, record.link) == [
            f"{one.gateway}/{one.prefix_length}" for one in record.subnets
        ]
        assert shown["address"] == record.link_mac


def test_the_packets_are_as_large_as_the_way_out(networks: Networks) -> None:
    """Without an MTU of its own a network has that of the link that the default route leads by."""
    add_wire(networks.site.host, "wire0", address="192.0.2.2/24", mtu=1380)
    run_in(networks.site.host, "ip", "route", "add", "default", "via", "192.0.2.1")
    networks.create("shop")

    with join(networks, "shop") as member:
        assert links(member.namespace)["eth0"]["mtu"] == 1380
