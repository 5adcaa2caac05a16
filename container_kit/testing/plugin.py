"""The pytest plugin: fixtures, options, logs of failed tests' containers in the report.

pytest imports this in every run, whether containers are used or not, so it imports next to nothing; the work
is in :mod:`container_kit.testing.running`, which the first fixture that is used loads.
"""

from __future__ import annotations

import os
import time
from sys import modules
from typing import TYPE_CHECKING

import pytest

from container_kit.testing.clusters import cluster_fixture, namespace_fixture, tell_of_clusters
from container_kit.testing.fixtures import service_fixture

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from typing import Any

    from container_kit.containers.engine import Engine
    from container_kit.network import Network
    from container_kit.registry.server import Registry
    from container_kit.testing.factories import ContainerFactory, ImageFactory
    from container_kit.testing.running import Run

_STARTED = pytest.StashKey[float]()
_SHARED = pytest.StashKey["set[tuple[str, str]]"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("container_kit", "containers (container_kit)")
    group.addoption("--ck-root", metavar="DIRECTORY", help="keep images and containers there")
    group.addoption(
        "--ck-keep-failed", action="store_true", help="leave the containers of failed tests running"
    )
    group.addoption(
        "--ck-reuse", action="store_true", help="leave services running after the run, and take them again"
    )
    group.addoption(
        "--ck-log-lines",
        type=int,
        default=50,
        metavar="N",
        help="how many lines of its containers a failed test's report shows (50)",
    )


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist who gives it its tests."""
    node.workerinput["container_kit_owner"] = os.getpid()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Remember where a worker took part in services of the whole run."""
    if told := getattr(node, "workeroutput", {}).get("container_kit_run"):
        node.config.stash.setdefault(_SHARED, set()).add(tuple(told))


def _run(config: pytest.Config) -> Run | None:
    """What is known of containers in this run; None as long as nothing was asked for."""
    running = modules.get("container_kit.testing.running")
    return None if running is None else running.run_if_any(config)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Take part in the run-scoped services of this run, if any test needs one, until our tests are done."""
    from container_kit.testing.fixtures import wish_of

    for item in session.items:
        for definitions in _fixtures_of(item).values():
            wish = wish_of(definitions[-1].func)
            if wish is not None and wish.scope == "run":
                from container_kit.testing.running import run_of

                run_of(session.config).take_part()
                return


def _fixtures_of(item: pytest.Item) -> dict[str, list[pytest.FixtureDef[object]]]:
    """The definitions of the fixtures that a test needs, by name; the last one counts."""
    info = getattr(item, "_fixtureinfo", None)
    return {} if info is None else {name: found for name, found in info.name2fixturedefs.items() if found}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Begin to start the services that this test needs, all at the same time.

    Called after pytest has found that the test is not to be skipped, and before it sets up fixtures.
    """
    from container_kit.testing.fixtures import wish_of

    item.stash[_STARTED] = time.time()
    services = {}
    for name, found in _fixtures_of(item).items():
        wish = wish_of(found[-1].func)
        if wish is not None and wish.is_complete:
            services[name] = (found[-1], wish)
    if len(services) > 1:
        from container_kit.testing.running import run_of

        run_of(item.config).begin(services)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """The containers that end after this test end at the same time, and are gone when it is over."""
    try:
        yield
    finally:
        run = _run(item.config)
        if run is not None:
            run.settle()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    run = _run(item.config)
    if report.failed and run is not None:
        report.sections += run.tell_of(item, item.stash.get(_STARTED, None))
    if report.failed and "container_kit.cluster.cluster" in modules:
        report.sections += tell_of_clusters(item, item.config.getoption("--ck-log-lines"))
    return report


def pytest_unconfigure(config: pytest.Config) -> None:
    """Our tests are done; and all workers are down, if there were any."""
    for root, folder in config.stash.get(_SHARED, ()):
        from container_kit.containers.engine import Engine
        from container_kit.testing.sharing import end_run

        with Engine(root) as engine:
            end_run(engine, folder)
    run = _run(config)
    if run is not None:
        run.close()


@pytest.fixture(scope="session")
def engine(request: pytest.FixtureRequest) -> Engine:
    """The `Engine` of this process: the default one, or that of ``--ck-root``."""
    from container_kit.testing.running import run_of

    return run_of(request.config).engine


@pytest.fixture
def container_factory(request: pytest.FixtureRequest, engine: Engine) -> Iterator[ContainerFactory]:
    """Starts containers that are removed after the test; see `ContainerFactory`."""
    from container_kit.testing.running import run_of

    yield from run_of(request.config).factory(request)


@pytest.fixture
def network(engine: Engine) -> Iterator[Network]:
    """A network of this test alone, on which containers find each other by name."""
    import container_kit
    from container_kit.testing.running import unique_name

    with container_kit.Network.create(unique_name(), engine=engine) as made:
        yield made


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """An empty `Registry` on this host's loopback, of this worker alone."""
    from container_kit.registry.server import Registry

    with Registry.serve(tmp_path_factory.mktemp("registry")) as served:
        yield served


@pytest.fixture(scope="session")
def image(engine: Engine) -> ImageFactory:
    """Finds, pulls, builds and makes images: ``image("alpine:3")``; see `ImageFactory`."""
    from container_kit.testing.factories import ImageFactory

    return ImageFactory(engine)


# A conftest.py that wants more nodes, or another scope, defines it anew: cluster = cluster_fixture(nodes=3).
cluster = cluster_fixture()
namespace = namespace_fixture()

# One fixture for each ready-made service. A conftest.py that wants another scope, version or value defines it
# anew: postgres = service_fixture("postgres:16", scope="run").
postgres = service_fixture("postgres", scope="session")
mysql = service_fixture("mysql", scope="session")
mariadb = service_fixture("mariadb", scope="session")
redis = service_fixture("redis", scope="session")
rabbitmq = service_fixture("rabbitmq", scope="session")
mongodb = service_fixture("mongodb", scope="session")
kafka = service_fixture("kafka", scope="session")
elasticsearch = service_fixture("elasticsearch", scope="session")
opensearch = service_fixture("opensearch", scope="session")
minio = service_fixture("minio", scope="session")
nginx = service_fixture("nginx", scope="session")
localstack = service_fixture("localstack", scope="session")
