"""How a pod's containers are asked whether they are well, with real servers in its network."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, StreamEnded

from container_kit.containers.shared_world import world_of
from container_kit.pods import Pod
from tests.pods.conftest import PATIENCE_S, Notes, StartPod, pod_of, sh, statuses, until

_WEB = sh("busybox mkdir /www; echo fine > /www/well; exec busybox httpd -f -p 8080 -h /www")


def _probe(**handler: Any) -> dict[str, Any]:
    return {"periodSeconds": 1, "failureThreshold": 1, **handler}


def test_a_server_is_ready_when_it_answers(start: StartPod) -> None:
    """A readiness probe over HTTP makes the container ready long before its next regular look."""
    http = {"httpGet": {"path": "/well", "port": "web"}, "periodSeconds": 1000}
    main = {"command": _WEB, "ports": [{"name": "web", "containerPort": 8080}], "readinessProbe": http}
    pod = start(pod_of(main), network="bridge")
    pod.wait(timeout=PATIENCE_S)
    assert statuses(pod)["c0"]["ready"]
    with pod.connect(8080) as connection:
        connection.sendall(b"GET /well HTTP/1.0\r\n\r\n")
        assert connection.makefile("rb").read().endswith(b"fine\n")


def test_a_server_that_answers_badly_is_not_ready(start: StartPod, notes: Notes) -> None:
    """A status of 400 and above means that the container is not ready, and is told; it is not restarted."""
    http = _probe(httpGet={"path": "/missing", "port": 8080})
    pod = start(pod_of({"command": _WEB, "readinessProbe": http}))
    until(lambda: any("404" in one.message for one in notes.events if one.reason == "Unhealthy"))
    assert not statuses(pod)["c0"]["ready"]
    assert statuses(pod)["c0"]["restartCount"] == 0
    assert {one["type"]: one["status"] for one in pod.status()["conditions"]}["Ready"] == "False"


def test_readiness_comes_and_goes(start: StartPod) -> None:
    """A container is as ready as its last looks say, without being restarted."""
    check = _probe(exec={"command": ["cat", "/tmp/ready"]})
    pod = start(pod_of({"command": sh("busybox mkdir -p /tmp; exec sleep 1000"), "readinessProbe": check}))
    until(lambda: statuses(pod)["c0"]["state"].get("running"))
    pod.exec(sh("echo > /tmp/ready"), check=True)
    until(lambda: statuses(pod)["c0"]["ready"])
    pod.exec(sh("busybox rm /tmp/ready"), check=True)
    until(lambda: not statuses(pod)["c0"]["ready"])
    assert statuses(pod)["c0"]["restartCount"] == 0


def test_a_container_that_is_not_well_is_started_again(start: StartPod, notes: Notes) -> None:
    """A liveness probe that fails as often as it may ends the container, which the policy then restarts."""
    check = _probe(exec={"command": sh("echo sick; exit 1")})
    pod = start(pod_of({"livenessProbe": check}))
    until(lambda: statuses(pod)["c0"]["restartCount"] >= 1)
    words = [one.message for one in notes.events if one.reason in ("Unhealthy", "Killing")]
    assert words[:2] == [
        "Liveness probe failed: sick",
        "Container c0 failed liveness probe, will be restarted",
    ]


def test_other_probes_wait_for_the_startup_probe(start: StartPod, notes: Notes) -> None:
    """Until the startup probe has succeeded nothing else is asked, and the container is not ready."""
    main = {
        "command": sh("busybox mkdir -p /tmp; sleep 0.3; echo > /tmp/up; exec sleep 1000"),
        "startupProbe": {"exec": {"command": ["cat", "/tmp/up"]}, "periodSeconds": 1},
        "livenessProbe": _probe(exec={"command": ["cat", "/tmp/up"]}),
    }
    pod = start(pod_of(main))
    until(lambda: statuses(pod)["c0"]["state"].get("running"))
    pod.wait(timeout=PATIENCE_S)
    assert statuses(pod)["c0"] | {"started": True, "ready": True, "restartCount": 0} == statuses(pod)["c0"]
    assert not [one for one in notes.events if one.message.startswith("Liveness")]


def test_a_probe_over_tcp_needs_a_listener(start: StartPod) -> None:
    """A TCP probe succeeds when somebody listens on the port of the pod."""
    tcp = _probe(tcpSocket={"port": 7000})
    pod = start(pod_of({"readinessProbe": tcp}))
    until(lambda: statuses(pod)["c0"]["state"].get("running"))
    assert not statuses(pod)["c0"]["ready"]
    with _listening(pod, 7000):
        until(lambda: statuses(pod)["c0"]["ready"])
    until(lambda: not statuses(pod)["c0"]["ready"])


@pytest.mark.parametrize(("answer", "is_ready"), [(1, True), (2, False)])
def test_a_probe_over_grpc_asks_for_the_health_of_a_service(
    start: StartPod, answer: int, is_ready: bool, notes: Notes
) -> None:
    """A gRPC probe asks the health protocol for its service, and believes SERVING alone."""
    pod = start(pod_of({"readinessProbe": _probe(grpc={"port": 7001, "service": "shop"})}))
    asked: list[bytes] = []
    with _listening(pod, 7001) as listener:
        server = threading.Thread(target=_serve_health, args=(listener, answer, asked))
        server.start()
        if is_ready:
            until(lambda: statuses(pod)["c0"]["ready"])
        else:
            until(lambda: any("NOT_SERVING" in one.message for one in notes.events))
        pod.stop()
    listener.close()
    server.join()
    assert asked[0][5:] == b"\x0a\x04shop"


@contextmanager
def _listening(pod: Pod, port: int) -> Iterator[socket.socket]:
    """A listener of ours in the pod's network."""
    listener = world_of(pod.engine, pod.id).socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("0.0.0.0", port))
    listener.listen()
    try:
        yield listener
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _serve_health(listener: socket.socket, answer: int, asked: list[bytes]) -> None:
    """Answer every call with a status, by a server that others wrote the protocol of."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            _answer_one(connection, answer, asked)


def _answer_one(connection: socket.socket, answer: int, asked: list[bytes]) -> None:
    h2 = H2Connection(H2Configuration(client_side=False))
    h2.initiate_connection()
    connection.sendall(h2.data_to_send())
    while data := connection.recv(65536):
        for event in h2.receive_data(data):
            if isinstance(event, DataReceived):
                asked.append(event.data)
            if isinstance(event, StreamEnded):
                h2.send_headers(1, [(":status", "200"), ("content-type", "application/grpc")])
                h2.send_data(1, b"\0\0\0\0\x02\x08" + bytes((answer,)))
                h2.send_headers(1, [("grpc-status", "0")], end_stream=True)
        connection.sendall(h2.data_to_send())


def test_what_a_probe_writes_is_bounded(start: StartPod, notes: Notes) -> None:
    """However much a command writes, little of it is kept, and it is not held up."""
    check = _probe(exec={"command": sh("busybox yes | busybox head -c 3000000; exit 1")}, timeoutSeconds=20)
    start(pod_of({"readinessProbe": check}))
    found = until(lambda: [one for one in notes.events if one.reason == "Unhealthy"])
    assert 1000 < len(found[0].message) < 11_000


def test_a_probe_that_takes_too_long_has_failed(start: StartPod, notes: Notes) -> None:
    """A command that does not end within its timeout is killed, and counts as a failure."""
    check = {"exec": {"command": ["sleep", "999"]}, "timeoutSeconds": 1, "periodSeconds": 1000}
    pod = start(pod_of({"livenessProbe": check}))
    until(lambda: [one for one in notes.events if "timed out" in one.message])
    until(lambda: "999" not in pod.exec("busybox ps -o args").stdout)


class _Noting(BaseHTTPRequestHandler):
    """Answers every request, and notes it."""

    seen: list[tuple[str, dict[str, str]]]

    def do_GET(self) -> None:
        self.seen.append((self.path, dict(self.headers)))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def _serving(
    pod: Pod, port: int, tls: ssl.SSLContext | None = None
) -> Iterator[list[tuple[str, dict[str, str]]]]:
    """A web server of ours in the pod's network; what it was asked."""
    seen: list[tuple[str, dict[str, str]]] = []
    handler = type("Noting", (_Noting,), {"seen": seen})
    with (
        _listening(pod, port) as listener,
        HTTPServer(("", port), handler, bind_and_activate=False) as server,
    ):
        server.socket.close()
        own = listener.dup()
        server.socket = own if tls is None else tls.wrap_socket(own, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield seen
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.tool("openssl")
def test_a_probe_over_https_believes_every_server(start: StartPod, tmp_path: Path) -> None:
    """As a kubelet's, it speaks TLS with whoever answers, and sends the headers that it was given."""
    headers = [{"name": "X-Who", "value": "me"}, {"name": "Host", "value": "shop.example"}]
    http = {"path": "well?x=1", "port": 8443, "scheme": "HTTPS", "httpHeaders": headers}
    pod = start(pod_of({"readinessProbe": _probe(httpGet=http)}))
    until(lambda: statuses(pod)["c0"]["state"].get("running"))
    with _serving(pod, 8443, _self_signed(tmp_path)) as seen:
        until(lambda: statuses(pod)["c0"]["ready"])
    path, got = seen[0]
    assert path == "/well?x=1"
    assert (got["X-Who"], got["Host"], got["User-Agent"]) == ("me", "shop.example", "kube-probe/1.32")


def _self_signed(folder: Path) -> ssl.SSLContext:
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    subprocess.run(
        [*command, "-keyout", key, "-out", cert, "-subj", "/CN=nobody"], check=True, capture_output=True
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


def test_hooks_are_requests_too(start: StartPod) -> None:
    """A hook may be a request: it is made, and the container ends after its answer."""
    hook = {"preStop": {"httpGet": {"path": "/bye", "port": 8081}}}
    main = {"command": sh("trap 'exit 0' TERM; while :; do sleep 0.02; done"), "lifecycle": hook}
    pod = start(pod_of(main, restartPolicy="Never", terminationGracePeriodSeconds=30))
    pod.wait(timeout=PATIENCE_S)
    with _serving(pod, 8081) as seen:
        pod.stop(timeout=PATIENCE_S)
    assert [path for path, _ in seen] == ["/bye"]
    assert statuses(pod)["c0"]["state"]["terminated"]["exitCode"] == 0


def test_a_hook_that_sleeps_puts_off_the_end(start: StartPod) -> None:
    """A container whose hook sleeps gets its signal when that is over."""
    lifecycle = {"preStop": {"sleep": {"seconds": 1}}}
    main = {"command": sh("trap 'exit 1' TERM; while :; do sleep 0.02; done"), "lifecycle": lifecycle}
    pod = start(pod_of(main, terminationGracePeriodSeconds=30))
    pod.wait(timeout=PATIENCE_S)
    began = time.monotonic()
    pod.stop(wait=False)
    until(lambda: pod.status()["phase"] == "Failed")
    assert time.monotonic() - began >= 1.0
