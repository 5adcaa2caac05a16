"""`run`: like subprocess.run, in a container that leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from container_kit.containers.engine import Engine
from container_kit.errors import (
    CommandFailed,
    ContainerKitError,
    InvalidInput,
    NameInUse,
    NotFound,
    StartFailed,
    TimedOut,
)
from container_kit.runtime.limits import Limits
from tests.containers.waiting import wait_for

pytestmark = pytest.mark.root


def test_output_and_exit_code_come_back(engine: Engine) -> None:
    """stdout, stderr and the exit code are those of the program."""
    result = engine.run("tools", ["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (result.exit_code, result.stdout, result.stderr) == (3, "out\n", "err\n")
    assert 0 < result.duration_s < 30


def test_the_program_is_alone_in_its_world(engine: Engine) -> None:
    """It is PID 1 of its own, with its own host name and no environment of ours."""
    script = "echo $$; cat /proc/sys/kernel/hostname; cat /proc/self/environ"
    os.environ["CK_SECRET"] = "never inside"
    try:
        result = engine.run("tools", ["sh", "-c", script])
    finally:
        del os.environ["CK_SECRET"]
    pid, hostname, environment = result.stdout.split("\n", 2)
    assert pid == "1"
    assert hostname == result.container_id[:12]
    assert "CK_SECRET" not in environment
    assert "PATH=/usr/local/sbin" in environment and "HOME=/root" in environment


def test_input_is_read_and_bytes_are_bytes(engine: Engine) -> None:
    """text=False takes and gives bytes, any of them; text=True takes and gives str."""
    data = bytes(range(256)) * 4096
    assert engine.run("tools", ["cat"], input=data, text=False).stdout == data
    assert engine.run("tools", ["cat"], input="grüße\n").stdout == "grüße\n"
    with pytest.raises(InvalidInput):
        engine.run("tools", ["cat"], input=b"bytes")


def test_without_input_the_program_reads_nothing(engine: Engine) -> None:
    """Standard input is at its end, not that of this process."""
    assert engine.run("tools", ["cat"]).stdout == ""


def test_a_hundred_megabytes_each_way(engine: Engine) -> None:
    """Input and output flow at the same time: no deadlock, and not a byte is lost."""
    data = os.urandom(1 << 20) * 100
    result = engine.run("tools", ["sh", "-c", "cat; echo end >&2"], input=data, text=False)
    assert result.stdout == data and result.stderr == b"end\n"


@pytest.mark.parametrize(("command", "code"), [(["no-such-program"], 127), (["/etc/passwd"], 126)])
def test_a_program_that_cannot_start_raises(engine: Engine, command: list[str], code: int) -> None:
    """127 when it is not there, 126 when it cannot be executed, and nothing is left."""
    with pytest.raises(StartFailed) as caught:
        engine.run("tools", command)
    assert caught.value.exit_code == code
    assert command[0] in str(caught.value)


@pytest.mark.parametrize(
    "wish",
    [
        {"user": "nobody-knows"},
        {"limits": {"memory": "64m"}},
        {"mounts": ["/no/such/source:/x"]},
        {"limits": Limits(cpuset_cpus="4000")},
        {"working_dir": "/etc/passwd"},
        {"network": "container:nobody"},
        {"devices": ["/dev/no-such-device"]},
        {"devices": ["/etc/passwd"]},
        {"cap_add": ["NO_SUCH"]},
        {"profile": "no-such"},
        {"sysctls": {"kernel.panic": "1"}},
    ],
    ids=lambda wish: next(iter(wish)),
)
def test_bad_wishes_raise_and_leave_nothing(engine: Engine, wish: dict[str, object]) -> None:
    """Each is a typed error that says what was wrong."""
    with pytest.raises(ContainerKitError) as caught:
        engine.run("tools", ["true"], **wish)
    assert str(caught.value)
    engine.settle()
    assert os.listdir(engine.catalogue.containers) == []


def test_an_unknown_image_is_not_found(engine: Engine) -> None:
    """The error names the image."""
    with pytest.raises(NotFound, match="no-such-image"):
        engine.run("no-such-image", ["true"])
    with pytest.raises(InvalidInput, match="image must be an Image"):
        engine.run(None, ["true"])  # type: ignore[arg-type]


def test_check_raises_with_all_that_is_known(engine: Engine) -> None:
    """CommandFailed carries exit code, output and the last lines."""
    with pytest.raises(CommandFailed) as caught:
        engine.run("tools", ["sh", "-c", "echo the reason >&2; exit 4"], check=True)
    error = caught.value
    assert error.exit_code == 4 and error.stderr == "the reason\n" and "the reason" in str(error)


def test_a_signal_is_128_and_its_number(engine: Engine) -> None:
    """As a shell reports it."""
    assert engine.run("tools", ["sh", "-c", "kill -9 $$; sleep 1"], init=True).exit_code == 137


def test_memory_beyond_the_limit_is_told(engine: Engine) -> None:
    """The kernel kills it, and the result says why."""
    result = engine.run("tools", ["tail", "/dev/zero"], limits=Limits(memory="32m"))
    assert result.exit_code == 137 and result.oom_killed


def test_a_timeout_kills_the_whole_container(engine: Engine) -> None:
    """Also what the program started and no longer waits for."""
    began = time.monotonic()
    with pytest.raises(TimedOut):
        engine.run("tools", ["sh", "-c", "sleep 1000 & sleep 1000"], timeout=0.3)
    assert time.monotonic() - began < 10


def test_a_left_behind_child_does_not_hold_the_caller(engine: Engine) -> None:
    """The call ends with the main process even when a background child keeps the pipe."""
    began = time.monotonic()
    result = engine.run("tools", ["sh", "-c", "sleep 1000 & echo done"])
    assert result.stdout == "done\n" and time.monotonic() - began < 10


def test_a_name_is_taken_while_it_runs_and_free_afterwards(engine: Engine) -> None:
    """Two containers never have one name."""
    first = threading.Thread(target=lambda: engine.run("tools", ["sleep", "0.5"], name="box"))
    first.start()
    wait_for(lambda: "box" in os.listdir(engine.catalogue.names_fd))
    with pytest.raises(NameInUse):
        engine.run("tools", ["true"], name="box")
    first.join()
    assert engine.run("tools", ["true"], name="box").exit_code == 0


def test_it_is_listed_while_it_runs(engine: Engine) -> None:
    """Another engine on the same root sees it, its state and its command."""
    runner = threading.Thread(target=lambda: engine.run("tools", ["sleep", "0.6"], labels={"a": "b"}))
    runner.start()
    with Engine(engine.root) as other:
        wait_for(lambda: other.infos(labels={"a": "b"}))
        (info,) = other.infos(labels={"a": "b"})
        assert info.status == "running" and info.command == ("sleep", "0.6") and info.owned
        assert other.container(info.name).id == other.container(info.id[:10]).id == info.id
        assert other.infos(labels={"a": "c"}) == []
    runner.join()
    wait_for(lambda: not engine.infos(all=True))


def test_streams_can_go_elsewhere(engine: Engine, tmp_path: Path) -> None:
    """A file takes stdout; STDOUT joins stderr to it."""
    with open(tmp_path / "out", "wb") as file:
        result = engine.run(
            "tools", ["sh", "-c", "echo a; echo b >&2"], stdout=file, stderr=subprocess.STDOUT
        )
    assert result.stdout is None and (tmp_path / "out").read_bytes() == b"a\nb\n"


def test_many_threads_run_at_once(engine: Engine) -> None:
    """32 threads, each with its own answer."""
    from concurrent.futures import ThreadPoolExecutor

    def one(number: int) -> str:
        out: str = engine.run("tools", ["sh", "-c", f"echo {number}"]).stdout
        return out

    with ThreadPoolExecutor(32) as pool:
        assert list(pool.map(one, range(64))) == [f"{number}\n" for number in range(64)]


def test_a_forked_child_runs_its_own_and_owns_nothing(engine: Engine) -> None:
    """The child can use the engine, and its end takes nothing of the parent's away."""
    engine.run("tools", ["true"])
    inside, outside = os.pipe()
    holder = threading.Thread(target=lambda: engine.run("tools", ["cat"], stdin=inside, labels={"x": "y"}))
    holder.start()
    wait_for(lambda: engine.infos(labels={"x": "y"}))
    child = os.fork()
    if child == 0:
        code = 99
        try:
            code = engine.run("tools", ["sh", "-c", "exit 7"]).exit_code
            engine.close()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert engine.infos(labels={"x": "y"})
    os.close(outside)
    holder.join()
    os.close(inside)


def test_an_interrupt_ends_the_call_and_the_container(engine: Engine) -> None:
    """Ctrl-C reaches the caller at once, and nothing runs on."""
    threading.Timer(0.4, os.kill, (os.getpid(), signal.SIGINT)).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        engine.run("tools", ["sleep", "100"])
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("profile", ["default", "docker", "sandbox", "privileged"])
def test_every_profile_runs_a_program(engine: Engine, profile: str) -> None:
    """Each preset can be built on this host."""
    result = engine.run("tools", ["sh", "-c", "id; cat /etc/passwd | head -1"], profile=profile)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("uid=0")


def test_options_reach_the_program(engine: Engine, tmp_path: Path) -> None:
    """User, groups, environment, directory, host name, mounts, tmpfs and read-only root are as asked."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "note").write_text("from outside")
    script = (
        "id; echo $A; cat /proc/sys/kernel/hostname; cat /shared/note; echo; ls -d /proc/self/cwd/;"
        "echo x > /run/ok && echo tmpfs; echo x > /shared/y || echo ro-mount; echo x > /etc/y || echo ro-root"
    )
    result = engine.run(
        "tools",
        ["sh", "-c", script],
        user="12:34",
        group_add=["56"],
        env={"A": "b c"},
        hostname="box",
        working_dir="/tmp",
        mounts=[f"{tmp_path}/shared:/shared:ro"],
        tmpfs={"/run": "mode=1777"},
        read_only=True,
    )
    lines = result.stdout.splitlines()
    assert "uid=12" in lines[0] and "gid=34" in lines[0] and "56" in lines[0]
    assert lines[1:4] == ["b c", "box", "from outside"]
    assert lines[-3:] == ["tmpfs", "ro-mount", "ro-root"]


@pytest.fixture(autouse=True)
def restore_interrupts() -> Iterator[None]:
    """Python's own reaction to Ctrl-C, whatever a test runner set."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
