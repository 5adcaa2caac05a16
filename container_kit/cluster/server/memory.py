"""What malloc keeps for later goes back to the kernel, when a crowd of connections has gone.

OpenSSL takes its memory from malloc in small pieces, and glibc keeps what lies below the last one in use.
"""

from __future__ import annotations

__all__ = ["give_memory_back"]


def give_memory_back() -> None:
    """Takes a millisecond or two; does nothing with a C library that has no ``malloc_trim``."""
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
