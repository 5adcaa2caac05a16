"""Names that a package gives away without importing their modules first (PEP 562)."""

from __future__ import annotations

import sys
from importlib import import_module

TYPE_CHECKING = False  # not from typing: that module costs more than all of this
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

__all__ = ["borrowed", "resolver"]

_EXTRAS = {"container_kit.cluster": "cluster"}


def resolver(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """The ``__getattr__`` of *package*: on the first use of a name it imports the module where it lives.

    *homes* gives the module of each name, relative to *package* when it begins with a dot; an empty one
    means that the name is itself a module of *package*.
    """

    def resolve(name: str) -> Any:
        home = homes.get(name)
        if home is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            module = import_module(home or f".{name}", package)
        except ModuleNotFoundError as error:
            raise _explained(name, home, error) from error
        value = getattr(module, name) if home else module
        setattr(sys.modules[package], name, value)
        return value

    return resolve


def _explained(name: str, home: str, error: ModuleNotFoundError) -> Exception:
    """*error*, or what to do about it where the package that is missing comes with an extra of ours."""
    extra = next((extra for module, extra in _EXTRAS.items() if home.startswith(module)), None)
    if extra is None or (error.name or "").startswith("container_kit"):
        return error
    from container_kit.errors import UnsupportedFeature

    return UnsupportedFeature(
        f"cannot use {name}: the package {error.name!r} is not installed; "
        f"it comes with `pip install 'container-kit[{extra}]'`"
    )


def borrowed(name: str) -> Any:
    """The object ``package.module:name`` of a higher layer, for a verb with only its face in a lower one."""
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)
