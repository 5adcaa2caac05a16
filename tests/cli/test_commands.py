"""docker's commands from the outside: what they print, and how they exit."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from container_kit.cli import main
from container_kit.containers import Engine
from container_kit.images import Image
from tests.cli.forked import run_forked

pytestmark = pytest.mark.root

_ENTRY = "import sys; sys.argv[0] = 'ckit'; from container_kit.cli import main; main()"
WAITS = ("sh", "-c", "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done")


@attrs.frozen
class Ckit:
    """The command line on one root directory."""

    root: str

    def __call__(self, *words: str, **settings: Any) -> subprocess.CompletedProcess[str]:
        """Run one command; its output is captured."""
        return run_forked(main, ("ckit", *words), environment=self.variables, **settings)

    def ok(self, *words: str, **settings: Any) -> str:
        """Its standard output; fails when the command does."""
        done = self(*words, **settings)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    @property
    def variables(self) -> dict[str, str]:
        """What makes it use this root."""
        return {"CONTAINER_KIT_ROOT": self.root}

    def command(self, *words: str) -> list[str]:
        """The command line of a process of its own, for those who start it themselves."""
        return [sys.executable, "-c", _ENTRY, *words]


@pytest.fixture(scope="module")
def ckit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ckit]:
    """A root with one image, ``tools``; nothing runs in it at the end."""
    root = str(tmp_path_factory.mktemp("root"))
    with Engine(root) as engine:
        Image.from_host("sh", "cat", "sleep", "true", "echo", "ls", "id", "tty", tag="tools", engine=engine)
    yield Ckit(root)
    with Engine(root) as engine:
        for container in engine.containers(all=True):
            container.remove(force=True)


@pytest.fixture
def running(ckit: Ckit) -> Iterator[str]:
    """The name of a running container that ends with 7 when it is asked to stop."""
    ckit.ok("run", "-d", "--name", "running", "-l", "kind=test", "tools", *WAITS)
    yield "running"
    ckit.ok("rm", "-f", "running")


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for what another process does; fails after ten seconds."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def test_run_passes_streams_and_exit_code(ckit: Ckit) -> None:
    """`run --rm` is the program itself: its input, output, errors and exit code; nothing stays."""
    done = ckit("run", "--rm", "-i", "tools", "sh", "-c", "cat; echo err >&2; exit 5", input="in\n")

    assert (done.returncode, done.stdout, done.stderr) == (5, "in\n", "err\n")
    assert ckit.ok("ps", "-aq") == ""


def test_run_without_rm_leaves_the_container(ckit: Ckit) -> None:
    """Without --rm the container stays, with its exit code and its log."""
    done = ckit("run", "--name", "kept", "tools", "sh", "-c", "echo out; echo err >&2; exit 3")

    assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "err\n")
    assert ckit.ok("ps", "-a", "--filter", "name=kept", "--format", "{{.Status}}").startswith("Exited (3)")
    again = ckit("logs", "kept")
    assert (again.stdout, again.stderr) == ("out\n", "err\n")
    assert ckit.ok("rm", "kept") == "kept\n"


def test_start_with_attach_shows_this_life_only(ckit: Ckit) -> None:
    """`start -a` shows what the container writes from this start on, and ends with its exit code."""
    ckit.ok("create", "--name", "again", "tools", "sh", "-c", "echo hello; exit 4")
    for _ in range(2):
        done = ckit("start", "-a", "again")
        assert (done.returncode, done.stdout) == (4, "hello\n")
    assert ckit.ok("logs", "again") == "hello\n" * 2
    ckit.ok("rm", "again")


@pytest.mark.parametrize(
    ("words", "code", "phrase"),
    [
        (("run", "--rm", "tools", "/nowhere"), 127, "/nowhere"),
        (("run", "-d", "tools", "/nowhere"), 127, "/nowhere"),
        (("run", "--rm", "tools", "/etc/passwd"), 126, "/etc/passwd"),
        (("run", "--rm", "nosuchimage", "true"), 125, "nosuchimage"),
        (("run", "--rm", "-v", "/nowhere:/a", "tools", "true"), 125, "/nowhere"),
        (("run", "--rm", "-u", "nobody-here", "tools", "true"), 125, "nobody-here"),
        (("run", "--rm", "-m", "1m", "tools", "true"), 125, "memory"),
        (("run", "--rm", "-it", "tools", "true"), 125, "terminal"),
        (("run", "--rm", "--restart", "always", "tools", "true"), 125, "--rm and --restart exclude"),
        (("run", "--cidfile", "/nowhere/id", "tools", "true"), 125, "'/nowhere/id': No such file"),
        (("run", "--env-file", "/nowhere", "tools", "true"), 125, "'/nowhere': No such file"),
        (
            ("save", "-o", "/nowhere/a.tar", "tools"),
            1,
            "cannot save images: No such file or directory: '/nowhere/a.tar'",
        ),
        (("run", "--rm", "--init", "tools", "sh", "-c", "kill -9 $$"), 137, ""),
        (("exec", "nobody", "true"), 1, "nobody"),
        (("stop", "nobody"), 1, "nobody"),
        (("rm", "nobody"), 1, "nobody"),
        (("rmi", "nosuchimage"), 1, "nosuchimage"),
        (("logs", "nobody"), 1, "nobody"),
        (("inspect", "nobody"), 1, "nobody"),
        (("ps", "--format", "{{.Nope}}", "-a", "--filter", "nope=1"), 1, "nope"),
    ],
)
def test_failures_have_dockers_exit_codes(ckit: Ckit, words: tuple[str, ...], code: int, phrase: str) -> None:
    """127 not found, 126 not executable, 125 not started, 128+n killed; one sentence says why."""
    done = ckit(*words)

    assert done.returncode == code, done.stderr
    assert phrase in done.stderr and "Traceback" not in done.stderr
    assert ckit.ok("ps", "-aq", "--filter", "status=running") == ""
    for name in ckit.ok("ps", "-aq").split():
        ckit.ok("rm", name)


def test_exec(ckit: Ckit, running: str) -> None:
    """A further program gets its input, environment, user and directory, and returns its exit code."""
    program = "cat; id -u; echo $A; pwd; exit 4"
    done = ckit(
        "exec", "-i", "-e", "A=1", "-u", "12", "-w", "/etc", running, "sh", "-c", program, input="in\n"
    )

    assert (done.returncode, done.stdout) == (4, "in\n12\n1\n/etc\n")
    assert ckit("exec", running, "/nowhere").returncode == 127
    ckit.ok("exec", "-d", running, "sh", "-c", "echo done > /tmp-mark; sleep 100")
    wait_until(lambda: ckit("exec", running, "cat", "/tmp-mark").stdout == "done\n")
    assert "sleep 100" in ckit.ok("top", running)


def test_life_in_words(ckit: Ckit, running: str) -> None:
    """Each command prints the name it worked on; states are told as docker tells them."""

    def status() -> str:
        return ckit.ok("ps", "-a", "--filter", f"name={running}", "--format", "{{.Status}}").strip()

    assert status().startswith("Up ")
    assert ckit.ok("pause", running) == f"{running}\n" and status().endswith("(Paused)")
    assert ckit.ok("unpause", running) == f"{running}\n"
    wait_until(lambda: "ready" in ckit.ok("logs", running))
    assert ckit.ok("stop", running) == f"{running}\n" and status().startswith("Exited (7)")
    assert ckit.ok("wait", running) == "7\n"
    assert ckit.ok("start", running) == f"{running}\n" and status().startswith("Up ")
    refused = ckit("rm", running)
    assert refused.returncode == 1 and "running" in refused.stderr
    assert ckit.ok("kill", running) == f"{running}\n"
    assert ckit.ok("wait", running) == "137\n"
    assert ckit.ok("restart", running) == f"{running}\n" and status().startswith("Up ")
    ckit.ok("rename", running, "other")
    assert ckit.ok("ps", "--format", "{{.Names}}") == "other\n"
    ckit.ok("rename", "other", running)


def test_ps_formats_and_filters(ckit: Ckit, running: str) -> None:
    """A table with docker's titles, ids with -q, templates, JSON lines, filters."""
    ckit.ok("create", "--name", "idle", "tools", "true")
    assert ckit.ok("ps").splitlines()[0].split("  ")[0] == "CONTAINER ID"
    assert len(ckit.ok("ps").splitlines()) == 2 and len(ckit.ok("ps", "-a").splitlines()) == 3
    assert (
        ckit.ok(
            "ps",
            "--filter",
            "label=kind=test",
            "--format",
            r"{{.Names}}\t{{.Label \"kind\"}}".replace('\\"', '"'),
        )
        == "running\ttest\n"
    )
    assert ckit.ok("ps", "-l", "--format", "{{.Names}}") == "idle\n"
    assert ckit.ok("ps", "-a", "--filter", "status=created", "--format", "{{.State}}") == "created\n"
    assert json.loads(ckit.ok("ps", "--format", "json"))["Names"] == "running"
    full = ckit.ok("ps", "-q", "--no-trunc").strip()
    assert len(full) == 64 and ckit.ok("ps", "-q").strip() == full[:12]
    ckit.ok("rm", "idle")


def test_inspect_and_limits(ckit: Ckit, running: str) -> None:
    """`inspect` is docker's document; `update` changes limits and `stats` sees them."""
    document = json.loads(ckit.ok("inspect", running))[0]
    assert document["State"]["Running"] is True and document["Name"].strip("/") == running
    assert (
        ckit.ok("inspect", "-f", '{{.State.Status}} {{index .Config.Labels "kind"}}', running)
        == "running test\n"
    )
    ckit.ok("update", "--memory", "64m", "--memory-swap", "128m", running)
    assert "/ 64MiB" in ckit.ok("stats", "--no-stream", "--format", "{{.MemUsage}}", running)
    assert json.loads(ckit.ok("image", "inspect", "tools"))[0]["RepoTags"] == ["tools:latest"]


def test_logs_follow_until_the_end(ckit: Ckit) -> None:
    """`logs -f` shows what is written from now on and ends with the container."""
    ckit.ok(
        "run", "-d", "--name", "chatty", "tools", "sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.1; done"
    )
    assert ckit.ok("logs", "-f", "chatty") == "1\n2\n3\n"
    assert ckit.ok("logs", "--tail", "1", "chatty") == "3\n"
    stamped = ckit.ok("logs", "-t", "chatty").splitlines()
    assert stamped[0].endswith("Z 1")
    assert ckit.ok("logs", "--since", "1h", "--until", "30m", "chatty") == ""
    ckit.ok("rm", "chatty")


def test_export_to_nowhere_is_one_sentence(ckit: Ckit, running: str) -> None:
    """A file that cannot be written is told by its path, without a traceback."""
    done = ckit("export", running, "-o", "/nowhere/a.tar")
    assert done.returncode == 1
    assert done.stderr == "Error: cannot export: No such file or directory: '/nowhere/a.tar'\n"


def test_copy_commit_and_archives(ckit: Ckit, running: str, tmp_path: Path) -> None:
    """Files go in and out, and images go out and in, each with its own word."""
    (tmp_path / "in").write_text("content")
    ckit.ok("cp", str(tmp_path / "in"), f"{running}:/copied")
    ckit.ok("cp", f"{running}:/copied", str(tmp_path / "out"))
    assert (tmp_path / "out").read_text() == "content"
    assert "A /copied" in ckit.ok("diff", running)

    assert ckit.ok("commit", "-m", "a change", running, "changed:1").startswith("sha256:")
    assert "a change" in ckit.ok("history", "changed:1")
    assert ckit.ok("run", "--rm", "changed:1", "cat", "/copied") == "content"
    ckit.ok("save", "-o", f"{tmp_path}/changed.tar", "changed:1")
    assert "Untagged: changed:1" in ckit.ok("rmi", "changed:1")
    assert ckit.ok("load", "-i", f"{tmp_path}/changed.tar") == "Loaded image: changed:1\n"
    ckit.ok("export", "-o", f"{tmp_path}/files.tar", running)
    with tarfile.open(tmp_path / "files.tar") as tar:
        assert "copied" in [name.removeprefix("./") for name in tar.getnames()]
    ckit.ok("import", "-c", 'CMD ["cat", "/copied"]', f"{tmp_path}/files.tar", "imported:1")
    assert ckit.ok("run", "--rm", "imported:1") == "content"
    ckit.ok("rmi", "changed:1", "imported:1")


def test_store_commands(ckit: Ckit) -> None:
    """df, fsck, info and prune tell about the store."""
    assert ckit.ok("system", "df").splitlines()[0].startswith("TYPE")
    assert "No problem found" in ckit.ok("system", "fsck")
    assert ckit.ok("info", "--format", "{{.Images}}") == "1\n"
    ckit.ok("create", "--name", "idle", "tools", "true")
    assert "Deleted Containers" in ckit.ok("container", "prune", "--force")
    assert ckit("system", "prune", input="n\n").returncode != 0
    assert ckit.ok("images", "--format", "{{.Repository}}") == "tools\n"


def test_events_tell_what_happened(ckit: Ckit) -> None:
    """Each step of a container's life is one event, in order."""
    ckit.ok("run", "--rm", "--name", "eventful", "tools", "true")
    words = (
        "events",
        "--since",
        "1h",
        "--until",
        "0s",
        "--filter",
        "container=eventful",
        "--format",
        "{{.Action}}",
    )
    found = ckit.ok(*words).split()
    assert [one for one in found if one in ("create", "start", "die", "destroy")] == [
        "create",
        "start",
        "die",
        "destroy",
    ]


def test_completion_offers_live_names(ckit: Ckit, running: str) -> None:
    """TAB offers the containers and images that there are at this moment."""

    def offered(*words: str) -> list[str]:
        asked = {"COMP_WORDS": " ".join(("ckit", *words)), "COMP_CWORD": str(len(words))}
        environment = {**ckit.variables, "_CKIT_COMPLETE": "bash_complete", **asked}
        done = run_forked(main, ("ckit",), environment=environment)
        return [line.partition(",")[2] for line in done.stdout.splitlines() if "," in line]

    assert offered("stop", "r") == [running]
    assert offered("unpause", "") == []
    assert offered("run", "--rm", "to") == ["tools:latest"]
    assert offered("run", "--network", "container:") == [f"container:{running}"]


def on_terminal(ckit: Ckit, *words: str) -> bytes:
    """What a command shows on a terminal."""
    master, slave = pty.openpty()
    started = subprocess.Popen(
        ckit.command(*words),
        stdin=subprocess.DEVNULL,
        stdout=slave,
        stderr=slave,
        env={**os.environ, **ckit.variables},
    )
    os.close(slave)
    shown = b""
    while True:
        try:
            shown += os.read(master, 65536)
        except OSError:
            break
    os.close(master)
    started.wait(30)
    return shown


def test_s20_escapes_do_not_reach_a_terminal(ckit: Ckit) -> None:
    """What a container calls its command or writes to its log is text on a terminal, and itself in a pipe."""
    hostile = "\x1b]0;owned\x07\x1b[2J"
    ckit.ok("run", "-d", "--name", "hostile", "-l", f"a={hostile}", "tools", "echo", hostile)
    ckit.ok("wait", "hostile")

    for words in (("ps", "-a", "--no-trunc"), ("ps", "-a", "--format", "{{.Labels}}"), ("logs", "hostile")):
        shown = on_terminal(ckit, *words)
        assert (
            b"owned" in shown and b"\x1b]" not in shown and b"\x1b[2J" not in shown and b"\x07" not in shown
        )
    assert ckit.ok("logs", "hostile") == f"{hostile}\n"
    assert hostile in ckit.ok("ps", "-a", "--format", "{{.Labels}}")
    ckit.ok("rm", "hostile")


class Terminal:
    """A command on a terminal that is typed into; a context manager that leaves no process behind."""

    def __init__(self, ckit: Ckit, *words: str) -> None:
        self._master, slave = pty.openpty()
        self.shown = b""
        self.process = subprocess.Popen(
            ckit.command(*words),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, **ckit.variables},
        )
        os.close(slave)

    def wait_for(self, text: bytes) -> None:
        """Wait until *text* has been shown."""
        while text not in self.shown:
            assert select.select([self._master], [], [], 20)[0], self.shown
            try:
                self.shown += os.read(self._master, 65536)
            except OSError:
                raise AssertionError(f"ended after {self.shown!r}") from None

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._master, keys)

    def exit_code(self) -> int:
        """Wait for its end."""
        while select.select([self._master], [], [], 20)[0]:
            try:
                self.shown += os.read(self._master, 65536)
            except OSError:
                return self.process.wait(20)
        raise AssertionError(f"it does not end: {self.shown!r}")

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._master)
        self.process.kill()
        self.process.wait()


@pytest.mark.parametrize("remove", [("--rm",), ()], ids=["owned", "kept"])
def test_interactive_run_has_a_terminal(ckit: Ckit, remove: tuple[str, ...]) -> None:
    """`run -it` is a terminal of its own: Ctrl-D ends input there, and the exit code is passed on."""
    program = "echo begin; tty; cat; exit 5"
    with Terminal(ckit, "run", *remove, "--name", "typed", "-it", "tools", "sh", "-c", program) as terminal:
        terminal.wait_for(b"/dev/pts/0")
        assert b"begin\r\n" in terminal.shown
        terminal.type(b"hello\r")
        terminal.wait_for(b"hello\r\nhello\r\n")
        terminal.type(b"\x04")
        assert terminal.exit_code() == 5
    assert ckit.ok("ps", "-aq").strip() == "" if remove else ckit.ok("rm", "typed")


def test_interactive_exec_has_a_terminal(ckit: Ckit, running: str) -> None:
    """`exec -it` gives the further program a terminal of its own."""
    with Terminal(ckit, "exec", "-it", running, "sh", "-c", "tty; cat; exit 6") as terminal:
        terminal.wait_for(b"/dev/pts/")
        terminal.type(b"hi\r")
        terminal.wait_for(b"hi\r\nhi\r\n")
        terminal.type(b"\x04")
        assert terminal.exit_code() == 6


@pytest.mark.parametrize("verb", ["run", "exec"])
def test_without_a_terminal_of_its_own_a_program_does_not_get_ours(
    ckit: Ckit, running: str, verb: str
) -> None:
    """What holds our terminal could read what is typed there later: it gets pipes, which are relayed."""
    where = ("run", "--rm", "-i", "tools") if verb == "run" else ("exec", "-i", running)
    program = "for n in 0 1 2; do [ -t $n ] && echo terminal $n; done; echo begin; cat; echo end >&2; exit 6"
    with Terminal(ckit, *where, "sh", "-c", program) as terminal:
        terminal.wait_for(b"begin\r\n")
        terminal.type(b"hi\r")
        terminal.wait_for(b"hi\r\nhi\r\n")
        terminal.type(b"\x04")
        assert terminal.exit_code() == 6
        assert b"end\r\n" in terminal.shown and b"terminal" not in terminal.shown


def test_detach_keys_leave_the_container_running(ckit: Ckit) -> None:
    """Ctrl-P Ctrl-Q goes away from a container that goes on; `attach` comes back to it."""
    with Terminal(ckit, "run", "-it", "--name", "left", "tools", "sh", "-c", "echo first; cat") as terminal:
        terminal.wait_for(b"first")
        terminal.type(b"\x10\x11")
        assert terminal.exit_code() == 0
    assert ckit.ok("ps", "--format", "{{.Names}}") == "left\n"
    with Terminal(ckit, "attach", "left") as terminal:
        terminal.type(b"second\r")
        terminal.wait_for(b"second\r\nsecond\r\n")
        terminal.type(b"\x04")
        assert terminal.exit_code() == 0
    ckit.ok("rm", "left")


def test_signals_reach_the_program(ckit: Ckit) -> None:
    """A signal that is sent to `run` is the container's; its exit code comes back."""
    started = subprocess.Popen(
        ckit.command("run", "--rm", "tools", *WAITS),
        stdout=subprocess.PIPE,
        env={**os.environ, **ckit.variables},
    )
    assert started.stdout is not None and started.stdout.readline() == b"ready\n"
    started.terminate()
    assert started.wait(20) == 7
    started.stdout.close()


@pytest.mark.parametrize("options", [("--rm",), ("--name", "deaf")])
def test_the_third_ctrl_c_is_the_last(ckit: Ckit, options: tuple[str, ...]) -> None:
    """A program that ignores it gets two; the third ends `run`, and the container too if it is its own."""
    deaf = "trap '' INT; echo ready; while :; do sleep 0.05; done"
    started = subprocess.Popen(
        ckit.command("run", *options, "tools", "sh", "-c", deaf),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **ckit.variables},
    )
    assert started.stdout is not None and started.stdout.readline() == b"ready\n"
    for _ in range(2):
        started.send_signal(signal.SIGINT)
        time.sleep(0.2)
        assert started.poll() is None
    started.send_signal(signal.SIGINT)
    _, said = started.communicate(timeout=20)
    is_own = options == ("--rm",)
    assert (started.returncode, b"got 3" in said) == (137 if is_own else 1, True)
    assert (ckit.ok("ps", "-q") == "") == is_own
    if not is_own:
        ckit.ok("rm", "-f", "deaf")


def test_cidfile_has_the_id(ckit: Ckit, tmp_path: Path) -> None:
    """--cidfile tells scripts the id, and an existing file is not overwritten."""
    path = str(tmp_path / "id")
    assert ckit("run", "--rm", "--cidfile", path, "tools", "true").returncode == 0
    assert len((tmp_path / "id").read_text()) == 64
    assert ckit("run", "--rm", "--cidfile", path, "tools", "true").returncode == 125
