"""``cache_from``: steps that others have done, from a layout directory, a registry, an image of the store.

What is fetched is checked against its digests before it is used; no image gets a name.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

import attrs

from container_kit.build.cache import Layer
from container_kit.build.cache_document import ANNOTATION, CachedStep, read_steps
from container_kit.build.words import Words
from container_kit.errors import ContainerKitError, InvalidInput, NotFound
from container_kit.images import records
from container_kit.images.archive import ArchivedLayer, read_images
from container_kit.images.downloads import Download, Places
from container_kit.images.layers import plain_descriptor, store_layers
from container_kit.images.sources import open_archive
from container_kit.oci import Digest, ImageConfig, Manifest
from container_kit.oci.manifest import parse_manifest
from container_kit.oci.progress import Progress
from container_kit.registry.client import RegistryOptions
from container_kit.registry.client.location import Location
from container_kit.registry.client.repository import Repository
from container_kit.registry.client.session import Session as Client

if TYPE_CHECKING:
    from container_kit.store import Lease, Store

__all__ = ["Imports"]

_Report = Callable[[Progress], object]


@attrs.frozen
class _Source:
    """One cache: its steps by key, and where its layers can be had."""

    steps: dict[Digest, CachedStep]
    layers: tuple[ArchivedLayer, ...]


class Imports:
    """The caches that one build imports from; a context manager, used by many threads.

    What cannot be read is told as a warning: a build without a cache is slower, and the same.
    """

    def __init__(self, store: Store, specifications: tuple[str, ...], report: _Report) -> None:
        self._store, self._report = store, report
        self._words = [Words.parse(text, "cache_from", plain="registry") for text in specifications]
        self._stack = ExitStack()
        self._sources: list[_Source] | None = None
        self._mutex = threading.Lock()

    def __enter__(self) -> Imports:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def find(self, key: Digest, lease: Lease) -> tuple[Layer | None] | None:
        """The layer of the step *key*, in the store now and kept by *lease*; None when nobody has it."""
        if not self._words:
            return None
        for source in self._opened():
            step = source.steps.get(key)
            if step is not None:
                try:
                    return (self._fetched(source, step, lease),)
                except ContainerKitError as error:
                    self._warn(str(error))
        return None

    def _opened(self) -> list[_Source]:
        with self._mutex:
            if self._sources is None:
                self._sources = [source for words in self._words for source in self._open(words)]
            return self._sources

    def _open(self, words: Words) -> list[_Source]:
        try:
            if words.type == "local":
                return self._open_layout(words.path("src"))
            if words.type == "registry":
                return self._open_image(words.required("ref"))
        except ContainerKitError as error:
            self._warn(f"cannot import the cache of {words}: {error}")
            return []
        raise InvalidInput(f"cache_from type={words.type} is not known: use local or registry")

    def _open_layout(self, path: str) -> list[_Source]:
        if not os.path.isdir(path):
            raise NotFound("cache directory", path)
        files = self._stack.enter_context(open_archive(self._store, path))
        return [
            _Source(_steps(image.manifest), image.layers) for image in read_images(files) if image.manifest
        ]

    def _open_image(self, name: str) -> list[_Source]:
        """An image of the store, else of its registry."""
        try:
            digest = records.resolve(self._store, name)
        except NotFound:
            return [self._open_registry(name)]
        manifest, config = records.read(self._store, digest)
        return [_Source(_steps(manifest), _stored(manifest, config))]

    def _open_registry(self, name: str) -> _Source:
        client = Client(RegistryOptions())
        self._stack.callback(client.close)
        reference = client.configuration.names(name)[0]
        client.give_credentials_to(reference.domain)
        place = client.configuration.places(reference, mirrors=False)[-1]
        origin = client.origin_of(place.reference.domain, place.insecure)
        repository = Repository(client, Location(origin, place.reference.domain, place.reference.path))
        received = repository.manifest(reference.digest or reference.tag or "latest")
        manifest = parse_manifest(received.raw, received.media_type)
        if not isinstance(manifest, Manifest):
            raise InvalidInput(f"{name} is an index of several images: name one of them")
        config = ImageConfig.parse(repository.read_blob(manifest.config))
        places = Places(client, [repository])
        layers = tuple(
            ArchivedLayer(diff_id, Download(places, descriptor, self._report), descriptor)
            for diff_id, descriptor in zip(config.diff_ids, manifest.layers, strict=True)
        )
        return _Source(_steps(manifest), layers)

    def _fetched(self, source: _Source, step: CachedStep, lease: Lease) -> Layer | None:
        if step.layer is None:
            return None
        wanted = source.layers[step.layer]
        # Each kind of bytes is compared with its digest here, before anything of it is published.
        store_layers(self._store, lease, [wanted])
        # As if it had been made here: the image is the same, however the cache was compressed.
        return Layer(wanted.diff_id, plain_descriptor(self._store, wanted.diff_id))

    def _warn(self, message: str) -> None:
        self._report(Progress(id="cache", action="warning", name="cache", message=message))


def _steps(manifest: Manifest) -> dict[Digest, CachedStep]:
    text = manifest.annotations.get(ANNOTATION)
    if text is None:
        raise NotFound("build cache", str(manifest.digest), "the image was exported without one")
    return {step.key: step for step in read_steps(text, len(manifest.layers))}


def _stored(manifest: Manifest, config: ImageConfig) -> tuple[ArchivedLayer, ...]:
    from container_kit.images.sources import Range

    # They are in the store: their content is never read.
    nothing = Range(-1, 0, 0)
    pairs = zip(config.diff_ids, manifest.layers, strict=True)
    return tuple(ArchivedLayer(diff_id, nothing, descriptor) for diff_id, descriptor in pairs)
