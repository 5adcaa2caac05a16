"""The server's side of TLS: its certificate, and certificates that clients may show."""

from __future__ import annotations

import os
import ssl

from container_kit.cluster.api.authentication.authority import Authority, Issued

__all__ = ["server_context"]


def server_context(authority: Authority, issued: Issued) -> ssl.SSLContext:
    """For connections of clients: TLS 1.2 or later; a certificate of theirs has to be the authority's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(cadata=authority.certificate.decode())
    # Nobody resumes, but a client with Nagle's algorithm waits for the packet with the ticket (else 40 ms).
    context.num_tickets = 1
    _load(context, issued)
    return context


def _load(context: ssl.SSLContext, issued: Issued) -> None:
    """OpenSSL reads the key from a file; this one is in memory only."""
    fd = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        os.write(fd, issued.certificate + issued.key)
        context.load_cert_chain(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)
