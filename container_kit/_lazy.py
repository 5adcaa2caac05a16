"""Names that a package gives away without importing their modules first (PEP 562)."""

from __future__ import annotations

import sys
from importlib import import_module

TYPE_CHECKING = False  # not from typing: that module costs more than all of this
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

__all__ = ["borrowed", "resolver"]


def resolver(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """The ``__getattr__`` of *package*: on the first use of a name it imports the module where it lives.

    *homes* gives the module of each name, relative to *package* when it begins with a dot; an empty one
    means that the name is itself a module of *package*.
    """

    def resolve(name: str) -> Any:
        home = homes.get(name)
        if home is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(home, package), name) if home else import_module(f".{name}", package)
        setattr(sys.modules[package], name, value)
        return value

    return resolve


def borrowed(name: str) -> Any:
    """The object ``package.module:name`` of a higher layer, for a verb with only its face in a lower one."""
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)
