"""Building on a disk of 24 MB: what does not fit is told, the space comes back, smaller builds go on.

Run it in a mount namespace of its own: ``unshare --mount python -m tests.build.full_disk DIRECTORY``.
It prints nothing when every promise holds.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import container_kit as ck
from container_kit.containers.engine import Engine
from container_kit.store import files


def main(place: Path) -> None:
    (place / "disk").mkdir()
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", place / "disk"], check=True)
    large = os.urandom(30 << 20)
    with Engine(place / "disk/root") as engine:
        ck.Image.from_host("sh", "cat", tag="tools", engine=engine)
        build(engine, "FROM tools\nRUN echo first > /first")
        settle(engine)
        free = files.free_bytes(engine.root)
        (place / "context").mkdir()
        (place / "context/large").write_bytes(large)
        for text in (
            "FROM tools\nCOPY large /large",
            "FROM tools\nRUN cat /dev/urandom > /large",
            "FROM tools\nRUN --mount=target=/m cat /m/large > /dev/null",
            "FROM tools AS a\nCOPY large /l\nFROM tools\nRUN cat /dev/urandom > /l\nCOPY --from=a /l /",
        ):
            expect_full(engine, place / "context", text)
            settle(engine)
            assert engine.store.fsck().clean, text
            assert abs(files.free_bytes(engine.root) - free) < 1 << 20, text
        image = build(engine, "FROM tools\nRUN cat /bin/sh > /small")
        assert ck.run(image, ["cat", "/small"], text=False, engine=engine).exit_code == 0


def build(engine: Engine, text: str, context: Any = None) -> ck.Image:
    return ck.Image.build(context, dockerfile=text.encode(), engine=engine)


def expect_full(engine: Engine, context: Path, text: str) -> None:
    try:
        build(engine, text, context)
    except ck.BuildFailed as error:
        assert "space" in str(error), error
    else:
        raise AssertionError(f"the disk was not full: {text}")


def settle(engine: Engine) -> None:
    """Until what was cleared away is gone."""
    deadline = time.monotonic() + 10
    while os.listdir(f"{engine.root}/containers") and time.monotonic() < deadline:
        time.sleep(0.02)
    engine.store.gc()
    assert engine.store.df().temporary_bytes == 0


if __name__ == "__main__":
    main(Path(sys.argv[1]))
