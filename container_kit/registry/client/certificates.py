"""Certificates: whom we trust, and who we are, for one registry.

Directories are docker's and podman's: ``certs.d/<host[:port]>/`` with ``*.crt`` (authorities to trust) and
``*.cert`` with ``*.key`` (ours).

Source: docker, "Verify repository client with certificates"; containers-certs.d(5).
"""

from __future__ import annotations

import os
import ssl
from typing import Final

import attrs

from container_kit.errors import InvalidInput
from container_kit.registry.client.endpoint import Origin
from container_kit.registry.client.options import RegistryOptions

__all__ = ["Trust", "trust_for"]

_DIRECTORIES: Final = ("/etc/containers/certs.d", "/etc/docker/certs.d")


@attrs.frozen
class Trust:
    """What the TLS of one registry is made of.

    Args:
        authorities: Files of certificates to trust besides the system's.
        pairs: Files of client certificates with their keys; the first that can be read is used.
        verify: False takes any certificate.
    """

    authorities: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()
    verify: bool = True

    def context(self) -> ssl.SSLContext:
        """The TLS context.

        Raises:
            InvalidInput: A file is missing or holds no certificate; names it.
        """
        context = ssl.create_default_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        for path in self.authorities:
            try:
                context.load_verify_locations(cafile=path)
            except (OSError, ssl.SSLError) as error:
                raise InvalidInput(f"cannot use the certificates in {path!r}: {error}") from error
        for certificate, key in self.pairs[:1]:
            try:
                context.load_cert_chain(certificate, key)
            except (OSError, ssl.SSLError) as error:
                raise InvalidInput(f"cannot use the client certificate {certificate!r}: {error}") from error
        return context


def trust_for(origin: Origin, options: RegistryOptions, verify: bool = True) -> Trust:
    """What *options* and the directories of this host say about *origin*.

    Args:
        verify: False when a registries.conf calls it insecure.
    """
    authorities = [options.ca_file] if options.ca_file else []
    pairs = [options.certificate] if options.certificate else []
    for directory in (*_user_directories(), *_DIRECTORIES):
        for name in (f"{origin.host}:{origin.port}", origin.authority):
            found = _in_directory(os.path.join(directory, name))
            if found is not None:
                return Trust(
                    (*authorities, *found.authorities), (*pairs, *found.pairs), verify and options.tls_verify
                )
    return Trust(tuple(authorities), tuple(pairs), verify and options.tls_verify)


def _user_directories() -> list[str]:
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return [os.path.join(home, "containers/certs.d")]


def _in_directory(path: str) -> Trust | None:
    try:
        names = sorted(os.listdir(path))
    except OSError:
        return None
    authorities = tuple(f"{path}/{name}" for name in names if name.endswith(".crt"))
    certificates = [name.removesuffix(".cert") for name in names if name.endswith(".cert")]
    missing = [name for name in certificates if f"{name}.key" not in names]
    if missing:
        raise InvalidInput(f"{path}/{missing[0]}.cert has no key: put it into {missing[0]}.key beside it")
    return Trust(authorities, tuple((f"{path}/{one}.cert", f"{path}/{one}.key") for one in certificates))
