"""Docker and Kubernetes as a Python library: no daemon, no socket, nothing left behind.

Names are resolved on first use, so that ``import container_kit`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from container_kit._version import __version__

# Where the public names live; a module is imported when one of its names is first used.
_HOMES = {
    "container_kit.errors": """
        CommandFailed Conflict ContainerKitError CorruptData InvalidInput KernelError LimitExceeded NameInUse
        NotFound PermissionMissing StartFailed StoreFull StoreTooNew TimedOut UnsupportedFeature WrongState
    """,
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_HOME))
