"""Networks that are worse than they have to be."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path

import pytest

from container_kit.errors import KernelError, UnsupportedFeature
from container_kit.native.namespaces import NetworkNamespace, new_network
from container_kit.native.netfilter import tell
from container_kit.network import Networks, NetworkSandbox, Shaping, shaping
from tests.network.inside import run_in
from tests.network.wires import answering, call, member, socket_in

pytestmark = pytest.mark.root

_NETEM = struct.Struct("=6I")  # struct tc_netem_qopt
_TICK_NS = 64


def test_a_rate_is_that_of_both_directions(networks: Networks) -> None:
    """Each end of the link has a bucket of that rate."""
    networks.create("shop")
    with contextlib.closing(member(networks, "shop", shaping=Shaping(rate=8_000_000))) as one:
        inside = run_in(one.namespace, "tc", "qdisc", "show", "dev", "eth0")
        outside = run_in(networks.site.host, "tc", "qdisc", "show", "dev", one.endpoints[0].link)

    assert "tbf" in inside and "rate 8Mbit" in inside
    assert "tbf" in outside and "rate 8Mbit" in outside


def test_what_is_sent_takes_as_long_as_the_rate_says(networks: Networks) -> None:
    """300 kB at 8 Mbit/s take 0.3 s at least; without shaping they take much less: the control."""
    networks.create("shop")
    with (
        contextlib.closing(member(networks, "shop", shaping=Shaping(rate=8_000_000))) as slow,
        contextlib.closing(member(networks, "shop")) as fast,
    ):
        assert _seconds(fast, slow, 300_000) > 0.25
        assert _seconds(slow, fast, 300_000) > 0.25
        with contextlib.closing(member(networks, "shop")) as third:
            assert _seconds(fast, third, 300_000) < 0.25


def _seconds(receiver: NetworkSandbox, sender: NetworkSandbox, size: int) -> float:
    with socket_in(receiver.namespace) as listener:
        listener.bind(("0.0.0.0", 0))
        listener.listen(1)
        address = (receiver.endpoints[0].addresses[0], listener.getsockname()[1])

        def send() -> None:
            with socket_in(sender.namespace) as out:
                out.connect(address)
                out.sendall(bytes(size))

        thread = threading.Thread(target=send)
        thread.start()
        connection, _ = listener.accept()
        start = time.monotonic()
        with connection:
            while connection.recv(65536):
                pass
        thread.join()
        return time.monotonic() - start


def test_a_share_of_packets_is_lost_in_both_directions(networks: Networks) -> None:
    """Of a thousand datagrams, about half arrive; the sender is told of none that was lost."""
    networks.create("shop")
    with (
        contextlib.closing(member(networks, "shop", shaping=Shaping(loss=0.5))) as bad,
        contextlib.closing(member(networks, "shop")) as good,
    ):
        _introduce(bad, good)
        _introduce(good, bad)
        assert 350 < _arrived(bad.namespace, good.namespace, good.endpoints[0].addresses[0]) < 650
        assert 350 < _arrived(good.namespace, bad.namespace, bad.endpoints[0].addresses[0]) < 650


def _introduce(one: NetworkSandbox, other: NetworkSandbox) -> None:
    """Tell one the other's hardware address: questions for it could be lost, too."""
    there = other.endpoints[0]
    entry = [there.addresses[0], "lladdr", there.mac, "dev", "eth0", "nud", "permanent"]
    run_in(one.namespace, "ip", "neigh", "replace", *entry)


def _arrived(sender: NetworkNamespace, receiver: NetworkNamespace, address: str) -> int:
    with socket_in(receiver, socket.SOCK_DGRAM) as into, socket_in(sender, socket.SOCK_DGRAM) as out:
        into.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        into.bind(("0.0.0.0", 9))
        into.settimeout(0.3)
        for _ in range(1000):
            out.sendto(b"?", (address, 9))
        count = 0
        with contextlib.suppress(TimeoutError):
            while into.recv(10):
                count += 1
        return count


def test_everything_can_be_lost(networks: Networks) -> None:
    """A loss of 1 is a cut wire, without a word to who sends."""
    networks.create("shop")
    with (
        contextlib.closing(member(networks, "shop", shaping=Shaping(loss=1))) as one,
        answering(one.namespace, 80),
    ):
        assert call(networks.site.host, one.endpoints[0].addresses[0], 80, patience_s=0.3) == "TimeoutError"


def test_a_delay_needs_a_scheduler_that_not_every_kernel_has(networks: Networks) -> None:
    """Where it is missing, the error says so and nothing is started without the delay."""
    networks.create("shop")
    if _has_netem():
        with contextlib.closing(member(networks, "shop", shaping=Shaping(delay_ms=50))) as one:
            assert "delay 50" in run_in(one.namespace, "tc", "qdisc", "show", "dev", "eth0")
        return
    with pytest.raises(UnsupportedFeature, match="no scheduler netem; modprobe sch_netem"):
        member(networks, "shop", shaping=Shaping(delay_ms=50))
    assert networks.endpoints("shop") in ((), []), "nothing is left"


def _has_netem() -> bool:
    with contextlib.closing(new_network()) as place, place.routing() as asked:
        try:
            tell(asked, shaping.delay_message(Shaping(delay_ms=1), 1), "")
        except KernelError:
            return False
        return True


@pytest.mark.tool("strace")
@pytest.mark.tool("tc")
def test_a_delay_is_asked_for_as_tc_asks(tmp_path: Path) -> None:
    """The kernel here may not know the scheduler, so our message is compared with that of iproute2."""
    ours = _options(shaping.delay_message(Shaping(delay_ms=10, jitter_ms=2), 1))
    theirs = _options(_sent_by_tc("qdisc replace dev lo root netem limit 100000 delay 10ms 2ms", tmp_path))

    latency, limit, *rest, jitter = _NETEM.unpack_from(theirs)
    assert _NETEM.unpack_from(ours) == (0, limit, *rest, 0)
    assert _attributes(ours[_NETEM.size :]) == {10: latency * _TICK_NS, 11: jitter * _TICK_NS}


def _sent_by_tc(words: str, folder: Path) -> bytes:
    """The last netlink message that `tc` sends, as strace sees it."""
    trace = folder / "trace"
    seen = ["strace", "-o", str(trace), "-e", "trace=sendmsg", "-e", "verbose=none", "-e", "write=all"]
    subprocess.run([*seen, "tc", *words.split()], capture_output=True)
    last = trace.read_text().rpartition("bytes in buffer")[2]
    rows = re.findall(r"^ \| [0-9a-f]{5}  ((?:[0-9a-f]{2} {1,2})+)", last, re.MULTILINE)
    return bytes.fromhex("".join(rows).replace(" ", ""))


def _options(message: bytes) -> bytes:
    """What stands in TCA_OPTIONS of a message."""
    attributes = message[16 + 20 :]
    while True:
        size, kind = int.from_bytes(attributes[:2], "little"), int.from_bytes(attributes[2:4], "little")
        if kind & 0x3FFF == 2:
            return attributes[4:size]
        attributes = attributes[(size + 3) & ~3 :]


def _attributes(data: bytes) -> dict[int, int]:
    found = {}
    while data:
        size, kind = int.from_bytes(data[:2], "little"), int.from_bytes(data[2:4], "little")
        found[kind] = int.from_bytes(data[4:size], "little")
        data = data[(size + 3) & ~3 :]
    return found
