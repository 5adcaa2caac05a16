"""Volumes are made whole, held by who uses them, filled once and removed when nobody does."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from container_kit.errors import Conflict, ContainerKitError, CorruptData, InvalidInput, NameInUse, NotFound
from container_kit.store import Store, failpoints
from container_kit.volumes import Volume, VolumeRequest, Volumes
from tests.volumes.conftest import Rooted, User


def write(text: str, name: str = "file") -> object:
    """A filling with one file."""

    def fill(content: int) -> None:
        fd = os.open(name, os.O_WRONLY | os.O_CREAT, 0o640, dir_fd=content)
        os.write(fd, text.encode())
        os.close(fd)

    return fill


def left(rooted: Rooted) -> list[str]:
    """What there is of volumes, whole or not."""
    return sorted(name for name in os.listdir(f"{rooted.store.root}/volumes") if name != ".gate")


def contents(volumes: Volumes, name: str) -> dict[str, str]:
    """The files of a volume."""
    folder = Path(volumes.source(name).path)
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_volume_is_there_until_it_is_removed(rooted: Rooted) -> None:
    """Made, found, listed by label, inspected, removed."""
    made = Volume.create("data", labels={"kind": "db"}, engine=rooted)
    Volume.create("other", engine=rooted)

    assert Volume.get("data", engine=rooted) == made
    assert [volume.name for volume in Volume.list(engine=rooted)] == ["data", "other"]
    assert Volume.list(labels={"kind": "db"}, engine=rooted) == [made]
    assert made.inspect()["Mountpoint"] == made.path and os.listdir(made.path) == []
    made.remove()
    with pytest.raises(NotFound):
        made.remove()
    made.remove(force=True)
    assert left(rooted) == ["other"]


def test_a_name_is_had_by_one(rooted: Rooted) -> None:
    """A second one of the name is refused, or is the first one when that will do."""
    Volume.create("data", options={}, engine=rooted)

    with pytest.raises(NameInUse, match="data"):
        Volume.create("data", engine=rooted)
    assert Volume.create("data", exist_ok=True, engine=rooted).name == "data"
    with pytest.raises(Conflict, match="other options"):
        Volume.create("data", options={"type": "tmpfs"}, exist_ok=True, engine=rooted)
    assert left(rooted) == ["data"]


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "/etc", ".hidden", "a\0b", "x" * 256, "-x", "a b"]
)
def test_no_name_is_a_path(rooted: Rooted, name: str) -> None:
    """S19: what could lead elsewhere is no name, for no verb."""
    for verb in (Volume.create, Volume.get):
        with pytest.raises(InvalidInput):
            verb(name, engine=rooted)


def test_a_block_removes_what_it_made(rooted: Rooted) -> None:
    """As a context manager, a volume that was made there goes; one that was found stays."""
    with Volume.create("mine", engine=rooted):
        assert Volume.get("mine", engine=rooted)
    with pytest.raises(NotFound):
        Volume.get("mine", engine=rooted)
    with Volume.create("kept", engine=rooted) as kept, Volume.get("kept", engine=rooted):
        pass
    assert kept.name == "kept"


def test_who_uses_a_volume_keeps_it(volumes: Volumes, user: User, rooted: Rooted) -> None:
    """It is removed only when no container that was made with it exists; nobody has to let go of it."""
    one, two = user("1"), user("2")
    volumes.create(VolumeRequest(name="data"))
    volumes.hold("data", one)
    volumes.hold("data", one)
    volumes.hold("data", two)

    with pytest.raises(Conflict, match="111111111111, 222222222222"):
        volumes.remove("data")
    volumes.release("data", one)
    assert volumes.users("data") == [two]
    os.rmdir(f"{rooted.store.root}/containers/{two}")
    volumes.remove("data")
    with pytest.raises(NotFound):
        volumes.hold("data", one)


def test_users_that_are_gone_are_forgotten(volumes: Volumes, rooted: Rooted) -> None:
    """However many come and go without a word, as they do who remove themselves."""
    volumes.create(VolumeRequest(name="data"))
    for number in range(200):
        one = f"{number:064x}"
        os.mkdir(f"{rooted.store.root}/containers/{one}")
        volumes.hold("data", one)
        if number:
            os.rmdir(f"{rooted.store.root}/containers/{one}")
    assert len(os.listdir(f"{volumes.place('data')}/users")) <= 66
    assert volumes.users("data") == ["0" * 64]
    assert os.listdir(f"{volumes.place('data')}/users") == ["0" * 64]


def test_pruning_takes_what_nobody_named_or_uses(volumes: Volumes, user: User, rooted: Rooted) -> None:
    """Anonymous ones without a user go; with `all` those with a name, too."""
    anonymous = [Volume.create(engine=rooted).name for _ in range(2)]
    Volume.create("named", engine=rooted)
    volumes.hold(anonymous[0], user("1"))

    assert Volume.prune(engine=rooted).deleted == (anonymous[1],)
    assert Volume.prune(all=True, match=lambda volume: False, engine=rooted).deleted == ()
    assert Volume.prune(all=True, engine=rooted).deleted == ("named",)


def test_first_use_is_once(volumes: Volumes) -> None:
    """The first filling counts; later ones, and those of a volume with content, do not."""
    volumes.create(VolumeRequest(name="data"))
    volumes.first_use("data", write("first"))
    volumes.first_use("data", write("second"))
    assert contents(volumes, "data") == {"file": "first"}

    volumes.create(VolumeRequest(name="written"))
    Path(volumes.source("written").path, "mine").write_text("mine")
    volumes.first_use("written", write("image"))
    assert contents(volumes, "written") == {"mine": "mine"}


def test_first_use_of_many_at_once(volumes: Volumes) -> None:
    """Of many who come at the same time one fills, and the others see all of it."""
    volumes.create(VolumeRequest(name="data"))
    calls: list[int] = []

    def fill(content: int) -> None:
        calls.append(content)
        for number in range(50):
            write("x", f"f{number}")(content)  # type: ignore[operator]

    def use() -> int:
        volumes.first_use("data", fill)
        return len(os.listdir(volumes.source("data").path))

    with ThreadPoolExecutor(8) as pool:
        assert [done.result() for done in [pool.submit(use) for _ in range(8)]] == [50] * 8
    assert len(calls) == 1


def test_a_filling_that_fails_is_begun_anew(volumes: Volumes) -> None:
    """Nothing of it is seen, and the next one starts from nothing."""
    volumes.create(VolumeRequest(name="data"))

    def half(content: int) -> None:
        write("half")(content)  # type: ignore[operator]
        raise OSError(28, "No space left on device")

    with pytest.raises(ContainerKitError):
        volumes.first_use("data", half)
    assert contents(volumes, "data") == {}
    volumes.first_use("data", write("whole", "other"))
    assert contents(volumes, "data") == {"other": "whole"}


def test_a_snapshot_is_a_volume_of_its_own(rooted: Rooted, volumes: Volumes) -> None:
    """It has the content of that moment, and what is written to one is not in the other."""
    volume = Volume.create("data", labels={"a": "b"}, engine=rooted)
    Path(volume.path, "file").write_text("before")
    copy = volume.snapshot("copy")
    Path(volume.path, "file").write_text("after")

    assert contents(volumes, "copy") == {"file": "before"} and copy.labels == {"a": "b"}
    with pytest.raises(NameInUse):
        volume.snapshot("copy")
    volumes.first_use("copy", write("of an image", "other"))
    assert contents(volumes, "copy") == {"file": "before"}


def test_damaged_records_are_told(rooted: Rooted) -> None:
    """A record that is no document is an error of ours that names the volume."""
    volume = Volume.create("data", engine=rooted)
    for text in (b"", b"{", b"[]", b'{"colour": 1}'):
        Path(rooted.store.root, "volumes/data/volume.json").write_bytes(text)
        with pytest.raises(CorruptData, match="data"):
            volume.inspect()


def test_the_sweep_leaves_what_lives(rooted: Rooted, volumes: Volumes) -> None:
    """What is being made at this moment stays; what is left of the dead goes, and volumes stay anyway."""
    volumes.create(VolumeRequest(name="data"))
    home = Path(volumes.directory)
    for name in (".new-dead", ".gone-dead"):
        (home / name / "data").mkdir(parents=True)
        (home / name / "lock").touch()
    going_on, done = threading.Event(), threading.Event()

    def slow(content: int) -> None:
        going_on.set()
        done.wait(10)

    with ThreadPoolExecutor(1) as pool:
        making = pool.submit(volumes.create, VolumeRequest(name="slow"), slow)
        going_on.wait(10)
        Volumes(str(rooted.store.root)).sweep()
        done.set()
        making.result()
    assert left(rooted) == ["data", "slow"]


def _churn(root: str, digit: str, seed: int) -> None:
    """Make, hold, fill, let go of and remove a few volumes for as long as this process lives."""
    volumes, chance = Volumes(root), random.Random(seed)
    with contextlib.suppress(FileExistsError):
        os.mkdir(f"{root}/containers/{digit * 64}")
    while True:
        name = f"v{chance.randrange(3)}"
        with contextlib.suppress(ContainerKitError):
            match chance.randrange(5):
                case 0:
                    volumes.create(VolumeRequest(name=name), write("whole"))
                case 1:
                    volumes.get_or_create(VolumeRequest(name=name))
                    volumes.hold(name, digit * 64)
                    # Held by a container that exists, so it is there.
                    if not os.path.exists(volumes.place(name)):
                        os._exit(3)
                case 2:
                    volumes.first_use(name, write("whole"))
                case 3:
                    volumes.release(name, digit * 64)
                case 4:
                    volumes.remove(name)


def _kill_amid_churning(rooted: Rooted, rounds: int) -> None:
    root = str(rooted.store.root)
    chance = random.Random(rounds)
    context = multiprocessing.get_context("fork")
    for number in range(rounds):
        workers = [context.Process(target=_churn, args=(root, digit, number)) for digit in "123"]
        for worker in workers:
            worker.start()
        threading.Event().wait(chance.uniform(0.02, 0.12))
        for worker in workers:
            os.kill(worker.pid or 0, signal.SIGKILL)
            worker.join()
            assert worker.exitcode == -signal.SIGKILL, "a volume in use was removed"
        volumes = Volumes(root)
        volumes.sweep()
        assert left(rooted) == volumes.names()
        for record in volumes.records():
            assert contents(volumes, record.name) in ({}, {"file": "whole"})
            volumes.first_use(record.name, write("whole"))
            for digit in "123":
                volumes.release(record.name, digit * 64)
            volumes.remove(record.name)


def test_kills_at_any_moment(rooted: Rooted) -> None:
    """R03: after each kill every volume is whole, none in use was removed, and nothing else is left."""
    _kill_amid_churning(rooted, 8)


@pytest.mark.trial
def test_many_kills(rooted: Rooted) -> None:
    """The same, often."""
    _kill_amid_churning(rooted, 400)


def _work(root: str) -> None:
    """Every verb once."""
    volumes = Volumes(root)
    volumes.create(VolumeRequest(name="one"), write("whole"))
    volumes.create(VolumeRequest(name="two"))
    volumes.first_use("two", write("whole"))
    volumes.hold("two", "1" * 64)
    volumes.release("two", "1" * 64)
    volumes.remove("one")


@pytest.mark.parametrize("error", ["EIO", "ENOSPC", "EMFILE", "kill"])
def test_every_failing_step(tmp_path: Path, error: str) -> None:
    """R05: a step that fails, or is the last one, gives a typed error and leaves no half volume."""
    with Store.open(str(tmp_path / "rehearsal")) as store, failpoints.recorded() as passed:
        _work(str(store.root))
    assert len(passed) > 10
    for number in range(1, len(passed) + 1):
        root = str(tmp_path / f"root{number}")
        Store.open(root).close()
        _work_with_fault(root, f"*:{number}:{error}")
        volumes = Volumes(root)
        volumes.sweep()
        if os.path.exists(volumes.directory):
            assert set(os.listdir(volumes.directory)) <= {".gate", *volumes.names()}
        for record in volumes.records():
            volumes.first_use(record.name, write("whole"))
            assert contents(volumes, record.name) == {"file": "whole"}
            volumes.remove(record.name)


def _work_with_fault(root: str, fault: str) -> None:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            with failpoints.injected(fault):
                _work(root)
            status = 0
        except ContainerKitError:
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] in (0, signal.SIGKILL)
