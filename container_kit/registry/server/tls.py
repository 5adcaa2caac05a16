"""The server's certificate: given, or made for tests and trusted through a file that clients are told."""

from __future__ import annotations

import datetime
import ipaddress
import os
import ssl
from typing import TYPE_CHECKING, Final

import attrs

from container_kit.errors import InvalidInput
from container_kit.store import files

if TYPE_CHECKING:
    from cryptography import x509

__all__ = ["Tls", "make_certificates"]

_LIFETIME: Final = datetime.timedelta(days=30)
_CLOCK_SKEW: Final = datetime.timedelta(hours=1)


@attrs.frozen
class Tls:
    """What the server shows to clients.

    Args:
        certificate: A file (PEM) with the certificate, followed by those that lead to its root.
        key: The file of its private key.
        self_signed: Make a root and a certificate instead, for this server only; for tests.
    """

    certificate: str = ""
    key: str = ""
    self_signed: bool = False

    def __attrs_post_init__(self) -> None:
        if self.self_signed == bool(self.certificate or self.key) or bool(self.certificate) != bool(self.key):
            raise InvalidInput("TLS needs a certificate and its key, or self_signed=True alone")

    def context(self) -> ssl.SSLContext:
        """The context for connections of clients: TLS 1.2 or later.

        Raises:
            InvalidInput: The files are not a certificate and its key.
        """
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            raise InvalidInput(
                f"cannot use the certificate {self.certificate!r} with the key {self.key!r}: {error}"
            ) from error
        return context


def make_certificates(directory: str, names: tuple[str, ...]) -> Tls:
    """A root and a certificate for *names*, as ``ca.pem``, ``server.pem`` and ``server.key``."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root_name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "container-kit test root")])
    root = _certificate(root_name, root_name, root_key.public_key(), root_key, None)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0][:64])])
    leaf = _certificate(name, root_name, key.public_key(), root_key, names)
    pem = serialization.Encoding.PEM
    _write(f"{directory}/ca.pem", root.public_bytes(pem))
    _write(f"{directory}/server.pem", leaf.public_bytes(pem))
    plain, form = serialization.NoEncryption(), serialization.PrivateFormat.PKCS8
    _write(f"{directory}/server.key", key.private_bytes(pem, form, plain))
    return Tls(f"{directory}/server.pem", f"{directory}/server.key")


def _certificate(
    subject: x509.Name, issuer: x509.Name, public_key: object, signer: object, names: tuple[str, ...] | None
) -> x509.Certificate:
    """A root when *names* is None, else a server's certificate."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)  # type: ignore[arg-type]
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.BasicConstraints(ca=names is None, path_length=None), critical=True)
    )
    if names is not None:
        alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
        builder = builder.add_extension(alternatives, critical=False)
    return builder.sign(signer, hashes.SHA256())  # type: ignore[arg-type]


def _general_name(name: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _write(path: str, data: bytes) -> None:
    fd = files.create(path, "certificate.create")
    try:
        files.write_all(fd, data, "certificate.write")
    finally:
        os.close(fd)
