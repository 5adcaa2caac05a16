"""S02: a process inside exchanges a directory for a link to the host while the caller works on its files.

Each race runs twice: with openat2, and with the walk that takes its place on hosts that refuse it.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import random
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from container_kit.containers.container import Container
from container_kit.containers.engine import Engine
from container_kit.containers.files import ContainerFiles, RootFiles
from container_kit.containers.logs import read_logs
from container_kit.containers.monitor_config import LogOptions
from container_kit.containers.roots import open_root
from container_kit.errors import ContainerKitError, KernelError, NotFound
from container_kit.native._binding import lib
from container_kit.native.descriptors import Descriptor, open_path
from tests.containers.conftest import Supervise

pytestmark = pytest.mark.root

SOURCE = Path(__file__).parents[1] / "probe" / "swapper.c"
QUICK_S, LONG_S = 2.5, 60.0
ENOUGH_SWAPS = 100_000  # of the long form
DURATIONS = [
    pytest.param(QUICK_S, id="quick"),
    pytest.param(LONG_S, id="long", marks=pytest.mark.trial),
]
OURS, HOSTS = "of the container", "of the host"


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A tree of the host that nothing in a container may reach."""
    folder = tmp_path / "canary"
    folder.mkdir()
    (folder / "secret").write_text(HOSTS)
    return folder


@pytest.fixture(scope="session")
def swapper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("swapper") / "swapper"
    subprocess.run(["cc", "-static", "-O1", "-o", program, SOURCE], check=True)
    return program


@pytest.fixture(params=["openat2", "walk"])
def resolver(request: pytest.FixtureRequest) -> Iterator[str]:
    """How paths below a root are opened: by the kernel in one step, or a component at a time."""
    lib.ck_beneath_force_walk(request.param == "walk")
    yield request.param
    lib.ck_beneath_force_walk(0)


def _look(folder: Path) -> list[tuple[str, int, bytes]]:
    found = sorted(folder.rglob("*"))
    return [(str(path), path.stat().st_mode, path.read_bytes() if path.is_file() else b"") for path in found]


@contextlib.contextmanager
def _swapping(container: Container, swapper: Path, folder: str, canary: Path) -> Iterator[list[int]]:
    """Inside, ``dir`` of *folder* and a link to the canary change places; the list gets their number."""
    container.fs.mkdir(f"{folder}/dir", parents=True)
    container.fs.write_text(f"{folder}/dir/secret", OURS)
    container.copy_in(swapper, "/swapper")
    container.exec(["ln", "-s", str(canary), f"{folder}/link"], check=True)
    swaps: list[int] = []
    with container.popen(["/swapper", folder, "dir", "link"], stdout=-1) as process:
        try:
            yield swaps
        finally:
            process.terminate()
            said, _ = process.communicate()
            swaps.append(int(said))


def _hammers(container: Container, work: Path) -> list[Callable[[int], object]]:
    """What the caller does with files of a live container, each given the number of its turn."""
    (work / "payload").write_text("payload")
    (work / "tree").mkdir()
    (work / "tree" / "payload").write_text("payload")

    def exec_there(number: int) -> None:
        """A working directory is where the program is, whatever was there before."""
        done = container.exec(["cat", "secret"], working_dir="/work/dir")
        assert done.stdout in (OURS, "")

    return [
        lambda n: container.copy_in(work / "payload", "/work/dir/payload"),
        lambda n: container.copy_in(work / "tree", "/work/dir"),
        lambda n: container.copy_out("/work/dir", work / f"out{n}"),
        lambda n: container.copy_out("/work/dir/secret", work / f"out{n}"),
        lambda n: container.fs.write_text("/work/dir/secret", OURS),
        lambda n: container.fs.mkdir("/work/dir/new", exist_ok=True),
        lambda n: container.fs.unlink("/work/dir/payload", missing_ok=True),
        lambda n: container.fs.rmtree("/work/dir/tree"),
        lambda n: container.fs.chmod("/work/dir/secret", 0o600),
        exec_there,
    ]


def _rare_hammers(container: Container, work: Path) -> list[Callable[[int], object]]:
    """What reads the whole container."""

    def export(number: int) -> None:
        with open(work / f"export{number}.tar", "wb") as file:
            container.export(file)

    return [lambda n: container.diff(), export, lambda n: container.commit(f"raced:{n % 2}")]


def _hammer(container: Container, work: Path, seconds: float) -> int:
    """Do all of it until the time is over; how often."""
    often, rare = _hammers(container, work), itertools.cycle(_rare_hammers(container, work))
    end = time.monotonic() + seconds
    for number in itertools.count():
        if time.monotonic() > end:
            return number
        call = next(rare) if number % 40 == 39 else often[number % len(often)]
        with contextlib.suppress(ContainerKitError):  # lost in a harmless way
            call(number)
        _forget_exports(work)
    raise AssertionError("counting has no end")


def _forget_exports(work: Path) -> None:
    for path in work.glob("export*.tar"):
        assert HOSTS.encode() not in path.read_bytes(), "the export has the host's file"
        path.unlink()


def _was_reached(engine: Engine, canary: Path, work: Path, before: object) -> bool:
    """Whether anything of the canary was changed or came out."""
    if _look(canary) != before:
        return True
    files = [path for path in work.rglob("*") if path.is_file() and not path.is_symlink()]
    trees = Path(engine.root, "store") if Path(engine.root, "store").exists() else Path(engine.root)
    files += [path for path in trees.rglob("secret") if path.is_file() and not path.is_symlink()]
    return any(HOSTS.encode() in path.read_bytes() for path in files if path.parent != canary)


def _race(engine: Engine, swapper: Path, canary: Path, work: Path, seconds: float) -> tuple[bool, int]:
    """Whether the canary was reached, and how many swaps there were."""
    before = _look(canary)
    work.mkdir(exist_ok=True)
    with (
        engine.start("tools", ["sleep", "600"]) as container,
        _swapping(container, swapper, "/work", canary) as swaps,
    ):
        assert _hammer(container, work, seconds) > 0
    engine.settle()  # nothing is cleared away any more while it is looked through
    return _was_reached(engine, canary, work, before), swaps[0]


@pytest.mark.parametrize("seconds", DURATIONS)
def test_files_of_a_racing_container(
    engine: Engine, swapper: Path, canary: Path, tmp_path: Path, resolver: str, seconds: float
) -> None:
    """Copies in and out, writes, removals, working directories, diffs, exports and commits reach no host
    file while the directory they work in is exchanged for a link.
    """
    reached, swaps = _race(engine, swapper, canary, tmp_path / "work", seconds)

    assert not reached
    assert swaps > (ENOUGH_SWAPS if seconds == LONG_S else 100), resolver


def test_control_without_descriptors_the_race_is_lost(
    engine: Engine, swapper: Path, canary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: when paths are put together as text instead, the canary is reached."""

    def naive(self: RootFiles, path: str, flags: int = os.O_PATH) -> Descriptor:
        with open_root(self._container) as root_fd:  # type: ignore[attr-defined]
            try:
                return open_path(f"/proc/self/fd/{root_fd}/{path}", flags)
            except OSError as error:
                missing = NotFound("file", path) if error.errno == errno.ENOENT else None
                raise missing or KernelError.of(error.errno or 0, "cannot open", path) from None

    monkeypatch.setattr(ContainerFiles, "resolve", naive)
    assert any(_race(engine, swapper, canary, tmp_path / f"work{n}", 1.0)[0] for n in range(20))


@pytest.mark.parametrize("seconds", DURATIONS)
def test_mount_points_in_a_racing_volume(
    engine: Engine, swapper: Path, canary: Path, tmp_path: Path, seconds: float
) -> None:
    """Neither a mount nor a working directory in a volume that another container races in is the host's."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "data").mkdir()
    before, volume = _look(canary), f"{tmp_path}/shared:/shared"
    started = 0
    with (
        engine.start("tools", ["sleep", "600"], mounts=[volume]) as container,
        _swapping(container, swapper, "/shared", canary) as swaps,
    ):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            mounts = [volume, f"{tmp_path}/data:/shared/dir/sub"]
            with contextlib.suppress(ContainerKitError):
                started += engine.run("tools", ["true"], mounts=mounts, timeout=20).exit_code == 0
            with contextlib.suppress(ContainerKitError):
                there = engine.run("tools", ["cat", "secret"], mounts=[volume], working_dir="/shared/dir")
                assert there.stdout in (OURS, "")
    assert _look(canary) == before
    assert started > 0 and swaps[0] > (ENOUGH_SWAPS if seconds == LONG_S else 100)


HOST_SETTINGS = ("core_pattern", "sysrq", "msgmax", "modprobe", "hostname")


def _settings_of_the_host() -> dict[str, str]:
    paths = [Path("/proc/sys/kernel", name) for name in HOST_SETTINGS]
    return {path.name: path.read_text() for path in paths if path.exists()}


@pytest.mark.parametrize("seconds", DURATIONS)
def test_settings_land_in_the_real_procfs(
    engine: Engine, swapper: Path, tmp_path: Path, seconds: float
) -> None:
    """S06: while mounts race over what leads to /proc, settings of a new container are its own, or it fails.

    The kernel's settings of the host, which a redirected write would hit, stay as they are.
    """
    (tmp_path / "shared").mkdir()
    (tmp_path / "trap").mkdir()
    (tmp_path / "trap" / "msgmax").write_text("trap")
    (tmp_path / "trap" / "oom_score_adj").write_text("trap")
    before, volume = _settings_of_the_host(), f"{tmp_path}/shared:/shared"
    wanted = {"sysctls": {"kernel.msgmax": "4242"}, "oom_score_adj": 321, "timeout": 20}
    look = ["cat", "/proc/sys/kernel/msgmax", "/proc/self/oom_score_adj"]
    right = 0
    with (
        engine.start("tools", ["sleep", "600"], mounts=[volume]) as container,
        _swapping(container, swapper, "/shared", Path("/proc/sys/kernel")) as swaps,
    ):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for place in ("/shared/dir", "/shared/dir/msgmax"):
                source = tmp_path / "trap" / ("msgmax" if place.endswith("msgmax") else "")
                with contextlib.suppress(ContainerKitError):
                    done = engine.run("tools", look, mounts=[volume, f"{source}:{place}"], **wanted)
                    assert done.stdout.split() in (["4242", "321"], ["trap", "321"]), done
                    right += done.stdout.split() == ["4242", "321"]
    assert _settings_of_the_host() == before
    assert {path.read_text() for path in (tmp_path / "trap").iterdir()} == {"trap"}
    assert right > 0 and swaps[0] > 0


@pytest.mark.parametrize("seconds", DURATIONS)
def test_a_log_that_turns_into_a_link(
    supervise: Supervise, canary: Path, tmp_path: Path, seconds: float
) -> None:
    """Neither the monitor, which often begins a new file, nor a reader follows a link in the log's place."""
    handle = supervise("sh", "-c", "while :; do seq 1000; done", log=LogOptions(max_size=32768, max_files=2))
    directory, before, stop = Path(handle.client.directory), _look(canary), threading.Event()

    def swap() -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError):
                os.symlink(canary / "secret", directory / "trap")
                os.rename(directory / "trap", directory / random.choice(["log", "log.1"]))

    thread = threading.Thread(target=swap)
    thread.start()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(ContainerKitError, OSError):
            assert not any(HOSTS in line.text for line in itertools.islice(read_logs(str(directory)), 50))
    stop.set()
    thread.join()
    assert _look(canary) == before
