"""What clients do with running pods: logs, programs, streams, connections, as the API gives them."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest

from container_kit.cluster.client import ApiError
from container_kit.cluster.meta.status import StatusError
from tests.cluster.node.conftest import PATIENCE_S, SLEEP, Site, pod_on

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("own_network")]

PODS = "/api/v1/namespaces/default/pods"
V5 = ("v5.channel.k8s.io",)


def executed(site: Site, name: str, command: list[str], data: bytes = b"", **query: str) -> Any:
    """Output and error of a command that gets *data*, and the Status of its end."""
    wanted: Any = {"command": command, "stdin": "true", "stdout": "true", "stderr": "true", **query}
    stream = site.client.stream(f"{PODS}/{name}/exec", wanted, V5)
    try:
        if data:
            stream.send(0, data)
        stream.send(255, b"\0")
        pieces: dict[int, bytes] = {1: b"", 2: b"", 3: b""}
        while (message := stream.receive()) is not None:
            pieces[message[0]] += message[1]
    finally:
        stream.close()
    return pieces[1], pieces[2], json.loads(pieces[3])


@pytest.fixture(scope="module")
def web(lasting_site: Site) -> Site:
    """A site with the pod web, which has said hello twice, and answers lines."""
    words = "echo one; echo two; echo oops >&2; while true; do read x || sleep 1000; echo got $x; done"
    lasting_site.client.create(pod_on("node-0", "web", "sh", "-c", words, stdin=True))
    lasting_site.wait_ready("web")
    return lasting_site


def test_a_program_gets_its_input_and_tells_its_end(web: Site) -> None:
    """Input, output, errors and the exit code go through the stream."""
    out, error, status = executed(web, "web", ["sh", "-c", "cat; echo bad >&2; exit 3"], b"some words")
    assert (out, error) == (b"some words", b"bad\n")
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]
    assert executed(web, "web", ["true"])[2]["status"] == "Success"


def test_much_output_is_whole(web: Site) -> None:
    """Megabytes arrive as they were written."""
    out, _, status = executed(web, "web", ["busybox", "dd", "if=/dev/zero", "bs=100000", "count=30"])
    assert len(out) == 3_000_000 and status["status"] == "Success"


def test_a_terminal_knows_its_size(web: Site) -> None:
    """With tty the program has a terminal of the client's size, whose output is all on stdout."""
    wanted: Any = {"command": ["busybox", "sh"], "stdin": "true", "stdout": "true", "tty": "true"}
    stream = web.client.stream(f"{PODS}/web/exec", wanted, V5)
    stream.send(4, b'{"Width":132,"Height":43}')
    stream.send(0, b"until busybox stty size | busybox grep -q '43 132'; do :; done; echo si''zed; exit\n")
    text = b""
    while (message := stream.receive()) is not None:
        text += message[1]
    stream.close()
    assert b"sized" in text


def test_a_program_ends_with_its_client(web: Site) -> None:
    """When the client goes, its program is not left running."""
    wanted: Any = {"command": ["sleep", "4321"], "stdout": "true"}
    stream = web.client.stream(f"{PODS}/web/exec", wanted, V5)
    listed = "busybox ps -o args | busybox grep -v grep | busybox grep -c 'sleep 4321'"
    assert web.printed("web", listed) == "1\n"
    stream.close()
    assert web.printed("web", f"{listed} || true") == "0\n"


def test_what_cannot_be_executed_is_told(web: Site) -> None:
    """A program that is not there is an error of the stream, not a silent end."""
    status = executed(web, "web", ["nowhere"])[2]
    assert status["status"] == "Failure" and "nowhere" in status["message"]


def test_what_has_ended_is_not_entered(shared: Site) -> None:
    """Neither exec nor attach find a container that has ended, in the kubelet's words; its log is there."""
    pod = pod_on("node-0", "ended", "sh", "-c", "echo last words", spec={"restartPolicy": "Never"})
    shared.client.create(pod)
    shared.wait("ended", lambda found: found.get("status", {}).get("phase") == "Succeeded")
    words = executed(shared, "ended", ["true"])[2]["message"]
    assert words == 'Internal error occurred: unable to upgrade connection: container not found ("c")'
    stream = shared.client.stream(f"{PODS}/ended/attach", {"stdout": "true"}, V5)
    said = b"".join(message[1] for message in iter(stream.receive, None))
    stream.close()
    assert b"container c not found in pod ended_default" in said
    assert shared.client.request("GET", f"{PODS}/ended/log").body == b"last words\n"


def test_logs_as_they_are_asked_for(web: Site) -> None:
    """All of it, its end, its first bytes, with times, and one stream alone."""

    def log(**query: str) -> bytes:
        return web.client.request("GET", f"{PODS}/web/log", query).body

    end = time.monotonic() + PATIENCE_S
    while len(log().splitlines()) < 3:
        assert time.monotonic() < end
    assert sorted(log().splitlines())[-3:] == [b"one", b"oops", b"two"]  # behind answers to other tests
    assert log(stream="Stderr") == b"oops\n"
    assert len(log(tailLines="1").splitlines()) == 1
    assert log(limitBytes="2", stream="Stdout") == b"on"
    stamped = log(timestamps="true", stream="Stdout").splitlines()[0].split(b" ")
    assert stamped[0].endswith(b"Z") and stamped[1] == b"one"
    assert log(sinceTime="2100-01-01T00:00:00Z") == b""


def test_a_log_is_followed_until_its_reader_goes(web: Site) -> None:
    """New lines come as they are written; closing ends the wait of who reads."""
    lines = web.client.lines(f"{PODS}/web/log", {"follow": "true", "stream": "Stdout"})
    seen, got = [], threading.Event()

    def read() -> None:
        for line in lines:
            seen.append(line)
            if b"got more" in line:
                got.set()

    reader = threading.Thread(target=read)
    reader.start()
    attached = web.client.stream(f"{PODS}/web/attach", {"stdin": "true", "stdout": "true"}, V5)
    attached.send(0, b"more\n")
    assert got.wait(60)
    attached.close()
    lines.close()
    reader.join(60)
    assert not reader.is_alive()


def test_attach_joins_the_containers_own_streams(web: Site) -> None:
    """What is typed reaches the program, and its answer comes back."""
    stream = web.client.stream(f"{PODS}/web/attach", {"stdin": "true", "stdout": "true"}, V5)
    stream.send(0, b"word\n")
    text = b""
    while b"got word\n" not in text:
        message = stream.receive()
        assert message is not None
        text += message[1]
    stream.close()


def test_a_port_of_a_pod_is_reached(shared: Site) -> None:
    """A forwarded connection reaches what listens inside on loopback alone."""
    words = "busybox mkdir /www; echo inside >/www/index.html; busybox httpd -f -p 127.0.0.1:7000 -h /www"
    shared.client.create(pod_on("node-0", "server", "sh", "-c", words))
    pod = shared.wait_ready("server")
    link = shared.api.nodes.get("node-0")
    assert link is not None
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            connection = link.port_forward(pod, 7000)
            break
        except StatusError as error:  # it does not listen yet
            assert "7000" in str(error) and time.monotonic() < end
    with connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b"".join(iter(lambda: connection.recv(1000), b"")).endswith(b"inside\n")


def test_what_has_not_started_has_no_log(shared: Site) -> None:
    """Why there is no log is told in the kubelet's words."""
    shared.client.create(pod_on("node-0", "waiting", *SLEEP, envFrom=[{"secretRef": {"name": "none"}}]))
    shared.wait("waiting", lambda pod: "CreateContainerConfigError" in str(pod.get("status")))
    with pytest.raises(
        ApiError, match=r'container "c" in pod "waiting" is waiting to start: CreateContainer'
    ):
        shared.client.request("GET", f"{PODS}/waiting/log")


def test_usage_is_told_for_each_container(web: Site) -> None:
    """Processor time and memory of the pods' containers are counted."""
    link = web.api.nodes.get("node-0")
    assert link is not None
    (pod,) = [one for one in link.stats()["pods"] if one["name"] == "web"]
    assert pod["containers"][0]["name"] == "c" and pod["containers"][0]["memory_bytes"] > 0
