"""Trials of supervision: a killed caller (R15), the duty of PID 1 (R16), a flood of output (R18)."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from container_kit.containers.engine import Engine
from container_kit.containers.logs import LogLine, read_logs
from container_kit.containers.monitor_config import LogOptions
from container_kit.containers.state_file import read_state
from tests.containers.conftest import Supervise
from tests.quiet import is_quiet

MEGABYTE = 1 << 20

CALLER = """
import sys, time
import container_kit as ck
engine = ck.Engine(sys.argv[1])
for _ in range(int(sys.argv[2])):
    engine.start("tools", ["sleep", "600"])
for _ in range(int(sys.argv[3])):
    engine.start("tools", ["sleep", "600"], detach=True)
print("up", flush=True)
time.sleep(600)
"""


@pytest.mark.root
@pytest.mark.parametrize(
    ("owned", "detached"), [(5, 2), pytest.param(50, 5, marks=pytest.mark.trial)], ids=["few", "many"]
)
def test_r15_a_killed_caller_leaves_only_what_it_detached(engine: Engine, owned: int, detached: int) -> None:
    """R15: kill -9 of the caller: its owned containers are gone within a second, the detached ones run on."""
    root = engine.root
    command = [sys.executable, "-c", CALLER, str(root), str(owned), str(detached)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as caller:
        assert caller.stdout is not None and caller.stdout.readline() == b"up\n"
        assert len(os.listdir(Path(root, "containers"))) == owned + detached
        killed_at = time.monotonic()
        caller.kill()
    while len(os.listdir(Path(root, "containers"))) > detached:
        time.sleep(0.002)

    if owned == 50:
        assert time.monotonic() - killed_at < 1.0  # the promise of the trial
    kept = engine.containers()
    assert len(kept) == detached
    for container in kept:
        state = read_state(engine.catalogue.directory(container.id))
        assert state.status == "running" and Path(f"/proc/{state.pid}").exists()


ORPHANS = """
i=0; while [ $i -lt {count} ]; do (sleep 0.01 &) ; i=$((i+1)); done
while [ "$(ls -d /proc/[0-9]* | wc -l)" -gt 5 ]; do sleep 0.01; done
cat /proc/[0-9]*/stat | cut -d' ' -f3 | sort | uniq -c
"""


@pytest.mark.root
@pytest.mark.parametrize("containers", [3, pytest.param(500, marks=pytest.mark.trial)], ids=["few", "many"])
def test_r16_orphans_are_reaped(engine: Engine, containers: int) -> None:
    """R16: with init=True a hundred orphans leave no zombie in any container."""
    from container_kit.images import Image

    image = Image.from_host("sh", "sleep", "ls", "wc", "cat", "cut", "sort", "uniq", engine=engine)
    for _ in range(containers):
        result = engine.run(image, ["sh", "-c", ORPHANS.format(count=100)], init=True)
        assert result.exit_code == 0, result.stderr
        assert "Z" not in result.stdout and "S" in result.stdout


@pytest.mark.root
def test_r16_a_background_child_does_not_hold_up_exec(engine: Engine) -> None:
    """R16: exec returns when its program ends, with all output, although a child keeps the pipe open."""
    container = engine.start("tools", ["sleep", "600"])
    started_at = time.monotonic()
    result = container.exec(["sh", "-c", "sleep 600 & echo all of it"])

    assert result.stdout == "all of it\n"
    assert time.monotonic() - started_at < 60


@pytest.mark.root
@pytest.mark.trial
def test_r16_exec_returns_at_once(engine: Engine) -> None:
    """R16: at most 100 ms after its program has ended, output complete, whoever else holds the pipe."""
    late = []
    with engine.start("tools", ["sleep", "600"]) as container:
        for number in range(50):
            result = container.exec(["sh", "-c", f"sleep 600 & echo {number}; cat /proc/uptime"])
            ended_at = float(result.stdout.split()[1])
            late.append(time.clock_gettime(time.CLOCK_BOOTTIME) - ended_at)
            assert result.stdout.startswith(f"{number}\n")
    print(f"after the end: median {statistics.median(late) * 1e3:.0f} ms, most {max(late) * 1e3:.0f} ms")
    assert statistics.median(late) < 0.1
    assert max(late) < 0.1 or not is_quiet()


def numbered(count: int) -> tuple[str, ...]:
    """A program that says ready, waits for a line, and writes *count* lines of 1000 bytes."""
    return ("sh", "-c", f"echo 0; read go; seq -f %0999.0f {count}; echo end >&2")


def peak_memory() -> int:
    """The most memory this process has used since the last reset, in bytes."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def check_sequence(lines: Iterator[LogLine], result: list[int]) -> None:
    """Count the lines of stdout for as long as each is one more than the one before."""
    for line in lines:
        if line.stream == "stdout":
            assert int(line.data) == result[0] + 1
            result[0] += 1


@pytest.mark.trial
@pytest.mark.parametrize("followers", [0, 1, 3])
def test_r18_a_flood_of_output(supervise: Supervise, followers: int) -> None:
    """R18: a gigabyte at full speed: rotation is exact, no follower (one is stalled until the end) loses a
    line, the program is not held up, and the caller grows by less than 8 MB.
    """
    count = 1_000_000
    options = LogOptions(max_size=20 * MEGABYTE, max_files=5)
    handle = supervise(*numbered(count), stdin_open=True, log=options)
    readers = [read_logs(handle.client.directory, follow=True) for _ in range(followers)]
    results = [[int(next(reader).text)] for reader in readers]
    threads = [
        threading.Thread(target=check_sequence, args=pair) for pair in zip(readers, results, strict=True)
    ]
    Path("/proc/self/clear_refs").write_text("5")
    before = peak_memory()
    for thread in threads[1:]:
        thread.start()  # the first one reads nothing before the end
    with handle.client.attach(stdin=True, stdout=False) as attached:
        attached.write(b"go\n")
        assert attached.read() == ("stderr", b"end\n")
    handle.client.wait()
    for thread in threads[:1]:
        thread.start()
    for thread in threads:
        thread.join()

    assert results == [[count]] * followers
    assert peak_memory() - before < 8 * MEGABYTE
    files = sorted(Path(handle.client.directory).glob("log*"))
    assert len(files) == 5 and all(file.stat().st_size <= 20 * MEGABYTE for file in files)
    kept = read_logs(handle.client.directory)
    last = [int(next(kept).data) - 1]
    last[0] += 1
    check_sequence(kept, last)
    assert last == [count]
