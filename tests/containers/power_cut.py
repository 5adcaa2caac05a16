"""Power cuts during commits: the program of :mod:`tests.store.power_cut`, with containers as its work.

Each operation makes a container, changes its files, its name and its state, commits it and removes it.
"""

from __future__ import annotations

import os
from pathlib import Path

from container_kit.containers.engine import Engine
from container_kit.containers.state_file import ContainerState, write_state
from container_kit.images import Image
from container_kit.images.records import TAG
from container_kit.images.views import view
from container_kit.native.trees import open_beneath
from container_kit.oci import Digest
from container_kit.store import Store
from tests.store.power_cut import main


class Commits:
    """An image named by a commit has the data of its container; every container there is can be used."""

    kind = TAG

    def __init__(self) -> None:
        self._engines: dict[str, Engine] = {}

    def prepare(self, store: Store) -> None:
        """In the writer: the image of all containers.  After a cut: no container is in pieces."""
        root = str(store.root)
        fresh = not os.path.isdir(os.path.join(root, "containers"))
        engine = self._engines[root] = Engine(root)
        if fresh:
            base = Path("/dev/shm", f"base-{os.getpid()}")
            base.mkdir()
            (base / "data").write_text("base")
            Image.from_rootfs(base, "base:1", None, engine=engine)
            (base / "data").unlink()
            base.rmdir()
        else:
            self._use_all(engine)

    def _use_all(self, engine: Engine) -> None:
        for info in engine.infos(all=True):
            container = engine.container(info.id)
            assert container.status in ("created", "exited"), container.status
            assert container.fs.exists("/data"), container.info()
            container.remove(force=True)
        engine.janitor.drain()
        left = [(str(path), path.lstat().st_size) for path in Path(engine.catalogue.containers).rglob("*")]
        assert left == [], f"containers in pieces: {left}"

    def write(self, store: Store, name: str, data: str) -> None:
        engine = self._engines[str(store.root)]
        container = engine.create("base:1", ["/data"], name="working")
        container.fs.write_text("/data", data)
        container.rename("renamed")
        write_state(engine.catalogue.directory(container.id), ContainerState(status="exited", exit_code=3))
        container.commit(name)
        container.remove()

    def read(self, store: Store, digest: Digest) -> str:
        image = Image.get(str(digest), engine=self._engines[str(store.root)])
        for layer in image.layers:
            store.verify_tree(layer)
        with view(store, image.layers) as root:
            fd = open_beneath(root, "data", os.O_RDONLY)
            with os.fdopen(fd) as file:
                return file.read()

    def collect(self, store: Store) -> None:
        Image.prune(all=False, engine=self._engines[str(store.root)])

    def release(self) -> None:
        while self._engines:
            self._engines.popitem()[1].close()


if __name__ == "__main__":
    main(Commits())
