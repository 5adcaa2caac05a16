"""What a policy asks of an image: one requirement each.

Source: containers-policy.json(5), "Policy Requirements".
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable
from typing import Any, Final, TypeAlias

from container_kit._values import frozen
from container_kit.errors import InvalidInput, UnsupportedFeature, Untrusted
from container_kit.oci import Digest, Reference
from container_kit.oci.json_document import Fields
from container_kit.registry.client.repository import Repository
from container_kit.registry.signatures.identities import Identity

__all__ = ["AcceptAnything", "NotSupported", "Reject", "Requirement", "SigstoreSigned", "parse_requirement"]

_KEYS: Final = ("keyPath", "keyPaths", "keyData", "keyDatas")
_KEYLESS: Final = ("fulcio", "pki", "rekorPublicKeyPath", "rekorPublicKeyPaths", "rekorPublicKeyData",
                   "rekorPublicKeyDatas")  # fmt: skip


@frozen
class AcceptAnything:
    """``insecureAcceptAnything``."""

    def check(self, repository: Repository, image: Reference, digests: tuple[Digest, ...]) -> None:
        """Every image will do."""


@frozen
class Reject:
    """``reject``."""

    def check(self, repository: Repository, image: Reference, digests: tuple[Digest, ...]) -> None:
        raise Untrusted("it is rejected, signed or not")


@frozen
class NotSupported:
    """A requirement that is known and cannot be checked here; *what* says which."""

    what: str

    def check(self, repository: Repository, image: Reference, digests: tuple[Digest, ...]) -> None:
        raise UnsupportedFeature(
            f"{image} cannot be checked: the policy asks for {self.what}, which is not supported; "
            "use sigstoreSigned with keyPath or keyData"
        )


@frozen
class SigstoreSigned:
    """``sigstoreSigned``: a signature of one of the keys, for an image of this *identity*."""

    paths: tuple[str, ...]
    data: tuple[bytes, ...]
    identity: Identity

    def check(self, repository: Repository, image: Reference, digests: tuple[Digest, ...]) -> None:
        # Imported here: most policies, and most images, need no key.
        from container_kit.registry.signatures.keys import KeySource, PublicKey
        from container_kit.registry.signatures.verifying import Expected, verify

        # Read each time: a key that was replaced counts from then on.
        sources: list[KeySource] = [*self.paths, *self.data]
        keys = [PublicKey.load(source) for source in sources]
        verify(repository, digests, [Expected(key, image, self.identity) for key in keys])


Requirement: TypeAlias = AcceptAnything | Reject | NotSupported | SigstoreSigned


def parse_requirement(value: Any, where: str) -> Requirement:
    """As a policy has it.

    Raises:
        InvalidInput: It is not written as it has to be, or of a type that is not known.
    """
    kind = Fields(value, where, ("type",)).required_text("type")
    if kind == "sigstoreSigned":
        return _sigstore_signed(value, where)
    if kind == "signedBy":
        return NotSupported("a GPG signature (signedBy)")
    if kind not in ("insecureAcceptAnything", "reject"):
        raise InvalidInput(
            f"{where}.type is {kind[:80]!r}: use insecureAcceptAnything, reject or sigstoreSigned"
        )
    _only(value, where, ("type",))
    return Reject() if kind == "reject" else AcceptAnything()


def _sigstore_signed(value: dict[str, Any], where: str) -> Requirement:
    _only(value, where, ("type", "signedIdentity", *_KEYS, *_KEYLESS))
    if any(name in value for name in _KEYLESS):
        return NotSupported("a signature with a certificate or in a transparency log")
    fields = Fields(value, where, ("type", "signedIdentity", *_KEYS))
    if sum(name in value for name in _KEYS) != 1:
        raise InvalidInput(f"{where} has not exactly one of {', '.join(_KEYS)}")
    paths, data = _one_or_many(fields, "keyPath"), _one_or_many(fields, "keyData")
    identity = Identity()
    if "signedIdentity" in fields:
        identity = Identity.from_json(fields.raw("signedIdentity"), fields.where("signedIdentity"))
    return SigstoreSigned(paths, tuple(_decoded(one, where) for one in data), identity)


def _one_or_many(fields: Fields, name: str) -> tuple[str, ...]:
    if name in fields:
        return (fields.required_text(name),)
    return fields.texts(f"{name}s")


def _decoded(text: str, where: str) -> bytes:
    try:
        return binascii.a2b_base64("".join(text.split()).encode("ascii"), strict_mode=True)
    except (ValueError, UnicodeError):
        raise InvalidInput(f"{where}.keyData is not base64") from None


def _only(value: Iterable[str], where: str, known: tuple[str, ...]) -> None:
    strange = sorted(set(value) - set(known))
    if strange:
        raise InvalidInput(f"{where} has the member {strange[0][:80]!r}, which is not known")
