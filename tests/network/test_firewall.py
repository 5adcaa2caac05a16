"""The walls of bridge networks, as packets find them."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from container_kit.errors import InvalidInput
from container_kit.native.namespaces import NetworkNamespace
from container_kit.network import NetworkOptions, NetworkRecord, Networks, PortRequest, firewall
from container_kit.network.keeper import has_keeper
from tests.network.inside import run_in
from tests.network.wires import answering, call, member, outside, reaches, rules, socket_in, tables

pytestmark = pytest.mark.root


@pytest.fixture
def other(networks: Networks) -> Iterator[NetworkNamespace]:
    """Another machine on the host's wire."""
    with outside(networks.site.host) as found:
        yield found


@pytest.mark.tool("nft")
def test_a_network_has_its_tables_as_long_as_it_is_there(networks: Networks) -> None:
    """What is made is what nft shows, and nothing stays behind."""
    record = networks.create("shop", NetworkOptions(ipv6=True))
    host = networks.site.host
    run_in(host, "nft", "add", "table", "inet", "others")

    firewall.set_up(record, host)
    made = tables(networks)
    firewall.set_up(record, host)

    assert tables(networks) == made, "a second time changes nothing"
    name = f"ckit_{record.id[:12]}"
    assert {f"table inet {name} ", f"table inet {name}_ports ", f"table bridge {name} "} <= {
        line.partition("{")[0] for line in made.splitlines()
    }
    assert f'iifname "{record.link}" jump inside' in made
    assert "dnat ip to ip daddr . meta l4proto . th dport map @ports4" in made
    assert "iifname . arp saddr ip != @members4 drop" in made
    firewall.tear_down(record, host)
    firewall.tear_down(record, host)
    assert tables(networks).split() == ["table", "inet", "others", "{", "}"]


def test_containers_of_one_network_reach_each_other_and_the_outside(
    networks: Networks, other: NetworkNamespace
) -> None:
    """Inside as themselves, outside with the host's address."""
    networks.create("shop")
    with (
        contextlib.closing(member(networks, "shop")) as one,
        contextlib.closing(member(networks, "shop")) as two,
        answering(two.namespace, 80),
        answering(other, 80),
    ):
        (address,) = one.endpoints[0].addresses
        assert call(one.namespace, two.endpoints[0].addresses[0], 80) == address
        assert call(one.namespace, "198.51.100.2", 80) == "198.51.100.1"


@pytest.mark.parametrize("isolate", [True, False])
def test_networks_are_kept_apart_unless_they_say_otherwise(networks: Networks, isolate: bool) -> None:
    """A container of another network is kept out; where both allow it, it comes in: the control."""
    for name in ("a", "b"):
        networks.create(name, NetworkOptions(isolate=isolate))
    with (
        contextlib.closing(member(networks, "a")) as one,
        contextlib.closing(member(networks, "b")) as two,
        answering(two.namespace, 80),
    ):
        found = call(one.namespace, two.endpoints[0].addresses[0], 80, patience_s=0.5)

    assert (found == "TimeoutError") is isolate


def test_open_networks_see_each_other_as_they_are(networks: Networks, other: NetworkNamespace) -> None:
    """Between networks that are not isolated addresses stay; outside they are the host's as ever."""
    for name in ("one", "two"):
        networks.create(name, NetworkOptions(isolate=False))
    with (
        contextlib.closing(member(networks, "one")) as one,
        contextlib.closing(member(networks, "two")) as two,
        answering(two.namespace, 80),
        answering(other, 80),
    ):
        (address,) = one.endpoints[0].addresses
        assert call(one.namespace, two.endpoints[0].addresses[0], 80) == address
        assert call(one.namespace, "198.51.100.2", 80) == "198.51.100.1"


@pytest.mark.tool("nft")
def test_a_table_of_services_goes_with_its_network(networks: Networks) -> None:
    """With the option, the table that others have made is among what a network takes away."""
    record = networks.create("shop", NetworkOptions(options={"services": "true"}))
    host, name = networks.site.host, f"ckit_{record.id[:12]}_svc"
    firewall.set_up(record, host)
    run_in(host, "nft", "add", "table", "inet", name)
    assert name in tables(networks)
    firewall.tear_down(record, host)
    assert tables(networks) == ""


def test_what_is_not_published_cannot_be_reached_from_outside(
    networks: Networks, other: NetworkNamespace
) -> None:
    """Whoever sends to a container's own address by way of the host gets nowhere (CVE-2025-54388)."""
    record = networks.create("shop")
    with contextlib.closing(member(networks, "shop", PortRequest(81))) as one, answering(one.namespace, 80):
        run_in(other, "ip", "route", "add", record.subnets[0].subnet, "via", "198.51.100.1")
        (address,) = one.endpoints[0].addresses

        assert call(networks.site.host, address, 80) == record.subnets[0].gateway
        assert call(other, address, 80, patience_s=0.5) == "TimeoutError"
        assert call(other, record.subnets[0].gateway, 53, patience_s=0.5) == "TimeoutError"


def test_an_internal_network_has_no_way_out_and_none_in(networks: Networks, other: NetworkNamespace) -> None:
    """Neither to the outside, nor to programs of the host; its members reach each other."""
    record = networks.create("vault", NetworkOptions(internal=True))
    gateway = record.subnets[0].gateway
    with (
        contextlib.closing(member(networks, "vault")) as one,
        contextlib.closing(member(networks, "vault")) as two,
        answering(two.namespace, 80),
        answering(networks.site.host, 80),
        answering(other, 80),
    ):
        run_in(one.namespace, "ip", "route", "add", "default", "via", gateway)
        networks.site.host.set({"net/ipv4/ip_forward": "1"})

        assert call(one.namespace, "198.51.100.2", 80, patience_s=0.5) == "TimeoutError"
        assert call(one.namespace, gateway, 80, patience_s=0.5) == "TimeoutError"
        assert call(one.namespace, "198.51.100.1", 80, patience_s=0.5) == "TimeoutError"
        assert reaches(one.namespace, gateway, 53), "names are answered"
        assert call(one.namespace, two.endpoints[0].addresses[0], 80) == one.endpoints[0].addresses[0]
    with pytest.raises(InvalidInput, match="internal"):
        member(networks, "vault", PortRequest(80))


@pytest.mark.parametrize("metadata", ["block", "allow"])
def test_link_local_addresses_of_clouds_are_out_of_reach(networks: Networks, metadata: str) -> None:
    """What gives away a machine's credentials answers no container, unless its network says so."""
    host = networks.site.host
    networks.create("shop", NetworkOptions(options={"metadata": metadata}))
    with (
        outside(host) as cloud,
        contextlib.closing(member(networks, "shop")) as one,
        answering(cloud, 80),
    ):
        run_in(cloud, "ip", "address", "add", "169.254.169.254/32", "dev", "far")
        run_in(host, "ip", "route", "add", "169.254.169.254/32", "via", "198.51.100.2")
        found = call(one.namespace, "169.254.169.254", 80)

    assert found == ("198.51.100.1" if metadata == "allow" else "ConnectionRefusedError")


def test_loopback_of_the_host_is_not_reached_from_a_network(networks: Networks) -> None:
    """A packet to 127.0.0.1 that comes in by the bridge is dropped (S22, CVE-2020-8558)."""
    record = networks.create("shop")
    with contextlib.closing(member(networks, "shop")) as one, answering(networks.site.host, 80):
        inside = one.namespace
        inside.set({"net/ipv4/conf/all/route_localnet": "1", "net/ipv4/conf/eth0/route_localnet": "1"})
        run_in(inside, "ip", "address", "flush", "dev", "lo")
        run_in(inside, "ip", "route", "flush", "table", "local", "dev", "lo")
        run_in(inside, "ip", "route", "add", "127.0.0.1/32", "via", record.subnets[0].gateway)

        assert call(inside, "127.0.0.1", 80, patience_s=0.5) == "TimeoutError"
        _kill_keeper(networks, record)
        run_in(networks.site.host, "nft", "flush", "chain", "inet", f"ckit_{record.id[:12]}", "inside")
        assert call(inside, "127.0.0.1", 80) == one.endpoints[0].addresses[0], "the control"


def _kill_keeper(networks: Networks, record: NetworkRecord) -> None:
    """Nobody keeps the walls any longer, so that a test can take them down."""
    directory = networks.site.directory(record.id)
    os.kill(int(Path(f"{directory}/keeper.lock").read_text()), signal.SIGKILL)
    while has_keeper(directory):
        time.sleep(0.01)


def test_a_container_has_no_address_but_its_own(networks: Networks) -> None:
    """What it sends with another one's address, by IP or ARP, arrives nowhere; without the table it does."""
    record = networks.create("shop")
    with (
        contextlib.closing(member(networks, "shop")) as liar,
        contextlib.closing(member(networks, "shop")) as victim,
        answering(victim.namespace, 80),
    ):
        false = record.subnets[0].gateway.rpartition(".")[0] + ".77"
        run_in(liar.namespace, "ip", "address", "add", f"{false}/24", "dev", "eth0")
        address = victim.endpoints[0].addresses[0]

        assert _call_from(liar.namespace, false, address) == "TimeoutError"
        assert false not in run_in(victim.namespace, "ip", "neigh")
        run_in(networks.site.host, "nft", "flush", "chain", "bridge", f"ckit_{record.id[:12]}", "prerouting")
        assert _call_from(liar.namespace, false, address, patience_s=5) == false, "the control"


def _call_from(namespace: NetworkNamespace, source: str, address: str, *, patience_s: float = 0.5) -> str:
    with socket_in(namespace) as caller:
        caller.settimeout(patience_s)
        caller.bind((source, 0))
        try:
            caller.connect((address, 80))
            return caller.recv(100).decode()
        except OSError as error:
            return type(error).__name__


def test_routers_are_not_invented(networks: Networks) -> None:
    """A router advertisement of a container reaches no other (CVE-2020-10749); without the table it does."""
    record = networks.create("shop", NetworkOptions(ipv6=True))
    with (
        contextlib.closing(member(networks, "shop")) as liar,
        contextlib.closing(member(networks, "shop")) as victim,
    ):
        assert not _advertised(liar.namespace, victim.namespace)
        run_in(networks.site.host, "nft", "flush", "chain", "bridge", f"ckit_{record.id[:12]}", "prerouting")
        assert _advertised(liar.namespace, victim.namespace), "the control"


def _advertised(sender: NetworkNamespace, receiver: NetworkNamespace) -> bool:
    """Whether a router advertisement gets from one to the other."""
    icmpv6 = socket.IPPROTO_ICMPV6
    with (
        socket.socket(fileno=sender.socket(socket.AF_INET6, socket.SOCK_RAW, icmpv6).give_up()) as out,
        socket.socket(fileno=receiver.socket(socket.AF_INET6, socket.SOCK_RAW, icmpv6).give_up()) as into,
    ):
        into.settimeout(0.5)
        out.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        with contextlib.suppress(TimeoutError):
            deadline = time.monotonic() + 0.5
            out.sendto(b"\x86\0\0\0" + bytes(12), ("ff02::1", 0, 0, _index(sender)))
            while time.monotonic() < deadline:
                if into.recv(2048)[0] == 0x86:
                    return True
        return False


def _index(namespace: NetworkNamespace) -> int:
    return int(run_in(namespace, "ip", "-o", "link", "show", "eth0").partition(":")[0])


@pytest.mark.tool("nft")
def test_rules_come_back_one_by_one(networks: Networks) -> None:
    """What the restoring batches bring back is what there was; what is there they leave alone."""
    record = networks.create("shop")
    host = networks.site.host
    with contextlib.closing(member(networks, "shop", PortRequest(80), PortRequest(53, "udp"))) as one:
        _kill_keeper(networks, record)
        before = rules(networks)
        assert len(before) > 50, "walls outlive their keeper"
        run_in(host, "nft", "flush", "ruleset")
        _send(host, firewall.restoration(record))
        _send(host, firewall.restoration_of(record, one.endpoints[0]))
        assert rules(networks) == before
        _send(host, firewall.restoration(record))
        _send(host, firewall.restoration_of(record, one.endpoints[0]))
        assert rules(networks) == before


def _send(host: NetworkNamespace, batches: bytes) -> None:
    at = start = 0
    with socket.socket(fileno=host.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12).give_up()) as kernel:
        while at < len(batches):
            size, kind = int.from_bytes(batches[at : at + 4], "little"), batches[at + 4]
            at += size
            if kind == 0x11:
                kernel.sendto(batches[start:at], (0, 0))
                start = at


@pytest.mark.tool("nft")
def test_who_comes_after_a_killed_keeper_brings_all_rules_back(networks: Networks) -> None:
    """Also those of members that were there before, when others flushed them while nobody watched."""
    record = networks.create("shop")
    host = networks.site.host
    with contextlib.closing(member(networks, "shop", PortRequest(80))) as one, answering(one.namespace, 80):
        port = one.ports[0].host_port
        _kill_keeper(networks, record)
        run_in(host, "nft", "flush", "ruleset")
        assert call(host, "127.0.0.1", port, patience_s=0.3) == "TimeoutError", "the control"
        with contextlib.closing(member(networks, "shop")):
            end = time.monotonic() + 10
            while call(host, "127.0.0.1", port) != one.endpoints[0].gateway4:
                assert time.monotonic() < end
