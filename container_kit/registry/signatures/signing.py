"""Signing a manifest that a registry has."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from container_kit._version import __version__
from container_kit.oci import Descriptor, Digest, Reference
from container_kit.registry.client.repository import Repository
from container_kit.registry.signatures.attachments import attach
from container_kit.registry.signatures.keys import SigningKey
from container_kit.registry.signatures.payload import Payload

__all__ = ["sign"]


def sign(
    repository: Repository,
    subject: Descriptor,
    identity: Reference,
    key: SigningKey,
    annotations: Mapping[str, str] | None = None,
) -> Digest:
    """Sign *subject*, which the repository has, as *identity*.

    Args:
        repository: With the right to push.
        annotations: What else is claimed; verifiers can ask for it.

    Returns:
        The digest of the manifest that its signatures are in.
    """
    claims = {"creator": f"container_kit {__version__}", **(annotations or {})}
    payload = Payload(identity, subject.digest, claims).to_bytes()
    signature = base64.b64encode(key.sign(payload)).decode()
    return attach(repository, subject, payload, signature)
