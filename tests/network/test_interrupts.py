"""R23 and R03 for networks: a Ctrl-C at any line of coming onto a network leaves nothing behind, and what a
SIGKILL leaves is swept away.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from types import FrameType
from typing import Any

import pytest

from container_kit.network import EndpointRequest, Networks, NetworkSandbox, PortRequest
from tests.network.inside import join, new_owner, run_in

pytestmark = pytest.mark.root

# Samples: as the first line changes from run to run, all lines have their turn in time.
_STEPS = {False: 11, True: 499}
_KILL_STEP = 23
_NEVER = 1 << 30


class _Interrupter:
    """Raises KeyboardInterrupt, or kills this process, at the n-th line of the network's modules."""

    def __init__(self, number: int, *, kills: bool = False) -> None:
        self.left, self.passed, self.kills = number, 0, kills

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        if "/container_kit/network/" not in frame.f_code.co_filename:
            return None
        if event == "line":
            self.passed += 1
            self.left -= 1
            if self.left == 0 and self.kills:
                os.kill(os.getpid(), signal.SIGKILL)
            if self.left == 0:
                raise KeyboardInterrupt(f"{frame.f_code.co_name}, line {frame.f_lineno}")
        return self


def _come_and_go(networks: Networks, number: int, *, kills: bool = False) -> int:
    """Come onto a network and be interrupted at line *number*, or leave; how many lines there were."""
    trace = _Interrupter(number, kills=kills)
    sandbox: NetworkSandbox | None = None
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        sandbox = NetworkSandbox.open(
            networks,
            new_owner(),
            [EndpointRequest(network="shop")],
            names=["c"],
            ports=[PortRequest(80, host_ip="127.0.0.1")],
            announce=lambda undo: None,
        )
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(before)
    if sandbox is not None:
        sandbox.close()
    return trace.passed


@pytest.mark.tool("nft")
@pytest.mark.parametrize("is_first", [False, True], ids=["later member", "first member"])
def test_an_interrupt_at_any_line_leaves_nothing(networks: Networks, is_first: bool) -> None:
    """No endpoint, no published port, no descriptor; and the next container comes as if nothing had been."""
    networks.create("shop")
    other = None if is_first else join(networks, "shop")
    there = networks.endpoints("shop")
    lines = _come_and_go(networks, _NEVER)
    gc.collect()
    files = len(os.listdir("/proc/self/fd"))
    rules = run_in(networks.site.host, "nft", "--numeric", "list", "ruleset")

    step = _STEPS[is_first]
    for number in range(1 + os.getpid() % step, lines, step):
        _come_and_go(networks, number)
        assert networks.endpoints("shop") == there, number
        gc.collect()
        assert len(os.listdir("/proc/self/fd")) <= files + 1, number  # one more socket may be kept for later

    if other is not None:  # what a later member has in the packet filter is gone, and no more than that
        assert run_in(networks.site.host, "nft", "--numeric", "list", "ruleset") == rules
    with join(networks, "shop"):
        assert len(networks.endpoints("shop")) == len(there) + 1
    if other is not None:
        other.close()


@pytest.mark.tool("nft")
def test_what_a_kill_at_any_line_leaves_is_swept(networks: Networks) -> None:
    """However far a process came, after the sweep only who lives is on the network, on disk and in rules."""
    networks.create("shop")
    with join(networks, "shop") as other:
        there = networks.endpoints("shop")
        lines = _come_and_go(networks, _NEVER)
        rules = run_in(networks.site.host, "nft", "--numeric", "list", "ruleset")
        files = sorted(os.listdir(_folder(networks, "endpoints")))

        for number in range(1 + os.getpid() % _KILL_STEP, lines, _KILL_STEP):
            _die_coming(networks, number)
            _age(networks, other.owner)
            networks.sweep({other.owner})
            assert networks.endpoints("shop") == there, number
            assert len(os.listdir(_folder(networks, "addresses"))) == 1, number
            assert sorted(os.listdir(_folder(networks, "endpoints"))) == files, number

        assert run_in(networks.site.host, "nft", "--numeric", "list", "ruleset") == rules


def _die_coming(networks: Networks, number: int) -> None:
    child = os.fork()
    if child == 0:
        _come_and_go(networks, number, kills=True)
        os._exit(0)
    os.waitpid(child, 0)


def _folder(networks: Networks, name: str) -> str:
    return f"{networks.site.directory(networks.get('shop').id)}/{name}"


def _age(networks: Networks, living: str) -> None:
    """Let what belongs to nobody who lives be of long ago."""
    for folder in (_folder(networks, "addresses"), _folder(networks, "endpoints")):
        for name in os.listdir(folder):
            if not name.startswith(living):
                os.utime(f"{folder}/{name}", (0, 0), follow_symlinks=False)
