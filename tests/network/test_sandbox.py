"""One container's network while it runs."""

from __future__ import annotations

import errno
import json
import os
import socket
import threading
from collections.abc import Callable

import pytest

from container_kit.errors import Conflict, InvalidInput, LimitExceeded, NotFound
from container_kit.native.namespaces import NetworkNamespace, new_network
from container_kit.native.network import add_pair, configure, ensure_bridge
from container_kit.network import EndpointRequest, NetworkOptions, Networks, NetworkSandbox, Undo
from container_kit.network.drivers.inside import _IPV6
from container_kit.network.joining import Joining, lead_out
from container_kit.network.sandbox import _SETTINGS
from tests.network.inside import add_wire, addresses, default_gateways, join, links, new_owner, run_in

pytestmark = pytest.mark.root


def _reaches(source: NetworkNamespace, target: NetworkNamespace, address: str) -> bool:
    """Whether a connection from one namespace arrives in the other."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with target.socket(family, socket.SOCK_STREAM) as listening:
        server = socket.socket(fileno=os.dup(listening.fileno()))
        server.bind((address, 0))
        server.listen()
        with source.socket(family, socket.SOCK_STREAM) as calling:
            client = socket.socket(fileno=os.dup(calling.fileno()))
            client.settimeout(5)
            with server, client:
                result = client.connect_ex((address, server.getsockname()[1]))
                return result == 0


def test_two_containers_reach_each_other(networks: Networks) -> None:
    """On one network, by IPv4 and by IPv6, as soon as they are on it."""
    networks.create("shop", NetworkOptions(ipv6=True))
    with join(networks, "shop") as one, join(networks, "shop") as two:
        for address in two.endpoints[0].addresses:
            assert _reaches(one.namespace, two.namespace, address)


def test_the_interface_is_as_the_endpoint_says(networks: Networks) -> None:
    """Name, MAC, MTU, addresses and gateways inside are what the endpoint, and its file, say."""
    networks.create("shop", NetworkOptions(ipv6=True, mtu=1400))
    with join(networks, EndpointRequest(network="shop", aliases=["DB"]), name="cache") as member:
        (endpoint,) = member.endpoints
        inside = links(member.namespace)["eth0"]

        assert inside["operstate"] == "UP"
        assert (inside["address"], inside["mtu"]) == (endpoint.mac, 1400)
        assert addresses(member.namespace, "eth0") == [endpoint.ipv4, endpoint.ipv6]
        assert default_gateways(member.namespace) == [endpoint.gateway4, endpoint.gateway6]
        assert endpoint.names == ("cache", "db", member.owner[:12])
        assert networks.endpoints("shop") == [endpoint]
        assert endpoint.link in links(networks.site.host)


def test_what_was_asked_for_is_what_it_is(networks: Networks) -> None:
    """Address, MAC and the interface's name can be chosen."""
    networks.create("shop", NetworkOptions(subnets=["10.60.0.0/24", "fd00:60::/64"]))
    wish = EndpointRequest(
        network="shop", ipv4="10.60.0.77", ipv6="fd00:60::77", mac="0A:00:00:00:00:07", interface="wan0"
    )
    with join(networks, wish) as member:
        assert addresses(member.namespace, "wan0") == ["10.60.0.77/24", "fd00:60::77/64"]
        assert links(member.namespace)["wan0"]["address"] == "0a:00:00:00:00:07"


def test_an_address_belongs_to_one_container(networks: Networks) -> None:
    """Another one that asks for it is told who has it; when that one is gone it can be had."""
    networks.create("shop", NetworkOptions(subnets=["10.60.0.0/24"]))
    wish = EndpointRequest(network="shop", ipv4="10.60.0.7")
    with join(networks, wish, name="redis"), pytest.raises(Conflict, match="redis"):
        join(networks, wish)

    with join(networks, wish) as again:
        assert again.endpoints[0].ipv4 == "10.60.0.7/24"


def test_many_at_once_have_addresses_of_their_own(networks: Networks) -> None:
    """Threads that come onto a network at the same time never get the same address."""
    networks.create("shop")
    members: list[NetworkSandbox] = []

    def come() -> None:
        members.extend(join(networks, "shop") for _ in range(5))

    threads = [threading.Thread(target=come) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({member.endpoints[0].ipv4 for member in members}) == 30
    for member in members:
        member.close()


def test_a_network_that_is_full_says_so(networks: Networks) -> None:
    """When all addresses are in use it is LimitExceeded with the subnet, and who came stays on."""
    networks.create("small", NetworkOptions(subnets=["10.60.0.0/29"]))
    members = [join(networks, "small") for _ in range(5)]

    with pytest.raises(LimitExceeded, match=r"10\.60\.0\.0/29"):
        join(networks, "small")

    members.pop().close()
    members.append(join(networks, "small"))
    assert len(networks.endpoints("small")) == 5
    for member in members:
        member.close()


def test_a_container_is_on_several_networks(networks: Networks) -> None:
    """Each with an interface of its own; the way out leads by the first one that has one."""
    networks.create("inner", NetworkOptions(internal=True))
    networks.create("first")
    networks.create("second")
    with join(networks, "inner", "first", "second") as member:
        inner, first, second = member.endpoints

        assert [one.interface for one in member.endpoints] == ["eth0", "eth1", "eth2"]
        assert (inner.gateway4, second.gateway4) == ("", "")
        assert default_gateways(member.namespace) == [first.gateway4]
        assert networks.endpoints_of(member.owner) == [inner, first, second]


def test_a_network_twice_is_refused(networks: Networks) -> None:
    """A container is on a network once."""
    with pytest.raises(InvalidInput, match="once"):
        join(networks, "bridge", "bridge")
    assert networks.endpoints("bridge") == []


def test_an_unknown_network_leaves_nothing(networks: Networks) -> None:
    """A failure at the second network takes back what was claimed on the first."""
    with pytest.raises(NotFound):
        join(networks, "bridge", "nowhere")

    assert networks.endpoints("bridge") == []
    assert os.listdir(f"{networks.site.directory(networks.get('bridge').id)}/addresses") == []


def test_what_undoes_it_is_known_before_it_exists(networks: Networks) -> None:
    """When the announcement is made there is no endpoint and no link; unlinking its files is enough."""
    networks.create("shop")
    seen: list[tuple[bool, list[str]]] = []

    def look(undo: Undo) -> None:
        seen.append((os.path.exists(undo.files[-1]), list(links(networks.site.host))))

    member = NetworkSandbox.open(
        networks, new_owner(), [EndpointRequest(network="shop")], names=["c"], announce=look
    )
    undo = member.undo
    member.let_go()
    for path in undo.files:
        if os.path.lexists(path):
            os.unlink(path)

    assert seen == [(False, ["lo"])]
    assert networks.endpoints("shop") == []
    networks.remove("shop")


def _fail(error: BaseException) -> Callable[[Undo], None]:
    def announce(undo: Undo) -> None:
        raise error

    return announce


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.EIO, "no guardian")])
def test_a_failed_announcement_leaves_nothing(networks: Networks, error: BaseException) -> None:
    """Nobody could undo it, so nothing is made."""
    networks.create("shop")

    with pytest.raises(type(error)):
        NetworkSandbox.open(
            networks, new_owner(), [EndpointRequest(network="shop")], names=["c"], announce=_fail(error)
        )

    assert networks.endpoints("shop") == []
    assert list(links(networks.site.host)) == ["lo"]
    networks.remove("shop")


def test_a_container_without_networks_has_a_loopback(networks: Networks) -> None:
    """It is up, and there is no way out."""
    with NetworkSandbox.open(networks, new_owner(), [], names=[], announce=lambda undo: None) as member:
        assert list(links(member.namespace)) == ["lo"]
        assert default_gateways(member.namespace) == []
        assert _reaches(member.namespace, member.namespace, "127.0.0.1")


def test_a_container_and_its_gateway_know_each_other(networks: Networks) -> None:
    """From the first packet: neither has to ask for the other, by IPv4 or IPv6."""
    record = networks.create("shop", NetworkOptions(ipv6=True))
    with join(networks, "shop") as member:
        (endpoint,) = member.endpoints
        of_gateway = json.loads(run_in(member.namespace, "ip", "-json", "neighbour"))
        of_member = json.loads(run_in(networks.site.host, "ip", "-json", "neighbour"))

        assert {one["dst"]: one["lladdr"] for one in of_gateway} == {
            subnet.gateway: record.link_mac for subnet in record.subnets
        }
        assert {one["dst"]: one["lladdr"] for one in of_member} == dict.fromkeys(
            endpoint.addresses, endpoint.mac
        )


def test_the_host_forgets_who_has_gone(networks: Networks) -> None:
    """Its table of neighbours has room for a thousand: who comes and goes quickly must not fill it."""
    networks.create("shop")
    with join(networks, "shop") as stays:
        goes = join(networks, "shop")
        (address,) = (text.partition("/")[0] for text in goes.endpoints[0].addresses)
        (other,) = (text.partition("/")[0] for text in stays.endpoints[0].addresses)
        assert {address, other} <= _neighbours(networks)
        goes.close()
        assert _neighbours(networks) & {address, other} == {other}


def _neighbours(networks: Networks) -> set[str]:
    return {line.split()[0] for line in run_in(networks.site.host, "ip", "neigh").splitlines()}


def test_closing_may_be_repeated(networks: Networks) -> None:
    """And nothing of the container is on the network afterwards."""
    networks.create("shop")
    member = join(networks, "shop")

    member.close()
    member.close()

    assert networks.endpoints("shop") == []


def test_a_running_container_changes_its_networks(networks: Networks) -> None:
    """It comes onto a second network and leaves the first; then its way out leads by the second."""
    networks.create("first")
    networks.create("second")
    with join(networks, "first") as member:
        second = Joining(
            networks,
            networks.get("second"),
            member.owner,
            EndpointRequest(network="second"),
            names=["c"],
            others=member.endpoints,
            with_gateway=False,
        )
        second.decide()
        second.join(member.namespace)
        assert default_gateways(member.namespace) == [member.endpoints[0].gateway4]

        Joining.of(networks, member.endpoints[0]).leave(member.namespace)
        (left,) = lead_out(networks, networks.endpoints_of(member.owner), member.namespace)

        assert sorted(links(member.namespace)) == ["eth1", "lo"]
        assert left.gateway4 == networks.get("second").subnets[0].gateway
        assert default_gateways(member.namespace) == [left.gateway4]
        assert networks.endpoints("first") == []
        Joining.of(networks, left).leave(member.namespace)


def test_a_network_may_have_ipv6_alone(networks: Networks) -> None:
    """Then there is no IPv4 address, and the way out is one of IPv6."""
    networks.create("six", NetworkOptions(subnets=["fd00:66::/64"]))
    with join(networks, "six") as one, join(networks, "six") as two:
        assert one.endpoints[0].ipv4 == ""
        assert default_gateways(one.namespace) == ["fd00:66::1"]
        assert _reaches(one.namespace, two.namespace, "fd00:66::3")


def test_the_host_keeps_listening_to_its_routers(networks: Networks) -> None:
    """A host that becomes a router for IPv6 still takes its own way out from the routers on its wire."""
    host = networks.site.host
    add_wire(host, "wire0", address="fd00:77::2/64")
    run_in(host, "ip", "route", "add", "default", "via", "fd00:77::1", "dev", "wire0")
    before = host.get("net/ipv6/conf/wire0/accept_ra")
    networks.create("six", NetworkOptions(ipv6=True))

    with join(networks, "six"):
        assert host.get("net/ipv6/conf/all/forwarding") == "1"
        assert (before, host.get("net/ipv6/conf/wire0/accept_ra")) == ("1", "2")


def test_ipv6_is_off_where_the_network_has_none(networks: Networks) -> None:
    """On a network without IPv6 an interface has no IPv6 address at all, and takes no advice of routers."""
    networks.create("shop")
    with join(networks, "shop") as member:
        shown = run_in(member.namespace, "ip", "-6", "address", "show", "dev", "eth0")
        assert shown == ""
        assert member.namespace.get("net/ipv6/conf/eth0/accept_ra") == "0"


def test_ipv6_takes_no_router_advertisement() -> None:
    """Somebody on the wire cannot make himself the way out (CVE-2020-10749), were there no packet filter.

    The control says that the same advertisement is believed where it is not switched off.
    """
    wire, attacker, victim, fool = new_network(), new_network(), new_network(None, _SETTINGS), new_network()
    bridge = ensure_bridge(wire, "br0", mac="02:42:00:00:00:01", mtu=1500, addresses=[])
    for number, inside in enumerate((attacker, victim, fool), 2):
        mac = f"02:42:00:00:00:{number:02x}"
        add_pair(wire, f"v{number}", inner="eth0", inside=inside, bridge=bridge, mac=mac, mtu=1500)
        settings = {"disable_ipv6": "0", "accept_dad": "0", **({} if inside is fool else _IPV6)}
        inside.set({f"net/ipv6/conf/eth0/{key}": value for key, value in settings.items()})
        configure(inside, "eth0", addresses=[f"fd00::{number}/64"], gateways=[])

    while not default_gateways(fool):
        _advertise(attacker)

    assert default_gateways(victim) == []
    for place in (wire, attacker, victim, fool):
        place.close()


def _advertise(namespace: NetworkNamespace) -> None:
    """Say to all on the wire: I am a router, for half an hour."""
    advertisement = bytes([134, 0, 0, 0, 64, 0]) + (1800).to_bytes(2) + bytes(8)
    with namespace.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as held:
        raw = socket.socket(fileno=os.dup(held.fileno()))
        with raw:
            index = links(namespace)["eth0"]["ifindex"]
            raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
            raw.sendto(advertisement, ("ff02::1", 0, 0, index))


def test_members_that_shall_not_meet_do_not(networks: Networks) -> None:
    """With icc=false containers do not reach each other, but each its gateway."""
    networks.create("apart", NetworkOptions(options={"icc": "false"}))
    with join(networks, "apart") as one, join(networks, "apart") as two:
        gateway = networks.get("apart").subnets[0].gateway

        assert _reaches(one.namespace, networks.site.host, gateway)
        assert links(networks.site.host)[two.endpoints[0].link]["linkinfo"]["info_slave_data"]["isolated"]
