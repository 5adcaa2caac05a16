"""A migrated PostgreSQL for each test: kept once, started as often as wanted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import container_kit as ck
from container_kit.containers.engine import Engine
from tests.testing.images import service_engine
from tests.wait.conftest import warm_up

pytestmark = [pytest.mark.root, pytest.mark.tool("mmdebstrap")]

ACCOUNT = {"POSTGRES_USER": "test", "POSTGRES_PASSWORD": "test", "POSTGRES_DB": "shop"}
READY = ["pg_isready", "--quiet", "--username=test", "--dbname=shop"]
MIGRATION = "create table items (id int primary key, text text); insert into items values (1, 'first')"


@pytest.fixture(scope="module")
def services() -> Iterator[Engine]:
    with service_engine(["postgres"]) as engine:
        warm_up(engine, "postgres:17")
        yield engine


def _psql(container: ck.Container, statement: str) -> str:
    command = ["psql", "--username=test", "--dbname=shop", "--tuples-only", "--no-align", "-c", statement]
    return str(container.exec(command, check=True, timeout=60).stdout)


def _is_ready(container: ck.Container) -> None:
    container.wait_for(ck.wait.exec(READY, interval=0.02), timeout=60)


@pytest.mark.parametrize("is_running", [True, False], ids=["running", "stopped"])
def test_each_copy_begins_with_the_migrated_data(services: Engine, is_running: bool) -> None:
    """Kept in the middle of its work, or stopped in good order: copies are whole, and strangers."""
    with services.start("postgres:17", env=ACCOUNT) as warm:
        _is_ready(warm)
        _psql(warm, MIGRATION)
        if not is_running:
            warm.stop(signal="INT")
        kept = warm.snapshot()
    with kept, services.start(kept) as one, services.start(kept) as two:
        for number, copy in enumerate((one, two)):
            _is_ready(copy)
            assert _psql(copy, "select count(*), min(text) from items") == "1|first\n"
            _psql(copy, f"insert into items select n, 'own' from generate_series(2, {number + 5}) n")
        assert [_psql(copy, "select max(id) from items") for copy in (one, two)] == ["5\n", "6\n"]
    services.settle()
