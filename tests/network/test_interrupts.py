"""R23 for networks: a Ctrl-C between any two lines of coming onto a network leaves nothing behind."""

from __future__ import annotations

import gc
import os
import sys
from types import FrameType
from typing import Any

import pytest

from container_kit.network import Networks, NetworkSandbox, PortRequest
from tests.network.inside import join, new_owner, run_in

pytestmark = pytest.mark.root

# Samples: as the first line changes from run to run, all lines have their turn in time.
_STEPS = {False: 11, True: 499}
_NEVER = 1 << 30


class _Interrupter:
    """Raises KeyboardInterrupt at the n-th line of the network's modules that is run; counts them."""

    def __init__(self, number: int) -> None:
        self.left, self.passed = number, 0

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        if "/container_kit/network/" not in frame.f_code.co_filename:
            return None
        if event == "line":
            self.passed += 1
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt(f"{frame.f_code.co_name}, line {frame.f_lineno}")
        return self


def _come_and_go(networks: Networks, number: int) -> int:
    """Come onto a network and be interrupted at line *number*, or leave; how many lines there were."""
    from container_kit.network import EndpointRequest

    trace = _Interrupter(number)
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
