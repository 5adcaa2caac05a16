"""Keys that sign and verify: ECDSA on the curve P-256 with SHA-256, in PEM files.

Source: cosign, SIGNATURE_SPEC.md, "Signature Schemes".
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import attrs

from container_kit.errors import InvalidInput, KernelError, PermissionMissing, UnsupportedFeature
from container_kit.registry.signatures import sealed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

__all__ = ["KeySource", "PublicKey", "SigningKey"]

KeySource: TypeAlias = "str | os.PathLike[str] | bytes"

_MAX_KEY: Final = 64 * 1024
_T = TypeVar("_T")


@attrs.frozen(repr=False)
class PublicKey:
    """Verifies signatures.  Made by `load`, or by `SigningKey.public`."""

    _key: ec.EllipticCurvePublicKey

    @classmethod
    def load(cls, source: KeySource) -> PublicKey:
        """The key in a file, or in the bytes of one: ``-----BEGIN PUBLIC KEY-----``.

        Raises:
            InvalidInput: There is no such key in it.
            UnsupportedFeature: It is of another kind; or the extra ``sign`` is not installed.
        """
        name, pem = _read(source)
        key = _parsed(name, lambda: _serialization().load_pem_public_key(pem))
        return cls(_on_the_curve(key, name))

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Whether *signature* (ASN.1, DER) was made of *data* with the other half of this key."""
        from cryptography.exceptions import InvalidSignature

        try:
            self._key.verify(signature, data, _ecdsa())
        except InvalidSignature:
            return False
        return True

    def to_pem(self) -> bytes:
        """As `load` reads it, and openssl, cosign and skopeo do."""
        forms = _serialization()
        return self._key.public_bytes(forms.Encoding.PEM, forms.PublicFormat.SubjectPublicKeyInfo)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the key in DER, to tell keys apart in messages."""
        import hashlib

        forms = _serialization()
        der = self._key.public_bytes(forms.Encoding.DER, forms.PublicFormat.SubjectPublicKeyInfo)
        return hashlib.sha256(der).hexdigest()

    def __repr__(self) -> str:
        return f"<PublicKey {self.fingerprint[:16]}>"


@attrs.frozen(repr=False)
class SigningKey:
    """Makes signatures.  Nothing of it shows in ``repr``, errors or logs."""

    _key: ec.EllipticCurvePrivateKey

    @classmethod
    def generate(cls) -> SigningKey:
        """A new key."""
        _serialization()
        from cryptography.hazmat.primitives.asymmetric import ec

        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def load(cls, source: KeySource, password: str | None = None) -> SigningKey:
        """The key in a file, or in the bytes of one.

        Args:
            source: PEM as openssl writes it (``PRIVATE KEY``, ``ENCRYPTED PRIVATE KEY``,
                ``EC PRIVATE KEY``) or as cosign does (``ENCRYPTED SIGSTORE PRIVATE KEY``).
            password: Of a key that is protected by one.

        Raises:
            InvalidInput: There is no such key in it, or the password is wrong or missing.
            UnsupportedFeature: It is of another kind; or the extra ``sign`` is not installed.
        """
        name, pem = _read(source)
        secret = password.encode() if password else None
        if sealed.is_sealed(pem):
            der = sealed.opened(pem, secret, name)
            key = _parsed(name, lambda: _serialization().load_der_private_key(der, None))
        else:
            key = _parsed(name, lambda: _serialization().load_pem_private_key(pem, secret))
        return cls(_on_the_curve(key, name))

    def sign(self, data: bytes) -> bytes:
        """The signature of *data*, in ASN.1 (DER); another one each time."""
        return self._key.sign(data, _ecdsa())

    @property
    def public(self) -> PublicKey:
        """The half that verifies."""
        return PublicKey(self._key.public_key())

    def to_pem(self, password: str | None = None) -> bytes:
        """As `load` reads it; with a password, in the form that cosign and skopeo read."""
        forms = _serialization()
        plain = forms.NoEncryption()
        if password is None:
            return self._key.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, plain)
        der = self._key.private_bytes(forms.Encoding.DER, forms.PrivateFormat.PKCS8, plain)
        return sealed.seal(der, password.encode())

    def __repr__(self) -> str:
        return f"<SigningKey of {self.public.fingerprint[:16]}>"


def _read(source: KeySource) -> tuple[str, bytes]:
    """What a key is called in errors, and its bytes."""
    if isinstance(source, bytes):
        return "the key", source
    path = os.fspath(source)
    try:
        with open(path, "rb") as file:
            return f"the key {path!r}", file.read(_MAX_KEY)
    except PermissionError as error:
        raise PermissionMissing(
            error.errno or 0, f"the key {path!r} cannot be read: check who owns it"
        ) from error
    except OSError as error:
        raise KernelError.of(error.errno or 0, "cannot read the key", path) from error


def _parsed(name: str, parse: Callable[[], _T]) -> _T:
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        return parse()
    except TypeError:  # its one meaning: a password is missing, or there is one too many
        raise InvalidInput(f"{name} is protected by a password that was not given, or by none") from None
    except (ValueError, UnsupportedAlgorithm):
        # What the library says may quote the input.
        raise InvalidInput(f"{name} is no key in PEM form, or the password is wrong") from None


def _on_the_curve(key: Any, name: str) -> Any:
    curve = getattr(key, "curve", None)
    if curve is None or curve.name != "secp256r1":
        kind = "a key on another curve" if curve is not None else f"a {type(key).__name__.lstrip('_')}"
        raise UnsupportedFeature(f"{name} is {kind}: only ECDSA keys on the curve P-256 can be used")
    return key


def _serialization() -> Any:
    try:
        from cryptography.hazmat.primitives import serialization
    except ImportError:
        raise UnsupportedFeature(
            "signatures need the package cryptography: install container-kit[sign]"
        ) from None
    return serialization


def _ecdsa() -> ec.ECDSA:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.ECDSA(hashes.SHA256())
