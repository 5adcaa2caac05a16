"""What doctor says of networks."""

from __future__ import annotations

import subprocess

import pytest

from container_kit.cli.doctor_network import describe, examine_networks
from container_kit.network.firewall_probe import FirewallFacts, probe_firewall
from tests.netfilter import netfilter_tables

_ALL = FirewallFacts(can_keep=True, can_limit=True, can_lose=True, can_delay=True)


def test_a_kernel_with_everything_is_well() -> None:
    """No remedy where nothing is missing."""
    assert {(one.verdict, one.remedy) for one in describe(_ALL)} == {("ok", "")}


def test_what_is_missing_has_a_remedy() -> None:
    """Each line that is not well says what to do."""
    for facts in (
        FirewallFacts(missing="no nftables"),
        FirewallFacts(can_limit=True, can_lose=True),
        FirewallFacts(dropping=("ip filter FORWARD",)),
    ):
        found = [one for one in describe(facts) if one.verdict != "ok"]
        assert found and all(one.remedy for one in found)


@pytest.mark.root
@pytest.mark.tool("nft")
def test_a_firewall_that_drops_what_is_forwarded_is_named() -> None:
    """Docker's is one: containers would not reach the outside, and nobody would know why."""
    before = set(netfilter_tables())
    rules = "add table ip other; add chain ip other f { type filter hook forward priority 0; policy drop; }"
    subprocess.run(["nft", rules], check=True)
    try:
        assert "ip other f" in probe_firewall().dropping
        (found,) = [one for one in examine_networks() if "ip other f" in one.fact]
        for command in found.remedy.split("; "):
            subprocess.run(command.replace("'", '"'), shell=True, check=True)
    finally:
        subprocess.run(["nft", "delete table ip other"], check=True)
    assert set(netfilter_tables()) == before, "nothing is left of what was tried"
