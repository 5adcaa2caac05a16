"""HTTPS from the API server to others: webhooks and aggregated APIs.

A service of the cluster has a name and an address that only the cluster knows; connections to it are made by
whoever can (`container_kit.cluster.api.services`), and its certificate is still that of its name.
"""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
from collections.abc import Callable

from container_kit.errors import InvalidInput

__all__ = ["Dial", "SecureConnection", "trusting"]

# namespace, name and port of a service -> a connection to it.
Dial = Callable[[str, str, int], socket.socket]


class SecureConnection(http.client.HTTPConnection):
    """HTTPS to *host*; with *dial* over a connection that somebody else makes."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        timeout: float,
        context: ssl.SSLContext,
        dial: Callable[[], socket.socket] | None = None,
    ) -> None:
        super().__init__(host, port, timeout=timeout)
        self._trust, self._dial = context, dial

    def connect(self) -> None:
        """Connect, and believe in the other side only with a certificate for its name."""
        if self._dial is None:
            super().connect()
        else:
            self.sock = self._dial()
            self.sock.settimeout(self.timeout)
        self.sock = self._trust.wrap_socket(self.sock, server_hostname=self.host)


def trusting(bundle: str | None, *, everybody: bool = False) -> ssl.SSLContext:
    """TLS that believes in *bundle* (PEM in base64), or in what this machine believes in, or in *everybody*.

    Raises:
        InvalidInput: The bundle cannot be read.
    """
    if everybody:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context
    if not bundle:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cadata=base64.b64decode(bundle).decode())
    except (ValueError, ssl.SSLError) as error:
        raise InvalidInput(f"the caBundle cannot be read: {error}") from error
