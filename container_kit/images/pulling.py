"""``pull``: an image from a registry into the store.

Order of publishing as in `load`: layers, then config and manifest, then names.  A process that dies on the
way leaves no image; the layers that were finished, and what had come of the others, are used by the next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import attrs

from container_kit.errors import CorruptData, InvalidInput, NotFound, UnsupportedFeature
from container_kit.images import records
from container_kit.images.archive import ArchivedLayer
from container_kit.images.downloads import PASSED_OVER, Download, Places
from container_kit.images.layers import is_stored, store_layers
from container_kit.oci import Descriptor, Digest, ImageConfig, Index, Manifest, Platform, Reference
from container_kit.oci.manifest import parse_manifest
from container_kit.oci.media_types import (
    DOCKER_CONFIG,
    OCI_CONFIG,
    is_foreign_layer,
    layer_compression,
)
from container_kit.oci.progress import Progress, ProgressCallback, Reporter
from container_kit.registry.client.configuration import Configuration
from container_kit.registry.client.opening import repositories_of
from container_kit.registry.client.repository import Repository
from container_kit.registry.client.session import Session
from container_kit.registry.signatures.checking import check_policy

if TYPE_CHECKING:
    from container_kit.images.image import Image
    from container_kit.images.words import PullPolicy
    from container_kit.registry.client import RegistryOptions
    from container_kit.store import Lease, Store

__all__ = ["pull"]

_MAX_INDEX_DEPTH: Final = 3
_MAX_CONFIG: Final = 4 << 20


def pull(
    store: Store,
    text: str,
    platform: Platform | str | None,
    policy: PullPolicy,
    progress: ProgressCallback | None,
    options: RegistryOptions,
) -> Image:
    """See `container_kit.images.image.Image.pull`."""
    if policy not in ("always", "missing", "never"):
        raise InvalidInput(f"pull policy {policy!r} is none of always, missing, never")
    wanted = Platform.parse(platform) if isinstance(platform, str) else platform
    configuration = Configuration.read()
    names = configuration.names(text)
    if policy != "always":
        found = next(filter(None, (_local(store, name, wanted) for name in names)), None)
        if found is not None:
            return records.handle(store, found)
        if policy == "never":
            raise NotFound("image", text, "it is not in the store, and the pull policy is 'never'")
    session = Session(options, configuration)
    session.give_credentials_to(names[0].domain)
    try:
        return _pull_first(store, session, names, wanted, Reporter(progress))
    finally:
        session.close()


def _local(store: Store, name: Reference, platform: Platform | None) -> Digest | None:
    """The image *name* in the store, if it is for the platform."""
    found = records.find(store, name)
    if found is None or platform is None:
        return found
    return found if platform.runs(records.read(store, found)[1].platform) else None


def _pull_first(
    store: Store,
    session: Session,
    names: list[Reference],
    platform: Platform | None,
    report: Callable[[Progress], object],
) -> Image:
    """The first of the *names* that a registry has; a short name may stand for several."""
    for number, name in enumerate(names, start=1):
        one = _Pull.of(store, session, name, platform, report)
        with store.lease() as lease:
            try:
                found = one.resolve()
            except PASSED_OVER:
                if number == len(names):
                    raise
                continue
            one.check_policy(found)
            digest = one.take(found) if isinstance(found, _Present) else one.fetch(found, lease)
            one.name(digest)
            return records.handle(store, digest)
    raise AssertionError("there is always a name")


@attrs.frozen
class _Found:
    """What a registry means by a name: *top* is the digest of the index, where there is one."""

    place: Repository
    manifest: Manifest
    config: ImageConfig
    top: Digest


@attrs.frozen
class _Present:
    """As `_Found`, of an image that is in the store already: *digest*."""

    place: Repository
    digest: Digest
    top: Digest


@attrs.frozen
class _Pull:
    """One image on its way: *reference* is what it will be called, *places* where it is looked for."""

    store: Store
    session: Session
    reference: Reference
    places: tuple[Repository, ...]
    platform: Platform | None
    report: Callable[[Progress], object]

    @classmethod
    def of(
        cls,
        store: Store,
        session: Session,
        reference: Reference,
        platform: Platform | None,
        report: Callable[[Progress], object],
    ) -> _Pull:
        return cls(store, session, reference, tuple(repositories_of(session, reference)), platform, report)

    # -- what the registry has, and what is there already -----------------------------------

    def resolve(self) -> _Found | _Present:
        """What the name means now: the image, if it is in the store, or what to fetch."""
        self.report(Progress(id=str(self.reference), action="resolve", name=self.reference.familiar))
        for place in self.places[:-1]:
            try:
                return self._resolve_at(place)
            except PASSED_OVER as error:  # a mirror need not have everything, nor be there, nor let us in
                name = place.location.name
                self.report(Progress(id=name, action="warning", name=name, message=str(error)))
        return self._resolve_at(self.places[-1])

    def _resolve_at(self, place: Repository) -> _Found | _Present:
        present = self._present(place)
        if present is not None:
            return present
        manifest, top = self._manifest(place)
        return _Found(place, manifest, self._config(place, manifest), top)

    def _present(self, place: Repository) -> _Present | None:
        """The image, if what the registry means by the name is here; costs one small request."""
        if self.reference.digest is None and records.find(self.store, self.reference) is None:
            return None
        try:
            found = place.find_manifest(self._wanted)
        except UnsupportedFeature:
            return None
        if found is None:
            return None
        pinned = Reference(self.reference.domain, self.reference.path, None, found.digest)
        # One digest may stand for several platforms; what was pulled last need not be this host's.
        digest = _local(self.store, pinned, self.platform or Platform.host())
        return None if digest is None else _Present(place, digest, found.digest)

    def check_policy(self, found: _Found | _Present) -> None:
        """Refuse what the signature policy does not allow, before anything of it is stored or named.

        Raises:
            Untrusted: It is not signed as the policy asks.
        """
        digest = found.digest if isinstance(found, _Present) else found.manifest.digest
        check_policy(found.place, self.reference, (digest, found.top))

    @property
    def _wanted(self) -> str | Digest:
        return self.reference.digest or self.reference.tag or "latest"

    def _manifest(self, place: Repository) -> tuple[Manifest, Digest]:
        """The manifest for the platform, and the digest that the name itself means."""
        received = place.manifest(self._wanted)
        top, document = received.digest, parse_manifest(received.raw, received.media_type)
        for _ in range(_MAX_INDEX_DEPTH):
            if isinstance(document, Manifest):
                return document, top
            chosen = self._choose(document)
            received = place.manifest(chosen.digest)
            if len(received.raw) != chosen.size:
                raise CorruptData(f"{chosen.digest} has not the {chosen.size} bytes that its index promises")
            document = parse_manifest(received.raw, received.media_type)
        if isinstance(document, Index):
            raise InvalidInput(f"{self.reference.familiar}: indexes within indexes go too deep")
        return document, top

    def _choose(self, index: Index) -> Descriptor:
        """The manifest of *index* for the platform; what is no image (attestations) does not count."""
        platform = self.platform or Platform.host()
        try:
            return index.select(platform)
        except NotFound:
            has = ", ".join(sorted({str(one.platform) for one in index.images if one.platform})) or "nothing"
            raise NotFound("image", self.reference.familiar, f"not for {platform}; there is {has}") from None

    def _config(self, place: Repository, manifest: Manifest) -> ImageConfig:
        if manifest.config.media_type not in (OCI_CONFIG, DOCKER_CONFIG):
            kind = manifest.artifact_type or manifest.config.media_type
            raise InvalidInput(f"{self.reference.familiar} is no image but an artifact of the type {kind}")
        known = manifest.config.digest
        raw = self.store.read_blob(known) if self.store.has_blob(known) else None
        config = ImageConfig.parse(raw or place.read_blob(manifest.config, _MAX_CONFIG))
        if len(config.diff_ids) != len(manifest.layers):
            raise CorruptData(
                f"{self.reference.familiar}: the config names {len(config.diff_ids)} layers, "
                f"the manifest {len(manifest.layers)}"
            )
        if self.platform is not None and not self.platform.runs(config.platform):
            why = f"it is for {config.platform} only, not for {self.platform}"
            raise NotFound("image", self.reference.familiar, why)
        return config

    # -- what is fetched --------------------------------------------------------------------

    def take(self, found: _Present) -> Digest:
        """The image that is here already."""
        self._remember(found.top, found.digest)
        self.report(Progress(id=str(found.digest), action="exists", name=self.reference.familiar))
        return found.digest

    def fetch(self, found: _Found, lease: Lease) -> Digest:
        """Store what is missing, several layers at once, and publish the image."""
        others = [one for one in self.places if one is not found.place]
        places = Places(self.session, [found.place, *others])
        layers = [
            ArchivedLayer(diff_id, Download(places, descriptor, self.report), descriptor)
            for descriptor, diff_id in zip(found.manifest.layers, found.config.diff_ids, strict=True)
        ]
        for layer, descriptor in zip(layers, found.manifest.layers, strict=True):
            self._refuse_unusable(layer)
            if is_stored(self.store, layer):
                self.report(Progress(id=str(descriptor.digest), action="exists"))
        store_layers(self.store, lease, layers)
        digest = records.publish(self.store, found.manifest, found.config)
        self._remember(found.top, digest)
        return digest

    def _refuse_unusable(self, layer: ArchivedLayer) -> None:
        """Before anything is fetched."""
        descriptor = layer.descriptor
        assert descriptor is not None
        if is_foreign_layer(descriptor.media_type) and not self.session.options.foreign_layers:
            raise UnsupportedFeature(
                f"{self.reference.familiar} has a foreign layer, {descriptor.digest}, kept on other servers: "
                "allow that with foreign_layers"
            )
        if layer_compression(descriptor.media_type) is None:
            raise UnsupportedFeature(f"{descriptor.digest} is no layer but {descriptor.media_type!r}")
        if descriptor.digest.algorithm != "sha256" or layer.diff_id.algorithm != "sha256":
            raise UnsupportedFeature(f"layer {descriptor.digest}: only sha256 is supported for layers")

    # -- names ------------------------------------------------------------------------------

    def _remember(self, top: Digest, digest: Digest) -> None:
        """That the repository calls the image by this digest: the index's, where there is one."""
        pinned = f"{self.reference.repository}@{top}"
        if self.store.resolve_name(records.PINNED, pinned) != digest:
            self.store.set_name(records.PINNED, pinned, digest)

    def name(self, digest: Digest) -> None:
        """Give the image its tag, if the reference has one that decides."""
        reference = self.reference
        is_tag = reference.tag is not None and reference.digest is None
        if is_tag and self.store.resolve_name(records.TAG, str(reference)) != digest:
            records.tag(self.store, digest, reference)
        self.report(Progress(id=str(digest), action="done", name=reference.familiar))
