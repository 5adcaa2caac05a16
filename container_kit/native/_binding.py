"""The compiled library and the one place where its error convention is translated."""

from __future__ import annotations

from container_kit.errors import KernelError

try:
    from container_kit.native._ckit import ffi, lib
except ImportError as error:
    if "subinterpreters" not in str(error):
        raise
    raise ImportError(
        f"container_kit cannot be loaded in a subinterpreter of this Python ({error}): use a process"
    ) from error

__all__ = ["check", "ffi", "lib"]


def check(result: int, doing: str, filename: str | None = None) -> int:
    """Turn the C convention (0 or more, or a negative errno) into a value or an exception."""
    if result < 0:
        raise KernelError.of(-result, doing, filename)
    return result
