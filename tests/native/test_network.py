"""Links, addresses and routes by netlink, and namespaces that are acted in from outside."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_kit.errors import KernelError, LimitExceeded
from container_kit.native._binding import ffi, lib
from container_kit.native.descriptors import open_path
from container_kit.native.namespaces import NetworkNamespace, new_network, shared_namespaces
from container_kit.native.network import (
    add_pair,
    configure,
    delete_link,
    delete_message,
    ensure_bridge,
    find_link,
    routes,
    wait_settled,
)

pytestmark = pytest.mark.root


@pytest.fixture
def place() -> Iterator[NetworkNamespace]:
    """A network namespace with nothing but its loopback."""
    made = new_network()
    yield made
    made.close()


def _pair(place: NetworkNamespace, inside: NetworkNamespace, name: str = "v0") -> None:
    bridge = ensure_bridge(place, "br0", mac="02:42:00:00:00:01", mtu=1500, addresses=["10.9.0.1/16"])
    add_pair(place, name, inner="eth0", inside=inside, bridge=bridge, mac="02:42:00:00:00:02", mtu=1400)


def test_a_new_namespace_is_another_one_with_its_loopback_up(place: NetworkNamespace) -> None:
    """The caller stays where it is."""
    before = os.stat("/proc/thread-self/ns/net").st_ino

    lo = find_link(place, "lo")

    assert lo is not None
    assert lo.up
    assert os.fstat(place.held.fileno()).st_ino != before
    assert os.stat("/proc/thread-self/ns/net").st_ino == before


def test_a_namespace_goes_with_its_object() -> None:
    """Forgotten, it has no descriptor left here, and no child to reap."""
    before, children = len(os.listdir("/proc/self/fd")), _children()

    for _ in range(3):
        new_network()
    gc.collect()

    assert len(os.listdir("/proc/self/fd")) == before
    assert _children() <= children


def _children() -> set[str]:
    with open("/proc/thread-self/children", encoding="ascii") as file:
        return set(file.read().split())


def test_a_pair_joins_two_namespaces(place: NetworkNamespace) -> None:
    """One end in the bridge, the other inside; addresses and routes as written; counters count."""
    inside = new_network()
    _pair(place, inside)
    configure(inside, "eth0", addresses=["10.9.0.2/16"], gateways=["10.9.0.1"])

    with inside.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:
        sender = socket.socket(fileno=os.dup(held.fileno()))
        with sender:
            sender.sendto(b"x" * 100, ("10.9.0.1", 9))

    link = find_link(inside, "eth0")
    assert link is not None
    assert (link.kind, link.mtu, link.mac, link.up) == ("veth", 1400, "02:42:00:00:00:02", True)
    assert link.sent_packets >= 1
    assert {route.target for route in routes(inside)} == {"0.0.0.0/0", "10.9.0.0/16"}


def test_a_link_is_found_by_name_and_by_index(place: NetworkNamespace) -> None:
    """And one that is not there is None, not an error."""
    found = find_link(place, "lo")

    assert found is not None
    assert find_link(place, found.index) == found
    assert find_link(place, "nothing0") is None
    assert find_link(place, "a-name-that-is-far-too-long") is None
    assert find_link(place, 4711) is None


def test_a_name_that_is_taken_is_told_in_the_kernels_words(place: NetworkNamespace) -> None:
    """The error has the errno, what could not be done, and why."""
    inside = new_network()
    _pair(place, inside)

    with pytest.raises(KernelError, match="eth0") as caught:
        _pair(place, inside, name="v1")
    assert caught.value.errno == 17
    inside.close()


def test_a_name_that_is_too_long_is_refused(place: NetworkNamespace) -> None:
    """It is not cut off, so no other link is meant."""
    with pytest.raises(KernelError):
        _pair(place, new_network(), name="x" * 16)


def test_a_link_is_removed_once(place: NetworkNamespace) -> None:
    """`delete_link` says whether there was something; its message does the same for who sends it."""
    inside = new_network()
    _pair(place, inside)

    protocol, message = delete_message("br0")
    with place.routing() as route:
        os.write(route, message)
    assert protocol == 0
    assert find_link(place, "br0") is None
    assert delete_link(place, "v0")
    assert not delete_link(place, "v0")
    inside.close()


def test_an_address_is_in_force_when_it_was_waited_for(place: NetworkNamespace) -> None:
    """Then packets to it are taken in; for another one the wait has an end."""
    inside = new_network()
    _pair(place, inside)
    configure(inside, "eth0", addresses=["10.9.0.2/16", "fd00::2/64"], gateways=[])
    find_link(inside, "eth0")

    assert wait_settled(inside, "10.9.0.2", 10)
    assert wait_settled(inside, "fd00::2", 10)
    assert not wait_settled(inside, "fd00::3", 0.01)
    assert not wait_settled(inside, "192.0.2.1", 0.01)
    inside.close()


def test_settings_are_those_of_the_namespace(place: NetworkNamespace) -> None:
    """What is written inside is read inside, and the caller's stays."""
    other = new_network()
    before = other.get("net/ipv4/ip_forward")

    place.set({"net/ipv4/ip_forward": "1", "net/ipv4/conf/lo/forwarding": "0"})

    assert place.get("net/ipv4/ip_forward") == "1"
    assert place.get("net/ipv4/conf/lo/forwarding") == "0"
    assert other.get("net/ipv4/ip_forward") == before


def test_a_setting_that_there_is_not_is_named(place: NetworkNamespace) -> None:
    """The error has its path."""
    with pytest.raises(KernelError, match="net/ipv4/no_such_thing"):
        place.set({"net/ipv4/ip_forward": "1", "net/ipv4/no_such_thing": "1"})
    with pytest.raises(KernelError, match="far"):
        place.get("net/" + "far/" * 100)


def test_threads_share_a_namespace(place: NetworkNamespace) -> None:
    """Each hears the answers to its own questions."""
    wrong: list[object] = []

    def ask(name: str) -> None:
        for _ in range(200):
            link = find_link(place, name)
            if link is None or link.name != name:
                wrong.append((name, link))

    inside = new_network()
    _pair(place, inside)
    threads = [threading.Thread(target=ask, args=(name,)) for name in ("lo", "br0", "v0", "lo")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []
    inside.close()


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _message(kind: int, body: bytes, sequence: int = 0) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 0, sequence, 0) + body


_LINK = _message(
    16,
    struct.pack("=BxHiII", 0, 1, 7, 1, 0)
    + _attribute(3, b"wire0\0")
    + _attribute(1, bytes(range(6)))
    + _attribute(4, struct.pack("=I", 1500))
    + _attribute(18, _attribute(1, b"bridge\0"))
    + _attribute(23, bytes(200)),
)
_ROUTE = _message(
    24,
    struct.pack("=BBBBBBBBI", 2, 16, 0, 0, 254, 4, 0, 1, 0)
    + _attribute(1, bytes([10, 9, 0, 0]))
    + _attribute(4, struct.pack("=I", 7)),
)


def _take_routes(answer: bytes) -> tuple[int, int]:
    found = ffi.gc(ffi.new("struct ck_net_routes *"), lib.ck_net_routes_free)
    result = lib.ck_net_take_routes(ffi.new("char[]", answer), len(answer), 0, found)
    return result, found.count


def test_answers_are_read() -> None:
    """The examples that are changed below are understood as they are."""
    link = ffi.new("struct ck_net_link *")

    assert lib.ck_net_take_link(ffi.new("char[]", _LINK), len(_LINK), link) == 0
    assert (link.index, link.mtu, ffi.string(link.name), ffi.string(link.kind)) == (
        7,
        1500,
        b"wire0",
        b"bridge",
    )
    assert _take_routes(_ROUTE + _ROUTE) == (0, 2)
    assert _take_routes(_ROUTE + _message(3, bytes(4))) == (1, 1)


@given(
    st.sampled_from([_LINK, _ROUTE, _ROUTE + _LINK]),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=12),
    st.integers(0, 500),
)
def test_answers_that_make_no_sense_do_no_harm(
    answer: bytes, changes: list[tuple[int, int]], size: int
) -> None:
    """Whatever is in an answer, it is an error or a value: nothing outside is read, and it ends.

    In a build with the address sanitizer a byte too far would end this process.
    """
    changed = bytearray(answer)
    for at, value in changes:
        changed[at % len(changed)] = value
    cut = bytes(changed[:size])
    data, link = ffi.from_buffer(cut), ffi.new("struct ck_net_link *")

    assert lib.ck_net_take_link(data, len(cut), link) <= 0
    assert len(ffi.string(link.name)) < 16
    assert _take_routes(cut)[0] <= 1


@contextlib.contextmanager
def _user_namespace(setting: str = "true") -> Iterator[int]:
    """A user namespace, held by a shell in it that has done *setting*."""
    command = ["unshare", "--user", "--map-root-user", "sh", "-c", f"{setting}; echo ready; exec cat"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as shell:
        assert shell.stdin is not None and shell.stdout is not None
        assert shell.stdout.readline() == "ready\n"
        with open_path(f"/proc/{shell.pid}/ns/user", os.O_RDONLY) as held:
            yield held.fileno()
        shell.stdin.close()


def test_a_namespace_of_a_user_namespace() -> None:
    """Owned by another user namespace, it is made and acted in by a child that enters that first."""
    with _user_namespace() as user:
        made = new_network(user, [("net/ipv6/conf/default/accept_ra", "0")])
        with made.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP):
            pass  # only who has rights in it may open this one
        assert made.get("net/ipv6/conf/default/accept_ra") == "0"
        lo = find_link(made, "lo")
        assert lo is not None
        assert lo.up
        made.close()


def test_a_user_with_as_many_as_it_may_is_told() -> None:
    """The kernel calls it no space left on a device; the error names the limit and how to raise it."""
    full = _user_namespace("echo 0 > /proc/sys/user/max_net_namespaces")
    with full as user, pytest.raises(LimitExceeded, match=r"user\.max_net_namespaces"):
        new_network(user)


def test_ipc_and_uts_namespaces_for_several_containers() -> None:
    """They are others than the caller's, which stays where it is, and go with their objects."""
    before, children = len(os.listdir("/proc/self/fd")), _children()
    own = {kind: os.stat(f"/proc/thread-self/ns/{kind}").st_ino for kind in ("ipc", "uts")}
    for kind, held in zip(own, shared_namespaces(), strict=True):
        assert os.fstat(held.fileno()).st_ino != own[kind] == os.stat(f"/proc/thread-self/ns/{kind}").st_ino
    del held
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before
    assert _children() <= children


def test_shared_namespaces_of_a_user_namespace() -> None:
    """Owned by another user namespace, whose limits count: where it may have none, that is an error."""
    with _user_namespace() as user:
        ipc, uts = shared_namespaces(user)
        assert ipc.fileno() != uts.fileno()
    full = _user_namespace("echo 0 > /proc/sys/user/max_uts_namespaces")
    with full as user, pytest.raises(KernelError):
        shared_namespaces(user)
