"""An endpoint's file, as the library and the keeper read it."""

from __future__ import annotations

import dns.message
import dns.rcode
import pytest

from container_kit.native.resolver import Resolver
from container_kit.network.endpoint import Endpoint
from container_kit.network.values import PublishedPort

OWNER = "1" * 64


@pytest.mark.parametrize("resolve", [None, (), ("example.org", "example.com")])
def test_what_is_written_is_what_is_read(resolve: tuple[str, ...] | None) -> None:
    """Also the difference between all names and none."""
    endpoint = Endpoint(
        owner=OWNER,
        network="a" * 64,
        interface="eth0",
        ipv4="10.89.1.2/24",
        names=("db", "1" * 12),
        ports=(PublishedPort(5432, "tcp", "127.0.0.1", 49153),),
        dns=("192.0.2.1", "fd00::1"),
        resolve=resolve,
    )

    assert Endpoint.from_text(endpoint.to_text(), owner=OWNER, network="a" * 64) == endpoint


@pytest.mark.parametrize(
    ("resolve", "asked"), [(None, ["x.org", "y.org"]), ((), []), (("x.org",), ["x.org"])]
)  # fmt: skip
def test_the_keeper_asks_servers_for_what_the_file_allows(
    resolve: tuple[str, ...] | None, asked: list[str]
) -> None:
    """And says of all else that it does not exist."""
    endpoint = Endpoint(owner=OWNER, network="a" * 64, ipv4="10.89.1.2/24", names=("db",), resolve=resolve)
    resolver = Resolver(endpoints={OWNER: endpoint.to_text()}, subnet="10.89.1.1/24")
    questions = {name: dns.message.make_query(name, "A").to_wire() for name in ("x.org", "y.org")}
    answers = {name: resolver.answer(question, "10.89.1.2") for name, question in questions.items()}

    assert [name for name, answer in answers.items() if answer is None] == asked
    for answer in answers.values():
        assert answer is None or dns.message.from_wire(answer).rcode() == dns.rcode.NXDOMAIN
