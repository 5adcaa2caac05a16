"""The two forms of a layer, side by side: loading them, and starting containers from them.

An application image of 585 MB in 32 000 entries, compressed, as in a registry; and the Debian-sized plain
one of the load case.  The floor of the first is the decompressor alone.
"""

from __future__ import annotations

import io
import os
import resource
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeAlias

import container_kit as ck
from benchmarks import load
from benchmarks.harness import Side, Table, in_runs, interleaved, timed
from benchmarks.stage import Stage
from container_kit.native.inflating import inflate_file

Clock: TypeAlias = Callable[[], float]

FILES, SIZE = 32_000, 585 << 20
FOLDERS = ("/usr/lib", "/usr/share", "/usr/bin", "/root", "/opt")
FORMS: dict[str, Literal["erofs", "overlay"]] = {"container_kit": "erofs", "directories": "overlay"}


def run(stage: Stage) -> None:
    """Rows: load of a plain image, of many small files and of a large compressed one; then starts."""
    table = Table("Layers as images and as directories: load, including durability")
    plain = load.make_layer(stage.path)
    sides = {"tar + hash": load.tar_and_hash(stage.path, plain), **_loads(stage.path, plain)}
    table.add("170 MB in 8700 files, plain", interleaved(sides, rounds=7))
    small = _small_files(stage.path)
    sides = {"tar + hash": load.tar_and_hash(stage.path, small), **_loads(stage.path, small)}
    table.add("30 MB in 20 000 files, plain", interleaved(sides, rounds=3))
    large = load.make_layer(stage.path, FILES, SIZE, FOLDERS)
    packed = Path(f"{large}.gz")
    subprocess.run(["gzip", "-1", "-k", str(large)], check=True)
    sides = {"inflate alone": _inflate(packed), **_loads(stage.path, large, packed)}
    table.add("585 MB in 32 000 files, gzip", interleaved(sides, rounds=3))
    busy = {"inflate alone": _inflate(packed, _busy), **_loads(stage.path, large, packed, _busy)}
    table.add("the same, processor time of all threads", interleaved(busy, rounds=2))
    table.show()
    _starts(stage)


def _small_files(folder: Path) -> Path:
    """A plain tar of 20 000 files of 1.5 kB in 200 directories."""
    layer = folder / "small.tar"
    with tarfile.open(layer, "w") as tar:
        for number in range(20_000):
            member = tarfile.TarInfo(f"{number % 200}/{number}")
            member.size = 1500
            tar.addfile(member, io.BytesIO(bytes(1500)))
    return layer


def _busy() -> float:
    """Seconds of processor time that this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _loads(
    folder: Path, layer: Path, packed: Path | None = None, clock: Clock = time.perf_counter
) -> dict[str, Side]:
    archive = load.docker_archive(folder, layer, packed)
    return {name: _load(folder / f"store-{form}", archive, form, clock) for name, form in FORMS.items()}


def _load(root: Path, archive: Path, form: Literal["erofs", "overlay"], clock: Clock) -> Side:
    def side() -> float:
        shutil.rmtree(root, ignore_errors=True)
        os.sync()  # what the other side has left to write is not ours
        with ck.Engine(root=root, snapshotter=form) as engine:
            before = clock()
            ck.Image.load(archive, engine=engine)
            return 1000 * (clock() - before)

    return side


def _inflate(packed: Path, clock: Clock = time.perf_counter) -> Side:
    def side() -> float:
        with packed.open("rb") as source, open(os.devnull, "wb") as nothing:
            before = clock()
            inflate_file(source.fileno(), nothing.fileno(), "gzip")
            return 1000 * (clock() - before)

    return side


def _starts(stage: Stage) -> None:
    table = Table("Layers as images and as directories: start to exit of true")
    engines = {
        name: ck.Engine(root=stage.path / f"starts-{form}", snapshotter=form) for name, form in FORMS.items()
    }
    try:
        sides = {name: _start(engine) for name, engine in engines.items()}
        table.add("back to back", in_runs(sides, rounds=30))
        table.add("after a pause in which everything was let go", interleaved(sides, rounds=12, pause_s=0.5))
    finally:
        for engine in engines.values():
            engine.close()
    table.show()


def _start(engine: ck.Engine) -> Side:
    image = ck.Image.from_host("true", tag="bench-forms", engine=engine)
    return timed(lambda: ck.run(image, ["true"], network="none", engine=engine))
