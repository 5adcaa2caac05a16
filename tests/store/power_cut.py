"""Power cuts: a store on a disk that loses, at random moments, everything that was not yet on it.

The disk is a file, mounted through a loop device with direct I/O and a journal that commits by itself
only every five minutes.  A copy of the file, made while the writer stands still, is what a power cut
would have left.  Run it in a mount namespace of its own:

    unshare --mount python -m tests.store.power_cut DIRECTORY CUTS SEED [--no-sync]

It prints one JSON object: how many cuts were made, how many operations they saw, how many of the cuts left
files without their bytes, and each broken promise.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from container_kit.errors import ContainerKitError
from container_kit.oci import Digest
from container_kit.store import Store, files
from tests.store.conftest import add_image, replay

DISK_BYTES = 48 << 20
NAMES = 5
PREFIX = "docker.io/library/name"


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@contextmanager
def mounted(image: Path, where: Path, options: str) -> Iterator[Path]:
    """The file system in *image*, mounted; the loop device goes with the mount, however that ends."""
    device = run("losetup", "--find", "--show", "--direct-io=on", str(image))
    where.mkdir(exist_ok=True)
    try:
        run("mount", "-o", options, device, str(where))
    finally:
        run("losetup", "--detach", device)  # takes effect when the last user is gone
    try:
        yield where
    finally:
        run("umount", str(where))


class Work(Protocol):
    """What the writer does, and how what it did is read back."""

    kind: str  # of the names that it sets

    def prepare(self, store: Store) -> None: ...

    def write(self, store: Store, name: str, data: str) -> None:
        """Make *name* mean an image of *data*, in one durable operation."""

    def read(self, store: Store, digest: Digest) -> str:
        """The data of an image, after reading all of it."""

    def collect(self, store: Store) -> None: ...

    def release(self) -> None:
        """Close what `prepare` has opened."""


class LittleImages:
    """Blobs and trees, straight in the store."""

    kind = "image"

    def prepare(self, store: Store) -> None:
        store.register_source(replay)

    def write(self, store: Store, name: str, data: str) -> None:
        add_image(store, name, (data + "x" * random.randrange(60_000)).encode())

    def read(self, store: Store, digest: Digest) -> str:
        (config,), _ = store.references(digest)
        _, (tree,) = store.references(config)
        store.verify_tree(tree)
        store.read_blob(config)
        return store.read_blob(digest).decode().partition(";")[0] + ";"

    def collect(self, store: Store) -> None:
        store.gc()

    def release(self) -> None:
        """Nothing was opened."""


def write_forever(work: Work, root: Path, journal: int, seed: int) -> None:
    """Set and remove names at random; before and after each operation, say so outside the disk."""
    rng = random.Random(seed)
    with Store.open(root) as store:
        work.prepare(store)
        for number in itertools.count():
            name = f"{PREFIX}{rng.randrange(NAMES)}:latest"
            if rng.random() < 0.1:
                work.collect(store)
            elif rng.random() < 0.25 and store.resolve_name(work.kind, name):
                say(journal, "begin", name, "")
                store.remove_name(work.kind, name)
                say(journal, "done", name, "")
            else:
                say(journal, "begin", name, f"{seed} {number};")
                work.write(store, name, f"{seed} {number};")
                say(journal, "done", name, f"{seed} {number};")


def say(journal: int, *words: str) -> None:
    os.write(journal, json.dumps(words).encode() + b"\n")


def acceptable(journal: bytes) -> list[dict[str, str]]:
    """What the names may be: all that was acknowledged, with or without the operation under way."""
    state: dict[str, str] = {}
    begun: tuple[str, str] | None = None
    for line in journal.splitlines():
        word, name, data = json.loads(line)
        begun = (name, data) if word == "begin" else None
        if word == "done":
            state[name] = data
    states = [state] if begun is None else [state, {**state, begun[0]: begun[1]}]
    return [{name: data for name, data in one.items() if data} for one in states]


def broken_promises(work: Work, root: Path, states: list[dict[str, str]]) -> list[str]:
    """What is wrong with the store that the cut left."""
    if not root.exists():
        return [] if {} in states else ["the whole store is gone"]
    try:
        with Store.open(root) as store:
            work.prepare(store)
            problems = [str(problem) for problem in store.fsck().problems]
            names = {name: image for name, image in store.names(work.kind).items() if name.startswith(PREFIX)}
            found = {name: work.read(store, digest) for name, digest in names.items()}
    except (ContainerKitError, AssertionError) as error:
        return [f"{type(error).__name__}: {error}"]
    finally:
        work.release()
    if found not in states:
        problems.append(f"names are {found}, acknowledged were {states}")
    return problems


def without_sync() -> None:
    """The control: write in the same order, but wait for nothing except the database."""
    for name in ("sync_file", "sync_directory", "sync_file_system"):
        setattr(files, name, lambda *_: None)


def zero_byte_files(root: Path) -> int:
    """Contents that have their name and none of their bytes: the signature of a missing sync."""
    blobs = root.glob("blobs/sha256/*")
    return sum(path.stat().st_size == 0 and path.name != Digest.of(b"").hex for path in blobs)


def cut(work: Work, place: Path, writer: int, number: int) -> tuple[int, int, list[str]]:
    """One power cut: the operations begun so far, the files that lost their bytes, the broken promises."""
    os.kill(writer, signal.SIGSTOP)
    os.waitpid(writer, os.WUNTRACED)
    journal = (place / "journal").read_bytes()
    shutil.copyfile(place / "disk", place / "copy")
    os.kill(writer, signal.SIGCONT)
    with mounted(place / "copy", place / "after", "noatime") as after:
        empty = zero_byte_files(after / "root")
        problems = broken_promises(work, after / "root", acceptable(journal))
    return journal.count(b"begin"), empty, [f"cut {number}: {problem}" for problem in problems]


def cut_often(work: Work, place: Path, cuts: int, seed: int, sync: bool) -> dict[str, Any]:
    (place / "disk").touch()
    os.truncate(place / "disk", DISK_BYTES)
    run("mkfs.ext4", "-q", "-F", str(place / "disk"))
    journal = os.open(place / "journal", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    rng, problems, seen, with_empty = random.Random(seed), [], 0, 0
    with mounted(place / "disk", place / "live", "noatime,commit=300") as live:
        writer = os.fork()
        if writer == 0:
            if not sync:
                without_sync()
            write_forever(work, live / "root", journal, seed)
        try:
            for number in range(cuts):
                time.sleep(rng.uniform(0.001, 0.06))
                seen, empty, broken = cut(work, place, writer, number)
                with_empty += empty > 0
                problems += broken
        finally:
            os.kill(writer, signal.SIGKILL)
            os.waitpid(writer, 0)
    return {"cuts": cuts, "operations": seen, "cuts_with_zero_byte_files": with_empty, "problems": problems}


def main(work: Work) -> None:
    """The program, for one kind of work."""
    run("mount", "--make-rprivate", "/")
    _, place, cuts, seed, *options = sys.argv
    print(json.dumps(cut_often(work, Path(place), int(cuts), int(seed), "--no-sync" not in options)))


if __name__ == "__main__":
    main(LittleImages())
