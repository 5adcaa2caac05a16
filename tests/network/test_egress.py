"""Allow-lists: where a container may connect to, and nowhere else."""

from __future__ import annotations

import contextlib
import socket
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_kit.errors import InvalidInput, Unreachable
from container_kit.network import Networks, PortRequest, egress
from container_kit.network.egress import Allowed
from tests.network.inside import run_in
from tests.network.wires import answering, call, member, outside

_PORTS = st.none() | st.integers(1, 65535)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("10.0.0.0/8", Allowed(ip_network("10.0.0.0/8"))),
        ("10.1.2.3/8", Allowed(ip_network("10.0.0.0/8"))),
        ("10.0.0.1:443", Allowed(ip_network("10.0.0.1"), port=443)),
        ("[fd00::/8]:53/udp", Allowed(ip_network("fd00::/8"), port=53, protocol="udp")),
        ("fd00::/8", Allowed(ip_network("fd00::/8"))),
        ("::1", Allowed(ip_network("::1"))),
        ("Example.org:443", Allowed(name="example.org", port=443)),
        ("network", Allowed(name="network")),
    ],
)
def test_an_entry_is_an_address_a_subnet_or_a_name(text: str, meaning: Allowed) -> None:
    """With a port, or without one for all of them."""
    assert egress.parse(text) == meaning


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "is not like"),
        ("10.0.0.0/33", "not a subnet"),
        ("a b", "cannot be a name"),
        ("a:0", "not 1 to 65535"),
        ("a:99999", "not 1 to 65535"),
        ("a:80/icmp", "not tcp, udp or sctp"),
        ("http://a", "is not like"),
        ("[10.0.0.1", "is not like"),
    ],
)
def test_what_is_no_entry_is_refused(text: str, wrong: str) -> None:
    """With what is wrong about it."""
    with pytest.raises(InvalidInput, match=wrong):
        egress.parse(text)


@given(st.ip_addresses(), _PORTS, st.sampled_from(["tcp", "udp", "sctp"]))
def test_every_address_and_port_can_be_said(address: object, port: int | None, protocol: str) -> None:
    """In the form with brackets, which all of them have."""
    text = f"[{address}]" + (f":{port}/{protocol}" if port else "")

    found = egress.parse(text)

    assert (str(found.subnet).partition("/")[0], found.port) == (str(address), port)


def test_names_become_addresses_once() -> None:
    """What was found is what the container finds in its hosts; members of its network come first."""
    there = {"db": ["10.89.1.2", "fd00::2"]}
    wall = egress.resolve(["db:5432", "localhost"], members=lambda name: there.get(name, []))

    assert wall.hosts[:2] == (("db", "10.89.1.2"), ("db", "fd00::2"))
    assert {"db", "localhost"} == set(wall.names)
    assert Allowed(ip_network("fd00::2"), "db", 5432) in wall.allowed


def test_a_name_that_cannot_be_found_stops_the_start() -> None:
    """A wall with a hole that nobody knows of would not be what was asked for."""
    with pytest.raises(Unreachable, match=r"'nobody\.invalid' cannot be found"):
        egress.resolve(["nobody.invalid:1"])


@pytest.mark.root
def test_a_container_connects_to_what_its_list_says_only(networks: Networks) -> None:
    """Address, port and protocol count; what is refused is refused at once."""
    networks.create("shop")
    allowed = ["198.51.100.2:80", "198.51.100.0/24:53/udp"]
    with (
        outside(networks.site.host) as far,
        contextlib.closing(member(networks, "shop", egress=allowed)) as one,
        contextlib.closing(member(networks, "shop")) as peer,
        answering(far, 80),
        answering(far, 81),
        answering(far, 53, socket.SOCK_DGRAM),
        answering(far, 54, socket.SOCK_DGRAM),
        answering(peer.namespace, 80),
    ):
        inside = one.namespace

        assert call(inside, "198.51.100.2", 80) == "198.51.100.1"
        assert call(inside, "198.51.100.2", 53, socket.SOCK_DGRAM) == "198.51.100.1"
        assert call(inside, "198.51.100.2", 81) == "ConnectionRefusedError"
        assert call(inside, "198.51.100.2", 54, socket.SOCK_DGRAM) in ("OSError", "PermissionError")
        assert call(inside, peer.endpoints[0].addresses[0], 80) == "ConnectionRefusedError"
        assert call(peer.namespace, "198.51.100.2", 81) == "198.51.100.1", "the control"


@pytest.mark.root
def test_an_empty_list_lets_nothing_out_but_answers(networks: Networks) -> None:
    """Its published port is served all the same, and itself it reaches."""
    networks.create("shop")
    with (
        contextlib.closing(member(networks, "shop", PortRequest(80), egress=[])) as one,
        answering(one.namespace, 80),
    ):
        gateway = one.endpoints[0].gateway4

        assert call(networks.site.host, "127.0.0.1", one.ports[0].host_port) == gateway
        assert call(one.namespace, "127.0.0.1", 80) == "127.0.0.1"
        with answering(networks.site.host, 80):
            assert call(one.namespace, gateway, 80) == "ConnectionRefusedError"
        assert one.endpoints[0].resolve == ("invalid",), "no name of the outside is told"


@pytest.mark.root
def test_members_of_the_network_are_allowed_by_name_or_as_a_whole(networks: Networks) -> None:
    """By the name that they have there, or all of them by the word ``network``."""
    networks.create("shop")
    with (
        contextlib.closing(member(networks, "shop", name="db")) as db,
        contextlib.closing(member(networks, "shop", name="other")) as other,
        answering(db.namespace, 80),
        answering(other.namespace, 80),
        contextlib.closing(member(networks, "shop", egress=["db:80"])) as one,
        contextlib.closing(member(networks, "shop", egress=["network:80"])) as two,
    ):
        (there,) = db.endpoints[0].addresses
        (elsewhere,) = other.endpoints[0].addresses

        assert one.hosts == (("db", there),)
        assert call(one.namespace, there, 80) == one.endpoints[0].addresses[0]
        assert call(one.namespace, elsewhere, 80) == "ConnectionRefusedError"
        assert call(two.namespace, elsewhere, 80) == two.endpoints[0].addresses[0]


@pytest.mark.root
def test_a_reload_of_the_hosts_firewall_leaves_the_list_alone(networks: Networks) -> None:
    """It is in the container's namespace, which nobody reloads."""
    networks.create("shop")
    with (
        outside(networks.site.host) as far,
        contextlib.closing(member(networks, "shop", egress=[])) as one,
        answering(far, 80),
    ):
        run_in(networks.site.host, "nft", "flush", "ruleset")
        assert call(one.namespace, "198.51.100.2", 80) == "ConnectionRefusedError"
