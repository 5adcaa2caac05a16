"""The one call of those who take images from registries: what the policy of this host allows."""

from __future__ import annotations

from container_kit.oci import Digest, Reference
from container_kit.registry.client.repository import Repository

__all__ = ["check_policy"]


def check_policy(repository: Repository, image: Reference, digests: tuple[Digest, ...]) -> None:
    """Refuse *image* unless the signature policy of the session's options, user or host allows it.

    Args:
        repository: Where it is taken from, with its signatures.
        image: What it is called; not the name that it has at a mirror.
        digests: Of the manifest that is taken, and of the index that named it.

    Raises:
        Untrusted: It is not signed as the policy asks.
        UnsupportedFeature: The policy asks for what cannot be checked.
        InvalidInput: The policy cannot be understood.
    """
    from container_kit.registry.signatures.policy import SignaturePolicy

    policy = SignaturePolicy.read(repository.session.options.signature_policy)
    if policy is not None:
        policy.check(repository, image, digests)
