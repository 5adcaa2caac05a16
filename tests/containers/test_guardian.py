"""The guardian of owned containers."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from container_kit.containers.guardian import Guardian
from container_kit.errors import LimitExceeded
from container_kit.network import Undo

OWNER = """
import os, sys, time
from pathlib import Path
from container_kit.containers.guardian import Guardian
root = Path(sys.argv[1])
guardian = Guardian(str(root))
for n in range(3):
    (root / f"c{n}" / "upper").mkdir(parents=True)
    (root / f"name{n}").write_text(f"c{n}")
    guardian.add(f"c{n}", str(root / f"c{n}"), name_file=str(root / f"name{n}"), cgroups=["/no/cgroup"])
guardian.remove("c1")
exec(sys.argv[2])
print("up", flush=True)
time.sleep(600)
"""


def guardian_pids(label: str) -> list[int]:
    """The guardians that were started with *label*."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[:2] == [b"ckit-guardian", label.encode()]:
            found.append(int(name))
    return found


def guardian_pid(label: str) -> int:
    """The one guardian with *label*; its command line can be read a moment after its start."""
    while not (found := guardian_pids(label)):
        time.sleep(0.005)
    assert len(found) == 1
    return found[0]


def wait_for_entries(directory: Path, names: list[str]) -> None:
    """Return when *directory* has just these entries; the test's time limit ends a wait in vain."""
    while sorted(os.listdir(directory)) != names:
        time.sleep(0.005)


def wait_until_gone(label: str) -> None:
    while guardian_pids(label):
        time.sleep(0.005)


def kill_and_wait(pid: int) -> None:
    process = os.pidfd_open(pid)
    signal.pidfd_send_signal(process, signal.SIGKILL)
    select.select([process], [], [])
    os.close(process)


@pytest.fixture
def guardian(tmp_path: Path) -> Iterator[Guardian]:
    made = Guardian(str(tmp_path))
    yield made
    for n in range(10):
        made.remove(f"c{n}")
    made.close_if_idle()
    wait_until_gone(str(tmp_path))


@pytest.mark.parametrize("forking", ["", "if os.fork() == 0: time.sleep(3); os._exit(0)"])
def test_what_a_killed_owner_leaves_is_cleared_away(tmp_path: Path, forking: str) -> None:
    """Directories and names of what it owned go, what it had let go stays; forked children change nothing."""
    command = [sys.executable, "-c", OWNER, str(tmp_path), forking]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None and owner.stdout.readline() == b"up\n"
        owner.kill()
        owner.stdout.close()
    wait_for_entries(tmp_path, ["c1", "name1"])


def test_an_owner_that_ends_by_itself_is_cleaned_up_after_too(tmp_path: Path) -> None:
    """An exit with containers left is no different from a crash."""
    subprocess.run([sys.executable, "-c", OWNER, str(tmp_path), "os._exit(0)"], check=True)
    wait_for_entries(tmp_path, ["c1", "name1"])


def test_it_is_there_only_while_needed(guardian: Guardian, tmp_path: Path) -> None:
    """None before the first container, one for many, none after the last."""
    assert guardian_pids(str(tmp_path)) == []
    guardian.add("c1", str(tmp_path / "c1"))
    guardian.add("c2", str(tmp_path / "c2"))
    guardian.remove("c1")
    assert not guardian.close_if_idle()
    assert guardian_pid(str(tmp_path)) > 0

    guardian.remove("c2")
    assert guardian.close_if_idle()
    wait_until_gone(str(tmp_path))
    assert guardian.close_if_idle()


def test_a_killed_guardian_is_replaced(guardian: Guardian, tmp_path: Path) -> None:
    """The next message finds out, and the new one knows all that the old one knew."""
    guardian.add("c1", str(tmp_path / "c1"))
    first = guardian_pid(str(tmp_path))
    kill_and_wait(first)
    guardian.add("c2", str(tmp_path / "c2"))

    assert guardian_pid(str(tmp_path)) != first
    guardian.remove("c2")
    assert not guardian.close_if_idle()


def test_a_forked_child_owns_nothing(guardian: Guardian, tmp_path: Path) -> None:
    """Its end clears nothing away, and it cannot close the parent's guardian."""
    (tmp_path / "c1").mkdir()
    guardian.add("c1", str(tmp_path / "c1"))
    child = os.fork()
    if child == 0:
        guardian.remove("c1")
        os._exit(0 if guardian.close_if_idle() else 1)
    assert os.waitpid(child, 0)[1] == 0

    assert not guardian.close_if_idle()
    assert (tmp_path / "c1").exists()


def test_more_than_it_can_be_told_is_refused(guardian: Guardian) -> None:
    """And is not taken for guarded."""
    with pytest.raises(LimitExceeded, match="publish fewer ports"):
        guardian.add_undo("c1", Undo(messages=((12, bytes(1 << 17)),)))


@pytest.mark.root
@pytest.mark.usefixtures("own_network")
def test_what_the_dead_had_in_the_network_is_taken_back(tmp_path: Path) -> None:
    """Messages are sent and files unlinked of those that it was told of, and of no others."""
    links = ("ck-undone", "ck-kept")
    files = [tmp_path / name for name in links]
    for file, link in zip(files, links, strict=True):
        file.touch()
        subprocess.run(["ip", "link", "add", link, "type", "bridge"], check=True)
    script = (
        "from container_kit.native.network import delete_message\n"
        "from container_kit.network import Undo\n"
        "for link in ('ck-undone', 'ck-kept'):\n"
        "    guardian.add_undo(link, Undo((str(root.parent / link),), (delete_message(link),)))\n"
        "guardian.remove('ck-kept')"
    )
    root = tmp_path / "root"
    root.mkdir()
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(root), script], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None and owner.stdout.readline() == "up\n"
    kill_and_wait(owner.pid)
    owner.communicate()
    wait_until_gone(str(root))
    assert [file.exists() for file in files] == [False, True]
    left = [name for _, name in socket.if_nameindex()]
    assert [link in left for link in links] == [False, True]
    subprocess.run(["ip", "link", "delete", "ck-kept"], check=True)
