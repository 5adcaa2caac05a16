"""The tables of the kernel's packet filter in this network namespace, asked for by netlink.

Source: linux/netfilter/nf_tables.h and nfnetlink.h.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator

__all__ = ["netfilter_tables"]

_NETLINK_NETFILTER, _NFTABLES, _GET_TABLE, _TABLE_NAME = 12, 10, 1, 1
_REQUEST_DUMP = 0x301
_DONE, _ERROR = 3, 2
_HEADER = struct.Struct("=IHHII")
_ROOM = 1 << 16


def netfilter_tables() -> Iterator[str]:
    """The family and name of each table; none where the kernel has no nftables or we may not ask."""
    with contextlib.suppress(OSError), _asked() as answers:
        while True:
            data = answers.recv(_ROOM)
            while data:
                size, kind, *_ = _HEADER.unpack_from(data)
                if kind in (_DONE, _ERROR):
                    return
                yield _table(data[_HEADER.size : size])
                data = data[(size + 3) & ~3 :]


def _asked() -> socket.socket:
    asked = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER)
    body = struct.pack("=BBH", 0, 0, 0)  # every family
    kind = _NFTABLES << 8 | _GET_TABLE
    try:
        asked.settimeout(5)
        asked.send(_HEADER.pack(_HEADER.size + len(body), kind, _REQUEST_DUMP, 1, 0) + body)
    except OSError:
        asked.close()
        raise
    return asked


def _table(message: bytes) -> str:
    family, attributes = message[0], message[4:]
    while attributes:
        size, kind = struct.unpack_from("=HH", attributes)
        if kind & 0x3FFF == _TABLE_NAME:
            return f"{family} {attributes[4 : size - 1].decode(errors='replace')}"
        attributes = attributes[(size + 3) & ~3 :]
    return f"{family} ?"
