"""The OCI runtime command: the life of a container as other engines drive it."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.bundles import Runtime, make_bundle, ours

pytestmark = [pytest.mark.root, pytest.mark.tool("busybox")]

WAITS = ("sh", "-c", "trap 'exit 7' TERM; while :; do sleep 0.05; done")


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    """Our runtime; whatever a test leaves in it is deleted."""
    found = ours(str(tmp_path))
    yield found
    for name in json.loads(found.ok("list", "--format", "json")):
        found("delete", "--force", name["id"])


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for what another process does; fails after ten seconds."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def test_life_from_create_to_delete(runtime: Runtime, tmp_path: Path) -> None:
    """A created container does nothing until it is started, and is gone when it is deleted."""
    mark = tmp_path / "bundle" / "rootfs" / "mark"
    bundle = make_bundle(
        f"{tmp_path}/bundle", "touch", "/mark", change=lambda c: c["root"].update(readonly=False)
    )

    runtime.ok(
        "create",
        "--bundle",
        bundle,
        "--pid-file",
        f"{tmp_path}/pid",
        "c1",
        capture=False,
    )
    state = runtime.state("c1")
    assert (state["status"], state["id"], state["bundle"]) == ("created", "c1", bundle)
    assert state["pid"] == int((tmp_path / "pid").read_text())
    assert not mark.exists()

    runtime.ok("start", "c1")
    wait_until(lambda: runtime.state("c1")["status"] == "stopped")
    assert mark.exists()
    runtime.ok("delete", "c1")
    missing = runtime("state", "c1")
    assert missing.returncode == 1 and "does not exist" in missing.stderr


def test_run_returns_the_exit_code_and_leaves_nothing(runtime: Runtime, tmp_path: Path) -> None:
    """`run` is the whole life in one command, with the program's streams and exit code."""
    bundle = make_bundle(f"{tmp_path}/bundle", "sh", "-c", "echo out; echo err >&2; cat; exit 5")

    done = runtime("run", "--bundle", bundle, "c1", input="in\n")

    assert (done.returncode, done.stdout, done.stderr) == (5, "out\nin\n", "err\n")
    assert runtime.ok("list", "--quiet") == ""


def start(runtime: Runtime, bundle: str, name: str = "c1") -> None:
    """A running container whose streams are not ours."""
    runtime.ok(
        "run",
        "--detach",
        "--bundle",
        bundle,
        name,
        capture=False,
    )


def test_signals_pause_and_deletion_by_force(runtime: Runtime, tmp_path: Path) -> None:
    """A running container can be frozen, thawed, signalled, and deleted whatever it does."""
    start(runtime, make_bundle(f"{tmp_path}/bundle", *WAITS))
    assert runtime.state("c1")["status"] == "running"
    refused = runtime("delete", "c1")
    assert refused.returncode == 1 and "running" in refused.stderr

    runtime.ok("pause", "c1")
    assert runtime.state("c1")["status"] == "paused"
    runtime.ok("resume", "c1")
    assert runtime.state("c1")["status"] == "running"

    runtime.ok("pause", "c1")
    runtime.ok("delete", "--force", "c1")
    assert runtime("state", "c1").returncode == 1
    assert runtime("delete", "c1").returncode == 1
    assert runtime("delete", "--force", "c1").returncode == 0


def test_kill_sends_the_signal_to_the_program(runtime: Runtime, tmp_path: Path) -> None:
    """The program handles the signal that it is sent; a stopped container takes none."""
    start(runtime, make_bundle(f"{tmp_path}/bundle", *WAITS))

    runtime.ok("kill", "c1", "TERM")
    wait_until(lambda: runtime.state("c1")["status"] == "stopped")

    refused = runtime("kill", "c1", "KILL")
    assert refused.returncode == 1 and "container not running" in refused.stderr
    assert runtime("kill", "--all", "c1", "KILL").returncode == 0


def test_exec_joins_the_container(runtime: Runtime, tmp_path: Path) -> None:
    """A further program sees the container's host name and files, with its own user and exit code."""
    start(runtime, make_bundle(f"{tmp_path}/bundle", *WAITS, change=lambda c: c.update(hostname="inside")))

    done = runtime("exec", "--user", "12:34", "--cwd", "/tmp", "--env", "A=1", "c1", "sh", "-c",
                   "hostname; id; pwd; echo $A; cat; exit 3", input="in\n")  # fmt: skip

    assert done.returncode == 3
    assert done.stdout.split("\n") == ["inside", "uid=12 gid=34", "/tmp", "1", "in", ""]
    assert len(json.loads(runtime.ok("ps", "--format", "json", "c1"))) >= 1


def test_exec_takes_a_process_file_and_detaches(runtime: Runtime, tmp_path: Path) -> None:
    """conmon hands over process.json and wants a pid file and no waiting."""
    start(runtime, make_bundle(f"{tmp_path}/bundle", *WAITS))
    process = tmp_path / "process.json"
    process.write_text(json.dumps({"args": ["/bin/sleep", "30"], "cwd": "/", "user": {"uid": 5, "gid": 6}}))

    words = ("--process", str(process), "--pid-file", f"{tmp_path}/pid", "--detach")
    runtime.ok("exec", *words, "c1", capture=False)

    pid = int((tmp_path / "pid").read_text())
    status = Path(f"/proc/{pid}/status").read_text()
    assert "Uid:\t5\t5\t5\t5" in status and pid in json.loads(runtime.ok("ps", "--format", "json", "c1"))


@pytest.mark.parametrize(
    ("program", "phrase"), [("/nowhere", "executable file not found"), ("/etc/passwd", "permission denied")]
)
def test_program_that_cannot_run_fails_the_create(
    runtime: Runtime, tmp_path: Path, program: str, phrase: str
) -> None:
    """The words are those from which podman learns 127 and 126, also in the JSON log; nothing is left."""
    bundle = make_bundle(f"{tmp_path}/bundle", program)
    log = tmp_path / "log"

    done = runtime("--log", str(log), "--log-format", "json", "create", "--bundle", bundle, "c1")

    assert done.returncode == 1 and phrase in done.stderr
    entry = json.loads(log.read_text())
    assert entry["level"] == "error" and phrase in entry["msg"]
    assert runtime.ok("list", "--quiet") == ""


def test_terminal_goes_to_the_console_socket(runtime: Runtime, tmp_path: Path) -> None:
    """The master side of the terminal is handed over, and what is typed there reaches the program."""
    bundle = make_bundle(f"{tmp_path}/bundle", "sh", "-c", "tty; head -n 1; stty size", terminal=True)
    path = f"{tmp_path}/console"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        refused = runtime("create", "--bundle", bundle, "c1")
        assert refused.returncode == 1 and "--console-socket" in refused.stderr

        runtime.ok("create", "--bundle", bundle, "--console-socket", path, "c1")
        connection, _ = listener.accept()
        with connection:
            _, (terminal,), _, _ = socket.recv_fds(connection, 64, 1)
    runtime.ok("start", "c1")
    os.write(terminal, b"typed\n")
    assert b"/dev/pts/0" in (shown := read_all(terminal)) and shown.count(b"typed") == 2
    os.close(terminal)


def read_all(terminal: int) -> bytes:
    """What a terminal shows until its program has ended."""
    found = b""
    while select.select([terminal], [], [], 10)[0]:
        try:
            found += os.read(terminal, 4096)
        except OSError:
            break
    return found


def test_hooks_run_in_all_six_places_with_the_state(runtime: Runtime, tmp_path: Path) -> None:
    """Each hook gets the state on its input, in the order and at the time that the specification says."""
    log = tmp_path / "log"
    places = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")

    def add_hooks(config: dict[str, Any]) -> None:
        config["root"]["readonly"] = False
        config["hooks"] = {
            place: [{"path": "/bin/sh", "args": ["sh", "-c", f'echo "{place} $(cat)" >> {log}']}]
            for place in places
        }
        config["hooks"]["startContainer"] = [{"path": "/bin/sh", "args": ["sh", "-c", "cat > /state"]}]

    bundle = make_bundle(f"{tmp_path}/bundle", "sh", "-c", "cat /state", change=add_hooks)
    inside = json.loads(runtime.ok("run", "--bundle", bundle, "c1"))
    beside = {
        line.partition(" ")[0]: json.loads(line.partition(" ")[2]) for line in log.read_text().splitlines()
    }

    assert list(beside) == [place for place in places if place != "startContainer"]
    assert inside["id"] == "c1" and all(state["id"] == "c1" for state in beside.values())
    assert beside["createRuntime"]["pid"] > 0 and beside["createRuntime"]["status"] == "creating"
    assert beside["poststart"]["status"] == "running" and beside["poststop"]["status"] == "stopped"


@pytest.mark.parametrize("place", ["prestart", "createRuntime", "createContainer"])
def test_failing_hook_fails_the_create_and_leaves_nothing(
    runtime: Runtime, tmp_path: Path, place: str
) -> None:
    """A hook that ends with an error stops the container, and the poststop hooks still run."""
    stopped = tmp_path / "stopped"

    def add_hooks(config: dict[str, Any]) -> None:
        config["hooks"] = {
            place: [{"path": "/bin/sh", "args": ["sh", "-c", "echo no luck; exit 3"]}],
            "poststop": [{"path": "/bin/sh", "args": ["sh", "-c", f"cat > {stopped}"]}],
        }

    bundle = make_bundle(f"{tmp_path}/bundle", "true", change=add_hooks)
    done = runtime("create", "--bundle", bundle, "c1")

    assert done.returncode == 1 and "hook" in done.stderr
    assert json.loads(stopped.read_text())["status"] == "stopped"
    assert runtime.ok("list", "--quiet") == ""


def test_limits_are_set_and_updated(runtime: Runtime, tmp_path: Path) -> None:
    """What linux.resources asks for is what the container's cgroup says, also after an update."""

    def limit(config: dict[str, Any]) -> None:
        config["linux"]["resources"].update(memory={"limit": 64 << 20}, pids={"limit": 20})
        config["linux"]["cgroupsPath"] = f"/container-kit-test-{os.getpid()}/c1"

    start(runtime, make_bundle(f"{tmp_path}/bundle", *WAITS, change=limit))
    read = ("exec", "c1", "sh", "-c", "cd /sys/fs/cgroup; cat pids/pids.max 2>/dev/null || cat pids.max")

    assert runtime.ok(*read) == "20\n"
    runtime.ok("update", "--pids-limit", "30", "c1")
    assert runtime.ok(*read) == "30\n"
    runtime.ok("update", "--resources", "-", "c1", input=json.dumps({"pids": {"limit": 40}}))
    assert runtime.ok(*read) == "40\n"
    runtime.ok("delete", "--force", "c1")
    for controller in os.listdir("/sys/fs/cgroup"):
        parent = f"/sys/fs/cgroup/{controller}/container-kit-test-{os.getpid()}"
        if os.path.isdir(parent):
            os.rmdir(parent)


def test_two_containers_cannot_have_one_id(runtime: Runtime, tmp_path: Path) -> None:
    """An id is taken until its container is deleted; ids that are paths are refused."""
    bundle = make_bundle(f"{tmp_path}/bundle", *WAITS)
    start(runtime, bundle)

    taken = runtime("create", "--bundle", bundle, "c1")
    assert taken.returncode == 1 and "in use" in taken.stderr
    assert runtime.state("c1")["status"] == "running"
    for name in ("../c2", "", "a/b", ".."):
        assert runtime("create", "--bundle", bundle, name).returncode == 1


def test_state_is_true_after_the_program_was_killed_from_outside(runtime: Runtime, tmp_path: Path) -> None:
    """Nobody tells the runtime of an end; it asks the kernel, which never takes one process for another."""
    start(runtime, make_bundle(f"{tmp_path}/bundle", *WAITS))

    os.kill(runtime.state("c1")["pid"], signal.SIGKILL)

    wait_until(lambda: runtime.state("c1")["status"] == "stopped")
    runtime.ok("delete", "c1")


def test_preserved_descriptors_reach_the_program(runtime: Runtime, tmp_path: Path) -> None:
    """--preserve-fds passes on the descriptors from 3 on, and no other."""
    bundle = make_bundle(f"{tmp_path}/bundle", "sh", "-c", "cat <&3; ls /proc/self/fd | sort | head -n 20")
    reading, writing = os.pipe()
    os.write(writing, b"passed\n")
    os.close(writing)
    command = runtime.command("run", "--bundle", bundle, "--preserve-fds", "1", "c1")

    done = subprocess.run(
        ["bash", "-c", f'exec 3<&{reading} {reading}<&-; exec "$@"', "sh", *command],
        pass_fds=(reading,), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    os.close(reading)

    # 4 is the directory that ls reads.
    assert done.stdout.split() == ["passed", "0", "1", "2", "3", "4"], done.stderr


def test_features_and_spec_are_documents(runtime: Runtime, tmp_path: Path) -> None:
    """`features` says what there is; `spec` writes a configuration once and does not overwrite it."""
    features = json.loads(runtime.ok("features"))
    assert "createRuntime" in features["hooks"] and features["linux"]["cgroup"]["v1"]
    runtime.ok("spec", "--bundle", str(tmp_path))
    assert json.loads((tmp_path / "config.json").read_text())["root"]["path"] == "rootfs"
    assert runtime("spec", "--bundle", str(tmp_path)).returncode == 1


def test_container_whose_maker_died_can_be_deleted(runtime: Runtime, tmp_path: Path) -> None:
    """A create that is killed half-way leaves a stopped container, not one that is created for ever."""

    def stall(config: dict[str, Any]) -> None:
        config["hooks"] = {"createRuntime": [{"path": "/bin/sleep", "args": ["sleep", "60"]}]}

    bundle = make_bundle(f"{tmp_path}/bundle", "true", change=stall)
    maker = subprocess.Popen(runtime.command("create", "--bundle", bundle, "c1"), start_new_session=True)
    wait_until(lambda: runtime("state", "c1").returncode == 0 and runtime.state("c1")["pid"] > 0)
    os.killpg(maker.pid, signal.SIGKILL)
    maker.wait()

    wait_until(lambda: runtime.state("c1")["status"] == "stopped")
    runtime.ok("delete", "c1")
