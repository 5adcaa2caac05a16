"""The plugin, by runs of pytest that use it."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from container_kit.containers.engine import Engine
from tests.testing.sessions import PROJECT, Session

pytestmark = pytest.mark.root

SLEEPER = """
    from container_kit import testing, wait

    def sleeper(**more):
        command = ["sh", "-c", "echo up; sleep 600"]
        return testing.service_fixture("tools", command=command, wait=wait.log("up"), **more)
"""


def test_importing_it_loads_next_to_nothing() -> None:
    """In a process that has pytest, only the plugin's own three modules and those that import lazily."""
    program = (
        "import pytest, sys; before = set(sys.modules); import container_kit.testing.plugin; "
        "print(*set(sys.modules) - before)"
    )
    environment = {"PYTHONPATH": str(PROJECT)}
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
    ).stdout.split()

    assert set(loaded) == {
        "container_kit",
        "container_kit._lazy",
        "container_kit._version",
        "container_kit.testing",
        "container_kit.testing.clusters",
        "container_kit.testing.fixtures",
        "container_kit.testing.plugin",
    }


def test_the_installation_names_it() -> None:
    """The entry point leads to the module that is tested here, and the data goes with the package."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())

    assert project["project"]["entry-points"]["pytest11"] == {"container_kit": "container_kit.testing.plugin"}
    assert "services.toml" in project["tool"]["setuptools"]["package-data"]["container_kit.testing"]


def test_fixtures(session: Session) -> None:
    """Each fixture gives what it says, and a test without any of them loads none of our modules."""
    session.write(
        {
            "test_it.py": """
                import sys
                import urllib.request

                def test_nothing():
                    assert "container_kit.containers.engine" not in sys.modules

                def test_engine(engine, pytestconfig):
                    assert engine.root == pytestconfig.getoption("--ck-root")

                def test_factory(container_factory):
                    container = container_factory("tools", ["sleep", "600"])
                    assert container.exec(["echo", "hi"]).stdout == "hi\\n"

                def test_that_it_is_gone(engine):
                    assert engine.containers(all=True) == []

                def test_several(container_factory):
                    futures = [container_factory.submit("tools", ["sh", "-c", "echo up; sleep 600"],
                                                        wait=lambda c: list(c.logs())) for _ in range(5)]
                    assert len({one.result().id for one in futures}) == 5

                def test_registry(registry):
                    assert urllib.request.urlopen(registry.url + "/v2/").status == 200

                def test_image(image):
                    assert image("tools").names
                    assert image.build({"Dockerfile": "FROM tools\\nENV A=1"}).defaults.env[-1] == "A=1"
            """
        }
    )

    outcome = session.run()

    assert outcome.counts == {"passed": 7}, outcome.output


def test_scopes(session: Session) -> None:
    """A service lives as long as its scope says: a test, a module, the session."""
    session.write(
        {
            "conftest.py": f"""{SLEEPER}
    each = sleeper()
    module = sleeper(scope="module")
    whole = sleeper(scope="session", name="session_wide")
    seen = {{}}
            """,
            **{
                f"test_{name}.py": """
                    import pytest
                    from conftest import seen

                    @pytest.mark.parametrize("turn", [1, 2])
                    def test_it(each, module, session_wide, turn, engine):
                        running = {one.id for one in engine.containers()}
                        now = {one.container.id for one in (each, module, session_wide)}
                        assert now == running
                        seen.setdefault("each", set()).add(each.container.id)
                        seen.setdefault("module", set()).add(module.container.id)
                        seen.setdefault("session", set()).add(session_wide.container.id)

                    def test_without(engine):
                        assert len(engine.containers()) == 2
                """
                for name in ("one", "two")
            },
            "test_zz.py": """
                from conftest import seen

                def test_how_many():
                    counts = {name: len(ids) for name, ids in seen.items()}
                    assert counts == {"each": 4, "module": 2, "session": 1}
            """,
        }
    )

    outcome = session.run()

    assert outcome.counts == {"passed": 7}, outcome.output


def test_a_service_is_configured_by_a_function_that_uses_other_fixtures(session: Session) -> None:
    """Its environment comes from another service; as a generator it goes on after the service is gone."""
    session.write(
        {
            "conftest.py": f"""{SLEEPER}
    import pytest
    database = sleeper(scope="session")
    gone = []

    @testing.service("tools", command=["sleep", "600"], env={{"A": "1"}})
    def app(database, tmp_path, request):
        yield {{"env": {{"DATABASE": database.container.name, "TEST": request.node.name}}}}
        gone.append(1)
            """,
            "test_it.py": """
                from conftest import gone

                def test_it(app, database):
                    told = app.container.exec(["sh", "-c", "echo $A $DATABASE $TEST"]).stdout
                    assert told == f"1 {database.container.name} test_it\\n"
                    assert gone == []

                def test_after():
                    assert gone == [1]
            """,
        }
    )

    outcome = session.run()

    assert outcome.counts == {"passed": 2}, outcome.output


def test_services_start_at_the_same_time(session: Session) -> None:
    """Each of four is ready only when all have been started, so none may wait for another."""
    session.write(
        {
            "conftest.py": """
                from container_kit import testing

                def all_started(container):
                    return len(container.engine.containers()) == 4

                def one():
                    return testing.service_fixture("tools", command=["sleep", "600"], wait=all_started)

                a, b, c, d = one(), one(), one(), one()
            """,
            "test_it.py": """
                def test_it(a, b, c, d):
                    assert len({one.container.id for one in (a, b, c, d)}) == 4
            """,
        }
    )

    outcome = session.run()

    assert outcome.counts == {"passed": 1}, outcome.output


def test_what_is_begun_for_nothing_is_gone_after_the_test(session: Session) -> None:
    """A skipped test starts nothing; what a failing fixture has made useless does not stay."""
    session.write(
        {
            "conftest.py": f"""{SLEEPER}
    import time
    import pytest
    began = time.time()
    a, b = sleeper(), sleeper()

    @pytest.fixture(scope="session")
    def broken():
        raise OSError("no")
            """,
            "test_it.py": """
                import pytest
                from conftest import began

                def how_many_were_made(engine):
                    return [event.action for event in engine.events(since=began)].count("create")

                @pytest.mark.skip
                def test_skipped(a, b): pass

                def test_that_nothing_was_started(engine):
                    assert how_many_were_made(engine) == 0

                def test_broken(broken, a, b): pass

                def test_that_nothing_is_left(engine):
                    assert engine.containers(all=True) == []
                    assert how_many_were_made(engine) == 2
            """,
        }
    )

    outcome = session.run()

    assert outcome.counts == {"passed": 2, "skipped": 1, "error": 1}, outcome.output


def test_the_report_of_a_failed_test_has_the_logs_of_its_containers(session: Session) -> None:
    """Of those that the test used, what they wrote while it ran; a passed test's report has none."""
    session.write(
        {
            "conftest.py": f"""{SLEEPER}
    database = sleeper(scope="session")
            """,
            "test_it.py": """
                def test_good(database, container_factory):
                    command = ["sh", "-c", "echo of the good; sleep 600"]
                    container_factory("tools", command, wait=lambda c: list(c.logs()))

                def test_bad(database, container_factory):
                    container = container_factory("tools", ["sh", "-c", "echo of the bad; exit 3"])
                    container.wait()
                    assert False
            """,
        }
    )

    outcome = session.run()

    assert outcome.counts == {"failed": 1, "passed": 1}, outcome.output
    assert re.search(r"exited, exit code 3\n.* stdout: of the bad\n", outcome.output), outcome.output
    assert re.search(
        r"container database -+\n.*running\n\(it wrote nothing during the test\)", outcome.output
    )
    assert "of the good" not in outcome.output


def test_a_service_that_does_not_get_ready_says_why(session: Session) -> None:
    """Its last lines are in the error, and nothing of it is left."""
    session.write(
        {
            "test_it.py": """
                from container_kit import testing, wait

                def never_up(line, **more):
                    command = ["sh", "-c", line]
                    return testing.service_fixture("tools", command=command, wait=wait.log("up"), **more)

                bad = never_up("echo no disk; exit 9")
                slow = never_up("echo wait; sleep 600", timeout=0.2)

                def test_bad(bad): pass
                def test_slow(slow): pass
                def test_both(bad, slow): pass
            """
        }
    )

    outcome = session.run()

    assert outcome.counts == {"errors": 3}, outcome.output
    assert re.search(r"ended with exit code 9 before it was ready(.|\n)*no disk", outcome.output)
    assert re.search(r"not ready after 0\.2 s: its log has not(.|\n)*wait", outcome.output)


def test_failed_tests_containers_are_kept_when_asked(session: Session) -> None:
    """Those of the failed test run on, with a hint; those of the others are gone."""
    session.write(
        {
            "test_it.py": """
                def test_good(container_factory):
                    container_factory("tools", ["sleep", "600"], name="good")

                def test_bad(container_factory):
                    container_factory("tools", ["sleep", "600"], name="bad")
                    assert False
            """
        }
    )

    outcome = session.run("--ck-keep-failed")

    assert f"CONTAINER_KIT_ROOT={session.root} container-kit exec -it bad sh" in outcome.output
    with Engine(session.root) as engine:
        kept = [(one.name, one.status) for one in engine.containers(all=True)]
        assert kept == [("bad", "running")]
        engine.container("bad").close()


@pytest.mark.parametrize("how", ["--ck-reuse", "reuse=True"])
def test_reuse(session: Session, how: str) -> None:
    """The next run takes the container of the last, unless something of its definition has changed."""
    option = how if how.startswith("-") else "--ck-log-lines=1"
    wish = "" if how.startswith("-") else how
    for number in (1, 1, 2):
        files = {
            "test_it.py": f"""{SLEEPER}
    base = sleeper(env={{"N": "{number}"}}, {wish})

    def test_it(base):
        with open("ids", "a") as file:
            file.write(base.container.id + " ")
            """
        }
        session.write(files)
        assert session.run(option).counts == {"passed": 1}

    first, second, third = (session.folder / "ids").read_text().split()
    assert first == second != third
    with Engine(session.root) as engine:
        assert {one.id for one in engine.containers()} == {first, third}
        for one in engine.containers():
            one.close()


def test_names_that_are_wrong(session: Session) -> None:
    """A misspelt option is an error with the nearest; an unknown scope is refused at once."""
    session.write(
        {
            "test_it.py": """
                import pytest
                import container_kit as ck
                from container_kit import testing

                def test_option(engine):
                    with pytest.raises(ck.UnknownOption, match="did you mean 'password'"):
                        testing.start_service("postgres", passwort="x", engine=engine)

                def test_scope():
                    with pytest.raises(ck.InvalidInput, match="function, class, module"):
                        testing.service_fixture("postgres", scope="global")
            """
        }
    )

    outcome = session.run()

    assert outcome.counts == {"passed": 2}, outcome.output


def test_the_package_of_this_project_has_the_data(tmp_path: Path) -> None:
    """The services are found beside the module that reads them."""
    from container_kit.testing.definitions import ready_made

    assert {"postgres", "mysql", "mariadb", "redis", "rabbitmq", "mongodb"} < set(ready_made())
