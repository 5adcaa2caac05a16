"""Waiting for containers: what counts as ready, what ends the wait, and what the errors say."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import container_kit as ck
from container_kit.containers.container import Container
from container_kit.containers.engine import Engine
from container_kit.wait.driving import wait_for_async
from tests.containers.waiting import wait_for
from tests.wait.conftest import Serve

pytestmark = pytest.mark.root

PATIENCE_S = 30.0

SERVER = """
import socket, time
time.sleep({delay})
server = socket.socket({family})
server.bind(({address!r}, 8000))
server.listen()
time.sleep(600)
"""
HTTP = """
import http.server, ssl
class Handler(http.server.BaseHTTPRequestHandler):
    asked = 0
    def do_GET(self):
        Handler.asked += 1
        self.send_response(200 if Handler.asked >= {good_from} else 503)
        self.end_headers()
        self.wfile.write(f"asked {{Handler.asked}} as {{self.headers['Host']}}".encode())
    def log_message(self, *_): pass
server = http.server.HTTPServer(("0.0.0.0", 8000), Handler)
{wrap}
server.serve_forever()
"""


def how(container: Container, strategy: object, timeout: float = PATIENCE_S) -> None:
    container.wait_for(strategy, timeout=timeout)  # type: ignore[arg-type]


def how_async(container: Container, strategy: object, timeout: float = PATIENCE_S) -> None:
    asyncio.run(wait_for_async(container, strategy, timeout))


Wait = Callable[..., None]
BOTH = pytest.mark.parametrize("wait", [how, how_async], ids=["sync", "async"])


def server(*, address: str = "0.0.0.0", delay: float = 0.1) -> str:
    family = "socket.AF_INET6" if ":" in address else "socket.AF_INET"
    return SERVER.format(address=address, delay=delay, family=family)


def http(good_from: int = 1, wrap: str = "") -> str:
    return HTTP.format(good_from=good_from, wrap=wrap)


def python_listens(container: Container) -> bool:
    """The truth, by a connection from inside: the control of the strategies."""
    code = "import socket; socket.create_connection(('localhost', 8000)).close()"
    return container.exec(["python3", "-c", code]).exit_code == 0


@BOTH
@pytest.mark.parametrize("address", ["0.0.0.0", "127.0.0.1", "::"])
def test_port(serve: Serve, wait: Wait, address: str) -> None:
    """When it returns, connections are taken; before, they were not."""
    container = serve(server(address=address))
    assert not python_listens(container) or address == "::"

    wait(container, ck.wait.port(8000))

    assert python_listens(container) or address == "::"


def test_port_that_only_the_container_itself_reaches(serve: Serve, own_network: None) -> None:
    """A server on the loopback of a container with a network is not ready, and the error says why."""
    container = serve(server(address="127.0.0.1", delay=0.0), network="bridge")
    container.wait_for(python_listens, timeout=PATIENCE_S)

    with pytest.raises(ck.TimedOut, match=r"127\.0\.0\.1:8000 only.*0\.0\.0\.0"):
        container.wait_for(8000, timeout=0.05)


def test_port_of_a_container_with_a_network(serve: Serve, own_network: None) -> None:
    """Ready means reachable from this host, where `address` says."""
    container = serve(server(), ports={8000: 0})

    container.wait_for(8000, timeout=PATIENCE_S)

    socket.create_connection(container.address(8000), timeout=PATIENCE_S).close()


@BOTH
def test_http(serve: Serve, wait: Wait) -> None:
    """A wrong status is asked for again until it is right; the request comes from inside."""
    container = serve(http(good_from=3))

    wait(container, ck.wait.http("/", port=8000, body="asked [3-9]"))


@BOTH
def test_https(serve: Serve, wait: Wait, certificate: tuple[str, str], python_engine: Engine) -> None:
    """TLS with any certificate when asked so, with one of a file's else; the wrong file is the error."""
    wrap = "c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); c.load_cert_chain('/tls/both.pem')\n"
    wrap += "server.socket = c.wrap_socket(server.socket, server_side=True)"
    own, other = certificate
    container = serve(http(wrap=wrap), mounts=[f"{Path(own).parent}:/tls:ro"])

    wait(container, ck.wait.http("/", port=8000, tls=True))
    wait(container, ck.wait.http("/", port=8000, tls=own))
    with pytest.raises(ck.TimedOut, match="CERTIFICATE_VERIFY_FAILED"):
        wait(container, ck.wait.http("/", port=8000, tls=other), 0.3)
    with pytest.raises(ck.TimedOut, match="did not answer"):
        wait(container, ck.wait.http("/", port=8000), 0.3)


def test_http_of_a_server_that_says_nothing(serve: Serve) -> None:
    """A request without an answer is given up, and the error says so."""
    container = serve(server(delay=0.0))

    with pytest.raises(ck.TimedOut, match=r"GET /health at port 8000 did not answer within 0\.1 s"):
        container.wait_for(ck.wait.http("/health", port=8000, request_timeout=0.1), timeout=0.5)


@BOTH
def test_log(serve: Serve, wait: Wait) -> None:
    """Lines of the past and the future count, of the stream that is asked for."""
    container = serve(shell="echo one; sleep 0.1; echo two >&2; sleep 0.1; echo one more; sleep 600")

    wait(container, ck.wait.log("^one", count=2))
    wait(container, ck.wait.log("two", stream="stderr"))
    with pytest.raises(ck.TimedOut, match=r"has 2 times .*'one', not 3 times.*\n    one\n    two"):
        wait(container, ck.wait.log("one", count=3), 0.1)
    with pytest.raises(ck.TimedOut, match="not a line that matches 'two'"):
        wait(container, ck.wait.log("two", stream="stdout"), 0.1)


def test_log_of_this_life_only(serve: Serve) -> None:
    """What a container wrote before it was started again is no sign of readiness."""
    container = serve(
        shell="if [ -e /ready ]; then sleep 600; fi; echo ready > /ready; cat /ready; sleep 600"
    )
    container.wait_for(ck.wait.log("ready"))
    container.restart(timeout=0)

    with pytest.raises(ck.TimedOut):
        container.wait_for(ck.wait.log("ready"), timeout=0.1)


def test_log_through_rotations(serve: Serve) -> None:
    """A line is found although its file is gone by the time that it is read."""
    line = "i=0; while [ $i -lt 2000 ]; do echo a line of some length that fills files $i; i=$((i+1)); done"
    container = serve(shell=f"{line}; sleep 600", log=ck.LogOptions(max_size=32768, max_files=2))

    container.wait_for(ck.wait.log(r"files 1999$"), timeout=PATIENCE_S)


@BOTH
def test_health(serve: Serve, wait: Wait) -> None:
    """The first successful check ends the wait; without a check there is nothing to wait for."""
    check = ck.HealthCheck.shell("cat /ready", interval_s=0.05, retries=1000)
    container = serve(shell="sleep 0.2; echo > /ready; sleep 600", health=check)
    wait(container, ck.wait.health())
    assert container.info().health == "healthy"

    with pytest.raises(ck.WrongState, match="has no health check"):
        wait(serve(shell="sleep 600"), ck.wait.health())


def test_unhealthy(serve: Serve) -> None:
    """A container that became unhealthy is not waited for any longer; the error has the check's words."""
    check = ck.HealthCheck.shell("echo the disk is full; false", interval_s=0.02, retries=2)
    container = serve(shell="sleep 600", health=check)

    with pytest.raises(ck.WrongState, match=r"unhealthy(.|\n)*the disk is full"):
        container.wait_for(ck.wait.health(), timeout=PATIENCE_S)


@BOTH
def test_exec(serve: Serve, wait: Wait) -> None:
    """A command is executed again until it succeeds; the error has its last words."""
    container = serve(shell="sleep 0.2; echo > /ready; sleep 600")

    wait(container, ck.wait.exec(["cat", "/ready"], interval=0.05))
    with pytest.raises(ck.TimedOut, match=r"ended with exit code 1: cat: .*No such file"):
        wait(container, ck.wait.exec(["cat", "/never"], interval=0.05), 0.5)
    with pytest.raises(ck.TimedOut, match="could not be executed"):
        wait(container, ck.wait.exec(["no-such-program"], interval=0.05), 0.3)
    with pytest.raises(ck.TimedOut, match="took more than"):
        wait(container, ck.wait.exec(["sleep", "600"], timeout=0.1), 0.4)


@BOTH
def test_file(serve: Serve, wait: Wait) -> None:
    """A file in a directory that is not there yet, and then its content."""
    shell = (
        "sleep 0.1; mkdir -p /a/b; sleep 0.1; echo half > /a/b/c; sleep 0.1; echo whole > /a/b/c; sleep 600"
    )
    container = serve(shell=shell)

    wait(container, ck.wait.file("/a/b/c"))
    wait(container, ck.wait.file("/a/b/c", content="whole"))
    with pytest.raises(ck.TimedOut, match="/a/b/d is not there"):
        wait(container, ck.wait.file("/a/b/d"), 0.1)


@BOTH
def test_callable(serve: Serve, wait: Wait) -> None:
    """Called until it returns something true; errors mean not yet, unless they were not announced."""
    container = serve(shell="sleep 600")
    answers = iter([False, OSError("no"), None, 7])

    def ready(given: Container) -> object:
        assert given == container
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    wait(container, ck.wait.callable(ready, interval=0.01))
    assert list(answers) == []
    with pytest.raises(ZeroDivisionError):
        wait(container, ck.wait.callable(lambda c: 1 / 0, retry_on=OSError))
    with pytest.raises(ck.TimedOut, match="raised ZeroDivisionError: division by zero"):
        wait(container, lambda c: 1 / 0, 0.1)


@BOTH
def test_exit(serve: Serve, wait: Wait) -> None:
    """The right exit code is what was waited for; another one is an error with the last lines."""
    wait(serve(shell="exit 3"), ck.wait.exit(3))
    wait(serve(shell="sleep 0.1"), ck.wait.exit())
    wait(serve(shell="exit 4"), ck.wait.exit(None))
    with pytest.raises(ck.ContainerEnded, match="ended with exit code 4") as caught:
        wait(serve(shell="echo good bye; exit 4"), ck.wait.exit())
    assert (caught.value.exit_code, caught.value.log_tail) == (4, ("good bye",))


@BOTH
def test_all_and_any(serve: Serve, wait: Wait) -> None:
    """All of them in turn, or the first of them; the error has what is missing."""
    container = serve(shell="echo started; sleep 0.1; echo > /ready; sleep 600")

    wait(container, ck.wait.all(ck.wait.log("started"), ck.wait.file("/ready")))
    wait(container, ck.wait.any(ck.wait.file("/never"), ck.wait.log("started"), ck.wait.port(1)))
    with pytest.raises(ck.TimedOut, match="nothing listens on port 1/tcp"):
        wait(container, [ck.wait.log("started"), 1], 0.1)
    with pytest.raises(ck.TimedOut, match="never is not there; and nothing listens on port 1/tcp"):
        wait(container, ck.wait.any(ck.wait.file("/never"), ck.wait.port(1)), 0.1)


STRATEGIES = {
    "port": ck.wait.port(8000),
    "http": ck.wait.http(port=8000),
    "log": ck.wait.log("never"),
    "exec": ck.wait.exec(["false"]),
    "running-exec": ck.wait.exec(["sleep", "600"]),
    "file": ck.wait.file("/never"),
    "callable": ck.wait.callable(lambda c: False, interval=0.05),
    "any": ck.wait.any(ck.wait.port(8000), ck.wait.log("never")),
}


@BOTH
@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES.keys())
def test_the_end_of_the_container_ends_the_wait(serve: Serve, wait: Wait, strategy: object) -> None:
    """Whatever is waited for, with no timeout at all; the error has the exit code and the last lines."""
    container = serve(shell="sleep 0.2; echo cannot bind >&2; exit 7")

    with pytest.raises(ck.ContainerEnded, match=r"ended with exit code 7(.|\n)*cannot bind") as caught:
        wait(container, strategy, None)
    assert caught.value.exit_code == 7


def test_the_end_of_one_that_removes_itself(serve: Serve) -> None:
    """Its exit code was told before it was gone."""
    container = serve(shell="sleep 0.2; exit 7", auto_remove=True)

    with pytest.raises(ck.ContainerEnded, match="ended with exit code 7"):
        container.wait_for(ck.wait.log("never"), timeout=None)


def test_a_line_just_before_the_end_counts(serve: Serve) -> None:
    """What came about before the end has come about."""
    for _ in range(5):
        serve(shell="echo ready").wait_for(ck.wait.log("ready"), timeout=PATIENCE_S)


def test_a_restart_is_no_end(serve: Serve) -> None:
    """A container whose policy starts it again is waited for on."""
    container = serve(
        shell="if [ -e /once ]; then echo up; sleep 600; fi; echo > /once; exit 1", restart="always"
    )

    container.wait_for(ck.wait.log("up"), timeout=PATIENCE_S)


def test_states_in_which_nothing_can_be_waited_for(python_engine: Engine, serve: Serve) -> None:
    """Not started, removed, or ended before."""
    created = python_engine.create("tools", ["true"])
    with created, pytest.raises(ck.WrongState, match="start it first"):
        created.wait_for(80)
    with pytest.raises(ck.NotFound):
        created.wait_for(80)
    ended = serve(shell="exit 5")
    ended.wait()
    with pytest.raises(ck.ContainerEnded, match="exit code 5"):
        ended.wait_for(80)


@pytest.mark.parametrize(
    "wish, word",
    [
        (lambda: ck.wait.port(0), "1 to 65535"),
        (lambda: ck.wait.port("x"), "1 to 65535"),
        (lambda: ck.wait.port("80/sctp"), "tcp or udp"),
        (lambda: ck.wait.http("no-slash", port=80), "begins with"),
        (lambda: ck.wait.http("/ HTTP/1.1\r\nX: y", port=80), "begins with"),
        (lambda: ck.wait.http("/", port=80, headers={"X": "a\r\nY: b"}), "one line"),
        (lambda: ck.wait.http("/", port=80, method="GET /\r\n"), "none of HTTP's"),
        (lambda: ck.wait.log("("), "no regular expression"),
        (lambda: ck.wait.log("x", count=0), "at least 1"),
        (lambda: ck.wait.exec([]), "no command"),
        (lambda: ck.wait.file("relative"), "not an absolute path"),
        (lambda: ck.wait.all(), "nothing to wait for"),
        (lambda: ck.wait.any(object()), "is nothing to wait for"),
    ],
)
def test_wishes_that_cannot_be(wish: Callable[[], object], word: str) -> None:
    """Refused where they are written, with what would be right."""
    with pytest.raises(ck.InvalidInput, match=re.escape(word)):
        wish()


def test_cancelling(serve: Serve) -> None:
    """A task that is cancelled while it waits ends, also while a function of the caller's is running."""
    container = serve(shell="sleep 600")
    entered = threading.Event()

    def slow(_: Container) -> bool:
        entered.set()
        time.sleep(0.2)
        return False

    async def cancel() -> None:
        for strategy in (ck.wait.log("never"), ck.wait.callable(slow)):
            task = asyncio.create_task(wait_for_async(container, strategy, None))
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(cancel())
    assert entered.is_set()
    assert wait_for(lambda: container.status == "running")


def test_many_waits_at_once_in_one_loop(serve: Serve) -> None:
    """They sleep at the same time."""
    containers = [serve(shell=f"sleep 0.{n}; echo ready; sleep 600") for n in range(1, 6)]

    async def together() -> None:
        waits = [wait_for_async(one, ck.wait.log("ready"), PATIENCE_S) for one in containers]
        await asyncio.gather(*waits)

    asyncio.run(together())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A self-signed certificate for localhost with its key in ``both.pem``, and another certificate."""
    import subprocess

    folder = tmp_path_factory.mktemp("tls")
    for name in ("own", "other"):
        request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
        request += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
        files = ["-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.pem"]
        subprocess.run([*request, *files], check=True, capture_output=True)
    both = (folder / "own.key").read_bytes() + (folder / "own.pem").read_bytes()
    (folder / "both.pem").write_bytes(both)
    ssl.create_default_context(cafile=str(folder / "own.pem"))
    return str(folder / "own.pem"), str(folder / "other.pem")
