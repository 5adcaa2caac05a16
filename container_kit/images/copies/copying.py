"""``copy``: an image from one place to another, by their names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Literal

import attrs

from container_kit.errors import InvalidInput
from container_kit.images import records
from container_kit.images.copies.copier import copy_image
from container_kit.images.copies.docker_archives import DockerArchiveSource, DockerArchiveTarget, docker_name
from container_kit.images.copies.layouts import ArchiveTarget, LayoutSource, directory_target
from container_kit.images.copies.names import PlaceName
from container_kit.images.copies.place import Source, Target
from container_kit.images.copies.registries import RegistrySource, RegistryTarget
from container_kit.images.copies.stored import StoreSource, StoreTarget
from container_kit.images.downloads import Places
from container_kit.images.save import opened_archive
from container_kit.images.sources import open_archive
from container_kit.images.tarwriter import TarWriter
from container_kit.oci import Digest, Platform, Reference
from container_kit.oci.progress import Progress, ProgressCallback, Reporter
from container_kit.registry.client.location import Location
from container_kit.registry.client.opening import repositories_of
from container_kit.registry.client.session import Session

if TYPE_CHECKING:
    from container_kit.images.image import Image
    from container_kit.images.words import Copied
    from container_kit.registry.client import RegistryOptions
    from container_kit.store import Store

__all__ = ["Copying", "allowing", "copy", "how_to_copy", "opened_source", "opened_target"]


@attrs.frozen
class Copying:
    """How a copy is made, whatever it is between; see `container_kit.images.image.Image.copy`."""

    store: Store
    target_options: RegistryOptions
    source_options: RegistryOptions
    platform: Platform | Literal["all"] | None = None
    referrers: bool = False
    progress: ProgressCallback | None = None


def copy(source: str | Image, target: str, how: Copying) -> Copied:
    """See `container_kit.images.image.Image.copy`."""
    from container_kit.images.words import Copied

    to = PlaceName.parse(target)
    report = Reporter(how.progress)
    with opened_source(source, how, report) as (origin, name), opened_target(to, name, origin, how) as place:
        document = copy_image(
            origin,
            place,
            how.platform if isinstance(how.platform, Platform) else None,
            whole=how.platform == "all",
            referrers=how.referrers,
            allow=allowing(origin),
            report=report,
        )
    report(Progress(id=str(document.digest), action="done", name=str(to)))
    return Copied(str(to), document.digest, document.media_type, len(document.raw))


def allowing(origin: Source) -> Callable[[tuple[Digest, ...]], object]:
    """What refuses images that this host's signature policy does not let out of registries."""
    return origin.check_policy if isinstance(origin, RegistrySource) else lambda _: None


@contextmanager
def opened_source(
    source: str | Image, how: Copying, report: Callable[[Progress], object]
) -> Iterator[tuple[Source, str]]:
    """Where it comes from, and the whole name that it has there, if it has one."""
    if not isinstance(source, str):
        with source.store.lease(source.digest):
            yield StoreSource(source.store, source.digest, None, False), ""
        return
    name = PlaceName.parse(source)
    match name.transport:
        case "docker":
            with _session(how.source_options, name.name) as (session, reference):
                places = Places(session, repositories_of(session, reference))
                yield RegistrySource(places, reference, report), name.name
        case "store":
            with _stored(name.name, how) as stored:
                yield stored, name.name
        case "oci" | "oci-archive":
            with open_archive(how.store, name.path) as files:
                yield LayoutSource(files, name.name), ""  # a layout's name is often a tag alone
        case "docker-archive":
            with open_archive(how.store, name.path) as files:
                yield DockerArchiveSource(files, name.name), name.name


@contextmanager
def _stored(name: str, how: Copying) -> Iterator[Source]:
    digest = records.resolve(how.store, name)
    whole = how.platform == "all"
    reference = Reference.parse(name) if whole and records.is_name(how.store, digest, name) else None
    index = records.index_of(how.store, reference) if reference else None
    with how.store.lease(index.digest if index else digest):
        yield StoreSource(how.store, digest, reference, whole)


@contextmanager
def _session(options: RegistryOptions, text: str) -> Iterator[tuple[Session, Reference]]:
    session = Session(options)
    try:
        reference = session.configuration.names(text)[0]
        session.give_credentials_to(reference.domain)
        yield session, reference
    finally:
        session.close()


@contextmanager
def opened_target(to: PlaceName, source_name: str, origin: Source | None, how: Copying) -> Iterator[Target]:
    """Where it goes to; complete when the block ends well."""
    match to.transport:
        case "docker":
            with _session(how.target_options, to.name) as (session, reference):
                [repository] = repositories_of(session, reference, "pull,push", mirrors=False)
                yield RegistryTarget(repository, reference, _mountable(origin, repository.location))
        case "store":
            reference_text = to.name or source_name
            name = _tag(reference_text) if reference_text else None
            foreign = how.source_options.foreign_layers
            with how.store.lease() as lease:
                yield StoreTarget(how.store, lease, name, foreign)
        case "oci":
            with directory_target(to.path, to.name) as layout:
                yield layout
        case "oci-archive" | "docker-archive":
            yield from _archive(to)


def _archive(to: PlaceName) -> Iterator[Target]:
    is_docker = to.transport == "docker-archive"
    with ExitStack() as stack:
        tar = stack.enter_context(TarWriter(stack.enter_context(opened_archive(to.path))))
        layout = ArchiveTarget(tar, docker_name(to.name) if is_docker else to.name)
        place = DockerArchiveTarget(layout) if is_docker else layout
        yield place
        place.finish()


def _tag(text: str) -> Reference | None:
    """The name that an image gets in the store; a digest gives none."""
    reference = Reference.parse(text)
    if reference.digest is not None and reference.tag is None:
        return None
    if reference.tag is None:
        raise InvalidInput(f"{text!r} is no name with a tag")
    return reference.with_tag(reference.tag)


def _mountable(origin: Source | None, target: Location) -> str:
    """The source's repository, if it is another one of the same registry."""
    if not isinstance(origin, RegistrySource):
        return ""
    location = origin.repository.location
    return location.path if location.origin == target.origin and location.path != target.path else ""


def _registry_of(place: str | Image) -> str:
    """The registry of a place that is in one."""
    name = PlaceName.parse(place) if isinstance(place, str) else None
    return Reference.parse(name.name).domain if name and name.transport == "docker" else ""


def how_to_copy(
    store: Store,
    source: str | Image,
    target: str,
    options: RegistryOptions | None,
    source_options: RegistryOptions | None,
    platform: Platform | str | None,
    *,
    referrers: bool,
    progress: ProgressCallback | None,
) -> Copying:
    """The arguments of `Image.copy` as one value; the credentials of *options* go to one registry only."""
    from container_kit.registry.client import RegistryOptions

    options = options or RegistryOptions()
    if source_options is None:
        is_elsewhere = _registry_of(target) not in ("", _registry_of(source))
        source_options = attrs.evolve(options, credentials=None) if is_elsewhere else options
    wanted = Platform.parse(platform) if isinstance(platform, str) and platform != "all" else platform
    return Copying(store, options, source_options, wanted, referrers, progress)  # type: ignore[arg-type]
