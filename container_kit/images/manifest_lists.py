"""Manifest lists: names that stand for one image on each platform, put together of images that exist.

A list is a draft in the store until it is pushed.  It remembers where each image is; pushing copies what
the registry lacks, and then makes the index.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import attrs

from container_kit.errors import Conflict, InvalidInput, NameInUse, NotFound, with_typed_errors
from container_kit.images.copies.copier import copy_image
from container_kit.images.copies.copying import Copying, allowing, how_to_copy, opened_source, opened_target
from container_kit.images.copies.names import PlaceName
from container_kit.images.copies.place import Source, Transfer, is_image, read_config
from container_kit.images.words import Copied
from container_kit.oci import Descriptor, Index, Manifest, Platform, Reference
from container_kit.oci.json_document import Fields, encode, load_object
from container_kit.oci.media_types import DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX
from container_kit.oci.progress import ProgressCallback, Reporter
from container_kit.store import Store

if TYPE_CHECKING:
    from container_kit.images.words import HasStore
    from container_kit.registry.client import RegistryOptions

__all__ = ["ListedImage", "ManifestList"]

_KIND: Final = "manifest-list"
_MAX_IMAGES: Final = 1000


@attrs.frozen
class ListedImage:
    """One image of a list.

    Args:
        place: Where it is, as `Image.copy` writes places.
        descriptor: Its manifest, and the platform that it is for.
    """

    place: str
    descriptor: Descriptor

    def is_called(self, text: str) -> bool:
        """Whether *text* means this image: its place as it was given, another spelling, or its digest."""
        return text in (self.place, str(self.descriptor.digest)) or _same(text, self.place)


def _same(one: str, other: str) -> bool:
    names = PlaceName.parse(one), PlaceName.parse(other)
    if {name.transport for name in names} != {"docker"}:
        return names[0] == names[1]
    return Reference.parse(names[0].name) == Reference.parse(names[1].name)


@with_typed_errors
@attrs.frozen
class ManifestList:
    """A list of images under one name, as ``docker manifest`` makes it; each change gives a new value.

    Attributes:
        reference: The name that it will have in its registry.
        images: What is in it.
    """

    store: Store
    reference: Reference
    images: tuple[ListedImage, ...] = ()

    # -- where lists come from ----------------------------------------------------------------

    @classmethod
    def create(cls, name: str, *, amend: bool = False, engine: HasStore | None = None) -> ManifestList:
        """An empty list called *name*; with *amend* the one that there is already, if there is one.

        Raises:
            NameInUse: There is a list of this name.
        """
        try:
            found = cls.get(name, engine=engine)
        except NotFound:
            return cls(_store(engine), _reference(name))._saved()
        if not amend:
            raise NameInUse("manifest list", name)
        return found

    @classmethod
    def get(cls, name: str, *, engine: HasStore | None = None) -> ManifestList:
        """The list called *name* that is kept here.

        Raises:
            NotFound: There is none.
        """
        store, reference = _store(engine), _reference(name)
        digest = store.resolve_name(_KIND, str(reference))
        if digest is None:
            raise NotFound("manifest list", name, "create it first")
        fields = Fields(load_object(store.read_blob(digest), "list"), "list", ("images",))
        return cls(store, reference, fields.items("images", _listed, _MAX_IMAGES))

    # -- what can be done with one --------------------------------------------------------------

    def add(self, place: str, *, options: RegistryOptions | None = None) -> ManifestList:
        """With the image at *place* (a name in a registry, ``store:NAME``), instead of an earlier one of it.

        Raises:
            InvalidInput: It is an index already, of several images.
            NotFound, AccessDenied, Unreachable: As for `Image.pull`.
        """
        with self._source(place, options) as source:
            document = source.top()
            if not isinstance(document, Manifest):
                raise InvalidInput(f"{place} is an index of several images: name one of them by its digest")
            transfer = Transfer(Reporter(None), source.cancel)
            platform = read_config(source, document, transfer).platform if is_image(document) else None
        listed = ListedImage(place, document.descriptor(platform))
        kept = [one for one in self.images if not one.is_called(place)]
        return attrs.evolve(self, images=(*kept, listed))._saved()

    def annotate(
        self,
        image: str,
        *,
        os: str | None = None,
        architecture: str | None = None,
        variant: str | None = None,
        os_version: str | None = None,
        os_features: Iterable[str] | None = None,
    ) -> ManifestList:
        """With another platform for *image*, which is a place or digest of the list; None keeps what it has.

        Raises:
            NotFound: The list has no such image.
        """
        given = {"os": os, "architecture": architecture, "variant": variant, "os_version": os_version}
        changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        if os_features is not None:
            changes["os_features"] = tuple(os_features)
        if not any(one.is_called(image) for one in self.images):
            has = ", ".join(one.place for one in self.images) or "none"
            raise NotFound("image in the manifest list", image, f"it has {has}")
        images = tuple(_annotated(one, changes) if one.is_called(image) else one for one in self.images)
        return attrs.evolve(self, images=images)._saved()

    @property
    def index(self) -> Index:
        """What a push will make of it: docker's kind of list when all images are of docker's kind."""
        is_docker = self.images and all(one.descriptor.media_type == DOCKER_MANIFEST for one in self.images)
        return Index.build(
            [one.descriptor for one in self.images], media_type=DOCKER_INDEX if is_docker else OCI_INDEX
        )

    def push(
        self,
        *,
        purge: bool = False,
        progress: ProgressCallback | None = None,
        options: RegistryOptions | None = None,
    ) -> Copied:
        """Send the images that the registry lacks, then the index; with *purge* forget the list afterwards.

        Raises:
            InvalidInput: The list is empty.
            Conflict: An image means another manifest by now than when it was added.
        """
        if not self.images:
            raise InvalidInput(f"the manifest list {self.reference.familiar} has no images: add some")
        to = PlaceName("docker", str(self.reference))
        index, report = self.index, Reporter(progress)
        for image in self.images:
            how = self._how(image.place, options, progress)
            with (
                opened_source(image.place, how, report) as (source, name),
                opened_target(to, name, source, how) as target,
            ):
                if source.top().digest != image.descriptor.digest:
                    raise Conflict(f"{image.place} has changed since it was added: add it again")
                copy_image(
                    source,
                    target,
                    None,
                    whole=False,
                    referrers=False,
                    report=report,
                    allow=allowing(source),
                    role="part",
                )
        with opened_target(to, "", None, self._how(str(to), options, progress)) as target:
            target.put(index, "top")
        if purge:
            self.remove()
        return Copied(str(to), index.digest, index.media_type, len(index.raw))

    def remove(self) -> None:
        """Forget the list; what was pushed stays where it is."""
        self.store.remove_name(_KIND, str(self.reference))

    # -- parts ------------------------------------------------------------------------------------

    @contextmanager
    def _source(self, place: str, options: RegistryOptions | None) -> Iterator[Source]:
        with opened_source(place, self._how(place, options, None), Reporter(None)) as (source, _):
            yield source

    def _how(self, place: str, options: RegistryOptions | None, progress: ProgressCallback | None) -> Copying:
        to = f"docker://{self.reference}"
        return how_to_copy(self.store, place, to, options, None, None, referrers=False, progress=progress)

    def _saved(self) -> ManifestList:
        images = [{"place": one.place, "descriptor": one.descriptor.to_json()} for one in self.images]
        with self.store.lease():
            digest = self.store.put_blob(encode({"images": images}))
            self.store.set_name(_KIND, str(self.reference), digest)
        return self


def _reference(name: str) -> Reference:
    reference = Reference.parse(name)
    if reference.tag is None or reference.digest is not None:
        raise InvalidInput(f"{name!r} cannot be the name of a manifest list: give a name and a tag")
    return reference


def _listed(value: Any, where: str) -> ListedImage:
    fields = Fields(value, where, ("place", "descriptor"))
    descriptor = Descriptor.from_json(fields.raw("descriptor"), fields.where("descriptor"))
    return ListedImage(fields.required_text("place"), descriptor)


def _annotated(image: ListedImage, changes: dict[str, Any]) -> ListedImage:
    platform = attrs.evolve(image.descriptor.platform or Platform.host(), **changes)
    return attrs.evolve(image, descriptor=attrs.evolve(image.descriptor, platform=platform))


def _store(engine: HasStore | None) -> Store:
    return engine.store if engine is not None else Store.shared()
