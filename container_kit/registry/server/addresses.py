"""Where a server listens, and what that address is called."""

from __future__ import annotations

import errno
import ipaddress
import socket
from typing import Final

from container_kit.errors import KernelError
from container_kit.registry.server.options import ServerOptions

__all__ = ["address_of", "is_loopback", "listen"]

_BACKLOG: Final = 1024


def listen(options: ServerOptions) -> socket.socket:
    """A socket that listens where *options* say; the address is free again as soon as it is closed."""
    host, port = options.host, options.port
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _cannot_listen(host, port, error) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        options.refuse_exposure(is_loopback(listener))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise _cannot_listen(host, port, error) from error
    except BaseException:
        listener.close()
        raise
    return listener


def _cannot_listen(host: str, port: int, error: OSError) -> KernelError:
    advice = "; choose another port, or 0 for a free one" if error.errno == errno.EADDRINUSE else ""
    return KernelError(error.errno or 0, f"cannot listen on {host}:{port}: {error.strerror}{advice}")


def is_loopback(listener: socket.socket) -> bool:
    return ipaddress.ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback


def address_of(listener: socket.socket) -> str:
    """Where a client on this host finds *listener*."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
