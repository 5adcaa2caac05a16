"""The cluster's certificate authority: it signs the server's certificate, those of users, and requests.

Keys are on the curve P-256: making and signing one takes a fraction of a millisecond, where RSA takes a tenth
of a second.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import ssl
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from container_kit.errors import InvalidInput

__all__ = ["Authority", "Issued"]

_YEAR: Final = datetime.timedelta(days=365)
_AUTHORITY_LIFETIME: Final = 10 * _YEAR
_CLOCK_SKEW: Final = datetime.timedelta(minutes=5)
_COMMON_NAME, _ORGANIZATION = x509.NameOID.COMMON_NAME, x509.NameOID.ORGANIZATION_NAME
_EXTENDED_USAGES: Final = {
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
}


class Issued(NamedTuple):
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes

    def show(self, context: ssl.SSLContext) -> None:
        """Have *context* show it; OpenSSL reads keys from files, and this one is in memory only."""
        fd = os.memfd_create("certificate", os.MFD_CLOEXEC)
        try:
            os.write(fd, self.certificate + self.key)
            context.load_cert_chain(f"/proc/self/fd/{fd}")
        finally:
            os.close(fd)


class Authority:
    """A root that signs certificates for one cluster.

    Attributes:
        certificate: Its own, PEM: what clients trust.
    """

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._certificate, self._key = certificate, key
        self.certificate = certificate.public_bytes(serialization.Encoding.PEM)

    @classmethod
    def create(cls, common_name: str = "kubernetes-ca") -> Authority:
        """A new one."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name(common_name, ())
        builder = _builder(name, name, key.public_key(), _AUTHORITY_LIFETIME)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        builder = builder.add_extension(_key_usage(is_authority=True), critical=True)
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        return cls(builder.add_extension(identifier, critical=False).sign(key, hashes.SHA256()), key)

    @classmethod
    def from_pem(cls, certificate: bytes, key: bytes) -> Authority:
        """The one that was saved.

        Raises:
            InvalidInput: They are no certificate and key of an authority.
        """
        try:
            loaded = serialization.load_pem_private_key(key, None)
            parsed = x509.load_pem_x509_certificate(certificate)
        except ValueError as error:
            raise InvalidInput(f"the cluster's certificate authority cannot be read: {error}") from error
        if not isinstance(loaded, ec.EllipticCurvePrivateKey):
            raise InvalidInput(
                "the key of the cluster's certificate authority is not one for elliptic curves"
            )
        return cls(parsed, loaded)

    @property
    def key(self) -> bytes:
        """Its private key, PEM."""
        return _key_pem(self._key)

    def issue(
        self,
        common_name: str,
        organizations: Sequence[str] = (),
        *,
        names: Iterable[str] = (),
        lifetime: datetime.timedelta = _YEAR,
    ) -> Issued:
        """A certificate and a new key: for a server when it has names, else for a user.

        Args:
            common_name: A user's name.
            organizations: A user's groups.
            names: DNS names and addresses of a server.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives = [_alternative(name) for name in names]
        usages = ["server auth", "client auth"] if alternatives else ["client auth"]
        subject = _name(common_name, organizations)
        certificate = self._sign(subject, key.public_key(), alternatives, usages, lifetime)
        return Issued(certificate, _key_pem(key))

    def sign_request(self, request: bytes, usages: Iterable[str], lifetime: datetime.timedelta) -> bytes:
        """The certificate (PEM) for a PKCS #10 request.

        Args:
            usages: Words of certificates.k8s.io/v1 KeyUsage; those that are extended usages are put into it.

        Raises:
            InvalidInput: It is no such request, or not signed by its own key.
        """
        try:
            parsed = x509.load_pem_x509_csr(request)
            is_signed = parsed.is_signature_valid
        except (ValueError, InvalidSignature) as error:
            raise InvalidInput(f"the certificate request cannot be read: {error}") from error
        if not is_signed:
            raise InvalidInput("the certificate request is not signed by its own key")
        try:
            names = list(parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
        except x509.ExtensionNotFound:
            names = []
        return self._sign(parsed.subject, parsed.public_key(), names, usages, lifetime)

    def _sign(
        self,
        subject: x509.Name,
        public_key: Any,
        names: Sequence[x509.GeneralName],
        usages: Iterable[str],
        lifetime: datetime.timedelta,
    ) -> bytes:
        builder = _builder(subject, self._certificate.subject, public_key, lifetime)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_key_usage(is_authority=False), critical=True)
        extended = [_EXTENDED_USAGES[usage] for usage in usages if usage in _EXTENDED_USAGES]
        if extended:
            builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(issuer, critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: Any, lifetime: datetime.timedelta
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + lifetime)
    )


def _name(common_name: str, organizations: Iterable[str]) -> x509.Name:
    groups = [x509.NameAttribute(_ORGANIZATION, group) for group in organizations]
    return x509.Name([*groups, x509.NameAttribute(_COMMON_NAME, common_name)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
