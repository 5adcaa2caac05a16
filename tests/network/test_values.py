"""The words of networks."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_kit.errors import InvalidInput
from container_kit.network import Endpoint, EndpointRequest, PortRequest, PublishedPort, Shaping

_ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)
_PORTS = st.integers(1, 65535)
_LABELS = st.from_regex("[a-z][a-z0-9]{0,8}", fullmatch=True)


@given(_PORTS, st.sampled_from(["tcp", "udp", "sctp"]), _ADDRESSES, _PORTS)
def test_a_published_port_reads_as_it_was_written(
    inside: int, protocol: str, host: str, outside: int
) -> None:
    """`parse` is the inverse of str() for every port and address."""
    port = PublishedPort(inside, protocol, host, outside)  # type: ignore[arg-type]

    assert PublishedPort.parse(str(port)) == port


@given(st.lists(_LABELS, max_size=4), st.lists(_PORTS, max_size=3), st.ip_addresses(v=4))
def test_an_endpoint_reads_as_it_was_written(
    names: list[str], ports: list[int], address: ipaddress.IPv4Address
) -> None:
    """What an endpoint's file says is what was put into it."""
    endpoint = Endpoint(
        owner="ab" * 32,
        network="cd" * 32,
        network_name="shop",
        interface="eth0",
        link="ck0abababababab",
        ipv4=f"{address}/24",
        names=tuple(names),
        ports=tuple(PublishedPort(port, "tcp", "127.0.0.1", port) for port in ports),
    )

    read = Endpoint.from_text(
        endpoint.to_text(), owner=endpoint.owner, network=endpoint.network, network_name="shop"
    )

    assert read == endpoint


def test_a_later_version_may_write_more_into_an_endpoint() -> None:
    """A line with a key that nobody knows is passed over."""
    text = "interface eth0\nweight 7\nname a\n"

    assert Endpoint.from_text(text, owner="", network="").names == ("a",)


@pytest.mark.parametrize(
    ("wish", "named"),
    [
        ({"ipv4": "10.0.0.256"}, "10.0.0.256"),
        ({"ipv4": "fd00::1"}, "IPv4"),
        ({"ipv6": "10.0.0.1"}, "IPv6"),
        ({"ipv4": "224.0.0.1"}, "224.0.0.1"),
        ({"ipv4": "127.0.0.1"}, "127.0.0.1"),
        ({"mac": "01:00:00:00:00:01"}, "group"),
        ({"mac": "0242ac110002"}, "0242ac110002"),
        ({"aliases": ["a\nname b"]}, "name b"),
        ({"aliases": ["a" * 64]}, "aaaa"),
        ({"aliases": "web"}, "web"),
        ({"interface": "../x"}, "../x"),
        ({"interface": "sixteen-letters0"}, "sixteen"),
    ],
)
def test_a_wrong_wish_is_refused_where_it_is_written(wish: dict[str, object], named: str) -> None:
    """What cannot be is InvalidInput that quotes it, and never reaches a file or the kernel."""
    with pytest.raises(InvalidInput, match=named):
        EndpointRequest(network="shop", **wish)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wish",
    [
        {"container_port": 0},
        {"container_port": 65536},
        {"container_port": 65535, "count": 2},
        {"container_port": 80, "host_port": 65536},
        {"container_port": 80, "host_port": -1},
        {"container_port": 80, "count": 0},
        {"container_port": 80, "protocol": "icmp"},
        {"container_port": 80, "host_ip": "localhost"},
    ],
)
def test_a_port_that_cannot_be_published_is_refused(wish: dict[str, object]) -> None:
    """A port request checks itself."""
    with pytest.raises(InvalidInput):
        PortRequest(**wish)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wish", [{"loss": 1.5}, {"delay_ms": -1}, {"delay_ms": 1, "jitter_ms": 2}, {"rate": 1}]
)
def test_shaping_has_bounds(wish: dict[str, object]) -> None:
    """A share is 0 to 1, a wait is not negative, a rate moves at least a byte a second."""
    with pytest.raises(InvalidInput):
        Shaping(**wish)  # type: ignore[arg-type]
