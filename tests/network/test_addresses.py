"""Which subnets and addresses are free."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_kit.errors import Conflict, InvalidInput, LimitExceeded
from container_kit.network import NetworkOptions, Subnet
from container_kit.network.addresses import (
    checked_address,
    choose_subnets,
    claim_name,
    free_addresses,
    is_apart,
    mac_of,
)

_SEEDS = st.integers(0, 0xFFFFFFFF).map(lambda number: f"{number:08x}")


@given(_SEEDS, st.lists(st.integers(0, 255), max_size=40), st.booleans())
def test_a_chosen_subnet_overlaps_nothing(seed: str, taken: list[int], is_default: bool) -> None:
    """Whatever others have, a network gets a subnet apart from it, with a gateway inside."""
    used = [(f"10.89.{third}.0/24", "another network") for third in taken] + [("0.0.0.0/0", "the way out")]

    (chosen,) = choose_subnets(NetworkOptions(), used, seed=seed, is_default=is_default)

    assert is_apart([chosen], used)
    assert ip_address(chosen.gateway) in ip_network(chosen.subnet)


def test_two_networks_of_a_root_have_subnets_apart() -> None:
    """What one network has, the next one does not get."""
    first = choose_subnets(NetworkOptions(ipv6=True), [], seed="00000007")
    taken = [(one.subnet, "network 'first'") for one in first]

    second = choose_subnets(NetworkOptions(ipv6=True), taken, seed="00000007")

    assert [one.is_ipv6 for one in second] == [False, True]
    assert is_apart(second, taken)


def test_a_subnet_that_is_in_use_is_refused_with_its_user() -> None:
    """An overlap is a Conflict that says with what."""
    with pytest.raises(Conflict, match=r"10\.0\.0\.0/8, which is used by network 'big'"):
        choose_subnets(NetworkOptions(subnets=["10.1.0.0/16"]), [("10.0.0.0/8", "network 'big'")], seed="0")


def test_no_subnet_is_left() -> None:
    """When everything is in use, that is what is said."""
    with pytest.raises(LimitExceeded, match="prune"):
        choose_subnets(NetworkOptions(), [("10.0.0.0/8", "the company")], seed="0")


def test_gateway_and_range_are_those_asked_for() -> None:
    """A gateway or a range goes to the subnet that has it."""
    options = NetworkOptions(
        subnets=["10.1.0.0/16", "fd00:1::/64"], gateways=["fd00:1::fe", "10.1.0.254"], ip_range="10.1.9.0/24"
    )

    four, six = choose_subnets(options, [], seed="0")

    assert (four.gateway, four.ip_range) == ("10.1.0.254", "10.1.9.0/24")
    assert (six.gateway, six.ip_range) == ("fd00:1::fe", "")


@given(st.integers(22, 30), st.sets(st.integers(0, 1023)), st.text("0123456789abcdef", max_size=8))
def test_addresses_are_given_once_and_never_the_gateway(prefix: int, claimed: set[int], last: str) -> None:
    """All free addresses come, each once; not the gateway's, the subnet's own, everybody's, or one in use."""
    whole = ip_network(f"10.4.0.0/{prefix}")
    subnet = Subnet(str(whole), "10.4.0.1")
    taken = {f"{int(whole.network_address) + offset:08x}" for offset in claimed}

    given_out = list(free_addresses(subnet, taken, last))

    hosts = {str(one) for one in whole.hosts()} - {"10.4.0.1"}
    assert len(given_out) == len(set(given_out))
    assert set(given_out) == {one for one in hosts if claim_name(one) not in taken}


def test_an_address_rests_before_it_is_given_again() -> None:
    """The search goes on behind the last one, and comes back to the first in the end."""
    subnet = Subnet("10.4.0.0/29", "10.4.0.1")

    assert list(free_addresses(subnet, (), claim_name("10.4.0.4"))) == [
        "10.4.0.5", "10.4.0.6", "10.4.0.2", "10.4.0.3", "10.4.0.4",
    ]  # fmt: skip


def test_addresses_come_from_the_range() -> None:
    """With a range, none outside of it is given."""
    subnet = Subnet("10.4.0.0/16", "10.4.0.1", "10.4.9.0/30")

    assert list(free_addresses(subnet, (), "")) == ["10.4.9.0", "10.4.9.1", "10.4.9.2", "10.4.9.3"]


def test_ipv6_addresses_are_given_as_well() -> None:
    """A subnet of 2 to the 64 addresses is not listed to give the first ones."""
    subnet = Subnet("fd00:1::/64", "fd00:1::1")

    assert list(islice(free_addresses(subnet, (), ""), 2)) == ["fd00:1::2", "fd00:1::3"]


@pytest.mark.parametrize("text", ["10.4.0.0", "10.4.0.1", "10.4.255.255", "10.5.0.2"])
def test_an_address_that_cannot_be_had_is_refused(text: str) -> None:
    """Not the subnet's own, the gateway's, everybody's, nor one of another subnet."""
    with pytest.raises(InvalidInput, match=text):
        checked_address(text, Subnet("10.4.0.0/16", "10.4.0.1"), "shop")


def test_an_address_of_a_kind_that_the_network_has_not() -> None:
    """IPv6 is not had on a network without it."""
    with pytest.raises(InvalidInput, match="no subnet"):
        checked_address("fd00::2", None, "shop")


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str))
def test_a_mac_address_is_of_one_interface(address: str) -> None:
    """It is made here (bit 1), and no group's (bit 0)."""
    assert int(mac_of(address)[:2], 16) & 3 == 2
