"""Sockets to the packet filter that stay open for a while.

When such a socket is closed the kernel waits until it has freed all that was removed from tables of this
namespace, by whomever: some twenty milliseconds, which a start right after the end of another container would
pay.  So sockets wait here for the next one, and a thread, which exists only while there are any, closes them
when they were not used for 0.7 s.

Source: nft_rcv_nl_event in nf_tables_api.c of the kernel.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from container_kit.network.firewall_messages import NETFILTER

if TYPE_CHECKING:
    from container_kit.native.descriptors import Descriptor
    from container_kit.native.namespaces import NetworkNamespace

__all__ = ["netfilter_socket"]

_LINGER_S = 0.7


@contextmanager
def netfilter_socket(namespace: NetworkNamespace, *, again: bool = False) -> Iterator[int]:
    """The descriptor of a socket of NETLINK_NETFILTER in *namespace*, nobody else's for the block.

    One whose block is left by an error is closed: there may be answers in it that nobody has heard.

    Args:
        again: Whether one is likely to be wanted again soon; till then it keeps the namespace alive.
    """
    if not again:
        with _open(namespace) as asked:
            yield asked.fileno()
        return
    place = os.stat("/proc/thread-self/ns/net" if namespace.is_own else namespace.held.fileno()).st_ino
    pool = _pool
    asked = pool.take(place) or _open(namespace)
    yield asked.fileno()
    pool.give_back(place, asked)


def _open(namespace: NetworkNamespace) -> Descriptor:
    return namespace.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETFILTER)


class _Pool:
    """Open sockets that nobody uses, each with the inode of its namespace.

    There is no lock, which a signal handler that raises could leave held: a deque gives each socket once.
    """

    def __init__(self) -> None:
        self._idle: deque[tuple[int, Descriptor]] = deque()
        self._used_at = 0.0
        self._threads: list[threading.Thread] = []

    def take(self, place: int) -> Descriptor | None:
        while self._idle:
            try:
                where, asked = self._idle.pop()
            except IndexError:  # another thread was faster
                return None
            if where == place:
                return asked
        return None

    def give_back(self, place: int, asked: Descriptor) -> None:
        self._used_at = time.monotonic()
        self._idle.append((place, asked))
        # A thread that was cut off before its start is in the list and never lives.
        if not any(thread.is_alive() for thread in self._threads):
            self._start_closer()

    def _start_closer(self) -> None:
        thread = threading.Thread(target=self._close_when_idle, name="container-kit-firewall", daemon=True)
        self._threads.append(thread)
        try:
            thread.start()
        except RuntimeError:  # the interpreter is ending, or no thread can be had
            self._threads.remove(thread)
            self._idle.clear()

    def _close_when_idle(self) -> None:
        while self._idle:
            while (rest := self._used_at + _LINGER_S - time.monotonic()) > 0:
                time.sleep(rest)
            self._threads.remove(threading.current_thread())
            self._idle.clear()
            if not self._idle:
                return
            self._threads.append(threading.current_thread())  # something came in at the last moment


_pool = _Pool()


def _new_pool() -> None:
    """In a forked child: its copies of the sockets would get the parent's answers."""
    global _pool
    _pool = _Pool()


os.register_at_fork(after_in_child=_new_pool)
