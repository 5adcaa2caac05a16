"""The server's side of TLS: its certificate, and certificates that clients may show."""

from __future__ import annotations

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
    issued.show(context)
    return context
