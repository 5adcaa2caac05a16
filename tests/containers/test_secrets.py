"""What is secret stays where it belongs (trial S16): planted words are sought wherever others could look."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

import pytest

from container_kit.containers.engine import Engine
from container_kit.containers.options import ContainerOptions
from container_kit.errors import ContainerKitError
from tests.containers.waiting import wait_for

pytestmark = pytest.mark.root

SECRET = "planted-7c1e0d"


def test_values_of_variables_are_not_shown(engine: Engine) -> None:
    """repr, debug logs and messages of errors name variables, not their values."""
    options = ContainerOptions(env={"TOKEN": SECRET})
    assert SECRET not in repr(options) and "TOKEN" in repr(options)
    container = engine.create("tools", ["true"], env={"TOKEN": SECRET})
    assert SECRET not in repr(engine.record(container.id)) + repr(container) + repr(container.info())
    container.remove()


def test_secrets_reach_no_log_and_no_error(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    """Neither input nor environment turn up in log records, exceptions or the journal of events."""
    caplog.set_level(logging.DEBUG)
    engine.run("tools", ["cat"], input=SECRET, env={"TOKEN": SECRET})
    with engine.start("tools", ["sleep", "60"], env={"TOKEN": SECRET}) as container:
        container.exec(["cat"], input=SECRET, env={"OTHER": SECRET})
        with pytest.raises(ContainerKitError) as caught:
            container.exec(["no-such-program"], env={"OTHER": SECRET})
    assert SECRET not in str(caught.value) + repr(caught.value)
    assert SECRET not in caplog.text
    assert SECRET.encode() not in Path(engine.journal.path).read_bytes()


def test_other_processes_see_no_secret_in_command_lines(engine: Engine) -> None:
    """The command lines of monitor and guardian, which everybody may read, show ids and paths only."""
    with engine.start("tools", ["sleep", "60"], env={"TOKEN": SECRET}) as container:
        helpers = [_process_of(entry) for entry in os.listdir("/proc") if entry.isdigit()]
        ours = [line for line in helpers if container.id.encode() in line]
        assert ours and not any(SECRET.encode() in line for line in helpers)


def _process_of(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/comm").read_bytes()
    except OSError:
        return b""


def test_our_environment_stays_ours(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the program, nor the monitor, nor what is executed gets a variable of this process."""
    monkeypatch.setenv("CALLERS_SECRET", SECRET)
    assert SECRET not in engine.run("tools", ["cat", "/proc/self/environ"]).stdout
    with engine.start("tools", ["sh", "-c", "cat /proc/self/environ; exec sleep 60"]) as container:
        wait_for(lambda: list(container.logs()) or True)
        assert SECRET not in "".join(line.text for line in container.logs())
        assert SECRET not in container.exec(["cat", "/proc/self/environ"]).stdout


def test_everything_in_the_root_is_private(engine: Engine) -> None:
    """Directories 0700 and files 0600, of every container in every state, whatever the umask."""
    before = os.umask(0)
    try:
        container = engine.start("tools", ["sh", "-c", "echo x; exec sleep 60"], name="n", stdin_open=True)
        wait_for(lambda: list(container.logs()))
        container.exec(["true"])
        assert _open_to_others(Path(engine.root)) == []
    finally:
        os.umask(before)
    container.remove(force=True)


def _open_to_others(root: Path) -> list[str]:
    """What users other than ours could reach; below a closed directory nothing is looked at."""
    found = [str(root)] if root.stat().st_mode & 0o077 else []
    for path in [*root.iterdir(), *root.glob("containers/*"), *root.glob("containers/*/*")]:
        mode = path.lstat().st_mode
        below_closed = path.name in ("upper", "work", "fs")
        if stat.S_IMODE(mode) & 0o077 and not below_closed and not stat.S_ISSOCK(mode):
            found.append(f"{path} {stat.filemode(mode)}")
    return found
