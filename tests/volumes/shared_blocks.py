"""A snapshot of a volume on XFS takes no space: prints by how many bytes it made the disk fuller.

Run it in a mount namespace of its own: ``unshare --mount python -m tests.volumes.shared_blocks DIRECTORY``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from container_kit.store import Store
from container_kit.volumes import Volume
from tests.volumes.conftest import Rooted

_SIZE = 32 << 20


def main(place: Path) -> None:
    with (place / "disk").open("wb") as file:
        file.truncate(400 << 20)
    subprocess.run(["mkfs.xfs", "-q", place / "disk"], check=True)
    (place / "mounted").mkdir()
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-o", "loop", place / "disk", place / "mounted"], check=True)
    with Store.open(str(place / "mounted/root")) as store:
        volume = Volume.create("data", engine=Rooted(store))
        Path(volume.path, "file").write_bytes(os.urandom(_SIZE))
        before = _used(place)
        copy = volume.snapshot("copy")
        print(_used(place) - before)
        Path(volume.path, "file").write_bytes(b"changed")
        assert Path(copy.path, "file").stat().st_size == _SIZE


def _used(place: Path) -> int:
    os.sync()
    status = os.statvfs(place / "mounted")
    return (status.f_blocks - status.f_bfree) * status.f_frsize


if __name__ == "__main__":
    main(Path(sys.argv[1]))
