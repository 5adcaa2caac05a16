"""Docker and Kubernetes as a Python library: no daemon, no socket, nothing left behind.

Names are resolved on first use, so that ``import container_kit`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from container_kit._version import __version__

if TYPE_CHECKING:
    from container_kit.errors import ContainerKitError

# Where each public name lives; the module is imported when the name is first used.
_HOME = {
    name: "container_kit.errors"
    for name in (
        "CommandFailed", "Conflict", "ContainerKitError", "CorruptData", "InvalidInput", "KernelError",
        "LimitExceeded", "NameInUse", "NotFound", "PermissionMissing", "StartFailed", "StoreFull",
        "StoreTooNew", "TimedOut", "UnsupportedFeature", "WrongState",
    )
}  # fmt: skip

__all__ = ["__version__", *_HOME]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_HOME))
