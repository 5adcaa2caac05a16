"""The resolver's decisions, seen by an independent reader of DNS messages."""

from __future__ import annotations

import random
from ipaddress import IPv4Address, IPv6Address, ip_address

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.reversename
import pytest
from dns.message import Message
from hypothesis import given
from hypothesis import strategies as st

from container_kit.native.resolver import Resolver

DB, WEB, WEB2, BOX = ("a" * 64), ("b" * 64), ("c" * 64), ("d" * 64)
ENDPOINTS = {
    DB: "interface eth0\nlink ckv1\nipv4 10.89.1.2/24\nipv6 fd00:1::2/64\nname db\nname postgres.prod\n",
    WEB: "ipv4 10.89.1.3/24\nname web\nname app\n",
    WEB2: "ipv4 10.89.1.4/24\nname web2\nname app\n",
    BOX: "ipv4 10.89.1.5/24\nname box\nresolve packages.example.com\nresolve files.example.org\n",
}
SHOP = Resolver(endpoints=ENDPOINTS, subnet="10.89.1.1/24", domain="shop")


def ask(name: str, kind: str = "A", *, resolver: Resolver = SHOP, client: str = "", **how: object) -> Message:
    """The answer to a question for a name, which has to be one."""
    answer = resolver.answer(dns.message.make_query(name, kind, **how).to_wire(), client)  # type: ignore[arg-type]
    assert answer
    return dns.message.from_wire(answer)


def records(message: Message) -> list[str]:
    return [str(record) for answer in message.answer for record in answer]


@pytest.mark.parametrize("name", ["db", "DB.", "postgres.prod", "db.shop", "Db.SHOP"])
def test_an_endpoint_is_found_by_each_of_its_names(name: str) -> None:
    """Whatever the case of letters, and with the network's name behind it; the question comes back."""
    answer = ask(name)

    assert records(answer) == ["10.89.1.2"]
    assert answer.rcode() == dns.rcode.NOERROR
    assert answer.question[0].name == dns.message.make_query(name, "A").question[0].name
    assert answer.flags & dns.flags.QR and answer.flags & dns.flags.RA


def test_a_name_without_an_address_of_that_kind_exists_all_the_same() -> None:
    """An answer without records, so that nobody asks the outside for the name of a neighbour."""
    assert records(ask("db", "AAAA")) == ["fd00:1::2"]
    for kind in ("AAAA", "MX", "TXT", "HTTPS", "SRV"):
        answer = ask("web", kind)
        assert answer.rcode() == dns.rcode.NOERROR and not answer.answer


def test_endpoints_that_share_an_alias_take_turns() -> None:
    """All are in each answer."""
    assert sorted(records(ask("app"))) == ["10.89.1.3", "10.89.1.4"]


@pytest.mark.parametrize(("address", "name"), [("10.89.1.2", "db.shop."), ("fd00:1::2", "db.shop.")])
def test_an_address_has_its_name(address: str, name: str) -> None:
    """The container's own, in the network."""
    assert records(ask(dns.reversename.from_address(address).to_text(), "PTR")) == [name]


def test_an_address_of_the_network_that_nobody_has_is_not_asked_of_others() -> None:
    """Others would only learn that it is in use; addresses outside are theirs."""
    unused = dns.reversename.from_address("10.89.1.77").to_text()
    assert ask(unused, "PTR").rcode() == dns.rcode.NXDOMAIN

    outside = dns.message.make_query(dns.reversename.from_address("192.0.2.1"), "PTR").to_wire()
    assert SHOP.answer(outside) is None


@pytest.mark.parametrize("name", ["example.org", "d", "db.", "dbx", "db.shop.", "x.db", "prod", "shop", "."])
def test_other_names_are_a_server_s(name: str) -> None:
    """Parts of names are not names; the control is that the whole one is ours."""
    question = dns.message.make_query(name, "A").to_wire()

    assert (SHOP.answer(question) is None) == (name not in ("db.", "db.shop."))


def test_an_internal_network_asks_nobody() -> None:
    """CVE-2024-29018: its own names are answered, all others do not exist for it."""
    internal = Resolver(endpoints=ENDPOINTS, subnet="10.89.1.1/24", domain="shop", internal=True)

    assert records(ask("db", resolver=internal)) == ["10.89.1.2"]
    for name in ("secret.attacker.example", "1.0.0.127.in-addr.arpa", "localhost", "."):
        assert ask(name, resolver=internal).rcode() == dns.rcode.NXDOMAIN
        assert SHOP.answer(dns.message.make_query(name, "A").to_wire()) is None  # the control


def test_an_endpoint_with_a_list_asks_for_nothing_else() -> None:
    """A name can carry a secret out; its neighbours it finds, and those without a list ask for anything."""
    assert ask("secret.attacker.example", client="10.89.1.5").rcode() == dns.rcode.NXDOMAIN
    assert ask("x.packages.example.com", client="10.89.1.5").rcode() == dns.rcode.NXDOMAIN
    assert records(ask("db", client="10.89.1.5")) == ["10.89.1.2"]
    allowed = dns.message.make_query("Packages.Example.com", "A").to_wire()
    assert SHOP.answer(allowed, "10.89.1.5") is None
    assert SHOP.answer(dns.message.make_query("secret.attacker.example", "A").to_wire(), "10.89.1.3") is None


def test_an_answer_too_long_for_the_client_says_so() -> None:
    """It gets as many records as fit, and may ask again over TCP, where all have room."""
    many = {f"{n:064x}": f"ipv4 10.89.{n // 250 + 1}.{n % 250 + 2}/16\nname app\n" for n in range(200)}
    crowd = Resolver(endpoints=many, subnet="10.89.0.1/16")

    short, longer = ask("app", resolver=crowd), ask("app", resolver=crowd, use_edns=0, payload=1232)
    assert short.flags & dns.flags.TC and len(records(short)) == (512 - 12 - 9) // 16
    assert longer.flags & dns.flags.TC and len(records(longer)) > len(records(short))
    whole = crowd.answer(dns.message.make_query("app", "A", use_edns=0, payload=65535).to_wire(), room=16384)
    assert whole and len(records(dns.message.from_wire(whole))) == 200


def test_edns_is_answered_with_edns() -> None:
    """And only then; a version that does not exist yet is refused by its own code."""
    assert ask("db", use_edns=0, payload=4096).edns == 0
    assert ask("db").edns == -1
    assert ask("db", use_edns=1).rcode() == dns.rcode.BADVERS


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda m: m[:2] + b"\x28\x00" + m[4:], dns.rcode.NOTIMP),  # an update
        (lambda m: m[:4] + b"\0\2" + m[6:], dns.rcode.FORMERR),  # two questions
        (lambda m: m[:4] + b"\0\0" + m[6:12], dns.rcode.FORMERR),  # none
        (lambda m: m[:6] + b"\0\1" + m[8:], dns.rcode.FORMERR),  # an answer in a question
        (lambda m: m[:12] + b"\xc0\x0c" + m[-4:], dns.rcode.FORMERR),  # a name that is its own beginning
        (lambda m: m[:12] + b"\x40db\0" + m[-4:], dns.rcode.FORMERR),
        (lambda m: m[:12] + b"\x3f" + b"a" * 62 + m[-4:], dns.rcode.FORMERR),  # longer than the message
        (lambda m: m[:12] + (b"\x3f" + b"a" * 63) * 4 + b"\0" + m[-4:], dns.rcode.FORMERR),  # 257 bytes
        (lambda m: m[:-2], dns.rcode.FORMERR),
        (lambda m: m[:-2] + b"\0\3", dns.rcode.REFUSED),  # class CHAOS
        (lambda m: m[:-4] + b"\0\xfc\0\1", dns.rcode.REFUSED),  # a transfer of the zone
        (lambda m: m[:10] + b"\0\1" + m[12:] + b"\0\0\x29\4\0\0\0\0\0\0\4ab", dns.rcode.FORMERR),
        (lambda m: m[:10] + b"\0\2" + m[12:] + b"\0\0\x29\4\0\0\0\0\0\0\0" * 2, dns.rcode.FORMERR),
    ],
)  # fmt: skip
def test_a_question_that_makes_no_sense_is_told_so(change: object, code: int) -> None:
    """By the code that the specification has for it; nothing of it goes to a server."""
    message = dns.message.make_query("db", "A", id=77).to_wire()
    answer = SHOP.answer(change(message))  # type: ignore[operator]

    assert answer and answer[:2] == b"\0\x4d" and answer[3] & 15 == code


@pytest.mark.parametrize("message", [b"", b"x", bytes(11), b"\0\1\x80\0" + bytes(8), bytes([0xFF] * 512)])
def test_what_is_no_question_gets_no_answer(message: bytes) -> None:
    """Two resolvers that answered each other's answers would never end."""
    assert SHOP.answer(message) == b""


def test_bytes_of_a_name_that_look_like_a_dot_are_none() -> None:
    """One label "a.b" is not the name a.b, and a zero byte does not end a name early."""
    resolver = Resolver(endpoints={DB: "ipv4 10.89.1.2/24\nname a.b\nname c\n"}, subnet="10.89.1.1/24")
    head, tail = dns.message.make_query("x", "A").to_wire()[:12], b"\0\0\1\0\1"

    assert resolver.answer(head + b"\1a\1b" + tail)  # the control
    assert resolver.answer(head + b"\3a.b" + tail) is None
    assert resolver.answer(head + b"\3c\0d" + tail) is None


@pytest.mark.parametrize(
    "text",
    [
        "", "ipv4", "ipv4 \n", "ipv4 10.89.1.2", "ipv4 10.89.1.256/24\n", "ipv4 1.2.3.4/33", "ipv6 ::/129",
        "ipv6 1::2::3/64", "ipv6 1:2:3:4:5:6:7:8:9/64", "ipv6 12345::/64", "ipv6 :1/64", "name", "name ..",
        "name " + "a" * 64, "name " + "a." * 127, "name UPPER", "name a b", "name \x01", "dns x\n" * 9,
    ],
)  # fmt: skip
def test_a_line_that_cannot_be_read_is_passed_over(text: str) -> None:
    """The lines around it count; nothing is read or written outside (see `make sanitize`)."""
    resolver = Resolver(endpoints={DB: f"name db\n{text}\nipv4 10.9.0.2/24\n"}, subnet="10.9.0.1/24")

    assert records(ask("db", resolver=resolver)) == ["10.9.0.2"]


def test_a_file_longer_than_any_loses_names_not_memory() -> None:
    """The first of them are found."""
    text = "ipv4 10.9.0.2/24\n" + "".join(f"name n{n}\n" for n in range(5000))
    resolver = Resolver(endpoints={DB: text}, subnet="10.9.0.1/24")

    assert records(ask("n0", resolver=resolver)) == ["10.9.0.2"]
    assert resolver.answer(dns.message.make_query("n4999", "A").to_wire()) is None


ADDRESSES = st.ip_addresses(v=6) | st.ip_addresses(v=4)


@given(ADDRESSES)
def test_every_address_is_read_as_it_is_written(address: IPv4Address | IPv6Address) -> None:
    """In the short form of IPv6 as well."""
    kind = "AAAA" if ":" in str(address) else "A"
    key = "ipv6" if kind == "AAAA" else "ipv4"
    resolver = Resolver(endpoints={DB: f"{key} {address}/8\nname db\n"}, subnet="10.9.0.1/24", domain="n")

    found = [ip_address(text) for text in records(ask("db", kind, resolver=resolver))]
    assert found == [address]
    assert records(ask(address.reverse_pointer, "PTR", resolver=resolver)) == ["db.n."]


@given(st.binary(max_size=600))
def test_any_bytes_are_answered_with_a_message_or_not_at_all(noise: bytes) -> None:
    """Never with something that nobody can read."""
    answer = SHOP.answer(noise)
    if answer:
        dns.message.from_wire(answer, question_only=False)


def _mutants(seed: int, count: int) -> list[bytes]:
    """Questions with bytes changed, cut off or doubled."""
    chance = random.Random(seed)
    originals = [
        dns.message.make_query(name, kind, use_edns=edns, payload=1232).to_wire()
        for name in ("db", "app.shop", "2.1.89.10.in-addr.arpa", "x" * 63 + ".example")
        for kind in ("A", "AAAA", "PTR", "ANY")
        for edns in (-1, 0)
    ]
    found = []
    for _ in range(count):
        message = bytearray(chance.choice(originals))
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(message))
            message[at] = chance.choice([0, 1, 0x3F, 0x40, 0xC0, 0xFF, chance.randrange(256)])
        if chance.random() < 0.3:
            message = message[: chance.randrange(len(message) + 1)]
        found.append(bytes(message))
    return found


@pytest.mark.parametrize("seed", range(4))
def test_questions_with_changed_bytes_do_no_harm(seed: int) -> None:
    """Under the sanitizers of the compiler this is trial S23's corpus for DNS."""
    for message in _mutants(seed, 3000):
        answer = SHOP.answer(message, "10.89.1.5")
        assert answer is None or answer == b"" or answer[:2] == message[:2]
