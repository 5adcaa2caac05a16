"""The static helper ``ckit-init``, held in a sealed memfd that every start executes.

Nothing on disk can be changed under a start, and a container that opens ``/proc/<pid>/exe`` finds a copy that
the kernel lets nobody write.
"""

from __future__ import annotations

import fcntl
import os
import threading
from functools import cache
from importlib.resources import files

from container_kit.errors import UnsupportedFeature

__all__ = ["helper_fd"]

_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_MFD_EXEC = 0x0010
_lock = threading.Lock()


def helper_fd() -> int:
    """A descriptor of the sealed helper, open as long as this process lives.

    Raises:
        UnsupportedFeature: The package was built without it.
    """
    with _lock:
        return _sealed_copy()


@cache
def _sealed_copy() -> int:
    program = files("container_kit.native") / "ckit-init"
    try:
        code = program.read_bytes()
    except FileNotFoundError:
        raise UnsupportedFeature(
            "ckit-init is missing: reinstall container-kit where a C compiler is"
        ) from None
    descriptor = _memfd()
    os.write(descriptor, code)
    os.fchmod(descriptor, 0o500)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    return descriptor


def _memfd() -> int:
    """An executable memfd, also where the kernel asks for that to be said (6.3 and later)."""
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create("ckit-init", flags | _MFD_EXEC)
    except OSError:
        return os.memfd_create("ckit-init", flags)
