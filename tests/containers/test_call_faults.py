"""R05: whichever system call of a run or a load fails, the error is typed, and nothing is left."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from container_kit.containers.engine import Engine
from container_kit.containers.mounts import Mount
from container_kit.errors import NotFound
from container_kit.images import Image
from tests.strace import Fault

pytestmark = [pytest.mark.root, pytest.mark.tool("strace")]

ERRORS = ("EIO", "ENOSPC", "EDQUOT", "EMFILE", "EINTR", "ENOMEM")
CALLS = {
    "run": (
        "write", "openat", "openat2", "mkdir", "mkdirat", "rename", "renameat", "renameat2", "fsopen",
        "fsconfig", "fsmount", "open_tree", "move_mount", "mount_setattr", "clone3", "clone", "pipe2",
        "socketpair", "dup3", "pivot_root", "execveat", "execve", "memfd_create", "unlinkat", "fcntl", "mmap",
    ),
    "load": (
        "write", "pwrite64", "openat", "openat2", "mkdir", "mkdirat", "rename", "renameat2", "fsync",
        "fdatasync", "syncfs", "ftruncate", "linkat", "symlinkat", "fchmod", "utimensat", "clone3",
        "unlinkat", "flock", "mmap",
    ),
    "volumes": (
        "write", "openat", "openat2", "mkdir", "rename", "fsync", "syncfs", "flock", "fchown", "chmod",
        "fsconfig", "fsmount", "open_tree", "move_mount", "mount_setattr", "unlink", "ioctl", "clone3",
    ),
    "network": (
        "write", "openat", "mkdir", "rename", "unlink", "symlink", "flock", "socket", "bind", "setsockopt",
        "sendto", "sendmsg", "recvfrom", "recvmsg", "ioctl", "setns", "clone3", "clone", "mmap",
    ),
}  # fmt: skip
# Python and the kernel agree that EINTR is tried again, so one that never ends has no end.
LONG = [(error, sticky) for error in ERRORS for sticky in (False, True) if (error, sticky) != ("EINTR", True)]
QUICK = {
    "run": ["openat:EMFILE:3", "openat:EIO:9+", "write:ENOSPC:1+", "mkdir:EDQUOT:1", "clone3:ENOMEM:1",
            "fsmount:EIO:1+", "move_mount:ENOMEM:2", "execve:EIO:1"],
    "load": ["openat:EMFILE:5", "write:ENOSPC:2+", "fsync:EIO:1+", "rename:EIO:1+", "mkdirat:ENOMEM:1",
             "openat2:EIO:2+"],
    "volumes": ["mkdir:EDQUOT:3", "rename:EIO:1+", "openat:EIO:14", "openat:EMFILE:30", "open_tree:ENOMEM:1",
                "fsync:EIO:1+", "syncfs:EIO:1+", "flock:ENOMEM:2", "openat2:EIO:1", "fsmount:ENOMEM:2"],
    "network": ["socket:EMFILE:1", "socket:ENOMEM:4", "bind:ENOMEM:1", "sendto:ENOMEM:2", "recvfrom:EIO:3",
                "symlink:ENOSPC:1+", "flock:EIO:1", "clone3:ENOMEM:1", "rename:ENOSPC:1", "ioctl:EMFILE:1"],
}  # fmt: skip
AFTER_S = 1.0
ETC = ("group", "hostname", "hosts", "nsswitch.conf", "passwd", "resolv.conf")


def _works(engine: Engine, archive: Path) -> dict[str, Callable[[], object]]:
    root = engine.root

    def run() -> None:
        """The fault may also hit the program inside, which then ends in its own way."""
        with Engine(root) as own:
            own.run("tools", ["true"])

    def load() -> None:
        with Engine(root) as own:
            Image.load(archive, engine=own)

    def volumes() -> None:
        """A run with a volume that is made and filled, one of its own, and an image."""
        with Engine(root) as own:
            own.run("tools", ["true"], mounts=["data:/etc", "/own", Mount.image("tools", "/image")])

    def network() -> None:
        """A run on the default network, with a published port."""
        with Engine(root) as own:
            own.run("tools", ["true"], ports={80: 0})

    return {"run": run, "load": load, "volumes": volumes, "network": network}


@pytest.fixture
def archive(engine: Engine, tmp_path: Path) -> Path:
    """An archive whose image the engine no longer has."""
    (tmp_path / "tree" / "deep").mkdir(parents=True)
    (tmp_path / "tree" / "deep" / "file").write_bytes(os.urandom(200_000))
    (tmp_path / "tree" / "link").symlink_to("deep/file")
    image = Image.from_rootfs(tmp_path / "tree", "loaded:1", None, engine=engine)
    image.save(tmp_path / "archive.tar")
    shutil.rmtree(tmp_path / "tree")
    _forget(engine)
    for work in _works(engine, tmp_path / "archive.tar").values():
        work()  # imports all there is to import: how that fails is not the trial
    _forget(engine)
    return tmp_path / "archive.tar"


def _forget(engine: Engine) -> None:
    with contextlib.suppress(NotFound):
        Image.get("loaded:1", engine=engine).remove()
    engine.store.gc()


def _assert_clean(root: str, fault: object) -> None:
    """What the next one to open the root finds."""
    with Engine(root) as engine:
        deadline = time.monotonic() + AFTER_S
        while (found := _left(engine)) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert found == [], fault
        assert engine.store.fsck().clean, fault
        _forget(engine)
        for name in engine.volumes.names():
            content = set(os.listdir(engine.volumes.source(name).path))
            assert content in (set(), {*ETC}), f"half a volume: {fault}"
            engine.volumes.remove(name)
        assert set(os.listdir(f"{root}/volumes")) <= {".gate", ".empty"}, fault
        assert engine.networks.endpoints("bridge") == [], fault
        assert [*Path(root, "networks").glob("*/addresses/*")] == [], fault


def _left(engine: Engine) -> list[str]:
    found = os.listdir(engine.catalogue.containers) + engine.cgroups.names()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if command.startswith(b"ckit-") and engine.root.encode() in command:
            found.append(f"{pid} {command.decode()}")
    return found


def _strike(engine: Engine, archive: Path, what: str, fault: Fault) -> bool:
    """Whether the fault came about; whatever it did, it was done right."""
    outcome = fault.strike(_works(engine, archive)[what])
    assert outcome.is_right, f"{what} with {fault}: {outcome.error}"
    _assert_clean(engine.root, f"{what} with {fault}")
    return outcome.hit


@pytest.mark.parametrize("what", ["run", "load", "volumes", "network"])
def test_some_calls_fail(engine: Engine, archive: Path, what: str) -> None:
    """A few of each kind, once or for good."""
    hits = 0
    for text in QUICK[what]:
        call, error, number = text.split(":")
        hits += _strike(engine, archive, what, Fault(call, error, int(number.rstrip("+")), "+" in number))
    assert hits > len(QUICK[what]) // 2


@pytest.mark.parametrize("error", ["ENOSYS", "EPERM"])
def test_a_host_that_refuses_openat2(engine: Engine, archive: Path, error: str) -> None:
    """Loading goes on without it; a container, whose walls need it, is refused and nothing is left."""
    refused = Fault("openat2", error, 1, sticky=True)

    assert refused.strike(_works(engine, archive)["load"]).error == ""
    assert refused.strike(_works(engine, archive)["run"]).error == "typed"
    _assert_clean(engine.root, refused)


@pytest.mark.trial
@pytest.mark.parametrize(("error", "sticky"), LONG)
@pytest.mark.parametrize("what", ["run", "load", "volumes", "network"])
def test_every_call_fails(engine: Engine, archive: Path, what: str, error: str, sticky: bool) -> None:
    """Each call of each kind in turn, until the work is done untouched."""
    hits = 0
    for call in CALLS[what]:
        for number in itertools.count(1):
            if not _strike(engine, archive, what, Fault(call, error, number, sticky)):
                break
            hits += 1
    print(f"{what}, {error}{' for good' if sticky else ''}: {hits} faults")
    assert hits > 20
