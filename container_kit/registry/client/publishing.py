"""A manifest or index on its way into a registry, listed as a referrer where it has a subject."""

from __future__ import annotations

from container_kit.oci import Descriptor, Digest, Index, Manifest
from container_kit.registry.client.listing import add_referrer
from container_kit.registry.client.repository import Repository

__all__ = ["publish"]


def publish(repository: Repository, document: Manifest | Index, name: str | Digest) -> None:
    """Store *document* under *name*; one with a subject is also found from there, whatever the registry.

    Raises:
        InvalidInput, CorruptData: See `Repository.put_manifest`.
    """
    is_listed = repository.put_manifest(name, document.raw, document.media_type)
    if document.subject is not None and not is_listed:
        referrer = Descriptor(
            document.media_type,
            document.digest,
            len(document.raw),
            annotations=document.annotations,
            artifact_type=_artifact_type(document),
        )
        add_referrer(repository, document.subject.digest, referrer)


def _artifact_type(document: Manifest | Index) -> str:
    if document.artifact_type or isinstance(document, Index):
        return document.artifact_type
    return document.config.media_type
