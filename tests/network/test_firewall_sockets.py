"""Sockets to the packet filter wait for the next one, but not for long."""

from __future__ import annotations

import contextlib
import os
import threading
import time

import pytest

from container_kit.native.namespaces import NetworkNamespace, new_network
from container_kit.network.firewall_sockets import netfilter_socket

pytestmark = pytest.mark.root

_PATIENCE_S = 10


def _inode(namespace: NetworkNamespace, *, again: bool = True) -> int:
    """Which socket it is."""
    with netfilter_socket(namespace, again=again) as asked:
        return os.fstat(asked).st_ino


def _is_open(inode: int) -> bool:
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{fd}") == f"socket:[{inode}]":
                return True
    return False


def test_the_next_one_uses_the_same_socket_and_the_last_closes_it() -> None:
    """No socket and no thread stays behind."""
    here = NetworkNamespace.here()
    first = _inode(here)

    assert _inode(here) == first
    end = time.monotonic() + _PATIENCE_S
    while _is_open(first) or any(one.name == "container-kit-firewall" for one in threading.enumerate()):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_socket_is_of_one_namespace_and_of_one_user_at_a_time() -> None:
    """Nobody gets another namespace's, nor one that is in use."""
    here = NetworkNamespace.here()
    with contextlib.closing(new_network()) as other:
        assert len({_inode(here), _inode(other)}) == 2
        with netfilter_socket(here, again=True) as asked:
            assert os.fstat(asked).st_ino != _inode(here)


def test_what_was_cut_off_is_not_used_again() -> None:
    """There may be answers in it that nobody has heard."""
    here = NetworkNamespace.here()
    with contextlib.suppress(KeyboardInterrupt), netfilter_socket(here, again=True) as asked:
        left = os.fstat(asked).st_ino
        raise KeyboardInterrupt

    assert not _is_open(left)


def test_a_forked_child_has_sockets_of_its_own() -> None:
    """It would get its parent's answers."""
    here = NetworkNamespace.here()
    mine = _inode(here)
    pid = os.fork()
    if pid == 0:
        os._exit(0 if _inode(here) != mine else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
