"""kill -9 while a build runs: no process survives, the store is whole, and the next build goes on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import container_kit as ck
from container_kit.build.cache import BuildCache
from container_kit.containers.engine import Engine
from tests.build.conftest import Build, wait_until

pytestmark = pytest.mark.root

DOCKERFILE = """
FROM tools AS side
ARG NUMBER
RUN --mount=type=cache,target=/c echo $NUMBER > /c/n; touch /side; sleep 0.05 # planted-marker
FROM tools
ARG NUMBER
COPY files /files
WORKDIR /deep/er
RUN sleep 0.05; echo $NUMBER > number # planted-marker
COPY --from=side /side /side
RUN ls / > listing
"""


def alive_with(marker: str) -> list[str]:
    """Command lines of living processes with *marker* in them."""
    found = []
    for pid in os.listdir("/proc"):
        if pid.isdigit():
            try:
                line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if marker in line and int(pid) != os.getpid():
                found.append(line)
    return found


def context_at(path: Path, marker: str) -> Path:
    path.mkdir()
    (path / "Dockerfile").write_text(DOCKERFILE.replace("planted-marker", marker))
    (path / "files").mkdir()
    for number in range(50):
        (path / f"files/{number}").write_text(f"{number}\n" * 200)
    return path


def kill_while_building(root: Path, context: Path, after_s: float) -> None:
    command = [sys.executable, "-m", "tests.build.victim", str(root), str(context)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"open\n"
    time.sleep(after_s)
    assert process.poll() is None, process.communicate()
    process.kill()
    process.communicate()


def check_after_crash(root: Path, context: Path, marker: str) -> None:
    """All promises, at the next open and for the next build."""
    wait_until(lambda: not alive_with(marker), 2.0)  # the guardian needs no second
    began = time.monotonic()
    with Engine(root) as engine:
        assert time.monotonic() - began < 5.0
        report = engine.store.fsck()
        assert report.clean, report
        wait_until(lambda: not os.listdir(root / "containers"))  # the janitor clears away what was swept
        assert os.listdir(root / "tmp") == []
        for entry in BuildCache(engine.store).entries():
            if entry.layer is not None:
                engine.store.verify_tree(entry.layer.diff_id)
        for image in ck.Image.list(engine=engine):
            for layer in image.layers:
                engine.store.verify_tree(layer)
        image = ck.Image.build(context, build_args={"NUMBER": "last"}, engine=engine)
        assert ck.run(image, ["cat", "/deep/er/number"], engine=engine).stdout == "last\n"
        wait_until(lambda: not os.listdir(root / "containers"))
        engine.store.gc()


def copy_root(stocked_root: Path, root: Path) -> Path:
    subprocess.run(["cp", "-a", str(stocked_root), str(root)], check=True)
    return root


@pytest.mark.parametrize("moment", range(3))
def test_a_killed_build_leaves_a_clean_store(stocked_root: Path, tmp_path: Path, moment: int) -> None:
    """Whatever the build was doing, nothing of it runs on, and each step is in the cache or not."""
    root, marker = copy_root(stocked_root, tmp_path / "root"), f"crash-{os.getpid()}-{moment}"
    context = context_at(tmp_path / "context", marker)

    kill_while_building(root, context, random.Random(moment).uniform(0.01, 0.6))
    check_after_crash(root, context, marker)


@pytest.mark.trial
def test_a_hundred_kills(stocked_root: Path, tmp_path: Path) -> None:
    """The same at a hundred moments, of one store."""
    root, marker = copy_root(stocked_root, tmp_path / "root"), f"crash-{os.getpid()}"
    context = context_at(tmp_path / "context", marker)
    chance = random.Random(1)
    for _ in range(100):
        kill_while_building(root, context, chance.uniform(0.0, 0.8))
        check_after_crash(root, context, marker)


@pytest.mark.parametrize("step", [55, 125, 195])
def test_a_kill_between_two_writes(stocked_root: Path, tmp_path: Path, step: int) -> None:
    """A step is in the cache with its layer, or not: also when the process dies between any two writes."""
    kill_at(copy_root(stocked_root, tmp_path / "root"), tmp_path, step)


@pytest.mark.trial
def test_a_kill_between_any_two_writes(stocked_root: Path, tmp_path: Path) -> None:
    """The same at each third step that touches the disk, of one store."""
    root = copy_root(stocked_root, tmp_path / "root")
    for step in range(1, 250, 3):
        (tmp_path / str(step)).mkdir()
        kill_at(root, tmp_path / str(step), step)


def kill_at(root: Path, directory: Path, step: int) -> None:
    marker = f"crash-{os.getpid()}-{step}"
    context = context_at(directory / "context", marker)
    command = [sys.executable, "-m", "tests.build.victim", str(root), str(context)]
    environment = {**os.environ, "CK_FAILPOINT": f"*:{step}:kill"}
    done = subprocess.run(command, env=environment, capture_output=True, timeout=60)
    assert done.returncode == -9, done
    check_after_crash(root, context, marker)


def test_an_interrupt_ends_all_stages(build: Build, engine: Engine) -> None:
    """Ctrl-C while several stages run kills their commands, and the engine is usable afterwards."""
    marker = f"interrupt-{os.getpid()}"
    text = f"""
    FROM tools AS a
    RUN sleep 60 # {marker} a
    FROM tools
    RUN sleep 60 # {marker} b
    COPY --from=a / /x
    """

    def interrupt() -> None:
        wait_until(lambda: len(alive_with(marker)) >= 2)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        build(text)
    thread.join()
    wait_until(lambda: not alive_with(marker), 2.0)
    build("FROM tools\nRUN true")


def test_a_failure_stops_the_other_stages(build: Build) -> None:
    """One stage fails: the command of the other is killed, and the error is that of the one that failed."""
    marker = f"failure-{os.getpid()}"
    text = f"FROM tools AS a\nRUN sleep 60 # {marker}\nFROM tools\nRUN sleep 0.3; exit 7\nCOPY --from=a / /x"

    with pytest.raises(ck.BuildFailed) as caught:
        build(text)
    assert caught.value.exit_code == 7
    wait_until(lambda: not alive_with(marker), 2.0)

    text = f"FROM tools AS a\nRUN sleep 0.3; exit 8\nFROM tools\nRUN sleep 60 # {marker}\nCOPY --from=a / /x"
    with pytest.raises(ck.BuildFailed) as caught:
        build(text)
    assert caught.value.exit_code == 8
    wait_until(lambda: not alive_with(marker), 2.0)
