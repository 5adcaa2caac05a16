"""Trial S19 of nodes: what many clients do one after the other leaves nothing behind and nothing grows."""

from __future__ import annotations

import os
import threading

import pytest

from container_kit.cluster.api.nodes import StreamOptions
from container_kit.cluster.node.link import AgentLink
from tests.cluster.node.conftest import OutputOnly, Site, pod_on

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("own_network"), pytest.mark.trial]

TIMES = 2000
V5 = ("v5.channel.k8s.io",)


def held() -> tuple[int, int]:
    """Open files and threads of this process."""
    return len(os.listdir("/proc/self/fd")), threading.active_count()


def test_thousands_of_executions_leave_nothing(shared: Site) -> None:
    """Programs, terminals and attachments come and go; files, threads and processes stay as many."""
    words = "while read x; do echo $x; done"
    shared.client.create(pod_on("node-0", "p", "sh", "-c", words, stdin=True))
    pod = shared.wait_ready("p")
    link = AgentLink(shared.agents["node-0"])

    def all_ways() -> None:
        for tty in (False, True):
            client = OutputOnly()
            options = StreamOptions(stdout=True, tty=tty)
            assert link.exec(pod, "c", ["true"], options, client) == 0
            client.close()
        query = {"stdin": "true", "stdout": "true"}
        attached = shared.client.stream("/api/v1/namespaces/default/pods/p/attach", query, V5)
        attached.send(4, b'{"Width":80,"Height":24}')
        attached.close()

    for _ in range(20):
        all_ways()
    before = held()
    for _ in range(TIMES):
        all_ways()
    after = held()
    assert after[0] <= before[0] + 5 and after[1] <= before[1] + 5
    assert int(shared.printed("p", "busybox ps | busybox wc -l")) < 10
