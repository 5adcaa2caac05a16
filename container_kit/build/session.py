"""What all stages of one build share: engine, options, cache, progress, and the way to stop."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from container_kit.build.cache import BuildCache, Entry, Layer
from container_kit.build.cache_import import Imports
from container_kit.build.options import BuildOptions
from container_kit.containers.steps import StepStopped
from container_kit.errors import NotFound
from container_kit.native import interrupts
from container_kit.oci import Digest
from container_kit.oci.progress import Progress, Reporter

if TYPE_CHECKING:
    from container_kit.containers import Engine
    from container_kit.store import Lease, Store

__all__ = ["Session"]


class Session:
    """One build, used by the threads of its stages; a context manager.

    Attributes:
        stop_fd: Can be read once the build is to stop.
        made: How many steps were done, and not found in the cache; *made_bytes* their files take.
        steps: All that were needed: key, layer and name.
    """

    def __init__(
        self, engine: Engine, options: BuildOptions, report: Callable[[Progress], object] | None = None
    ) -> None:
        self.engine, self.options = engine, options
        self.report = Reporter(report)
        self.cache = BuildCache(engine.store)
        self.imports = Imports(engine.store, options.cache_from, self.report)
        self.steps: list[tuple[Digest, Layer | None, str]] = []
        self.stop_fd = -1
        self.made = self.made_bytes = 0
        self._key_locks: dict[Digest, threading.Lock] = {}
        self._mutex = threading.Lock()
        self._lease: Lease | None = None

    @property
    def lease(self) -> Lease:
        """What is kept until the build ends."""
        assert self._lease is not None
        return self._lease

    @property
    def store(self) -> Store:
        return self.engine.store

    def __enter__(self) -> Session:
        self.stop_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._unhook = interrupts.hook(self.stop)
        self._lease = self.store.lease()
        return self

    def __exit__(self, *_: object) -> None:
        self.imports.__exit__(None, None, None)
        if self._lease is not None:
            self._lease.close()
        self._unhook()
        os.close(self.stop_fd)
        self.stop_fd = -1

    # Stopping.

    def stop(self) -> None:
        """Have every stage end: running commands are killed, nothing new is begun."""
        os.eventfd_write(self.stop_fd, 1)

    @property
    def is_stopped(self) -> bool:
        try:
            value = os.eventfd_read(self.stop_fd)
        except BlockingIOError:
            return False
        os.eventfd_write(self.stop_fd, value)  # it stays readable for the others
        return True

    def check_going_on(self) -> None:
        """Raise StepStopped when the build is to stop."""
        if self.is_stopped:
            raise StepStopped

    # Layers.

    def layer_for(
        self, key: Digest, name: str, make: Callable[[], Layer | None], *, ignore_cache: bool = False
    ) -> tuple[Layer | None, bool]:
        """The layer that the step *key* makes, from the cache or from *make*, and whether it was cached.

        Steps with one key that are asked for at the same time are made once.
        """
        with self._only_one(key):
            entry = None if ignore_cache else self._find(key)
            if entry is not None:
                self.steps.append((key, entry.layer, name))
                return entry.layer, True
            self.check_going_on()
            with self.store.lease():
                found = None if ignore_cache else self.imports.find(key, self.lease)
                layer = make() if found is None else found[0]
                if layer is not None:
                    self.keep(layer)
                self.cache.add(key, layer, name)
            self.steps.append((key, layer, name))
            self.made += 1
            self.made_bytes += 0 if layer is None else self.store.tree_usage(layer.diff_id)[0]
            return layer, found is not None

    def keep_document(
        self, raw: bytes, *, references: Iterable[Digest] = (), trees: Iterable[Digest] = ()
    ) -> None:
        """Store a document that lives as long as the build."""
        self.store.put_blob(raw, references=references, trees=trees, lease=self.lease)

    def keep(self, layer: Layer) -> None:
        """Spare a layer from the collector until the build ends.

        Raises:
            NotFound: It is not in the store.
        """
        self.lease.add_keys(
            [f"tree:{layer.diff_id}", f"blob:{layer.diff_id}", f"blob:{layer.descriptor.digest}"]
        )

    def _find(self, key: Digest) -> Entry | None:
        with self.store.lease():
            entry = self.cache.find(key)
            if entry is not None and entry.layer is not None:
                try:
                    self.keep(entry.layer)
                except NotFound:
                    return None  # collected at this moment
            return entry

    @contextmanager
    def _only_one(self, key: Digest) -> Iterator[None]:
        with self._mutex:
            lock = self._key_locks.setdefault(key, threading.Lock())
        with lock:
            yield
