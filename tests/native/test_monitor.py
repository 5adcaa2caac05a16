"""Daemons of the helper: how they are born; and files that are watched while they grow."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import threading
from pathlib import Path

import pytest

from container_kit.errors import KernelError
from container_kit.native.descriptors import new_watch, open_path
from container_kit.native.monitor import spawn_daemon, watch_file

PROBE = (
    "echo $PPID; ls /proc/$$/fd; tr '\\0' '\\n' < /proc/$$/environ; grep -E 'Sig(Blk|Ign)' /proc/$$/status"
)


def run_daemon(path: str, *words: str) -> bytes:
    """What the program *path* writes as a daemon, until it has ended."""
    reader, writer = os.pipe()
    program = os.open(path, os.O_RDONLY)
    nothing = os.open(os.devnull, os.O_RDWR)
    with open(reader, "rb") as output:
        try:
            spawn_daemon(program, words, [nothing, writer, nothing])
        finally:
            for fd in (writer, program, nothing):
                os.close(fd)
        return output.read()


def test_a_daemon_has_only_what_it_was_given() -> None:
    """No descriptor of the caller crosses, not even one without close-on-exec, and no environment."""
    extra = os.open("/", os.O_RDONLY)
    os.set_inheritable(extra, True)
    try:
        lines = run_daemon("/bin/sh", "sh", "-c", PROBE).decode().split("\n")
    finally:
        os.close(extra)

    assert int(lines[0]) != os.getpid()
    assert lines[1:4] == ["0", "1", "2"]
    assert [line for line in lines[4:] if "=" in line] in ([], ["PWD=/"])


def children() -> set[str]:
    """The pids of this process's children, ended ones that wait to be reaped included."""
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) == os.getpid():
                found.add(pid)
    return found


def test_a_daemon_is_nobody_s_child_here() -> None:
    """The caller has no child to reap afterwards."""
    before = children()
    run_daemon("/bin/true", "true")

    assert children() <= before


def test_a_program_that_cannot_be_executed_is_an_error(tmp_path: Path) -> None:
    """It is known at once, and no process is left."""
    (tmp_path / "no-program").write_text("just text")
    with pytest.raises(KernelError, match="helper") as caught:
        run_daemon(str(tmp_path / "no-program"), "x")

    assert caught.value.errno == errno.EACCES


def test_many_threads_can_start_daemons() -> None:
    """Each gets its own, with its own descriptors."""
    outputs: list[bytes] = []
    threads = [
        threading.Thread(target=lambda n=n: outputs.append(run_daemon("/bin/echo", "echo", str(n))))
        for n in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(int(output) for output in outputs) == list(range(16))


def test_a_watched_file_tells_of_its_growth(tmp_path: Path) -> None:
    """Although it has been renamed since it was opened; before it grows there is nothing to tell."""
    path = tmp_path / "log"
    path.write_text("")
    with open_path(path, os.O_RDONLY) as log, new_watch() as watch:
        path.rename(tmp_path / "log.1")
        watch_file(watch.fileno(), log.fileno())
        assert not select.select([watch], [], [], 0)[0]
        with open(tmp_path / "log.1", "a") as file:
            file.write("x")
        assert select.select([watch], [], [], 5)[0]
