"""Random bytes for names and UIDs, drawn from the kernel a page at a time.

A call of the kernel lets other threads run, and the one that made it then waits until they let it run again,
which in a busy cluster takes a thousand times as long as the call.
"""

from __future__ import annotations

import os
import threading

__all__ = ["random_bytes", "random_letters"]

_PAGE = 4096
# No vowels, so that no words come out, and no 0, 1 or 3, which look like letters.
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_pool = bytearray()
_lock = threading.Lock()


def random_bytes(count: int) -> bytes:
    """Bytes that nobody can guess, and that are given out once."""
    with _lock:
        if len(_pool) < count:
            _pool.extend(os.urandom(_PAGE))
        found = bytes(_pool[-count:])
        del _pool[-count:]
    return found


def random_letters(count: int) -> str:
    """Letters and digits for the end of a name, as Kubernetes draws them."""
    return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in random_bytes(count))


# A child of fork would give out the same bytes as its parent.
os.register_at_fork(after_in_child=_pool.clear)
