"""Many processes come and go on the same networks at the same time, also when a keeper is about to end."""

from __future__ import annotations

import os
import random
import socket
import time

import pytest

from container_kit.native.namespaces import NetworkNamespace
from container_kit.network import Endpoint, Networks
from tests.network.inside import join, links

pytestmark = pytest.mark.root

_NAMES = ("red", "green", "blue")


def _gateway_answers(namespace: NetworkNamespace, endpoint: Endpoint) -> bool:
    """Whether the host's end of the network is there: a port on which nobody listens refuses."""
    with namespace.socket(socket.AF_INET, socket.SOCK_STREAM) as held:
        client = socket.socket(fileno=os.dup(held.fileno()))
        with client:
            client.settimeout(10)
            return client.connect_ex((endpoint.gateway4, 1)) == 111  # ECONNREFUSED


def _churn(root: str, seed: int, rounds: int, pauses: tuple[float, ...]) -> None:
    """Come and go; each time the network has to be whole."""
    chance = random.Random(seed)
    networks = Networks(root, NetworkNamespace.at(os.environ["CK_CHURN_NETWORK"]))
    for _ in range(rounds):
        with join(networks, chance.choice(_NAMES)) as member:
            assert _gateway_answers(member.namespace, member.endpoints[0])
            owners = [one.owner for one in networks.endpoints(member.endpoints[0].network)]
            assert member.owner in owners
        time.sleep(chance.choice(pauses))
    networks.close()


def _run(networks: Networks, processes: int, rounds: int, pauses: tuple[float, ...]) -> list[int]:
    """How the processes ended."""
    os.environ["CK_CHURN_NETWORK"] = f"/proc/{os.getpid()}/fd/{networks.site.host.held.fileno()}"
    children = []
    for seed in range(processes):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                _churn(networks.site.root, seed, rounds, pauses)
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def _check_empty(networks: Networks) -> None:
    """All are gone: from the files at once, from the kernel when their keepers have waited for others."""
    assert [networks.endpoints(name) for name in _NAMES] == [[], [], []]
    deadline = time.monotonic() + 30
    while list(links(networks.site.host)) != ["lo"] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list(links(networks.site.host)) == ["lo"]


def test_who_comes_finds_the_network_whole(networks: Networks) -> None:
    """Three processes come and go around the moment at which a network's keeper gives it up."""
    for name in _NAMES:
        networks.create(name)

    assert _run(networks, 3, 8, (0.0, 0.65, 0.7, 0.75)) == [0, 0, 0]

    _check_empty(networks)


@pytest.mark.trial
def test_who_comes_finds_the_network_whole_for_long(networks: Networks) -> None:
    """As above, with eight processes that come and go a hundred times each."""
    for name in _NAMES:
        networks.create(name)

    assert _run(networks, 8, 100, (0.0, 0.0, 0.01, 0.65, 0.68, 0.7, 0.72, 0.75)) == [0] * 8

    _check_empty(networks)
