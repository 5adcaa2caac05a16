"""Sockets of another network namespace, made without entering it ourselves.

A socket belongs to the namespace that it was made in, whoever uses it.  A child that shares our memory and
descriptors enters the namespace, makes the socket and is gone; no thread of ours changes its namespace.
"""

from __future__ import annotations

import socket

from container_kit.native._binding import check, lib
from container_kit.native.descriptors import open_process

__all__ = ["socket_in"]


def socket_in(pid: int, family: int, kind: int) -> socket.socket:
    """A socket of the network namespace of process *pid*; as :class:`socket.socket` otherwise.

    Raises:
        ProcessLookupError: There is no such process.
        KernelError: Its namespace cannot be entered (the right to administer it is missing), or has no such
            sockets.
    """
    with open_process(pid) as process:
        # An object first, with a number of its own: then nothing can be lost between the call and Python.
        made = socket.socket(family, kind)
        try:
            result = lib.ck_socket_in(made.fileno(), process.fileno(), family, kind)
            check(result, f"cannot make a socket in the network of process {pid}")
        except BaseException:
            made.close()
            raise
        return made
