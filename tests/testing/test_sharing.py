"""Services of a whole run: one container for all workers of pytest-xdist, whatever ends them."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from container_kit.containers.engine import Engine
from tests.containers.waiting import wait_for
from tests.testing.images import service_engine, stocked_root
from tests.testing.sessions import Session

pytestmark = pytest.mark.root

# The promise is one second on a machine that is not overloaded.
PROMISE_S = 10.0

SERVICE = """
    from container_kit import testing, wait

    shared = testing.service_fixture("tools", command=["sh", "-c", "echo up; sleep 600"],
                                     wait=wait.log("up"), scope="run")
    other = testing.service_fixture("tools", command=["sh", "-c", "echo up; sleep 600"],
                                    wait=wait.log("up"), scope="run")
"""
TESTS = """
    import os, time
    import pytest

    @pytest.mark.parametrize("turn", range(12))
    def test_it(shared, turn):
        with open("ids", "a") as file:
            file.write(f"{shared.container.id} {os.environ.get('PYTEST_XDIST_WORKER', 'main')}\\n")
        time.sleep(0.05)
        assert shared.container.exec(["echo", "hi"]).stdout == "hi\\n"
"""


def told(session: Session, name: str = "ids") -> list[list[str]]:
    path = session.folder / name
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def is_clean(root: Path) -> bool:
    """Nothing of a run is left: no container, nobody present, no process of ours."""
    with Engine(root) as engine:
        runs = [name for name in os.listdir(root / "testing") if (root / "testing" / name).is_dir()]
        return not engine.containers(all=True) and not runs


@pytest.mark.parametrize("workers", [0, 4])
def test_it_is_started_once(session: Session, workers: int) -> None:
    """All workers get the same container; it is gone after the run."""
    session.write({"conftest.py": SERVICE, "test_it.py": TESTS})

    outcome = session.run(*(["-n", str(workers)] if workers else []))

    assert outcome.counts == {"passed": 12}, outcome.output
    assert len({container for container, _ in told(session)}) == 1
    assert len({worker for _, worker in told(session)}) == max(1, workers)
    assert is_clean(session.root)


def test_control_of_another_scope_there_are_more(session: Session) -> None:
    """The control: with scope session each worker has one of its own."""
    session.write({"conftest.py": SERVICE.replace('"run"', '"session"'), "test_it.py": TESTS})

    outcome = session.run("-n", "2")

    assert outcome.counts == {"passed": 12}, outcome.output
    assert len({container for container, _ in told(session)}) == 2


def test_two_fixtures_are_two_containers(session: Session) -> None:
    """Although they are defined alike."""
    session.write(
        {
            "conftest.py": SERVICE,
            "test_it.py": """
                def test_it(shared, other):
                    assert shared.container != other.container
            """,
        }
    )

    outcome = session.run("-n", "2")

    assert outcome.counts == {"passed": 1}, outcome.output
    assert is_clean(session.root)


def test_it_outlives_the_worker_that_started_it(session: Session) -> None:
    """A worker that crashes takes its own containers with it, and none that others use."""
    session.write(
        {
            "conftest.py": SERVICE,
            "test_it.py": """
                import os, signal, time
                import pytest

                @pytest.mark.parametrize("turn", range(8))
                def test_it(shared, container_factory, turn):
                    container_factory("tools", ["sleep", "600"])
                    with open("ids", "a") as file:
                        file.write(shared.container.id + "\\n")
                    if turn == 0:
                        time.sleep(0.5)
                        os.kill(os.getpid(), signal.SIGKILL)
                    assert shared.container.exec(["echo", "hi"]).stdout == "hi\\n"
            """,
        }
    )

    outcome = session.run("-n", "2")

    assert outcome.counts == {"failed": 1, "passed": 7}, outcome.output
    assert "crashed while running" in outcome.output
    assert len({container for (container,) in told(session)}) == 1
    wait_for(lambda: is_clean(session.root), PROMISE_S)


@pytest.mark.parametrize("workers", [0, 4])
def test_nothing_is_left_when_the_main_process_is_killed(session: Session, workers: int) -> None:
    """Containers of the run and of single tests are gone soon after, and the workers too."""
    session.write(
        {
            "conftest.py": SERVICE,
            "test_it.py": """
                import os, time
                import pytest

                @pytest.mark.parametrize("turn", range(4))
                def test_it(shared, container_factory, turn):
                    container_factory("tools", ["sleep", "600"])
                    with open("pids", "a") as file:
                        file.write(f"{os.getpid()}\\n")
                    time.sleep(600)
            """,
        }
    )
    main = session.begin(*(["-n", str(workers)] if workers else []))
    wait_for(lambda: len(told(session, "pids")) == max(1, workers), 60.0)
    with Engine(session.root) as engine:
        assert len(engine.containers()) == 1 + max(1, workers)

    main.send_signal(signal.SIGKILL)
    main.wait()

    with Engine(session.root) as engine:
        wait_for(lambda: not engine.containers(all=True), PROMISE_S)
    for (pid,) in told(session, "pids"):
        wait_for(lambda pid=pid: not os.path.exists(f"/proc/{pid}/exe"), PROMISE_S)  # type: ignore[misc]


@pytest.mark.trial
@pytest.mark.parametrize("whom", ["main", "worker"])
def test_killed_at_random_moments(session: Session, whom: str) -> None:
    """Whenever the main process or a worker is killed: afterwards nothing is left of any container."""
    session.write({"conftest.py": SERVICE, "test_it.py": TESTS.replace("0.05", "0.2")})
    chance = random.Random(15)
    for _ in range(20):
        main = session.begin("-n", "3")
        time.sleep(chance.uniform(0.3, 2.5))
        if whom == "main":
            main.kill()
        elif workers := _children(main.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(chance.choice(workers), signal.SIGKILL)
        main.wait(60)
        with Engine(session.root) as engine:
            wait_for(lambda engine=engine: not engine.containers(all=True), PROMISE_S)  # type: ignore[misc]
        # A cgroup that was made in the very moment before is for the next who opens the root.
        wait_for(lambda: _has_no_cgroups(session.root), PROMISE_S)


def _has_no_cgroups(root: Path) -> bool:
    with Engine(root) as engine:
        return not engine.cgroups.names()


def _children(pid: int) -> list[int]:
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def test_what_a_killed_run_left_is_swept_by_the_next(session: Session) -> None:
    """The files by which its workers agreed are removed."""
    test_nothing_is_left_when_the_main_process_is_killed(session, 4)
    session.write({"test_it.py": "def test_it(shared): pass"})

    assert session.run().counts == {"passed": 1}
    assert is_clean(session.root)


def test_a_failed_start_is_tried_once(session: Session) -> None:
    """All workers fail at once with the same reason, and say which of them has tried."""
    session.write(
        {
            "conftest.py": """
                from container_kit import testing, wait
                shared = testing.service_fixture("tools", command=["sh", "-c", "echo no disk; exit 9"],
                                                 wait=wait.log("up"), scope="run")
            """,
            "test_it.py": """
                import pytest

                @pytest.mark.parametrize("turn", range(6))
                def test_it(shared, turn): pass
            """,
        }
    )

    outcome = session.run("-n", "3")

    assert outcome.counts == {"errors": 6}, outcome.output
    assert "could not be started by gw" in outcome.output
    assert "no disk" in outcome.output
    assert is_clean(session.root)


POSTGRES = """
    import os, time
    import psycopg
    import pytest
    from container_kit.testing import service_fixture

    postgres = service_fixture("postgres", scope="run")

    @pytest.mark.parametrize("turn", range(8))
    def test_it(postgres, turn):
        with psycopg.connect(postgres.url()) as database:
            database.execute("CREATE TABLE IF NOT EXISTS seen (started timestamptz UNIQUE)")
            database.execute("INSERT INTO seen SELECT pg_postmaster_start_time() ON CONFLICT DO NOTHING")
            assert database.execute("SELECT count(*) FROM seen").fetchone() == (1,)
        with open("ids", "a") as file:
            file.write(f"{postgres.container.id} {os.getpid()}\\n")
        time.sleep(PAUSE)
"""


@pytest.fixture
def with_postgres(tmp_path: Path, own_network: None) -> Session:
    """A folder whose tests share a PostgreSQL, from a root that has its image."""
    with service_engine(["postgres"]):
        pass
    return Session(tmp_path, stocked_root())


@pytest.mark.tool("mmdebstrap")
def test_a_database_for_four_workers(with_postgres: Session) -> None:
    """It is started once, all see the same server, and it is gone after the run."""
    with_postgres.write({"test_it.py": POSTGRES.replace("PAUSE", "0.05")})

    outcome = with_postgres.run("-n", "4")

    assert outcome.counts == {"passed": 8}, outcome.output
    assert len({container for container, _ in told(with_postgres)}) == 1
    assert len({worker for _, worker in told(with_postgres)}) == 4
    assert is_clean(with_postgres.root)


@pytest.mark.tool("mmdebstrap")
def test_a_database_whose_workers_main_process_is_killed(with_postgres: Session) -> None:
    """The database and the workers are gone soon after; the containers of others are untouched."""
    with_postgres.write({"test_it.py": POSTGRES.replace("PAUSE", "600")})
    main = with_postgres.begin("-n", "4")
    wait_for(lambda: len(told(with_postgres)) == 4, 60.0)
    ((container_id, *_),) = {(container,) for container, _ in told(with_postgres)}

    with (
        Engine(with_postgres.root) as engine,
        engine.start("postgres:17", "sleep 600", entrypoint=()) as other,
    ):
        paths = [path for path in engine.cgroups.open(container_id).paths if os.path.isdir(path)]
        main.kill()
        main.wait()
        wait_for(lambda: [one.id for one in engine.containers(all=True)] == [other.id], PROMISE_S)
        wait_for(lambda: not any(map(os.path.isdir, paths)), PROMISE_S)
        assert other.status == "running"
    for _, pid in told(with_postgres):
        wait_for(lambda pid=pid: not os.path.exists(f"/proc/{pid}/exe"), PROMISE_S)  # type: ignore[misc]
    shutil.rmtree(with_postgres.root / "testing")
