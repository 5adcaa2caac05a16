"""The life of a container, from outside: states, names, waiting, stopping, changing and removing."""

from __future__ import annotations

import fcntl
import os
import threading
import time

import pytest

from container_kit.containers import names
from container_kit.containers.container import Container
from container_kit.containers.engine import Engine
from container_kit.containers.state_file import hold_lock
from container_kit.errors import (
    CommandFailed,
    InvalidInput,
    NameInUse,
    NotFound,
    StartFailed,
    TimedOut,
    WrongState,
)
from container_kit.native.descriptors import open_path
from container_kit.runtime.limits import Limits
from tests.containers.waiting import wait_for

pytestmark = pytest.mark.root


def test_a_block_is_a_whole_life(engine: Engine) -> None:
    """Started at its beginning, gone at its end."""
    with Container.start("tools", ["sleep", "60"], engine=engine) as container:
        assert container.status == "running" and container.pid > 0
        assert engine.containers() == [container]
    assert engine.containers(all=True) == []
    with pytest.raises(NotFound):
        container.info()


def test_create_start_wait_start_again(engine: Engine) -> None:
    """The states follow each other, and files stay between two starts."""
    container = engine.create("tools", ["sh", "-c", "echo x >> /count; exit 3"])
    assert container.status == "created" and container.exit_code is None
    assert container.start() is container
    assert container.wait(10) == 3 and container.status == "exited"
    container.start()
    assert container.wait(10) == 3
    assert container.fs.read_text("/count") == "x\nx\n"
    assert [line.text for line in container.logs()] == []


def test_stop_asks_first_and_kills_then(engine: Engine) -> None:
    """A program that listens ends by the signal; one that does not is killed in the end."""
    script = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done"
    polite = engine.start("tools", ["sh", "-c", script])
    next(polite.logs(follow=True))
    assert polite.stop(timeout=10) == 7
    deaf = engine.start("tools", ["sleep", "60"])
    assert deaf.stop(timeout=0.05) == 137
    assert deaf.stop() == 137


def test_the_stop_signal_can_be_chosen(engine: Engine) -> None:
    """By the option, or for one stop."""
    script = "trap 'exit 1' USR1; trap 'exit 2' USR2; echo ready; while :; do sleep 0.01; done"
    for signal, code in ((None, 1), ("USR2", 2)):
        with engine.start("tools", ["sh", "-c", script], stop_signal="USR1") as container:
            next(container.logs(follow=True))
            assert container.stop(timeout=10, signal=signal) == code


def test_kill_sends_any_signal(engine: Engine) -> None:
    """Only to a container that runs."""
    script = "trap 'echo got; exit 5' HUP; echo ready; while :; do sleep 0.01; done"
    with engine.start("tools", ["sh", "-c", script]) as container:
        next(container.logs(follow=True))
        container.kill("HUP")
        assert container.wait(10) == 5
        with pytest.raises(WrongState):
            container.kill()


STOP_NEWCOMERS = "while :; do kill -STOP -1; done 2> /dev/null & echo up; sleep 60"


def test_an_exec_that_is_stopped_from_inside_times_out(engine: Engine) -> None:
    """A process on its way into a container can be stopped by those inside, even before its program runs."""
    with engine.start("tools", ["sh", "-c", STOP_NEWCOMERS]) as container:
        next(container.logs(follow=True))
        began = time.monotonic()
        with pytest.raises(TimedOut):
            for _ in range(1000):
                container.exec(["true"], timeout=0.2)
        assert time.monotonic() - began < 30


def test_pause_and_resume(engine: Engine) -> None:
    """While paused nothing inside moves, nothing is executed, and the state says so."""
    with engine.start("tools", ["sh", "-c", "while :; do echo x; sleep 0.01; done"]) as container:
        container.pause()
        assert container.status == "paused"
        lines = len(list(container.logs()))
        time.sleep(0.1)
        assert len(list(container.logs())) - lines <= 1
        with pytest.raises(WrongState):
            container.exec(["true"])
        with pytest.raises(WrongState):
            container.pause()
        container.resume()
        assert container.status == "running"
        wait_for(lambda: len(list(container.logs())) > lines + 2)
        container.pause()


def test_restart_and_restart_policy(engine: Engine) -> None:
    """On request at once; by the policy as often as it says."""
    with engine.start("tools", ["sleep", "60"]) as container:
        first = container.pid
        container.restart(timeout=0)
        assert container.status == "running" and container.pid != first
    with engine.start("tools", ["sh", "-c", "echo run; exit 1"], restart="on-failure:2") as container:
        assert container.wait(20) == 1
        assert container.info().restarts == 2
        assert [line.text for line in container.logs()] == ["run"] * 3


def test_wait_can_time_out_and_wait_for_removal(engine: Engine) -> None:
    """A wait gives up in time; one for removal returns when auto_remove has done its work."""
    with engine.start("tools", ["sleep", "60"]) as container, pytest.raises(TimedOut):
        container.wait(0.05)
    container = engine.start("tools", ["sh", "-c", "sleep 0.1; exit 6"], auto_remove=True, name="gone")
    assert container.wait(10, "removed") == 6
    assert engine.infos(all=True) == []
    engine.create("tools", ["true"], name="gone").remove()


def test_a_running_container_is_not_removed_without_force(engine: Engine) -> None:
    """Removal needs an ended container or force, and may be repeated with force only."""
    container = engine.start("tools", ["sleep", "60"], detach=True)
    with pytest.raises(WrongState):
        container.remove()
    container.remove(force=True)
    container.remove(force=True)
    with pytest.raises(NotFound):
        container.remove()


def test_the_name_of_a_container_whose_making_was_cut_off_is_free(engine: Engine) -> None:
    """Its directory may stay until the next open; while somebody still makes it, the name is taken."""
    cut_off = names.new_id()
    directory = engine.catalogue.directory(cut_off)
    os.mkdir(directory)
    making = hold_lock(directory)
    names.claim(engine.catalogue.names_fd, "one", cut_off, directory)
    with pytest.raises(NameInUse, match=cut_off[:12]):
        engine.create("tools", ["true"], name="one")
    making.close()
    assert engine.create("tools", ["true"], name="one").name == "one"
    with Engine(engine.root):
        assert not os.path.exists(directory)


def test_a_directory_that_is_not_locked_yet_is_left_by_a_crash_or_being_made(engine: Engine) -> None:
    """The next open removes the first at once, and leaves the second alone."""
    directory = engine.catalogue.directory(names.new_id())
    os.mkdir(directory)
    with open_path(engine.catalogue.containers, os.O_RDONLY) as making:
        fcntl.flock(making, fcntl.LOCK_SH)
        Engine(engine.root).close()
        assert os.path.exists(directory)
    Engine(engine.root).close()
    assert not os.path.exists(directory)


def test_names_are_unique_and_can_be_changed(engine: Engine) -> None:
    """A container is found by name, by generated name, by id and by its beginning."""
    one = engine.create("tools", ["true"], name="one")
    other = engine.create("tools", ["true"])
    assert {engine.container(key) for key in ("one", one.id, one.id[:20])} == {one}
    assert engine.container(other.name) == other
    with pytest.raises(NameInUse):
        other.rename("one")
    other.rename("two")
    assert other.name == "two" and engine.container("two") == other
    other.rename("three")
    with pytest.raises(NotFound):
        engine.container("two")
    with pytest.raises(InvalidInput):
        one.rename("../x")


def test_a_start_that_fails_leaves_a_created_or_no_container(engine: Engine) -> None:
    """`start` of a new container removes it again; of an old one, leaves it to be looked at."""
    with pytest.raises(StartFailed) as caught:
        engine.start("tools", ["no-such-program"])
    assert caught.value.exit_code == 127
    assert engine.infos(all=True) == []
    container = engine.create("tools", ["/etc/passwd"])
    with pytest.raises(StartFailed) as caught:
        container.start()
    assert caught.value.exit_code == 126
    assert container.status in ("created", "exited")
    container.remove()


def test_limits_are_changed_while_it_runs(engine: Engine) -> None:
    """The cgroup has the new limit at once, and so does the next start."""
    with engine.start("tools", ["sleep", "60"], limits=Limits(memory="64m", pids=32)) as container:
        container.update(limits=Limits(pids=16))
        stats = container.stats()
        assert stats.pids is not None and stats.pids.limit == 16
        assert stats.memory is not None and stats.memory.limit == 64 << 20
        container.restart(timeout=0)
        stats = container.stats()
        assert stats.pids is not None and stats.pids.limit == 16


def test_logs_keep_streams_and_order(engine: Engine) -> None:
    """Followed to the end, filtered by stream, and cut to the tail."""
    script = "for i in 1 2 3; do echo out$i; echo err$i >&2; sleep 0.01; done"
    with engine.start("tools", ["sh", "-c", script]) as container:
        followed = [line.text for line in container.logs(follow=True)]
        assert sorted(followed) == ["err1", "err2", "err3", "out1", "out2", "out3"]
        assert [line.text for line in container.logs(stream="stderr")] == ["err1", "err2", "err3"]
        assert [line.text for line in container.logs(stream="stdout", tail=1)] == ["out3"]


def test_stdin_and_attach(engine: Engine) -> None:
    """What is written to an attached container's input comes back from its output."""
    with engine.start("tools", ["cat"], stdin_open=True) as container:
        with container.attach(stdin=True) as attached:
            attached.write(b"hello\n")
            assert attached.read() == ("stdout", b"hello\n")
            attached.close_stdin()
            assert attached.read() is None
        assert container.wait(10) == 0


def test_a_terminal(engine: Engine) -> None:
    """With tty=True it has one, whose size can be told."""
    script = "stty size 2>/dev/null; [ -t 0 ] && echo terminal; sleep 60"
    with engine.start("tools", ["sh", "-c", script], tty=True) as container:
        container.resize(33, 44)
        assert any("terminal" in line.text for line in container.logs(follow=True))
    with engine.start("tools", ["sleep", "60"]) as container, pytest.raises(WrongState):
        container.resize(1, 1)


def test_namespaces_are_joined(engine: Engine) -> None:
    """network, pid, ipc and uts of another container, which must run."""
    with engine.start("tools", ["sleep", "60"], name="base") as base:
        joined = dict.fromkeys(("network", "pid", "ipc", "uts"), "container:base")
        result = engine.run("tools", ["ls", "-l", "/proc/self/ns"], **joined)
        inside = base.exec(["ls", "-l", "/proc/self/ns"])
        assert result.exit_code == 0, result.stderr
        for kind in ("net", "pid", "ipc", "uts"):
            ours, theirs = (
                [word for word in text.split() if word.startswith(f"{kind}:[")]
                for text in (result.stdout, inside.stdout)
            )
            assert ours == theirs
        base.kill()
        base.wait(10)
        with pytest.raises(WrongState):
            engine.run("tools", ["true"], network="container:base")


def test_events_tell_the_story(engine: Engine) -> None:
    """In order, with the exit code, to whoever follows until removal."""
    container = engine.create("tools", ["sh", "-c", "exit 4"])
    seen: list[str] = []
    follower = threading.Thread(target=lambda: seen.extend(e.action for e in container.events(follow=True)))
    follower.start()
    container.start()
    container.wait(10)
    container.remove()
    follower.join(10)
    assert seen == ["create", "start", "die", "destroy"]
    died = [event for event in container.events() if event.action == "die"]
    assert died[0].attributes["exit_code"] == "4"


def test_health(engine: Engine) -> None:
    """A check that succeeds makes it healthy, and who waits for that is told."""
    from container_kit.containers.health import HealthCheck

    check = HealthCheck(command=("cat", "/ready"), interval_s=0.05, retries=1000)
    with engine.start("tools", ["sh", "-c", "sleep 0.2; echo > /ready; sleep 60"], health=check) as container:
        assert container.info().health == "starting"
        container.wait_healthy(10)
        assert container.info().health == "healthy"


def test_inspect_has_dockers_shape(engine: Engine) -> None:
    """State, config and host config are where programs that read docker's output look for them."""
    limits = Limits(memory="64m")
    with engine.start("tools", ["sleep", "60"], name="seen", labels={"a": "b"}, limits=limits) as c:
        document = c.inspect()
    assert document["Id"] == c.id and document["Name"] == "/seen"
    assert document["State"]["Running"] is True and document["State"]["Pid"] > 0
    assert document["Config"]["Labels"] == {"a": "b"}
    assert document["HostConfig"]["Memory"] == 64 << 20


def test_what_an_image_says_is_heeded(engine: Engine) -> None:
    """Command, entrypoint, environment, user, directory and labels come from the image when not given."""
    with engine.create("tools", ["true"]) as container:
        changes = ('ENTRYPOINT ["sh", "-c"]', 'CMD ["id; echo $A"]', "ENV A=1", "USER 12", "WORKDIR /tmp")
        container.commit("changed", changes=changes)
    assert engine.run("changed").stdout.split()[-1] == "1"
    assert "uid=12" in engine.run("changed").stdout
    assert engine.run("changed", ["echo $A"], env={"A": "2"}).stdout == "2\n"
    assert engine.run("changed", ["x"], entrypoint=["sh", "-c", "echo $0"]).stdout == "x\n"


def test_two_engines_see_one_truth(engine: Engine) -> None:
    """What one does, the other sees."""
    with Engine(engine.root) as other:
        container = engine.start("tools", ["sleep", "60"], name="shared")
        assert other.container("shared").status == "running"
        other.container("shared").remove(force=True)
        with pytest.raises(NotFound):
            container.info()


def test_a_closed_engine_says_so(engine: Engine) -> None:
    """Not a crash in the depths, but a sentence."""
    other = Engine(engine.root)
    other.close()
    other.close()
    with pytest.raises(WrongState):
        other.run("tools", ["true"])


def test_closing_an_engine_removes_what_it_owns(engine: Engine) -> None:
    """Closing the engine removes everything it owns, and leaves what is detached."""
    other = Engine(engine.root)
    for _ in range(10):
        other.start("tools", ["sleep", "60"])
    kept = other.start("tools", ["sleep", "60"], detach=True)
    other.close()
    assert [info.id for info in engine.infos(all=True)] == [kept.id]
    assert engine.container(kept.id).status == "running"
    assert os.path.isdir(engine.catalogue.directory(kept.id))


def test_an_end_that_was_not_wished_for_tells_all(engine: Engine) -> None:
    """With check=True a bad exit code raises, with the last lines that it wrote and the reason."""
    with engine.start("tools", ["sh", "-c", "echo it broke; exit 3"]) as container:
        with pytest.raises(CommandFailed, match="it broke") as caught:
            container.wait(10, check=True)
        assert caught.value.exit_code == 3 and not caught.value.oom_killed
    with engine.start("tools", ["tail", "/dev/zero"], limits=Limits(memory="16m")) as container:
        with pytest.raises(CommandFailed, match="out of memory") as caught:
            container.wait(30, check=True)
        assert caught.value.oom_killed
    with engine.start("tools", ["sleep", "60"], limits=Limits(memory="16m")) as container:
        with pytest.raises(CommandFailed, match="out of memory"):
            container.exec(["tail", "/dev/zero"], check=True)
        with pytest.raises(CommandFailed, match="the reason"):
            container.exec(["sh", "-c", "echo the reason >&2; exit 1"], check=True)


def test_a_call_of_run_is_waited_for_and_stopped_from_elsewhere(engine: Engine) -> None:
    """Another process can look at it, wait for it, and end it."""
    codes: list[int] = []
    caller = threading.Thread(
        target=lambda: codes.append(engine.run("tools", ["sleep", "60"], name="call").exit_code)
    )
    caller.start()
    with Engine(engine.root) as other:
        wait_for(lambda: other.infos())
        container = other.container("call")
        waiter = threading.Thread(target=lambda: codes.append(container.wait(20)))
        waiter.start()
        container.stop(timeout=0.05)
        waiter.join()
    caller.join()
    assert codes == [137, 137]


def test_an_update_that_makes_no_sense_changes_nothing(engine: Engine) -> None:
    """It is refused before anything is written, and what was set stays when another limit changes."""
    with engine.start("tools", ["sleep", "60"], limits=Limits(memory="64m", pids=32)) as container:
        with pytest.raises(InvalidInput):
            container.update(limits={"memory": "96m"})  # type: ignore[arg-type]
        with pytest.raises(InvalidInput):
            container.update(limits=Limits(pids=16), restart="sometimes")
        assert container.stats().pids.limit == 32  # type: ignore[union-attr]
        container.update(limits=Limits(pids=16))
        stats = container.stats()
        assert stats.pids is not None and stats.pids.limit == 16
        assert stats.memory is not None and stats.memory.limit == 64 << 20


def test_an_exec_sees_what_changed_since_the_last_equal_one(engine: Engine) -> None:
    """Kept plans never hide a new user, another environment or the next life of the container."""
    with engine.start("tools", ["sleep", "600"]) as container:
        with pytest.raises(InvalidInput):
            container.exec(["id", "-u"], user="later")
        container.fs.write_text("/etc/passwd", "later:x:1234:1234::/:/bin/sh\n")
        assert container.exec(["id", "-u"], user="later").stdout == "1234\n"
        container.fs.write_text("/etc/passwd", "later:x:4321:4321::/:/bin/sh\n")
        assert container.exec(["id", "-u"], user="later").stdout == "4321\n"
        for word in ("one", "two"):
            assert container.exec(["sh", "-c", "echo $WORD"], env={"WORD": word}).stdout == f"{word}\n"
        container.restart(timeout=0)
        assert container.exec(["id", "-u"], user="later").stdout == "4321\n"


def test_events_carry_the_name_of_their_time(engine: Engine) -> None:
    """After a rename the monitor's events have the new name, also that of the end."""
    with engine.start("tools", ["sleep", "600"], name="before") as container:
        container.rename("after")
        container.stop(timeout=0)
        (died,) = [event for event in container.events() if event.action == "die"]
        assert died.attributes["name"] == "after"


def test_a_record_is_read_again_when_it_was_replaced(engine: Engine) -> None:
    """What another process changes is seen at the next look."""
    with engine.start("tools", ["sleep", "600"]) as container:
        assert engine.record(container.id) is engine.record(container.id)
        with Engine(engine.root) as other:
            other.rename(container.id, "renamed")
        assert engine.record(container.id).name == "renamed"
