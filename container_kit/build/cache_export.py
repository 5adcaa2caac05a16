"""``cache_to``: the steps of a build for others, to a layout directory, a repository, or within the image."""

from __future__ import annotations

import os
import secrets
import shutil
from typing import TYPE_CHECKING

from container_kit.build.cache import Layer
from container_kit.build.cache_document import ANNOTATION, write_steps
from container_kit.build.words import Words
from container_kit.errors import InvalidInput
from container_kit.images import Image, save_images
from container_kit.oci import ContainerConfig, Descriptor, Digest, ImageConfig, Manifest
from container_kit.oci.media_types import OCI_CONFIG

if TYPE_CHECKING:
    from container_kit.build.session import Session
    from container_kit.build.state import State

__all__ = ["check_targets", "export_cache", "inline_annotation"]

_MOST_LAYERS = 500  # of one manifest
_TYPES = ("local", "registry", "inline")


def check_targets(specifications: tuple[str, ...]) -> tuple[Words, ...]:
    """Where the cache is to go.

    Raises:
        InvalidInput: A type or mode is not known, or a value is missing.
    """
    targets = tuple(Words.parse(text, "cache_to", plain="registry") for text in specifications)
    for target in targets:
        if target.type not in _TYPES:
            raise InvalidInput(f"cache_to type={target.type} is not known: use {', '.join(_TYPES)}")
        if target.values.get("mode", "min") not in ("min", "max"):
            raise InvalidInput(f"cache_to mode={target.values['mode']} is not known: use min or max")
        if target.type != "inline":
            target.required("dest" if target.type == "local" else "ref")
    return targets


def inline_annotation(session: Session, state: State) -> dict[str, str]:
    """The annotation of an image that carries the cache of its own layers, if that is asked for."""
    asked = any(target.type == "inline" for target in check_targets(session.options.cache_to))
    if not asked and session.options.build_args.get("BUILDKIT_INLINE_CACHE") != "1":
        return {}
    return {ANNOTATION: write_steps(session.steps, state.diff_ids)}


def export_cache(session: Session, state: State) -> None:
    """Write the cache to every target but the image itself."""
    for target in check_targets(session.options.cache_to):
        if target.type == "inline":
            continue
        image = _cache_image(session, state, target.values.get("mode", "min"))
        if target.type == "local":
            _replace_directory(image, target.path("dest"))
        else:
            image.push(target.required("ref"), progress=session.report)


def _cache_image(session: Session, state: State, mode: str) -> Image:
    """An image of the layers of the cache; nothing in the store names it."""
    chosen: dict[Digest, Layer] = {layer.diff_id: layer for layer in state.layers}
    if mode == "max":
        made = (layer for _, layer, _ in session.steps if layer is not None)
        chosen |= {layer.diff_id: layer for layer in made}
    layers = list(chosen.values())[-_MOST_LAYERS:]
    diff_ids = [layer.diff_id for layer in layers]
    document = ImageConfig.build(diff_ids, ContainerConfig(), state.platform)
    manifest = Manifest.build(
        Descriptor.of(document.raw, OCI_CONFIG),
        [layer.descriptor for layer in layers],
        {ANNOTATION: write_steps(session.steps, diff_ids)},
    )
    session.keep_document(document.raw, trees=diff_ids)
    blobs = [document.digest, *(layer.descriptor.digest for layer in layers)]
    session.keep_document(manifest.raw, references=blobs)
    return Image(manifest.digest, session.store, manifest, document)


def _replace_directory(image: Image, path: str) -> None:
    """A layout that is there whole, the old one or the new."""
    path = path.rstrip("/")
    _require_replaceable(path)
    draft, old = (f"{path}.{secrets.token_hex(4)}.{word}" for word in ("new", "old"))
    try:
        save_images([image], draft, "oci-dir")
        if os.path.isdir(path):
            os.rename(path, old)
        os.rename(draft, path)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise  # an old one that was moved aside stays: it is the only one
    shutil.rmtree(old, ignore_errors=True)


def _require_replaceable(path: str) -> None:
    if not os.path.lexists(path):
        return
    if not os.path.isdir(path):
        raise InvalidInput(f"cannot write the cache to {path!r}: it is no directory; name another one")
    if os.listdir(path) and not os.path.exists(f"{path}/oci-layout"):
        raise InvalidInput(f"cannot write the cache to {path!r}: it has other files; name another one")
