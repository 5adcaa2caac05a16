"""A registry in a process of its own, to be killed; and what has to be true of what it leaves behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import attrs

from container_kit.oci import Digest
from container_kit.registry.server.in_directory import DirectoryStorage
from container_kit.registry.server.in_store import StoreStorage
from container_kit.registry.server.repositories import Repositories
from container_kit.registry.server.storage import Storage
from container_kit.store import Store
from container_kit.store.blobs import digest_of_file

PROGRAM = """
import sys
from container_kit.registry.server import Registry
from container_kit.store import Store, failpoints
from tests.registry.server.conftest import Engine
kind, place, fault = sys.argv[1:4]
where = {"engine": Engine(Store.open(place))} if kind == "store" else {"directory": place}
with Registry.serve(**where) as registry:
    if fault:
        failpoints._act = failpoints._from_text(fault)
    print(registry.address, flush=True)
    sys.stdin.read()
"""


@attrs.frozen
class Served:
    """A server process; *address* is where it listens."""

    process: subprocess.Popen[str]
    address: str


@contextmanager
def served(kind: str, place: str, fault: str = "") -> Iterator[Served]:
    """Serve the storage of *kind* at *place*; once it listens, *fault* happens as in ``CK_FAILPOINT``."""
    command = [sys.executable, "-c", PROGRAM, kind, place, fault]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    try:
        yield Served(process, process.stdout.readline().strip())
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


@contextmanager
def opened(kind: str, place: str) -> Iterator[Storage]:
    """The same storage, in this process."""
    if kind == "directory":
        storage: Storage = DirectoryStorage(place)
        yield storage
        storage.close()
        return
    with Store.open(place) as store:
        storage = StoreStorage(store)
        yield storage
        storage.close()
        assert store.fsck().clean


def check_whole(storage: Storage, repository: str) -> None:
    """Every link means a whole content, and every manifest has all that it names."""
    repositories = Repositories(storage)
    blobs = storage.links("blob", repository)
    for digest in {*blobs.values(), *storage.links("manifest", repository).values()}:
        fd = storage.open(digest)
        try:
            assert digest_of_file(fd, digest.algorithm) == digest
        finally:
            os.close(fd)
    for digest in storage.links("manifest", repository).values():
        for one in repositories.document(digest).blobs:
            assert blobs.get(str(one.digest)) == one.digest
    for tag, digest in storage.links("tag", repository).items():
        assert repositories.resolve(repository, digest) == digest, tag


def nothing_left_over(storage: Storage) -> None:
    """After a collection, only what a manifest needs is there."""
    repositories = Repositories(storage)
    storage.rotate()
    storage.rotate()
    repositories.collect(upload_expiry_s=0)
    assert os.listdir(storage.uploads_directory) == []
    kept: set[Digest] = set()
    for name in storage.repositories():
        for digest in storage.links("manifest", name).values():
            kept |= {digest, *repositories.document(digest).needs}
    assert set(storage.links("blob", "app").values()) <= kept
