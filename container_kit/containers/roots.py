"""The root of a container as a descriptor, whatever state the container is in.

Of a running one it is the root that its processes see, with its mounts; of another one its files are put
together by a mount that has no place in any namespace and ends with the descriptor.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from container_kit.containers.state_file import read_state, start_ticks
from container_kit.errors import WrongState
from container_kit.native.descriptors import Descriptor, open_path
from container_kit.native.mounts import detached_overlay
from container_kit.oci import Digest
from container_kit.oci.rootfs import Directory, RootFs

if TYPE_CHECKING:
    from container_kit.containers.container import Container
    from container_kit.containers.engine import Engine
    from container_kit.containers.record import Record

__all__ = ["open_process_root", "open_root", "root_of"]

_PATH = os.O_PATH | os.O_DIRECTORY


def root_of(engine: Engine, record: Record) -> RootFs:
    """What the root of the container is made of, as `Snapshotter.prepare` left it; to be mounted now."""
    if record.bundle:
        from container_kit.containers.bundle import bundle_root

        return bundle_root(record.bundle)
    layers = tuple(Digest.parse(layer) for layer in record.layers)
    # What goes with its owner is not there after a loss of power.
    directory = engine.catalogue.directory(record.id)
    return engine.snapshotter.describe(directory, layers, volatile=bool(record.owner))


@contextlib.contextmanager
def open_root(container: Container) -> Iterator[int]:
    """A descriptor of the container's root directory, for the length of a block.

    Raises:
        NotFound: The container has been removed.
        KernelError: Its files cannot be put together.
    """
    with _open(container) as root:
        yield root.fileno()


def _open(container: Container) -> Descriptor:
    engine = container.engine
    state = read_state(engine.catalogue.directory(container.id))
    if state.status in ("running", "paused"):
        with contextlib.suppress(WrongState):
            return open_process_root(state.pid, state.start_ticks)
    record = engine.record(container.id)
    root = root_of(engine, record)
    if isinstance(root, Directory):
        return open_path(root.path, _PATH)
    merged = detached_overlay(root.lowers, root.upper, root.work)
    if record.mounts:
        from container_kit.containers.stopped_mounts import attach_mounts

        attach_mounts(engine, record, merged.fileno())
    return merged


def open_process_root(pid: int, ticks: int) -> Descriptor:
    """The root directory of a process that started at *ticks*; its number may not have passed to another.

    Raises:
        WrongState: That process has ended.
    """
    try:
        root = open_path(f"/proc/{pid}/root", _PATH)
    except (FileNotFoundError, ProcessLookupError):
        raise WrongState(f"process {pid} of the container has ended") from None
    if start_ticks(pid) != ticks:
        root.close()
        raise WrongState(f"process {pid} of the container has ended")
    return root
