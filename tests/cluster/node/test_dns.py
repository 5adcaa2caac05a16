"""The names of a cluster: which there are, how they are asked for over the wire."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_kit.cluster.node.dns_message import TYPES, Record, answer, parse_question
from container_kit.cluster.node.dns_names import ClusterNames
from container_kit.cluster.node.dns_server import DnsServer
from container_kit.cluster.node.service_table import ServiceTable
from container_kit.native.namespaces import NetworkNamespace


def service(name: str, namespace: str = "shop", **spec: Any) -> dict[str, Any]:
    """A Service."""
    return {"metadata": {"name": name, "namespace": namespace}, "spec": spec}


def endpoints(of: str, *found: dict[str, Any], port: int = 8080, name: str = "http") -> dict[str, Any]:
    """An EndpointSlice of a service in shop."""
    metadata = {"name": f"{of}-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": of}}
    return {
        "metadata": metadata,
        "endpoints": list(found),
        "ports": [{"name": name, "port": port, "protocol": "TCP"}],
    }


@pytest.fixture
def table() -> ServiceTable:
    """A service with an address, one without, one that is elsewhere."""
    made = ServiceTable()
    made.put_service(
        service("web", clusterIP="10.96.0.9", ports=[{"name": "http", "port": 80, "protocol": "TCP"}])
    )
    made.put_service(service("db", clusterIP="None", ports=[{"name": "http", "port": 80}]))
    made.put_service(service("out", type="ExternalName", externalName="example.org"))
    ready, not_ready = {"conditions": {"ready": True}}, {"conditions": {"ready": False}}
    made.put_slice(
        endpoints(
            "db",
            {"addresses": ["10.1.0.2"], "hostname": "db-0", **ready},
            {"addresses": ["10.1.0.3"], "hostname": "db-1", **not_ready},
            {"addresses": ["10.1.0.4"]},
        )
    )
    return made


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("web.shop.svc.cluster.local", "A", ["10.96.0.9"]),
        ("web.shop.svc.cluster.local", "AAAA", []),
        ("db.shop.svc.cluster.local", "A", ["10.1.0.2", "10.1.0.4"]),
        ("db-0.db.shop.svc.cluster.local", "A", ["10.1.0.2"]),
        ("db-1.db.shop.svc.cluster.local", "A", None),
        ("10-1-0-4.db.shop.svc.cluster.local", "A", ["10.1.0.4"]),
        ("out.shop.svc.cluster.local", "A", ["example.org"]),
        ("10-1-0-2.shop.pod.cluster.local", "A", ["10.1.0.2"]),
        ("_http._tcp.web.shop.svc.cluster.local", "SRV", [(0, 100, 80, "web.shop.svc.cluster.local")]),
        ("_http._udp.web.shop.svc.cluster.local", "SRV", None),
        ("_http._tcp.db.shop.svc.cluster.local", "SRV", [
            (0, 100, 8080, "db-0.db.shop.svc.cluster.local"),
            (0, 100, 8080, "10-1-0-4.db.shop.svc.cluster.local"),
        ]),
        ("9.0.96.10.in-addr.arpa", "PTR", ["web.shop.svc.cluster.local"]),
        ("2.0.1.10.in-addr.arpa", "PTR", ["db-0.db.shop.svc.cluster.local"]),
        ("7.0.96.10.in-addr.arpa", "PTR", None),
        ("dns-version.cluster.local", "TXT", ["1.1.0"]),
        ("no.shop.svc.cluster.local", "A", None),
        ("shop.svc.cluster.local", "A", []),
        ("nowhere.svc.cluster.local", "A", None),
        ("svc.cluster.local", "A", []),
        ("cluster.local", "A", []),
        ("bad.cluster.local", "A", None),
    ],
)  # fmt: skip
def test_records_follow_the_specification(table: ServiceTable, name: str, kind: str, expected: Any) -> None:
    """Names of services, endpoints, ports and pods have their records; others do not exist."""
    found = ClusterNames(table).records(name, TYPES[kind])
    assert (None if found is None else [record.value for record in found]) == expected


def test_names_go_with_their_service(table: ServiceTable) -> None:
    """A name is unknown again when its service is deleted."""
    table.drop_service(service("web"))
    assert ClusterNames(table).records("web.shop.svc.cluster.local", TYPES["A"]) is None


def ask(name: str, kind: int = 1, number: int = 7) -> bytes:
    """A question as a resolver sends it."""
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack(">HHHHHH", number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, 1)


@given(st.binary(max_size=100))
def test_any_bytes_are_a_question_or_refused(message: bytes) -> None:
    """What comes over the network raises nothing but ValueError."""
    with contextlib.suppress(ValueError):
        parse_question(message)


def test_an_answer_that_is_too_long_says_so() -> None:
    """A datagram has at most 512 bytes, and TC is set when that is too little."""
    question = parse_question(ask("db.shop.svc.cluster.local"))
    many = [Record(question.name, "A", f"10.0.0.{number}") for number in range(40)]
    cut = answer(question, many)
    assert len(cut) <= 512 and struct.unpack_from(">H", cut, 2)[0] & 0x0200
    assert len(answer(question, many, limit=65535)) > 512


@pytest.fixture
def server(table: ServiceTable) -> Iterator[DnsServer]:
    """One that is polled by a thread until the end of the test."""
    with selectors.DefaultSelector() as selector:
        made = DnsServer(ClusterNames(table), selector, [], NetworkNamespace.here())
        ours, theirs = socket.socketpair()
        selector.register(ours, selectors.EVENT_READ, None)
        thread = threading.Thread(target=_poll, args=(selector,))
        thread.start()
        yield made
        theirs.close()
        thread.join()
        made.close()
        ours.close()


def _poll(selector: selectors.BaseSelector) -> None:
    while True:
        for key, _ in selector.select():
            if key.data is None:
                return
            key.data()


def test_udp_and_tcp_give_the_same_answer(server: DnsServer) -> None:
    """Both are answered at one port."""
    place, question = ("127.0.0.1", server.port), ask("web.shop.svc.cluster.local")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.settimeout(30)
        asked.sendto(question, place)
        by_udp = asked.recv(2000)
    with socket.create_connection(place, timeout=30) as connection:
        connection.sendall(struct.pack(">H", len(question)) + question)
        size = struct.unpack(">H", connection.recv(2))[0]
        by_tcp = connection.recv(size)
    assert by_udp == by_tcp
    assert by_udp[:2] == question[:2] and by_udp.endswith(socket.inet_aton("10.96.0.9"))


def test_rubbish_does_not_stop_it(server: DnsServer) -> None:
    """After bytes that are no question the next one is answered."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.settimeout(30)
        asked.connect(("127.0.0.1", server.port))
        for rubbish in (b"", b"\xff" * 11, b"\xff" * 300):
            asked.send(rubbish)
        asked.send(ask("no.shop.svc.cluster.local", number=99))
        while (found := asked.recv(2000))[:2] != b"\0\x63":
            pass
    assert found[3] & 15 == 3


def test_other_names_fail_where_there_is_nobody_to_ask(server: DnsServer) -> None:
    """Without a server of this machine the answer is a failure, at once."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.settimeout(30)
        asked.sendto(ask("example.org"), ("127.0.0.1", server.port))
        assert asked.recv(2000)[3] & 15 == 2
