"""What a network is defined to be."""

from __future__ import annotations

from typing import Any

import pytest

from container_kit.errors import CorruptData, InvalidInput
from container_kit.network import NetworkOptions, NetworkRecord, Subnet
from container_kit.network.record import check_name

_ID = "0123456789ab" + "cd" * 26


def test_a_definition_reads_as_it_was_written() -> None:
    """`from_json` is the inverse of `to_json`."""
    record = NetworkRecord(
        id=_ID,
        name="shop",
        created_ns=5,
        options=NetworkOptions(
            subnets=["10.1.0.0/16"], labels={"a": "b"}, dns=["10.0.0.1"], internal=True, mtu=1400
        ),
        subnets=(Subnet("10.1.0.0/16", "10.1.0.1"),),
        mtu=1400,
    )

    assert NetworkRecord.from_json(record.to_json()) == record


@pytest.mark.parametrize("document", [b"", b"[]", b"{}", b'{"id": 1, "options": {"x": 1}, "subnets": []}'])
def test_a_damaged_definition_is_told_as_such(document: bytes) -> None:
    """What is no definition is CorruptData, whatever it is."""
    with pytest.raises(CorruptData, match=r"network\.json"):
        NetworkRecord.from_json(document)


def test_links_have_names_that_the_kernel_takes() -> None:
    """The bridge's name has at most 15 letters, its MAC address is nobody's group's."""
    record = NetworkRecord(id=_ID, name="n" * 128)

    assert record.link == "ck-0123456789ab"
    assert int(record.link_mac[:2], 16) & 1 == 0


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"subnets": ["10.1.2.3/24"]}, "did you mean 10.1.2.0/24"),
        ({"subnets": ["ten"]}, "not a subnet"),
        ({"subnets": ["10.1.2.0/31"]}, "too small"),
        ({"subnets": ["224.0.0.0/8"]}, "none that containers can have"),
        ({"subnets": ["10.1.0.0/16", "10.1.2.0/24"]}, "overlap"),
        ({"subnets": ["10.1.0.0/16"], "gateways": ["10.2.0.1"]}, "none of the network's subnets"),
        ({"subnets": ["10.1.0.0/16"], "ip_range": "10.2.0.0/24"}, "none of the network's subnets"),
        ({"gateways": ["gate"]}, "not an IP address"),
        ({"dns": ["server"]}, "DNS server"),
        ({"mtu": 60}, "68 to 65535"),
        ({"mtu": 1000, "ipv6": True}, "1280"),
        ({"subnets": "10.1.0.0/16"}, "one word"),
    ],
)
def test_a_network_that_cannot_be_is_refused(wish: dict[str, Any], said: str) -> None:
    """Options check themselves and say what was probably meant."""
    with pytest.raises(InvalidInput, match=said):
        NetworkOptions(**wish)


@pytest.mark.parametrize("name", ["", "-a", "a/b", "a b", "a\n", "x" * 129, "ab" * 32])
def test_a_name_that_cannot_be_is_refused(name: str) -> None:
    """A name is no path, no id, and fits into a file name."""
    with pytest.raises(InvalidInput):
        check_name(name)
