"""Layers on their way into the store: from an archive, or from whatever writes one.

Every layer becomes a tree by diff id.  A compressed layer keeps its bytes as well, because a manifest
names them; a plain one is made again from its tree when it is asked for.
"""

from __future__ import annotations

import errno
import functools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import attrs

from container_kit.errors import CorruptData, InvalidInput, KernelError, TimedOut, UnsupportedFeature
from container_kit.images.archive import ArchivedLayer
from container_kit.images.parallel import run_all
from container_kit.images.snapshot import keeps_images
from container_kit.native import descriptors, own_ids
from container_kit.native import layers as native
from container_kit.oci import Descriptor, Digest
from container_kit.oci.media_types import OCI_LAYER, layer_compression
from container_kit.store import Ingest, Lease, Store, files
from container_kit.store.trees import TreeDraft

__all__ = [
    "build_layer",
    "is_stored",
    "plain_descriptor",
    "store_layers",
    "stream",
    "unpack_archive",
]

_WAIT_S = 0.05  # between looks at a layer that another process receives
_MAX_AT_ONCE = 4  # layers that unpack at the same time; each has buffers of its own

_T = TypeVar("_T")


def store_layers(store: Store, lease: Lease, wanted: Sequence[ArchivedLayer]) -> list[Descriptor]:
    """Put the layers of an archive into the store, several at once; those that are there are left.

    Returns:
        How a manifest points at each: as the archive does, or as a plain layer where it says nothing.

    Raises:
        CorruptData: The bytes of a layer are not what its digest, diff id or size promises.
    """
    for layer in wanted:  # before looking, or what is found might be collected before it is used
        lease.add_keys(_keys(layer), check=False)
    missing = {(layer.diff_id, _kept_digest(layer)): layer for layer in wanted if not is_stored(store, layer)}
    cancellation = native.Cancellation()
    tasks = [functools.partial(_store_layer, store, lease, layer, cancellation) for layer in missing.values()]
    run_all(tasks, _MAX_AT_ONCE, cancellation.cancel)
    return [layer.descriptor or plain_descriptor(store, layer.diff_id) for layer in wanted]


def build_layer(store: Store, write: Callable[[int], object]) -> tuple[Digest, Descriptor]:
    """A new layer of the plain tar that *write* writes to the descriptor it is given.

    Call it within a lease.  The tar goes through a pipe: it is never whole in memory or on disk.

    Returns:
        Its diff id, and how a manifest points at it.
    """
    return stream(write, lambda fd: unpack_archive(store, fd))


def unpack_archive(store: Store, source_fd: int) -> tuple[Digest, Descriptor]:
    """A new layer of the tar that *source_fd* gives up to its end, compressed or not; kept in plain.

    Call it within a lease.

    Raises:
        InvalidInput: There are no bytes at all.
    """
    with store.new_tree() as draft:
        unpacked = _into(store, draft, source_fd)
        if unpacked.blob_size == 0:
            raise InvalidInput("cannot make a layer of nothing: there are no bytes, so it is no tar archive")
        diff_id = Digest.parse(unpacked.diff_id)
        draft.publish(diff_id, unpacked.files_size, unpacked.inodes, synced=True)
    store.put_virtual_blob(diff_id, unpacked.tar_size, diff_id)
    return diff_id, plain_descriptor(store, diff_id)


def plain_descriptor(store: Store, diff_id: Digest) -> Descriptor:
    """How a manifest points at a layer that is kept as a tree only."""
    return Descriptor(OCI_LAYER, diff_id, store.blob_size(diff_id))


def stream(write: Callable[[int], object], read: Callable[[int], _T]) -> _T:
    """What *read* makes of the pipe that *write* fills, in a thread of its own.

    If both fail, the error of *write* counts: what was read was cut off by it.
    """
    reading, writing = descriptors.pipe()
    failures: list[BaseException] = []

    def run() -> None:
        try:
            write(writing.fileno())
        except BaseException as error:
            if not (isinstance(error, OSError) and error.errno == errno.EPIPE):
                failures.append(error)  # with EPIPE the reader gave up, and says why itself
        finally:
            writing.close()

    writer = threading.Thread(target=run, name="container-kit-layer")
    writer.start()
    try:
        result = read(reading.fileno())
    except Exception:
        _join(writer, reading)
        if failures:
            raise failures[0] from None
        raise
    except BaseException:
        _join(writer, reading)
        raise
    _join(writer, reading)
    if failures:
        raise failures[0]
    return result


def _join(writer: threading.Thread, reading: descriptors.Descriptor) -> None:
    reading.close()  # a writer that still writes gets EPIPE and ends
    writer.join()


def _kept_digest(layer: ArchivedLayer) -> Digest | None:
    """Digest of the compressed bytes, if the manifest names such; None for a plain layer."""
    descriptor = layer.descriptor
    if descriptor is None or layer_compression(descriptor.media_type) == "none":
        return None
    return descriptor.digest


def _keys(layer: ArchivedLayer) -> list[str]:
    kept = _kept_digest(layer)
    blob = [f"blob:{kept}"] if kept else []
    return [f"tree:{layer.diff_id}", f"blob:{layer.diff_id}", *blob]


def is_stored(store: Store, layer: ArchivedLayer) -> bool:
    """Whether the tree is here and, for a compressed layer, the bytes that once gave this tree."""
    if not store.has_tree(layer.diff_id) or not store.has_blob(layer.diff_id):
        return False
    kept = _kept_digest(layer)
    return kept is None or (store.has_blob(kept) and layer.diff_id in store.references(kept)[1])


def _store_layer(store: Store, lease: Lease, layer: ArchivedLayer, cancellation: native.Cancellation) -> None:
    kept = _kept_digest(layer)
    if kept is None:
        _unpack(store, lease, layer, None, cancellation)
    elif not layer.content.resumes:
        with store.ingest(kept, layer.content.size, lease) as ingest:
            _keep(store, lease, layer, ingest, cancellation)
    elif not _resume(store, lease, layer, kept, cancellation):
        # What an earlier attempt had left was damaged, and is gone now.
        _resume(store, lease, layer, kept, cancellation)


def _resume(
    store: Store, lease: Lease, layer: ArchivedLayer, kept: Digest, cancellation: native.Cancellation
) -> bool:
    """Go on where an earlier attempt ended; False if what it had left is of no use."""
    while (ingest := store.resume(kept, layer.content.size, lease)) is None:
        # Another thread or process is at it: when it has ended, it is here, or we go on with it.
        if cancellation.is_cancelled:
            raise TimedOut(f"layer {kept} was not awaited: stopped by the caller")
        time.sleep(_WAIT_S)
    with ingest:
        if is_stored(store, layer):
            return True
        try:
            _keep(store, lease, layer, ingest, cancellation)
        except CorruptData:
            if ingest.kept:
                return False
            raise
    return True


def _keep(
    store: Store, lease: Lease, layer: ArchivedLayer, ingest: Ingest, cancellation: native.Cancellation
) -> None:
    """Unpack a layer whose compressed bytes stay too."""
    _unpack(store, lease, layer, ingest, cancellation)
    ingest.commit(_kept_digest(layer), trees=[layer.diff_id])


def _unpack(
    store: Store,
    lease: Lease,
    layer: ArchivedLayer,
    ingest: Ingest | None,
    cancellation: native.Cancellation,
) -> None:
    part = ingest.fd if ingest is not None and ingest.kept else None
    with store.new_tree(lease) as draft:
        opened = layer.content.opened(part, cancellation)
        with opened as (source_fd, offset):
            unpacked = _into(
                store,
                draft,
                source_fd,
                offset=offset,
                size=layer.content.size,
                compression=_compression(layer),
                blob_fd=ingest.fd if ingest is not None else None,
                cancellation=cancellation,
            )
        _verify(layer, unpacked)
        draft.publish(layer.diff_id, unpacked.files_size, unpacked.inodes, synced=True)
    store.put_virtual_blob(layer.diff_id, unpacked.tar_size, layer.diff_id, lease)


def _into(store: Store, draft: TreeDraft, source_fd: int, **how: Any) -> native.Unpacked:
    """Unpack into the form of this store; *how* are further arguments of `native.layers.unpack`."""
    with _explained(store):
        if not keeps_images(store):
            return native.unpack(source_fd, draft.fd, recipe_fd=draft.recipe_fd, **how)
        tar_fd, image_fd = draft.open_image()
        unpacked = native.unpack(source_fd, draft.fd, image_fds=(tar_fd, image_fd), **how)
        if unpacked.unfit:
            unpacked = _again(unpacked, tar_fd, draft, how.get("cancellation"))
        draft.choose(image=not unpacked.unfit)
        return unpacked


def _again(
    first: native.Unpacked, tar_fd: int, draft: TreeDraft, cancellation: native.Cancellation | None
) -> native.Unpacked:
    """What no image can hold becomes a directory after all, from the tar that was written meanwhile."""
    second = native.unpack(
        tar_fd,
        draft.fd,
        offset=0,
        size=first.tar_size,
        compression="none",
        recipe_fd=draft.recipe_fd,
        cancellation=cancellation,
    )
    return attrs.evolve(second, blob_digest=first.blob_digest, blob_size=first.blob_size, unfit=True)


@contextmanager
def _explained(store: Store) -> Iterator[None]:
    """A full disk is StoreFull, and an owner whom a user cannot have is named, wherever C met them."""
    try:
        yield
    except KernelError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise files.from_os_error(error, "unpack a layer", store.root) from error
        if error.errno == errno.EINVAL and own_ids.is_namespaced():
            raise UnsupportedFeature(
                f"{error}: its owner is none of the {own_ids.mapped_ids()} ids that this user's containers "
                "have; give the user more subordinate ids in /etc/subuid and /etc/subgid"
            ) from error
        raise


def _compression(layer: ArchivedLayer) -> native.Compression:
    """What the manifest says; a docker-archive says nothing, so the bytes tell."""
    if layer.descriptor is None:
        return "auto"
    match layer_compression(layer.descriptor.media_type):
        case "none" | "gzip" | "zstd" as compression:
            return compression
    raise CorruptData(f"{layer.descriptor.digest} is no layer but {layer.descriptor.media_type!r}")


def _verify(layer: ArchivedLayer, unpacked: native.Unpacked) -> None:
    if Digest.parse(unpacked.diff_id) != layer.diff_id:
        raise CorruptData(f"layer {layer.diff_id} is damaged: its content has the digest {unpacked.diff_id}")
    kept = _kept_digest(layer)
    if kept is not None and Digest.parse(unpacked.blob_digest) != kept:
        raise CorruptData(f"layer {kept} is damaged: its bytes have the digest {unpacked.blob_digest}")
