"""Allocations of the extension that fail on demand; only the address sanitizer's build has them."""

from __future__ import annotations

import ctypes
import itertools
import os
from collections.abc import Callable

from container_kit.errors import ContainerKitError
from container_kit.native import _ckit

__all__ = ["fail_each_allocation"]

COME_AND_GO = 4  # descriptors of helpers; a leak would add one with every fault


def fail_each_allocation(
    work: Callable[[int], object], sticky: bool, settle: Callable[[], object] = lambda: None
) -> tuple[int, int]:
    """Do *work* (given the number of the turn) with the first, the second, ... allocation failing, once or
    from then on, until none is left to fail; how many there were, and how many turns ended in an error.

    After each turn, when allocations work again, *settle* waits for what goes on in the background.
    """
    library = ctypes.CDLL(_ckit.__file__)
    library.ck_fail_allocation.argtypes = [ctypes.c_long, ctypes.c_int]
    fds, errors = 0, 0
    for number in itertools.count(1):
        library.ck_fail_allocation(number, int(sticky))
        try:
            work(number)
        except (ContainerKitError, MemoryError):
            errors += 1
        finally:
            hit = library.ck_failed_allocations()
            library.ck_fail_allocation(0, 0)
        settle()
        fds = fds or len(os.listdir("/proc/self/fd"))  # what the first turn makes once is kept
        assert len(os.listdir("/proc/self/fd")) <= fds + COME_AND_GO, (number, _own_files())
        if not hit:
            return number - 1, errors
    raise AssertionError("counting has no end")


def _own_files() -> list[str]:
    links = (f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd"))
    return [os.readlink(link) for link in links if os.path.lexists(link)]
