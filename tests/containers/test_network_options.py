"""What can be said of networks and ports, in every form, and what it comes to."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from container_kit.containers.network_options import as_hosts, as_ports
from container_kit.containers.networking import network_wish
from container_kit.containers.options import ContainerOptions
from container_kit.containers.record import Record
from container_kit.images import RunDefaults
from container_kit.network import EndpointRequest, PortRequest


class Shop:
    """What a Network is to options: it has a name."""

    name = "shop"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({8000: 0}, PortRequest(8000)),
        ({"8000": None}, PortRequest(8000)),
        ({"53/udp": ("0.0.0.0", 53)}, PortRequest(53, "udp", "0.0.0.0", 53)),
        ({80: "127.0.0.1:8080"}, PortRequest(80, "tcp", "127.0.0.1", 8080)),
        ({80: ("::1",)}, PortRequest(80, "tcp", "::1", 0)),
        ("8080:80", PortRequest(80, "tcp", "", 8080)),
        (["127.0.0.2::80"], PortRequest(80, "tcp", "127.0.0.2")),
        (["[::1]:8080:80/TCP"], PortRequest(80, "tcp", "::1", 8080)),
        ([80], PortRequest(80)),
        (["8000-8009:80-89/sctp"], PortRequest(80, "sctp", "", 8000, 10)),
        (["80-81"], PortRequest(80, count=2)),
        (PortRequest(5), PortRequest(5)),
    ],
)
def test_a_port_is_written_as_in_docker_or_docker_py(value: Any, expected: PortRequest) -> None:
    """Every usual form of a published port means the same value."""
    assert as_ports(value) == (expected,)


def test_a_port_may_be_published_several_times() -> None:
    """A list gives one port inside several places outside."""
    assert as_ports({80: [8080, ("127.0.0.2", 80)]}) == (
        PortRequest(80, host_port=8080),
        PortRequest(80, host_ip="127.0.0.2", host_port=80),
    )


@pytest.mark.parametrize("wish", [{}, {"dns": ["10.0.0.1"]}, {"extra_hosts": {"a": "10.0.0.1"}}])
def test_a_container_has_no_network_unless_it_asks_for_something_that_needs_one(wish: dict[str, Any]) -> None:
    """Names of hosts and servers alone are no reason for a network."""
    options = ContainerOptions(**wish)
    assert options.network == "none" and options.networks == ()


@pytest.mark.parametrize(
    "wish", [{"ports": {80: 0}}, {"aliases": ["db"]}, {"egress": []}, {"shaping": {"loss": 0.1}}]
)
def test_what_needs_a_network_gets_the_usual_one(wish: dict[str, Any]) -> None:
    """Ports, aliases, allowed places and shaping are had on the default network."""
    options = ContainerOptions(**wish)
    assert options.network == "bridge" and [one.network for one in options.networks] == ["bridge"]


@pytest.mark.parametrize(
    "network", ["shop", Shop(), ["shop"], EndpointRequest(network="shop"), [Shop()], {"shop": None}]
)
def test_a_network_is_a_name_or_an_object_or_a_list(network: Any) -> None:
    """Whatever stands for a network, the same is meant; what is said of the first one belongs to it."""
    options = ContainerOptions(network=network, aliases=["db"], ip="10.1.2.3")
    assert options.network == "shop"
    assert options.networks == (EndpointRequest(network="shop", aliases=("db",), ipv4="10.1.2.3"),)


def test_several_networks_are_joined_in_their_order() -> None:
    """The first of them is the one that further names and addresses are about."""
    options = ContainerOptions(network="a", networks={"b": {"aliases": ["x"]}}, aliases=["y"])
    assert [(one.network, one.aliases) for one in options.networks] == [("a", ("y",)), ("b", ("x",))]


def test_options_survive_being_written_down_and_changed() -> None:
    """A record gives back equal options, and a changed copy says of networks what the original said."""
    options = ContainerOptions(
        network=["a", "b"], aliases=["x"], ports=["80:80"], egress=["10.0.0.0/8"], shaping={"loss": 0.5},
        extra_hosts={"h": "host-gateway"},
    )  # fmt: skip
    record = Record(id="0" * 64, name="n", created_ns=1, options=options)
    assert Record.from_json(record.to_json()).options == options
    assert attrs.evolve(options, hostname="h").networks == options.networks


def test_lines_of_hosts_are_pairs_in_order() -> None:
    """Docker's words and a mapping give the same; an IPv6 address keeps its colons."""
    assert as_hosts(["a:10.0.0.1", "b=fd00::1"]) == as_hosts({"a": "10.0.0.1", "b": "fd00::1"})


def test_exposed_ports_are_published_where_asked_for() -> None:
    """Each that was not published by itself, on a free port of the usual address."""
    defaults = RunDefaults(exposed_ports=("80/tcp", "53/udp", "9000/tcp"))
    wish = network_wish(ContainerOptions(publish_all=True, ports={80: 8080}), defaults)
    assert wish is not None
    assert [(one.container_port, one.protocol, one.host_ip, one.host_port) for one in wish.ports] == [
        (80, "tcp", "127.0.0.1", 8080),
        (53, "udp", "127.0.0.1", 0),
        (9000, "tcp", "127.0.0.1", 0),
    ]
    assert network_wish(ContainerOptions(network="host"), defaults) is None


def test_the_profile_docker_publishes_on_all_addresses() -> None:
    """As docker does, unless an address is given."""
    options = ContainerOptions(ports=["80", "127.0.0.1::81"], profile="docker")
    wish = network_wish(options, RunDefaults())
    assert wish is not None and [port.host_ip for port in wish.ports] == ["0.0.0.0", "127.0.0.1"]


@pytest.mark.parametrize(
    ("wish", "can"),
    [
        ({"network": "shop"}, True),
        ({"ports": {80: 0}}, True),
        ({"ports": {80: 8080}}, False),
        ({"network": "shop", "aliases": ["db"]}, False),
        ({"network": "shop", "ip": "10.0.0.2"}, False),
    ],
)
def test_what_there_can_be_only_once_is_not_made_ahead(wish: dict[str, Any], can: bool) -> None:
    """A spare has an address of its own, and nothing that another container would miss."""
    found = network_wish(ContainerOptions(**wish), RunDefaults())
    assert found is not None and found.is_repeatable is can
