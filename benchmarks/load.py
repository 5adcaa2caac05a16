"""Load of a Debian-sized docker archive, beside GNU tar and a hash of the same bytes.

The yardstick is ``tar -x`` of the plain layer plus SHA-256 at 1.9 GB/s; our time includes making it durable.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import container_kit as ck
from benchmarks.harness import Measured, Side, Table, interleaved, timed
from benchmarks.stage import Stage

HASH_BYTES_PER_MS = 1.9e6
FILES, SIZE = 8700, 170 << 20


def run(stage: Stage) -> None:
    """Rows: time, and the peak memory of a fresh process that loads."""
    layer = make_layer(stage.path)
    archive = docker_archive(stage.path, layer)
    sides = {"tar + hash": tar_and_hash(stage.path, layer), "container_kit": _load(stage.path, archive)}
    table = Table("Load: docker archive of 170 MB in 8700 files")
    table.add("including durability", interleaved(sides, rounds=9))
    table.show()
    memory = Table("Load memory: peak of a process that loads it", unit="MiB")
    memory.add(
        "peak RSS above an idle interpreter with the package", {"container_kit": _peak(stage.path, archive)}
    )
    memory.show()


def make_layer(
    folder: Path,
    files: int = FILES,
    most: int = SIZE,
    folders: tuple[str, ...] = ("/usr/lib", "/usr/share", "/usr/bin"),
) -> Path:
    """A plain tar shaped like a distribution: many small files, some large, from the host's own."""
    listing, count, size = folder / "files.txt", 0, 0
    with listing.open("w") as file:
        for path, length in sorted(_host_files(*folders)):
            if count >= files:
                break
            if size + length > most - (files - count) * 1000:
                continue
            file.write(path.lstrip("/") + "\n")
            count, size = count + 1, size + length
    layer = folder / f"layer-{files}.tar"
    subprocess.run(["tar", "-C", "/", "--no-recursion", "-cf", str(layer), "-T", str(listing)], check=True)
    print(f"- layer: {count} files, {layer.stat().st_size / 1e6:.0f} MB")
    return layer


def _host_files(*folders: str) -> list[tuple[str, int]]:
    found = []
    for top in folders:
        for folder, _, names in os.walk(top):
            for name in names:
                status = os.lstat(f"{folder}/{name}")
                found.append((f"{folder}/{name}", status.st_size))
    return found


def docker_archive(folder: Path, layer: Path, packed: Path | None = None) -> Path:
    """What ``docker save`` writes for an image of this one layer; *packed* is the layer compressed."""
    with layer.open("rb") as file:
        diff_id = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        }
    ).encode()
    manifest = [{"Config": "config.json", "RepoTags": ["bench-load:latest"], "Layers": ["layer/layer.tar"]}]
    archive = folder / f"{layer.stem}-image.tar"
    with tarfile.open(archive, "w") as tar:
        for name, data in (("config.json", config), ("manifest.json", json.dumps(manifest).encode())):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        tar.add(packed or layer, "layer/layer.tar")
    return archive


def tar_and_hash(folder: Path, layer: Path) -> Side:
    target = folder / "untarred"

    def side() -> float:
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        untar = timed(lambda: subprocess.run(["tar", "-C", str(target), "-xf", str(layer)], check=True))
        return untar() + layer.stat().st_size / HASH_BYTES_PER_MS

    return side


def _load(folder: Path, archive: Path) -> Side:
    root = folder / "load-store"

    def side() -> float:
        shutil.rmtree(root, ignore_errors=True)
        os.sync()  # what the other side has left to write is not ours
        with ck.Engine(root=root) as engine:
            return timed(lambda: ck.Image.load(archive, engine=engine))()

    return side


def _peak(folder: Path, archive: Path) -> Measured:
    program = (
        "import sys, container_kit as ck\n"
        "def peak():\n"
        "    lines = open('/proc/self/status')\n"
        "    return next(int(line.split()[1]) for line in lines if line.startswith('VmHWM'))\n"
        "engine = ck.Engine(root=sys.argv[1]); ck.Image\n"
        "before = peak()\n"
        "ck.Image.load(sys.argv[2], engine=engine)\n"
        "print(peak() - before)\n"
        "engine.close()\n"
    )
    root = folder / "peak-store"
    output = subprocess.run(
        [sys.executable, "-c", program, str(root), str(archive)], capture_output=True, check=True
    )
    return Measured((int(output.stdout) / 1024,))
