"""Loading on a disk of 8 MB: what does not fit is refused, and the space comes back.

Run it in a mount namespace of its own: ``unshare --mount python -m tests.images.full_disk DIRECTORY``.
The disk is a tmpfs; for layers that are images, which need files that can be read in blocks, an ext4.
It prints nothing when every promise holds.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from container_kit.errors import StoreFull
from container_kit.images import Image
from container_kit.store import Store, files
from tests.images.archives import docker_archive, entry, layer, layout_files, write_tar
from tests.images.conftest import Engine


def main(place: Path) -> None:
    large = [layer(entry("large", os.urandom(20 << 20)))]
    small = [layer(entry("small", b"small"))]
    archives = [
        docker_archive(place / "plain.tar", large, ["a:1"]),
        write_tar(place / "packed.tar", layout_files(large, "a:1")),
    ]
    fits = docker_archive(place / "small.tar", small, ["small:1"])
    (place / "disk").mkdir()
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    if os.environ.get("CONTAINER_KIT_SNAPSHOTTER") == "erofs":
        with (place / "ext4").open("wb") as file:
            file.truncate(10 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", place / "ext4"], check=True)
        subprocess.run(["mount", "-o", "loop", place / "ext4", place / "disk"], check=True)
    else:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", place / "disk"], check=True)
    with Store.open(place / "disk/root") as store:
        engine = Engine(store)
        free = files.free_bytes(store.root)
        for archive in archives:
            expect_full(engine, archive)
            store.gc()
            assert store.fsck().clean and store.df().temporary_bytes == 0
            assert abs(files.free_bytes(store.root) - free) < 1 << 18
        [image] = Image.load(fits, engine=engine)
        assert Image.list(engine=engine) == [image]


def expect_full(engine: Engine, archive: Path) -> None:
    try:
        Image.load(archive, engine=engine)
    except StoreFull as error:
        assert engine.store.root in str(error) and "prune" in str(error), error
    else:
        raise AssertionError("the disk was not full")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
