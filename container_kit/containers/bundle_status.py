"""What a created container answers when it is told to start."""

from __future__ import annotations

import socket
import struct

from container_kit.runtime.start_errors import start_failed

__all__ = ["read_start_reply"]

_LONGEST_RECORD = 4096
_HEAD = struct.Struct("<IiIIQ")  # struct status_record in _native/init/plan.h, without its text


def read_start_reply(connection: socket.socket) -> None:
    """Wait until the program has been executed: the container then closes its side without a word.

    Raises:
        StartFailed: It said what went wrong instead.
    """
    record = connection.recv(_LONGEST_RECORD)
    if record:
        _, error, op, _, _ = _HEAD.unpack_from(record)
        about = record[_HEAD.size :].partition(b"\0")[0].decode(errors="replace")
        raise start_failed(op, abs(error), about)
