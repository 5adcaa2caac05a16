"""The two forms of a layer, side by side: loading them, and starting containers from them.

An application image of 585 MB in 32 000 entries, compressed, as in a registry; and the Debian-sized plain
one of the load case.  The floor of the first is the decompressor alone.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from pathlib import Path
from typing import Literal

import container_kit as ck
from benchmarks import load
from benchmarks.harness import Side, Table, in_runs, interleaved, timed
from benchmarks.stage import Stage
from container_kit.native.inflating import inflate_file

FILES, SIZE = 32_000, 585 << 20
FOLDERS = ("/usr/lib", "/usr/share", "/usr/bin", "/root", "/opt")
FORMS: dict[str, Literal["erofs", "overlay"]] = {"container_kit": "erofs", "directories": "overlay"}


def run(stage: Stage) -> None:
    """Rows: load of a plain and of a compressed image, the processor time of the latter, and starts."""
    table = Table("Layers as images and as directories: load, including durability")
    plain = load.make_layer(stage.path)
    archive = load.docker_archive(stage.path, plain)
    sides = {"tar + hash": load.tar_and_hash(stage.path, plain), **_loads(stage.path, archive)}
    table.add("170 MB in 8700 files, plain", interleaved(sides, rounds=9))
    large = load.make_layer(stage.path, FILES, SIZE, FOLDERS)
    packed = Path(f"{large}.gz")
    subprocess.run(["gzip", "-1", "-k", str(large)], check=True)
    archive = load.docker_archive(stage.path, large, packed)
    sides = {"inflate alone": _inflate(packed), **_loads(stage.path, archive)}
    table.add("585 MB in 32 000 files, gzip", interleaved(sides, rounds=5))
    busy = {name: _processor_time(side) for name, side in sides.items()}
    table.add("the same, processor time of all threads", interleaved(busy, rounds=3))
    table.show()
    _starts(stage)


def _loads(folder: Path, archive: Path) -> dict[str, Side]:
    return {name: _load(folder / f"store-{form}", archive, form) for name, form in FORMS.items()}


def _load(root: Path, archive: Path, form: Literal["erofs", "overlay"]) -> Side:
    def side() -> float:
        shutil.rmtree(root, ignore_errors=True)
        os.sync()  # what the other side has left to write is not ours
        with ck.Engine(root=root, snapshotter=form) as engine:
            return timed(lambda: ck.Image.load(archive, engine=engine))()

    return side


def _inflate(packed: Path) -> Side:
    def side() -> float:
        with packed.open("rb") as source, open(os.devnull, "wb") as nothing:
            return timed(lambda: inflate_file(source.fileno(), nothing.fileno(), "gzip"))()

    return side


def _processor_time(side: Side) -> Side:
    def measured() -> float:
        before = resource.getrusage(resource.RUSAGE_SELF)
        side()
        after = resource.getrusage(resource.RUSAGE_SELF)
        return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)

    return measured


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
