"""Several at once, on one store: threads, processes and the collector do not disturb each other."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from container_kit.images import Image
from container_kit.store import Store
from tests.images.archives import entry, layer, layout_files, write_tar
from tests.images.conftest import Engine

LAYERS = [layer(entry(f"file{number}", os.urandom(20_000))) for number in range(4)]


def in_threads(count: int, work: Callable[[int], Image]) -> list[Image]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))


def collect_until(store: Store, stop: threading.Event) -> threading.Thread:
    """A thread that collects garbage all the time."""

    def run() -> None:
        while not stop.is_set():
            store.gc()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_loads_at_once_give_one_image_while_garbage_is_collected(engine: Engine, tmp_path: Path) -> None:
    """Eight loads of one archive, and a collector that never rests: one whole image, nothing doubled."""
    archive = str(write_tar(tmp_path / "t", layout_files(LAYERS, "a:1")))
    stop = threading.Event()
    collector = collect_until(engine.store, stop)
    try:
        images = in_threads(8, lambda _: Image.load(archive, engine=engine)[0])
    finally:
        stop.set()
        collector.join()
    assert len(set(images)) == 1
    usage = engine.store.df()
    assert (usage.trees, usage.blobs, usage.temporary_bytes) == (4, 6, 0)
    assert not engine.store.fsck().problems


def test_the_same_programs_at_once_give_one_image(engine: Engine) -> None:
    """Whoever is first packs, and all get the same digest."""
    images = in_threads(8, lambda number: Image.from_host("cat", tag=f"cat:{number}", engine=engine))
    assert len(set(images)) == 1 and len(images[0].names) == 8


def test_processes_that_load_and_remove_leave_a_sound_store(engine: Engine, tmp_path: Path) -> None:
    """Four processes load and remove, two of them one image by different names: all names are there."""
    archives = [
        str(
            write_tar(
                tmp_path / f"{number}", layout_files([*LAYERS[:2], LAYERS[2 + number % 2]], f"n:{number}")
            )
        )
        for number in range(4)
    ]
    children = [_child(engine.store.root, archive, f"n:{at}") for at, archive in enumerate(archives)]
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 4
    assert not engine.store.fsck().problems
    assert {name for image in Image.list(engine=engine) for name in image.names} == {
        f"n:{n}" for n in range(4)
    }


def _child(root: str, archive: str, name: str) -> int:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with Store.open(root) as store:
                for _ in range(5):
                    [image] = Image.load(archive, engine=Engine(store))
                    image.remove(name=name, force=True)
                Image.load(archive, engine=Engine(store))
            code = 0
        finally:
            os._exit(code)
    return child
