"""Network namespaces: making them, holding them open, and acting inside of them without going there.

What happens inside is done by a child that shares the caller's memory and descriptors, enters, acts in C and
ends; a socket that it makes stays in the namespace, and is used from outside from then on.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from container_kit.errors import LimitExceeded, PermissionMissing
from container_kit.native._binding import check, ffi, lib
from container_kit.native.descriptors import Descriptor, duplicate, open_path

if TYPE_CHECKING:
    import socket as sockets

__all__ = ["NetworkNamespace", "new_network", "shared_namespaces"]

_NETLINK, _RAW, _ROUTE = 16, 3, 0
_EPERM, _ENOSPC = 1, 28
_MOST_IDLE = 4


class NetworkNamespace:
    """A network namespace that is held open: it lives at least as long as this object.

    Attributes:
        held: The namespace; closed for the caller's own.
        user: The user namespace that owns it, where that is not the caller's.

    Threads may share one.
    """

    __slots__ = ("_idle", "held", "user")

    def __init__(self, user_namespace_fd: int | None = None) -> None:
        self.held, self.user = Descriptor(), Descriptor()
        # Netlink sockets inside that nobody talks over: a talk that is cut off leaves answers behind, so its
        # socket never comes back here.
        self._idle: deque[Descriptor] = deque()
        if user_namespace_fd is not None:
            self.user = duplicate(user_namespace_fd)

    @classmethod
    def here(cls) -> NetworkNamespace:
        """The caller's own."""
        return cls()

    @classmethod
    def at(cls, path: str | int, user_namespace_fd: int | None = None) -> NetworkNamespace:
        """The one at *path* (``/proc/PID/ns/net``), or under a descriptor's number.

        Args:
            user_namespace_fd: The user namespace that owns it, for a caller without rights of its own.

        Raises:
            KernelError: It is none, or may not be entered.
        """
        found = cls(user_namespace_fd)
        found.held = duplicate(path) if isinstance(path, int) else open_path(path, os.O_RDONLY)
        with found.routing():
            return found

    @property
    def is_own(self) -> bool:
        """Whether it is the caller's own."""
        return self.held.closed

    @property
    def _fds(self) -> tuple[int, int]:
        user = -1 if self.user.closed else self.user.fileno()
        return user, -1 if self.held.closed else self.held.fileno()

    @contextmanager
    def routing(self) -> Iterator[int]:
        """A netlink socket inside, for links, addresses and routes, that is nobody else's for the block."""
        try:
            route = self._idle.pop()
        except IndexError:
            route = self.socket(_NETLINK, _RAW, _ROUTE)
        yield route.fileno()
        if len(self._idle) < _MOST_IDLE:
            self._idle.append(route)

    def socket(self, family: int, kind: int, protocol: int = 0) -> Descriptor:
        """As :func:`socket.socket`, close-on-exec, inside of the namespace."""
        held = Descriptor()
        result = lib.ck_net_socket(held._cell, *self._fds, family, kind, protocol)
        check(result, "cannot open a socket in a network namespace")
        return held

    def open_socket(self, family: int, kind: int) -> sockets.socket:
        """A socket of Python's inside of the namespace."""
        import socket as sockets

        made = self.socket(family, kind)
        return sockets.socket(family, kind, fileno=made.give_up())

    def set(self, settings: Mapping[str, str]) -> None:
        """Write settings of the kernel inside, such as ``{"net/ipv4/ip_forward": "1"}``.

        Raises:
            KernelError: With the path of the one that failed.
        """
        where = ffi.new("char[128]")
        result = lib.ck_net_settings(*self._fds, _settings(settings.items()), where, len(where))
        path = bytes(ffi.string(where)).decode()
        check(result, "cannot set", f"/proc/sys/{path}")

    def get(self, setting: str) -> str:
        """One setting; see :meth:`set`."""
        value = ffi.new("char[256]")
        result = lib.ck_net_setting(*self._fds, setting.encode(), value, len(value))
        check(result, "cannot read", f"/proc/sys/{setting}")
        return bytes(ffi.buffer(value, result)).decode().strip()

    def close(self) -> None:
        """Let go of it; may be repeated."""
        while self._idle:
            self._idle.pop().close()
        self.held.close()
        self.user.close()

    def __repr__(self) -> str:
        return f"<NetworkNamespace {'own' if self.is_own else self.held}>"


def new_network(
    owner_user_namespace_fd: int | None = None, settings: Iterable[tuple[str, str]] = ()
) -> NetworkNamespace:
    """A new network namespace with its loopback up.

    Args:
        owner_user_namespace_fd: The user namespace that shall own it; None for the caller's.
        settings: Settings of the kernel for it, written before any interface is up.

    Raises:
        PermissionMissing: The caller may not make one.
        LimitExceeded: The user has as many as it may.
        KernelError: It cannot be made.
    """
    made, route = NetworkNamespace(owner_user_namespace_fd), Descriptor()
    where = ffi.new("char[128]")
    result = lib.ck_net_namespace(
        made.held._cell, route._cell, made._fds[0], _settings(settings), where, len(where)
    )
    made._idle.append(route)
    path = bytes(ffi.string(where)).decode()
    if result == -_EPERM and not path:
        raise PermissionMissing(
            _EPERM,
            "cannot make a network namespace: that needs CAP_SYS_ADMIN, or a user namespace of one's own",
        )
    if result == -_ENOSPC and not path:
        raise LimitExceeded(
            "cannot make a network namespace: this user has as many as it may; remove containers, or raise "
            "the limit: sysctl -w user.max_net_namespaces=28633"
        )
    check(result, "cannot make a network namespace", f"/proc/sys/{path}" if path else None)
    return made


def shared_namespaces(owner_user_namespace_fd: int | None = None) -> tuple[Descriptor, Descriptor]:
    """New IPC and UTS namespaces: what several containers share beside a network.

    Args:
        owner_user_namespace_fd: The user namespace that shall own them; None for the caller's.

    Raises:
        PermissionMissing: The caller may not make them.
        KernelError: They cannot be made.
    """
    ipc, uts = Descriptor(), Descriptor()
    owner = -1 if owner_user_namespace_fd is None else owner_user_namespace_fd
    result = lib.ck_shared_namespaces(ipc._cell, uts._cell, owner)
    if result == -_EPERM:
        raise PermissionMissing(
            _EPERM, "cannot make namespaces: that needs CAP_SYS_ADMIN, or a user namespace of one's own"
        )
    check(result, "cannot make IPC and UTS namespaces")
    return ipc, uts


def _settings(settings: Iterable[tuple[str, str]]) -> bytes:
    """Name and value in turn, each ended by NUL, and an empty name at the end."""
    return b"".join(f"{name}\0{value}\0".encode() for name, value in settings) + b"\0"
