"""From the images of a build to the index that holds them with their attestations, in the store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from container_kit.build.attestations import provenance as made
from container_kit.build.attestations import spdx
from container_kit.build.attestations.packages import find_packages
from container_kit.build.attestations.statements import Attestation, attestation, statement
from container_kit.images import Image, records
from container_kit.images.views import view
from container_kit.oci import Digest, Index

if TYPE_CHECKING:
    from container_kit.build.bases import Bases
    from container_kit.build.session import Session

__all__ = ["attest"]


def attest(session: Session, bases: Bases, images: Sequence[Image], chosen: Image) -> Index | None:
    """The index of *images* with their attestations, kept with the names of *chosen*; or None."""
    options = session.options
    if not (options.sbom or options.provenance):
        return None
    entries = [image.manifest.descriptor(image.config.platform) for image in images]
    for image in images:
        attested = attestation(image.digest, dict(_statements(session, bases, image)))
        _store(session, attested)
        entries.append(attested.entry)
    index = Index.build(entries)
    session.keep_document(index.raw, references=[one.digest for one in index.manifests])
    for name in map(str, options.tags) if options.tags else (str(chosen.digest),):
        session.store.set_name(records.INDEX, name, index.digest)
    return index


def _statements(session: Session, bases: Bases, image: Image) -> Iterator[tuple[str, bytes]]:
    options = session.options
    names = [made.image_purl(tag, image.config.platform) for tag in options.tags]
    if options.sbom:
        with view(image.store, image.layers) as root:
            packages = find_packages(root)
        document = spdx.spdx_document(image.digest, image.config.created, packages)
        yield spdx.PREDICATE, statement(spdx.PREDICATE, document, image.digest, names)
    if options.provenance:
        predicate = made.provenance(_facts(bases, image), options, options.provenance)
        yield made.PREDICATE, statement(made.PREDICATE, predicate, image.digest, names)


def _facts(bases: Bases, image: Image) -> made.Facts:
    main = bases.contexts.main
    return made.Facts(
        dockerfile=main.dockerfile_name,
        dockerfile_digest=Digest.of(main.dockerfile or b""),
        bases=[(name, base.digest, base.config.platform) for name, base in bases.images],
        remote=bases.contexts.remote,
        platform=image.config.platform,
    )


def _store(session: Session, one: Attestation) -> None:
    for raw in one.blobs:
        session.keep_document(raw)
    parts = [one.manifest.config.digest, *(layer.digest for layer in one.manifest.layers)]
    session.keep_document(one.manifest.raw, references=parts)
