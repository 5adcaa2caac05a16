"""Images in the store: how they are found, read, named and published.

An image is the manifest that the name ``image/<manifest digest>`` holds; a tag is one more name for it.
Both are names of the store, so the collector keeps what they reach.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from container_kit.errors import CorruptData, InvalidInput, NotFound
from container_kit.oci import Descriptor, Digest, ImageConfig, Index, Manifest, Reference
from container_kit.oci.media_types import layer_compression
from container_kit.store import Store

if TYPE_CHECKING:
    from container_kit.images.image import Image

__all__ = [
    "IMAGE",
    "INDEX",
    "PINNED",
    "REFERRER",
    "TAG",
    "all_images",
    "each_image",
    "find",
    "forget_index",
    "handle",
    "index_of",
    "is_name",
    "layer_size",
    "names_of",
    "pinned_names",
    "publish",
    "put_documents",
    "read",
    "references_of",
    "require_same_layers",
    "resolve",
    "tag",
    "unnamed_twins",
]

IMAGE = "image"
TAG = "tag"
PINNED = "pinned"  # repository@digest, as a registry calls it: the digest may be an index's
INDEX = "index"  # the index, with all its images, that a tag came with
REFERRER = "referrer"  # subject@digest: a manifest that refers to another one
_MAX_PARSED = 256
_parsed: dict[tuple[str, Digest], tuple[Manifest, ImageConfig]] = {}
_is_id_prefix = re.compile("(?:sha256:)?[0-9a-f]{1,64}").fullmatch


def resolve(store: Store, text: str, *, least_digits: int = 1) -> Digest:
    """The manifest that *text* names: a reference, ``name@digest``, digest, id, or unique prefix of an id.

    Args:
        least_digits: What is shorter is no prefix of an id.

    Raises:
        NotFound: Nothing has this name.
        InvalidInput: It is a prefix of several ids, or written as no name can be.
    """
    found = _by_name(store, text)
    digits = text.removeprefix("sha256:")
    if found is None and _is_id_prefix(text) and len(digits) >= least_digits:
        found = _by_id(store, digits) or _still_held(store, text)
    if found is None:
        raise NotFound(
            "image", text, "load, import, build or pull it first; `container-kit images` lists them"
        )
    return found


def _by_name(store: Store, text: str) -> Digest | None:
    try:
        return find(store, Reference.parse(text))
    except InvalidInput:
        if _is_id_prefix(text):
            return None
        raise


def find(store: Store, reference: Reference) -> Digest | None:
    """The image of this name: by its tag, or by its digest (or that of the index it was pulled from)."""
    if reference.digest is None:
        return store.resolve_name(TAG, str(reference))
    pinned = f"{reference.repository}@{reference.digest}"
    return store.resolve_name(IMAGE, str(reference.digest)) or store.resolve_name(PINNED, pinned)


def _by_id(store: Store, prefix: str) -> Digest | None:
    """An image by the start of its config's or its manifest's digest.

    Several manifests may share one config (the same image, compressed in two ways): that is one id.
    """
    named = set(store.names(TAG).values())
    matches: dict[Digest, Digest] = {}
    for digest, manifest, _ in each_image(store):
        image_id = manifest.config.digest
        fits = image_id.hex.startswith(prefix) or digest.hex.startswith(prefix)
        if fits and (image_id not in matches or digest in named):  # of several, one with a name
            matches[image_id] = digest
    if len(matches) > 1:
        raise InvalidInput(f"{prefix!r} is the start of {len(matches)} image ids: give more digits")
    return next(iter(matches.values()), None)


def _still_held(store: Store, text: str) -> Digest | None:
    """A manifest by its whole digest that was removed by force, while a container goes on using it."""
    if len(text) != len("sha256:") + 64:
        return None
    digest = Digest.parse(text)
    try:
        if store.has_blob(digest):
            read(store, digest)
            return digest
    except (InvalidInput, NotFound):
        return None  # some other document, or one whose layers are gone
    return None


def all_images(store: Store) -> list[Digest]:
    """The manifests of all images, those without a tag too.

    A tag counts by itself: it may be given while another process removes the image's record.
    """
    return list(dict.fromkeys([*store.names(IMAGE).values(), *store.names(TAG).values()]))


def each_image(store: Store) -> Iterator[tuple[Digest, Manifest, ImageConfig]]:
    """All images with their documents; one that another process removes meanwhile is left out."""
    for digest in all_images(store):
        try:
            yield digest, *read(store, digest)
        except NotFound:
            continue


def read(store: Store, digest: Digest) -> tuple[Manifest, ImageConfig]:
    """The documents of image *digest*; they never change, so each is parsed once a process.

    Raises:
        CorruptData: The bytes in the store are not what the digest promises.
    """
    key = (store.root, digest)
    documents = _parsed.get(key)
    if documents is None:
        manifest = Manifest.parse(store.read_blob(digest))
        documents = manifest, ImageConfig.parse(store.read_blob(manifest.config.digest))
        if len(_parsed) >= _MAX_PARSED:
            _parsed.clear()
        _parsed[key] = documents
    return documents


def handle(store: Store, digest: Digest) -> Image:
    """The image *digest* as an object."""
    from container_kit.images.image import Image

    return Image(digest, store, *read(store, digest))


def references_of(store: Store, digest: Digest) -> list[Reference]:
    """The tags of image *digest*, in alphabetical order."""
    return sorted(
        (Reference.parse(name) for name, target in store.names(TAG).items() if target == digest), key=str
    )


def pinned_names(store: Store, digest: Digest) -> list[str]:
    """What registries call image *digest*: ``repository@digest``, short, as docker shows them."""
    pinned = [name for name, target in store.names(PINNED).items() if target == digest]
    return [Reference.parse(name).familiar for name in sorted(pinned)]


def unnamed_twins(store: Store, image_id: Digest) -> list[Digest]:
    """Manifests without a tag whose config is *image_id*: the same image, compressed in other ways."""
    named = set(store.names(TAG).values())
    return [
        digest
        for digest, manifest, _ in each_image(store)
        if digest not in named and manifest.config.digest == image_id
    ]


def names_of(store: Store, digest: Digest) -> list[str]:
    """The tags of image *digest*, short, as docker shows them."""
    return [reference.familiar for reference in references_of(store, digest)]


def is_name(store: Store, digest: Digest, text: str) -> bool:
    """Whether *text* is a tag of image *digest*, written in any way."""
    try:
        return Reference.parse(text) in references_of(store, digest)
    except InvalidInput:
        return False


def tag(store: Store, digest: Digest, name: str | Reference) -> Reference:
    """Name image *digest*; the name is taken from the image that had it.

    Raises:
        InvalidInput: *name* is no valid name, or names a digest.
    """
    reference = Reference.parse(name) if isinstance(name, str) else name
    if reference.digest is not None or reference.tag is None:
        raise InvalidInput(f"{name!s} cannot be given to an image: a tag is name:tag, without a digest")
    store.set_name(TAG, str(reference), digest)
    if store.resolve_name(INDEX, str(reference)) is not None:
        forget_index(store, str(reference))  # it came with what the name meant before
    return reference


def index_of(store: Store, reference: Reference) -> Index | None:
    """The index that came with the tag *reference*, unless the tag means another image by now."""
    digest, image = store.resolve_name(INDEX, str(reference)), store.resolve_name(TAG, str(reference))
    if digest is None or image is None:
        return None
    index = Index.parse(store.read_blob(digest))
    return index if any(one.digest == image for one in index.manifests) else None


def forget_index(store: Store, name: str) -> None:
    """Keep no index for *name* any longer, if there is one."""
    with suppress(NotFound):
        store.remove_name(INDEX, name)


def layer_size(store: Store, diff_id: Digest) -> int:
    """Bytes of the files of one layer, as measured when it was unpacked."""
    return store.tree_usage(diff_id)[0]


def publish(
    store: Store,
    manifest: Manifest,
    config: ImageConfig,
    names: Iterable[Reference] = (),
) -> Digest:
    """Make an image visible, now that its layers are published: documents first, names last.

    Raises:
        CorruptData: The config's layers are not those of the manifest.
    """
    put_documents(store, manifest, config)
    store.set_name(IMAGE, str(manifest.digest), manifest.digest)
    for reference in names:
        tag(store, manifest.digest, reference)
    return manifest.digest


def put_documents(store: Store, manifest: Manifest, config: ImageConfig) -> None:
    """Store the documents of an image whose layers are here, without a name; call it within a lease.

    Raises:
        CorruptData: The config's layers are not those of the manifest.
    """
    require_same_layers(manifest, config)
    store.put_blob(config.raw, references=config.diff_ids, trees=config.diff_ids)
    store.put_blob(manifest.raw, references=[config.digest, *(layer.digest for layer in manifest.layers)])


def require_same_layers(manifest: Manifest, config: ImageConfig) -> None:
    """Raise CorruptData unless the layers of both are the same, as far as digests tell."""
    if len(manifest.layers) != len(config.diff_ids):
        raise CorruptData(
            f"the image's config names {len(config.diff_ids)} layers, its manifest {len(manifest.layers)}"
        )
    pairs: Sequence[tuple[Descriptor, Digest]] = list(zip(manifest.layers, config.diff_ids, strict=True))
    for layer, diff_id in pairs:
        if layer_compression(layer.media_type) == "none" and layer.digest != diff_id:
            raise CorruptData(f"the image's plain layer {layer.digest} is called {diff_id} by its config")
