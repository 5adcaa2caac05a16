"""podman with our command as its OCI runtime."""

from __future__ import annotations

import os
import pty
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.cli.bundles import make_bundle
from tests.cli.podman import Podman, podman

pytestmark = [
    pytest.mark.root,
    pytest.mark.tool("podman"),
    pytest.mark.tool("conmon"),
    pytest.mark.tool("busybox"),
]

ALONE = ("--network", "none")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    """podman with one image, ``box``."""
    directory = str(tmp_path_factory.mktemp("podman"))
    rootfs = os.path.join(make_bundle(f"{directory}/bundle", "true"), "rootfs")
    subprocess.run(["tar", "-C", rootfs, "-cf", f"{directory}/box.tar", "."], check=True)
    with podman(directory) as found:
        found("import", f"{directory}/box.tar", "box")
        yield found


@pytest.fixture
def container(engine: Podman) -> Iterator[str]:
    """A running container that ends with 7 when it is asked to stop."""
    program = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done"
    yield engine("run", "--detach", *ALONE, "box", "sh", "-c", program).stdout.strip()
    engine("rm", "--all", "--force", "--time=0")


def test_run_and_remove(engine: Podman) -> None:
    """Output, exit code and removal are those of podman with any other runtime."""
    done = engine("run", "--rm", *ALONE, "box", "true")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = engine(
        "run", "--rm", "-i", *ALONE, "box", "sh", "-c", "cat; id; exit 5", input="typed\n", check=False
    )
    assert (done.returncode, done.stdout) == (5, "typed\nuid=0(root) gid=0\n")
    assert engine("ps", "--all", "--quiet").stdout == ""


@pytest.mark.parametrize(("program", "code"), [("/nowhere", 127), ("/etc/passwd", 126)])
def test_program_that_cannot_run(engine: Podman, program: str, code: int) -> None:
    """podman understands our errors: 127 for a missing program, 126 for one that may not run."""
    assert engine("run", "--rm", *ALONE, "box", program, check=False).returncode == code


def test_interactive_terminal(engine: Podman) -> None:
    """`run -it` gives the program a terminal that passes on what is typed, of the size of ours."""
    master, slave = pty.openpty()
    command = engine.command("run", "--rm", "-it", *ALONE, "box", "sh", "-c", "tty; head -n 1; exit 3")
    started = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=engine.environment())
    os.close(slave)
    shown = b""
    while b"/dev/pts/0" not in shown:
        shown += os.read(master, 4096)
    os.write(master, b"typed\n")
    while started.poll() is None or b"typed\r\ntyped" not in shown:
        try:
            shown += os.read(master, 4096)
        except OSError:
            break
    os.close(master)
    assert started.wait(30) == 3 and shown.count(b"typed") == 2, shown


def test_limits(engine: Podman) -> None:
    """--memory and --pids-limit arrive in the container's cgroup."""
    files = "/sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/pids/pids.max"
    program = f"cat {files} 2>/dev/null || cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max"
    limited = ("--memory", "64m", "--pids-limit", "32")
    shown = engine("run", "--rm", *ALONE, *limited, "box", "sh", "-c", program).stdout
    assert shown.split() == [str(64 << 20), "32"]


def test_exec(engine: Podman, container: str) -> None:
    """`exec` runs a further program with its own user and exit code, and tells 127 from 126."""
    done = engine("exec", "--user", "12:34", container, "sh", "-c", "id; exit 4", check=False)
    assert (done.returncode, done.stdout) == (4, "uid=12 gid=34\n")
    assert engine("exec", container, "/nowhere", check=False).returncode == 127
    done = engine("exec", "-i", container, "cat", input="through\n")
    assert done.stdout == "through\n"


def test_pause_and_stop(engine: Podman, container: str) -> None:
    """A container is frozen and thawed, handles its stop signal, and can be started again."""
    engine("pause", container)
    assert engine("inspect", "--format", "{{.State.Status}}", container).stdout == "paused\n"
    engine("unpause", container)
    wait_for_log(engine, container)
    engine("stop", container)
    assert (
        engine("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", container).stdout
        == "exited 7\n"
    )
    engine("start", container)
    engine("kill", container)
    assert engine("wait", container).stdout == "137\n"


def wait_for_log(engine: Podman, container: str) -> None:
    """Wait until the program has set its trap."""
    deadline = time.monotonic() + 10
    while "ready" not in engine("logs", container).stdout:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_privileged_and_user_namespace(engine: Podman) -> None:
    """What podman decides (all devices of the host, owners that it has shifted) is taken as it is."""
    everything = engine(
        "run", "--rm", *ALONE, "--privileged", "box", "sh", "-c", "ls -ld /dev/ptmx; echo x > /dev/null"
    )
    assert "pts/ptmx" in everything.stdout
    mapped = ("--uidmap", "0:100000:5000", "--gidmap", "0:100000:5000")
    inside = engine(
        "run", "--rm", *ALONE, *mapped, "box", "sh", "-c", "cat /proc/self/uid_map; ls -ldn /etc/passwd"
    )
    assert inside.stdout.split()[:3] == ["0", "100000", "5000"]
    assert inside.stdout.splitlines()[1].split()[2:4] == ["0", "0"]
