"""Published ports: who reaches them, and who can have them."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys

import pytest

from container_kit.errors import Conflict, InvalidInput, UnsupportedFeature
from container_kit.native.namespaces import NetworkNamespace
from container_kit.network import NetworkOptions, Networks, PortRequest, ports
from container_kit.network.ports_holder import who_has
from container_kit.network.site import Site
from tests.network.inside import run_in
from tests.network.wires import SILENCE_S, answering, call, member, outside, socket_in

pytestmark = pytest.mark.root

UDP = socket.SOCK_DGRAM


def test_a_port_is_reached_from_everywhere_it_is_published_to(networks: Networks) -> None:
    """From the host, from another machine, which the server sees as itself, and from containers."""
    host = networks.site.host
    record = networks.create("shop")
    networks.create("other")
    with (
        outside(host) as far,
        contextlib.closing(member(networks, "shop", PortRequest(80, host_ip="0.0.0.0"))) as one,
        contextlib.closing(member(networks, "shop")) as peer,
        contextlib.closing(member(networks, "other")) as stranger,
        answering(one.namespace, 80),
    ):
        gateway, port = record.subnets[0].gateway, one.ports[0].host_port

        assert call(host, "127.0.0.1", port) == gateway
        assert call(host, "198.51.100.1", port) == "198.51.100.1"
        assert call(far, "198.51.100.1", port) == "198.51.100.2"
        assert call(peer.namespace, "198.51.100.1", port) == gateway
        assert call(one.namespace, gateway, port) == gateway
        assert call(stranger.namespace, "198.51.100.1", port) == gateway


def test_a_port_is_published_on_loopback_unless_said_otherwise(networks: Networks) -> None:
    """Another machine does not reach it, and no container (S22)."""
    host = networks.site.host
    networks.create("shop")
    with (
        outside(host) as far,
        contextlib.closing(member(networks, "shop", PortRequest(80))) as one,
        contextlib.closing(member(networks, "shop")) as peer,
        answering(one.namespace, 80),
    ):
        port = one.ports[0]

        assert port.host_ip == "127.0.0.1"
        assert call(host, "127.0.0.1", port.host_port) != "ConnectionRefusedError"
        assert call(far, "198.51.100.1", port.host_port) == "ConnectionRefusedError"
        assert call(peer.namespace, "198.51.100.1", port.host_port) == "ConnectionRefusedError"


def test_udp_is_published_and_answers_find_their_way(networks: Networks) -> None:
    """A datagram gets there and back; the server sees another machine as itself."""
    host = networks.site.host
    networks.create("shop")
    with (
        outside(host) as far,
        contextlib.closing(member(networks, "shop", PortRequest(53, "udp", "0.0.0.0"))) as one,
        answering(one.namespace, 53, UDP),
    ):
        port = one.ports[0].host_port

        assert call(host, "127.0.0.1", port, UDP) == one.endpoints[0].gateway4
        assert call(far, "198.51.100.1", port, UDP) == "198.51.100.2"


def test_a_flow_from_before_reaches_the_new_container(networks: Networks) -> None:
    """Who has sent to the port before it was published, or to another container, is heard by it."""
    host = networks.site.host
    networks.create("shop")
    with outside(host) as far, socket_in(far, UDP) as caller:
        caller.settimeout(SILENCE_S)
        for _ in range(2):
            caller.sendto(b"?", ("198.51.100.1", 5300))
            with pytest.raises((TimeoutError, ConnectionRefusedError)):
                caller.recv(100)
            with (
                contextlib.closing(member(networks, "shop", PortRequest(53, "udp", "0.0.0.0", 5300))) as one,
                answering(one.namespace, 53, UDP),
            ):
                caller.sendto(b"?", ("198.51.100.1", 5300))
                assert caller.recv(100) == b"198.51.100.2"


def test_ipv6_is_published_where_the_network_has_it(networks: Networks) -> None:
    """At an address and at all of them; elsewhere the error says what to do."""
    host = networks.site.host
    networks.create("shop", NetworkOptions(ipv6=True))
    networks.create("old")
    with (
        outside(host) as far,
        contextlib.closing(
            member(networks, "shop", PortRequest(80, host_ip="::"), PortRequest(81, host_ip="2001:db8::1"))
        ) as one,
        answering(one.namespace, 80, ipv6=True),
        answering(one.namespace, 81, ipv6=True),
    ):
        everywhere, here = one.ports

        assert call(far, "2001:db8::1", everywhere.host_port) == "2001:db8::2"
        assert call(far, "2001:db8::1", here.host_port) == "2001:db8::2"
    with pytest.raises(UnsupportedFeature, match="packets of ::1 cannot be translated"):
        member(networks, "shop", PortRequest(80, host_ip="::1"))
    with pytest.raises(InvalidInput, match="no IPv6; create it with ipv6=True"):
        member(networks, "old", PortRequest(80, host_ip="::"))


def test_a_range_is_published_port_by_port(networks: Networks) -> None:
    """The n-th port outside leads to the n-th inside."""
    networks.create("shop")
    wish = PortRequest(8000, host_port=18000, count=3)
    with contextlib.closing(member(networks, "shop", wish)) as one, answering(one.namespace, 8002):
        assert [(port.container_port, port.host_port) for port in one.ports] == [
            (8000, 18000),
            (8001, 18001),
            (8002, 18002),
        ]
        assert call(networks.site.host, "127.0.0.1", 18002) == one.endpoints[0].gateway4
        assert call(networks.site.host, "127.0.0.1", 18001) == "ConnectionRefusedError"


def test_a_thousand_ports_are_published_at_once(networks: Networks) -> None:
    """More than fit into one message of netlink; and all of them go again."""
    record = networks.create("shop")
    host = networks.site.host
    with contextlib.closing(member(networks, "shop")):
        with (
            contextlib.closing(member(networks, "shop", PortRequest(8000, count=1000))) as one,
            answering(one.namespace, 8999),
        ):
            assert call(host, "127.0.0.1", one.ports[-1].host_port) == one.endpoints[0].gateway4
        table = f"ckit_{record.id[:12]}_ports"
        assert "elements" not in run_in(host, "nft", "list", "map", "inet", table, "ports4")


def test_a_taken_port_names_the_container_that_has_it(networks: Networks) -> None:
    """So that one knows what to end."""
    networks.create("shop")
    with (
        contextlib.closing(member(networks, "shop", PortRequest(80, host_port=18080), name="web")),
        pytest.raises(Conflict, match=r"port 18080/tcp of 127\.0\.0\.1: it is taken by container web;"),
    ):
        member(networks, "shop", PortRequest(80, host_port=18080))


def test_a_taken_port_names_the_program_that_has_it() -> None:
    """Also when that listens everywhere, and by IPv6."""
    server = "import socket, sys; s = socket.create_server(('::', 0), family=10, dualstack_ipv6=True); "
    server += "print(s.getsockname()[1], flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", server], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as there:
        assert there.stdin and there.stdout
        port = int(there.stdout.readline())
        with pytest.raises(Conflict, match=rf"taken by python\S* \(process {there.pid}\)"):
            ports.hold([PortRequest(80, host_port=port)], Site("/nowhere", NetworkNamespace.here()))
        there.stdin.close()


def test_a_held_port_cannot_be_taken_and_hears_nothing() -> None:
    """Nobody binds it, not even to share it; what arrives is lost, not refused."""
    site = Site("/nowhere", NetworkNamespace.here())
    (held,) = ports.hold([PortRequest(80)], site)
    with held.socket, socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        with pytest.raises(OSError, match="in use"):
            thief.bind(("127.0.0.1", held.port.host_port))
        assert call(site.host, "127.0.0.1", held.port.host_port, patience_s=SILENCE_S) == "TimeoutError"
        assert who_has(held.port) == "this program itself"


def test_all_ports_are_held_or_none() -> None:
    """After an error the ones before it are free again."""
    site = Site("/nowhere", NetworkNamespace.here())
    with pytest.raises(InvalidInput, match="asked for twice"):
        ports.hold([PortRequest(80, host_port=18081), PortRequest(81, host_port=18081)], site)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 18081))


def test_an_address_that_is_not_the_hosts_is_said_to_be_none() -> None:
    """With the way to see which there are."""
    with pytest.raises(InvalidInput, match="this host has no such address; see `ip address`"):
        ports.hold([PortRequest(80, host_ip="203.0.113.9")], Site("/nowhere", NetworkNamespace.here()))


@pytest.mark.skipif(os.path.exists("/proc/net/sctp"), reason="this kernel has SCTP")
def test_a_protocol_that_the_kernel_lacks_is_said_to_be_missing() -> None:
    """SCTP is not in every kernel; then no container could speak it either."""
    with pytest.raises(UnsupportedFeature, match="this kernel does not know SCTP; modprobe sctp"):
        ports.hold([PortRequest(80, "sctp")], Site("/nowhere", NetworkNamespace.here()))


def test_ports_need_a_network_that_can_publish_them(networks: Networks) -> None:
    """A container without one is told so."""
    networks.create("vault", NetworkOptions(internal=True))
    with pytest.raises(InvalidInput, match="not internal"):
        member(networks, "vault", PortRequest(80))


def test_leftovers_of_a_dead_container_do_not_keep_its_port(networks: Networks) -> None:
    """What nobody took out of the firewall is replaced by whoever holds the port now."""
    record = networks.create("shop")
    with contextlib.closing(member(networks, "shop")):  # the network stays
        table = f"ckit_{record.id[:12]}_ports"
        stale = "{ 127.0.0.1 . tcp . 18082 : 10.9.9.9 . 1 }"
        run_in(networks.site.host, "nft", "add", "element", "inet", table, "ports4", stale)
        with (
            contextlib.closing(member(networks, "shop", PortRequest(80, host_port=18082))) as one,
            answering(one.namespace, 80),
        ):
            assert call(networks.site.host, "127.0.0.1", 18082) == one.endpoints[0].gateway4
