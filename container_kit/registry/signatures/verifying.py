"""Whether a manifest in a registry is signed, by whom and as what."""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Mapping, Sequence

import attrs

from container_kit._values import frozen
from container_kit.errors import ContainerKitError, Untrusted
from container_kit.oci import Digest, Reference
from container_kit.registry.client.repository import Repository
from container_kit.registry.signatures.attachments import Attached, attached
from container_kit.registry.signatures.identities import Identity
from container_kit.registry.signatures.keys import PublicKey
from container_kit.registry.signatures.payload import Payload

__all__ = ["Expected", "Verified", "verify"]


@frozen
class Verified:
    """A signature that holds: *payload* is what was signed, *key* the fingerprint of who signed it."""

    payload: Payload
    key: str

    @property
    def identity(self) -> str:
        """The name that the signer gave the image."""
        return self.payload.identity.familiar

    @property
    def digest(self) -> Digest:
        """Of the manifest that is signed."""
        return self.payload.digest


@frozen
class Expected:
    """What a signature has to be.

    Args:
        key: What it is made with.
        image: What the image is called.
        identity: How the name that was signed has to agree with that.
        annotations: Claims that it has to make beside.
    """

    key: PublicKey
    image: Reference
    identity: Identity = attrs.field(factory=Identity)
    annotations: Mapping[str, str] = attrs.field(factory=dict)

    def check(self, found: Attached, digest: Digest) -> Verified:
        """The signature *found*, if it is that of the manifest *digest*.

        Raises:
            Untrusted: It is not; says why.
        """
        if found.problem:
            raise Untrusted(found.problem)
        # The signature first: nothing of a payload is read before it is known who wrote it.
        if not self.key.verifies(_decoded(found.signature), found.payload):
            raise Untrusted("it was not made with this key, or what it signs was changed")
        payload = self._parsed(found.payload)
        if payload.digest != digest:
            raise Untrusted(f"it is of {payload.digest}, another image")
        if not self.identity.accepts(self.image, payload.identity):
            raise Untrusted(f"it is for {payload.identity}, not for {self.image}")
        for name, value in self.annotations.items():
            if payload.optional.get(name) != value:
                raise Untrusted(f"it does not claim that {name} is {value!r}")
        return Verified(payload, self.key.fingerprint)

    def _parsed(self, raw: bytes) -> Payload:
        try:
            return Payload.parse(raw)
        except ContainerKitError as error:
            raise Untrusted(str(error)) from error


def verify(repository: Repository, digests: Iterable[Digest], expected: Sequence[Expected]) -> Verified:
    """The first signature of one of *digests* that is as one of *expected*.

    Raises:
        Untrusted: There is none; says what is wrong with those that there are.
    """
    problems: list[str] = []
    for digest in dict.fromkeys(digests):
        for found in attached(repository, digest):
            for one in expected:
                try:
                    return one.check(found, digest)
                except Untrusted as error:
                    problems.append(str(error))
    names = {str(one.image): None for one in expected}
    why = "; ".join(list(dict.fromkeys(problems))[:8]) or "the registry has no signature of it"
    raise Untrusted(f"{', '.join(names)} is not signed as asked: {why}")


def _decoded(signature: str) -> bytes:
    try:
        return binascii.a2b_base64(signature.encode("ascii"), strict_mode=True)
    except (ValueError, UnicodeError):
        raise Untrusted("it is not written in base64") from None
