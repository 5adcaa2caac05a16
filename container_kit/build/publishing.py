"""From the state of a target to an image in the store: configuration, manifest, names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from container_kit.build.cache_export import inline_annotation
from container_kit.build.squashing import squashed
from container_kit.images import Image, records
from container_kit.images.assemble import in_oci_words
from container_kit.oci import Descriptor, Digest, ImageConfig, Manifest, Platform
from container_kit.oci.media_types import OCI_CONFIG

if TYPE_CHECKING:
    from collections.abc import Mapping

    from container_kit.build.session import Session
    from container_kit.build.state import State

__all__ = ["publish"]


def publish(session: Session, states: Mapping[Platform, State]) -> tuple[list[Image], Image]:
    """The image of each state, and the one that gets the names: that of this host, or the first."""
    images = {platform: _image(session, state) for platform, state in states.items()}
    host = Platform.host()
    chosen = next((image for platform, image in images.items() if host.runs(platform)), None)
    image = chosen or next(iter(images.values()))
    for tag in session.options.tags:
        if session.store.resolve_name(records.TAG, str(tag)) != image.digest:
            records.tag(session.store, image.digest, tag)
    return list(images.values()), image


def _image(session: Session, state: State) -> Image:
    options, store = session.options, session.store
    if options.squash:
        state = squashed(session, state)
    if options.labels:
        labels = {**state.config.labels, **options.labels}
        state = attrs.evolve(state, config=attrs.evolve(state.config, labels=labels))
    document = ImageConfig.build(
        state.diff_ids, state.config, state.platform, state.history, state.created, state.author
    )
    layers = [in_oci_words(layer.descriptor) for layer in state.layers]
    annotations = {**options.annotations, **inline_annotation(session, state)}
    manifest = Manifest.build(Descriptor.of(document.raw, OCI_CONFIG), layers, annotations)
    with store.lease():
        return records.handle(store, _published(session, manifest, document))


def _published(session: Session, manifest: Manifest, document: ImageConfig) -> Digest:
    """The image, written only if it is not there: a build that was cached entirely changes nothing."""
    digest = manifest.digest
    if session.store.resolve_name(records.IMAGE, str(digest)) == digest:
        return digest
    return records.publish(session.store, manifest, document)
