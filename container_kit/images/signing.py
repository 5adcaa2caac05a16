"""Signing and verifying images in registries, by their names: `Image.sign`, `Image.verify`, `sign`, `verify`.

What is signed is always a digest, asked for once: a tag that moves meanwhile changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import attrs

from container_kit.errors import Conflict, InvalidInput
from container_kit.images import records
from container_kit.oci import Descriptor, Digest, Index, Manifest, Platform, Reference, parse_manifest
from container_kit.registry.client.client import RegistryClient
from container_kit.registry.client.options import RegistryOptions
from container_kit.registry.client.repository import Repository
from container_kit.registry.signatures import signing, verifying
from container_kit.registry.signatures.identities import Identity, Kind
from container_kit.registry.signatures.keys import KeySource, PublicKey, SigningKey

if TYPE_CHECKING:
    from container_kit.images.image import Image

__all__ = ["sign", "sign_image", "verify", "verify_image"]


def sign(
    reference: str,
    *,
    key: SigningKey | KeySource,
    password: str | None = None,
    annotations: Mapping[str, str] | None = None,
    recursive: bool = False,
    options: RegistryOptions | None = None,
) -> Digest:
    """Sign what *reference* means in its registry now, and keep the signature there, as cosign does.

    Args:
        reference: With the digest, to be sure what is signed: ``name@sha256:…``.
        key: The private key, or its file (PEM, of openssl or cosign).
        password: Of the file, if it is protected by one.
        annotations: More claims to sign, which verifiers can ask for.
        recursive: Of an index, sign each manifest too: podman and skopeo look for those signatures.

    Returns:
        The digest that was signed.

    Raises:
        NotFound: The registry has no such image.
        InvalidInput: It is no key, or the password is wrong.
    """
    named = Reference.parse(reference)
    signing_key = _signing_key(key, password)
    with RegistryClient(options) as client:
        repository = client.repository(reference, "pull,push")
        top = _Top.of(repository, named)
        subjects = [top.descriptor, *(top.images if recursive else ())]
        for subject in subjects:
            signing.sign(repository, subject, _identity(named), signing_key, annotations)
        return top.descriptor.digest


def verify(
    reference: str,
    *,
    key: PublicKey | KeySource,
    identity: Identity | Kind = "matchRepoDigestOrExact",
    annotations: Mapping[str, str] | None = None,
    platform: Platform | str | None = None,
    options: RegistryOptions | None = None,
) -> verifying.Verified:
    """Make sure that what *reference* means in its registry is signed with *key*.

    Args:
        key: The public key, or its file (PEM).
        identity: How the name that was signed and *reference* have to agree, as in containers-policy.json(5).
            ``matchRepository`` for signatures that cosign made, which name no tag.
        annotations: Claims that the signature has to make.
        platform: Of an index that is not signed itself, the image that has to be; None means this host's.

    Returns:
        The signature; use its *digest* from here on, since a tag may move.

    Raises:
        Untrusted: It is not signed so; says what is wrong with the signatures that there are.
        NotFound: The registry has no such image.
    """
    wanted = Platform.parse(platform) if isinstance(platform, str) else platform or Platform.host()
    named = Reference.parse(reference)
    expected = verifying.Expected(_public_key(key), named, _rule(identity), annotations or {})
    with RegistryClient(options) as client:
        repository = client.repository(reference)
        top = _Top.of(repository, named)
        return verifying.verify(repository, top.digests_for(wanted), [expected])


def sign_image(
    image: Image,
    key: SigningKey | KeySource,
    target: str | None,
    password: str | None,
    annotations: Mapping[str, str] | None,
    options: RegistryOptions | None,
) -> Digest:
    """See `container_kit.images.image.Image.sign`."""
    named = _name_of(image, target)
    signing_key = _signing_key(key, password)
    with RegistryClient(options) as client:
        repository = client.repository(str(named), "pull,push")
        known = _known_digests(image, named)
        top = _Top.of(repository, named)
        subject = next((one for one in (top.descriptor, *top.images) if one.digest in known), None)
        if subject is None:
            raise Conflict(f"{named.familiar} is another image in its registry: push this one first")
        signing.sign(repository, subject, _identity(named), signing_key, annotations)
        return subject.digest


def verify_image(
    image: Image,
    key: PublicKey | KeySource,
    target: str | None,
    identity: Identity | Kind,
    annotations: Mapping[str, str] | None,
    options: RegistryOptions | None,
) -> verifying.Verified:
    """See `container_kit.images.image.Image.verify`."""
    named = _name_of(image, target)
    expected = verifying.Expected(_public_key(key), named, _rule(identity), annotations or {})
    with RegistryClient(options) as client:
        repository = client.repository(str(named))
        return verifying.verify(repository, _known_digests(image, named), [expected])


@attrs.frozen
class _Top:
    """What a name means in a registry: a manifest, or an index with its manifests."""

    descriptor: Descriptor
    document: Manifest | Index

    @classmethod
    def of(cls, repository: Repository, named: Reference) -> _Top:
        received = repository.manifest(named.digest or named.tag or "latest")
        document = parse_manifest(received.raw, received.media_type)
        return cls(Descriptor(document.media_type, received.digest, len(received.raw)), document)

    @property
    def images(self) -> Iterator[Descriptor]:
        """Those of an index; attestations are none."""
        if isinstance(self.document, Index):
            for one in self.document.manifests:
                if "vnd.docker.reference.type" not in one.annotations:
                    yield one

    def digests_for(self, platform: Platform) -> Iterator[Digest]:
        """A signature of one of these is one of the image for *platform*."""
        yield self.descriptor.digest
        if isinstance(self.document, Index):
            images = attrs.evolve(self.document, manifests=tuple(self.images))
            yield images.select(platform).digest


def _known_digests(image: Image, named: Reference) -> dict[Digest, None]:
    """What the repository may call the image: by itself, by an index, by what a push has compressed."""
    known = {image.digest: None}
    prefix = f"{named.repository}@"
    for name, digest in image.store.names(records.PINNED).items():
        if digest == image.digest and name.startswith(prefix):
            known[Digest.parse(name.removeprefix(prefix))] = None
    return known


def _name_of(image: Image, target: str | None) -> Reference:
    if target is not None:
        return Reference.parse(target)
    if len(image.names) != 1:
        raise InvalidInput(f"the image has {len(image.names)} names: say which one is meant")
    return Reference.parse(image.names[0])


def _identity(named: Reference) -> Reference:
    return Reference(named.domain, named.path, named.tag)


def _rule(identity: Identity | Kind) -> Identity:
    if isinstance(identity, Identity):
        return identity
    return Identity.from_json({"type": identity}, "identity")


def _signing_key(key: SigningKey | KeySource, password: str | None) -> SigningKey:
    return key if isinstance(key, SigningKey) else SigningKey.load(key, password)


def _public_key(key: PublicKey | KeySource) -> PublicKey:
    return key if isinstance(key, PublicKey) else PublicKey.load(key)
