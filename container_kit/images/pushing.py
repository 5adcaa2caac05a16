"""``push``: an image of the store to a registry.

Blobs first, several at once; the manifest, which makes the image visible there, last.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import attrs

from container_kit.errors import InvalidInput
from container_kit.images import records
from container_kit.images.compressing import compressed, is_plain, known_compression
from container_kit.images.layers import stream
from container_kit.images.parallel import run_all
from container_kit.native import layers as native
from container_kit.oci import Descriptor, Digest, Index, Manifest, Reference
from container_kit.oci.json_document import encode
from container_kit.oci.media_types import is_foreign_layer
from container_kit.oci.progress import Action, Progress, ProgressCallback, Reporter
from container_kit.registry.client.endpoint import Url, is_loopback_name
from container_kit.registry.client.messages import FilePart
from container_kit.registry.client.opening import repositories_of
from container_kit.registry.client.publishing import publish
from container_kit.registry.client.repository import Repository
from container_kit.registry.client.session import Session
from container_kit.registry.client.uploads import begin_mount, upload

if TYPE_CHECKING:
    from container_kit.images.image import Image
    from container_kit.images.words import PushCompression, Pushed
    from container_kit.registry.client import RegistryOptions
    from container_kit.store import Store

__all__ = ["push", "push_all", "push_index"]

_MAX_AT_ONCE: Final = 4


def push(
    image: Image,
    target: str | None,
    compression: PushCompression,
    progress: ProgressCallback | None,
    options: RegistryOptions,
) -> Pushed:
    """See `container_kit.images.image.Image.push`."""
    reference = _target(target, image.names)
    with image.store.lease(image.digest):
        return _pushed(
            image.store, reference, compression, progress, options, lambda one: one.push_top(image.manifest)
        )


def push_all(
    images: Sequence[Image], target: str, progress: ProgressCallback | None, options: RegistryOptions
) -> Pushed:
    """Send *images*, one a platform, under one name: an index, unless there is only one."""
    if len(images) == 1:
        return push(images[0], target, "auto", progress, options)
    index = Index.build([image.manifest.descriptor(image.config.platform) for image in images])
    return push_index(images[0].store, index, target, progress=progress, options=options)


def push_index(
    store: Store,
    index: Index,
    target: str,
    *,
    compression: PushCompression = "auto",
    progress: ProgressCallback | None = None,
    options: RegistryOptions,
) -> Pushed:
    """Send *index* with all its images, which have to be in the store; arguments as for `push`.

    Raises:
        NotFound: One of its images is not in the store.
    """
    reference = _target(target, [])
    with store.lease(*(one.digest for one in index.manifests)):
        return _pushed(
            store, reference, compression, progress, options, lambda one: one.push_top_index(index)
        )


def _pushed(
    store: Store,
    reference: Reference,
    compression: PushCompression,
    progress: ProgressCallback | None,
    options: RegistryOptions,
    send: Callable[[_Push], Pushed],
) -> Pushed:
    if compression not in ("auto", "keep", "gzip"):
        raise InvalidInput(f"compression {compression!r} is none of auto, keep, gzip")
    session = Session(options)
    session.give_credentials_to(reference.domain)
    try:
        [repository] = repositories_of(session, reference, "pull,push", mirrors=False)
        is_here = is_loopback_name(repository.location.origin.host)
        shrink = compression == "gzip" or (compression == "auto" and not is_here)
        return send(_Push(store, repository, reference, shrink, Reporter(progress)))
    finally:
        session.close()


def _target(text: str | None, names: Sequence[str]) -> Reference:
    if text is None:
        if len(names) != 1:
            raise InvalidInput(f"the image has {len(names)} names: say which one to push it as")
        text = names[0]
    reference = Reference.parse(text)
    if reference.digest is not None or reference.tag is None:
        raise InvalidInput(f"cannot push to {text!r}: give a name and a tag, without a digest")
    return reference


@attrs.frozen
class _Push:
    """One push: *reference* is what it is called, *repository* where it goes."""

    store: Store
    repository: Repository
    reference: Reference
    shrink: bool
    report: Callable[[Progress], object]
    cancellation: native.Cancellation = attrs.field(factory=native.Cancellation)
    _mountable: dict[Digest, str] = attrs.field(factory=dict)

    # -- documents ------------------------------------------------------------------------------

    def push_top(self, manifest: Manifest) -> Pushed:
        """An image, under the tag."""
        self._find_mountable(manifest.layers)
        sent = self._send_blobs(manifest)
        return self._named(sent, manifest.digest)

    def push_top_index(self, index: Index) -> Pushed:
        """An index under the tag, after its images."""
        entries = []
        for entry in index.manifests:
            manifest = Manifest.parse(self.store.read_blob(entry.digest), entry.media_type)
            self._find_mountable(manifest.layers)
            sent = self._send_blobs(manifest)
            publish(self.repository, sent, sent.digest)
            self._remember(sent.digest, entry.digest)
            entries.append(attrs.evolve(entry, digest=sent.digest, size=len(sent.raw)))
        if tuple(entries) != index.manifests:
            index = Index.parse(_with(index.raw, "manifests", entries), index.media_type)
        return self._named(index, None)

    def _named(self, document: Manifest | Index, image: Digest | None) -> Pushed:
        from container_kit.images.words import Pushed

        publish(self.repository, document, self.reference.tag or "latest")
        if image is not None:
            self._remember(document.digest, image)
        self._tell("done", str(document.digest), name=self.reference.familiar)
        return Pushed(self.reference.familiar, document.digest, len(document.raw))

    def _remember(self, there: Digest, image: Digest) -> None:
        """That the repository has the image by the digest *there*."""
        self.store.set_name(records.PINNED, f"{self.reference.repository}@{there}", image)

    # -- blobs ----------------------------------------------------------------------------------

    def _send_blobs(self, manifest: Manifest) -> Manifest:
        """Send what the registry lacks; the manifest of what it then has."""
        layers = [one for one in manifest.layers if not (is_foreign_layer(one.media_type) and one.urls)]
        tasks = {one.digest: functools.partial(self._send_layer, one) for one in layers}
        tasks[manifest.config.digest] = functools.partial(self._send, manifest.config)
        sent = self._in_parallel(tasks)
        new = [sent.get(one.digest, one) for one in manifest.layers]
        if tuple(new) == manifest.layers:
            return manifest
        return Manifest.parse(_with(manifest.raw, "layers", new), manifest.media_type)

    def _in_parallel(self, tasks: Mapping[Digest, Callable[[], Descriptor]]) -> dict[Digest, Descriptor]:
        def stop() -> None:
            self.cancellation.cancel()
            self.repository.session.cancel()

        return dict(zip(tasks, run_all(list(tasks.values()), _MAX_AT_ONCE, stop), strict=True))

    def _send_layer(self, layer: Descriptor) -> Descriptor:
        if not (self.shrink and is_plain(layer)):
            return self._send(layer)
        known = known_compression(self.store, layer)
        if known is not None and self._is_there(known):
            return known
        self._tell("compress", str(layer.digest), 0, layer.size)
        with compressed(self.store, layer, self.cancellation) as (descriptor, fd):
            if not self._is_there(descriptor):
                part = FilePart(fd, 0, descriptor.size, self._counter(descriptor))
                upload(self.repository, descriptor, part)
                self._tell("done", str(descriptor.digest))
        return descriptor

    def _send(self, blob: Descriptor) -> Descriptor:
        """A blob as it stands in the store."""
        if self._is_there(blob):
            return blob
        begun = None
        if blob.digest in self._mountable:
            source = self._mountable[blob.digest]
            begun = begin_mount(self.repository, blob.digest, source)
            if begun is None:
                self._tell("mount", str(blob.digest), message=f"from {source}")
                return blob
        self._upload(blob, begun)
        self._tell("done", str(blob.digest))
        return blob

    def _upload(self, blob: Descriptor, begun: Url | None) -> None:
        count = self._counter(blob)
        if is_plain(blob):  # made again from its tree, straight into the request
            write = functools.partial(self.store.copy_blob, blob.digest)
            stream(
                write, lambda fd: upload(self.repository, blob, FilePart(fd, None, blob.size, count), begun)
            )
        else:
            with self.store.opened_blob(blob.digest) as file:
                upload(self.repository, blob, FilePart(file.fileno(), 0, blob.size, count), begun)

    def _is_there(self, blob: Descriptor) -> bool:
        if self.repository.find_blob(blob.digest) != blob.size:
            return False
        self._tell("exists", str(blob.digest))
        return True

    def _find_mountable(self, layers: Iterable[Descriptor]) -> None:
        """A repository of the registry for each layer that an image here came from, or went to."""
        wanted = {layer.digest for layer in layers}
        here = self.reference.domain
        for kind in (records.TAG, records.PINNED):
            for name, image in self.store.names(kind).items():
                reference = Reference.parse(name)
                if reference.domain != here or reference.path == self.reference.path:
                    continue
                for digest in wanted.intersection(self.store.references(image)[0]):
                    self._mountable.setdefault(digest, reference.path)

    # -- progress -------------------------------------------------------------------------------

    def _counter(self, blob: Descriptor) -> Callable[[int], object]:
        return lambda sent: self._tell("upload", str(blob.digest), sent, blob.size)

    def _tell(
        self,
        action: Action,
        id: str,
        done: int = 0,
        total: int | None = None,
        name: str = "",
        message: str = "",
    ) -> None:
        event = Progress(id=id, action=action, name=name, done_bytes=done, total_bytes=total, message=message)
        self.report(event)


def _with(raw: bytes, member: str, descriptors: Sequence[Descriptor]) -> bytes:
    """The document *raw* with other *descriptors* in one member, and all else as it was."""
    document = json.loads(raw)
    document[member] = [one.to_json() for one in descriptors]
    return encode(document)
