"""Every check is found, where it is said to be."""

import pkgutil
from importlib import import_module

from container_kit.cluster.kinds import validation
from container_kit.cluster.kinds.validation.catalogue import _HOMES


def test_the_catalogue_names_every_check() -> None:
    """A kind whose checks are in a module is in the catalogue under that module, and no other is."""
    found = {}
    for info in pkgutil.iter_modules(validation.__path__):
        module = import_module(f"{validation.__name__}.{info.name}")
        for table in ("CHECKS", "UPDATES", "STATUS_CHECKS"):
            found |= dict.fromkeys(getattr(module, table, ()), info.name)
    assert found == _HOMES
