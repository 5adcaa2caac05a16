"""Services as data: what the definitions say, and the servers themselves from Debian's packages."""

from __future__ import annotations

import re
import socket
import urllib.request
from collections.abc import Callable, Iterator

import pytest

import container_kit as ck
from container_kit.containers.engine import Engine
from container_kit.testing import Service, ServiceDefinition, start_service
from container_kit.testing.definitions import define, ready_made
from container_kit.testing.fingerprints import fingerprint
from container_kit.testing.services import start_wishes
from tests.testing.images import SERVICES, service_engine
from tests.wait.conftest import warm_up

KNOWN = [
    "postgres",
    "mysql",
    "mariadb",
    "redis",
    "rabbitmq",
    "mongodb",
    "kafka",
    "elasticsearch",
    "opensearch",
    "minio",
    "nginx",
    "localstack",
]


@pytest.mark.parametrize("name", KNOWN)
def test_each_definition_can_be_started_as_it_stands(name: str) -> None:
    """All braces are values, the container's options are such, and there is something to wait for."""
    definition = ready_made()[name]
    wishes = start_wishes(definition)
    command = wishes.pop("command")
    url = definition.fill_url("127.0.0.1", 4711)

    assert ck.ContainerOptions(**{**wishes, "ports": {}}).env == tuple(sorted(wishes["env"].items()))
    assert list(wishes["ports"]) == [definition.port]
    assert definition.strategy() is not None
    assert "4711" in url
    for text in (url, *wishes["env"].values(), *(command or ())):
        assert not re.search(r"\{\w+\}", text), text


def test_wishes_over_a_definition() -> None:
    """Values, environment, fields and options of the container, each in its place; a tag is another image."""
    definition = define(
        "postgres:16", {"password": "a/b@c", "env": {"TZ": "UTC"}, "timeout": 5, "user": "me"}
    )
    changed = definition.changed({"limits": ck.Limits(memory="64m"), "env": {"A": 1}})

    assert changed.image == "postgres:16"
    assert (changed.timeout, changed.port) == (5, 5432)
    wishes = start_wishes(changed)
    assert wishes["env"]["POSTGRES_PASSWORD"] == "a/b@c"
    assert (wishes["env"]["TZ"], wishes["env"]["A"], wishes["env"]["POSTGRES_USER"]) == ("UTC", "1", "me")
    assert wishes["limits"] == ck.Limits(memory="64m")
    assert changed.fill_url("::1", 7, database="x y") == "postgresql://me:a%2Fb%40c@[::1]:7/x%20y"


@pytest.mark.parametrize(
    "make, error, words",
    [
        (lambda: define("postgres", {"passwort": "x"}), ck.UnknownOption, "'password'"),
        (lambda: define("mine:1", {"prot": 80}), ck.UnknownOption, "'port'"),
        (lambda: define("mine:1", {"wait": [{"prot": 80}]}).strategy(), ck.InvalidInput, "one of port, http"),
        (lambda: define("mine:1", {"late_env": {"A": "{port}"}}), ck.InvalidInput, "give command"),
    ],
)
def test_definitions_that_cannot_be(make: Callable[[], object], error: type[Exception], words: str) -> None:
    """Misspelt or incomplete ones are errors that say what is meant."""
    with pytest.raises(error, match=words):
        make()


@pytest.mark.root
def test_fingerprints(services: Engine) -> None:
    """Equal definitions are equal in every process; what counts for the container makes a difference."""
    base = define("redis", {"limits": ck.Limits(memory="64m")})

    assert fingerprint(base, services) == fingerprint(base.changed({"timeout": 1}), services)
    others = [{"env": {"A": "1"}}, {"limits": ck.Limits(memory="65m")}, {"command": "x"}, {"image": "nginx"}]
    assert (
        len({fingerprint(base.changed(one), services) for one in others} | {fingerprint(base, services)}) == 5
    )


@pytest.fixture(scope="module")
def services() -> Iterator[Engine]:
    """An engine that has the images."""
    with service_engine(SERVICES) as engine:
        warm_up(engine, "redis:7")
        yield engine


@pytest.fixture
def start(services: Engine, own_network: None) -> Iterator[Callable[..., Service]]:
    """Starts a service, and removes it after the test."""
    started: list[Service] = []

    def begin(*arguments: str, **wishes: object) -> Service:
        started.append(start_service(*arguments, engine=services, **wishes))
        return started[-1]

    yield begin
    for one in started:
        one.close()
    services.settle()


def _talk(service: Service, data: bytes) -> bytes:
    with socket.create_connection(service.address(), timeout=10) as connection:
        connection.sendall(data)
        return connection.recv(4096)


@pytest.mark.root
@pytest.mark.tool("mmdebstrap")
def test_postgres(start: Callable[..., Service], services: Engine) -> None:
    """Ready means that a client gets an answer, from this host and from the next container."""
    with ck.Network.create("t-postgres", engine=services) as net:
        service = start("postgres", network=net, password="s/e c", database="shop")
        asked = ["--tuples-only", "--no-align", "--command", "select current_database()"]

        outside = services.run(
            "postgres:17", [service.url(), *asked], network="host", entrypoint=["/usr/bin/psql"], check=True
        )
        inside = services.run(
            "postgres:17",
            [service.inside_url(), *asked],
            network=net,
            entrypoint=["/usr/bin/psql"],
            check=True,
        )

        assert (outside.stdout, inside.stdout) == ("shop\n", "shop\n")
        assert "ready to accept connections" in service.logs()
        service.close()


@pytest.mark.root
@pytest.mark.tool("mmdebstrap")
def test_redis_and_nginx(start: Callable[..., Service]) -> None:
    """Reached at once where `address` says."""
    assert _talk(start("redis"), b"PING\r\n") == b"+PONG\r\n"
    assert b"nginx" in urllib.request.urlopen(start("nginx").url()).read()


@pytest.mark.root
@pytest.mark.tool("mmdebstrap")
def test_mariadb(start: Callable[..., Service], services: Engine) -> None:
    """The user and the database of the definition are there."""
    service = start("mariadb")
    login = [f"--host={service.host}", f"--port={service.port}", "--user=test", "--password=test", "test"]
    command = ["mariadb", *login, "--skip-column-names", "--execute=select database()"]

    done = services.run("mariadb:11", command, network="host", entrypoint=[], check=True)

    assert done.stdout == "test\n"


@pytest.mark.root
@pytest.mark.tool("mmdebstrap")
def test_rabbitmq(start: Callable[..., Service]) -> None:
    """It speaks its protocol, and knows the user of the definition."""
    service = start("rabbitmq")

    assert _talk(service, b"AMQP\x00\x00\x09\x01")[:3] == b"\x01\x00\x00"  # a method on channel 0: start
    login = ["setpriv", "--reuid=rabbitmq", "--regid=rabbitmq", "--init-groups"]
    said = service.container.exec(
        [*login, "/usr/lib/rabbitmq/bin/rabbitmqctl", "authenticate_user", "test", "test"],
        env={"HOME": "/var/lib/rabbitmq"},
    )
    assert said.exit_code == 0, said.stdout + said.stderr


@pytest.mark.root
@pytest.mark.tool("mmdebstrap")
def test_a_program_that_has_to_know_its_own_address(services: Engine, own_network: None) -> None:
    """Late environment has the published port, which is known only when the container runs."""
    definition = ServiceDefinition(
        name="late",
        image="redis:7",
        port=6379,
        command=["sh", "-c", 'echo "I am at $ME, called $NAME"; exec redis-server --protected-mode no'],
        late_env={"ME": "{host}:{port}", "NAME": "{name} it's $HOME"},
        url="{host}:{port}",
    )

    with start_service(definition, engine=services) as service:
        assert service.logs().startswith(
            f"I am at {service.url()}, called {service.container.name} it's $HOME\n"
        )
    services.settle()
