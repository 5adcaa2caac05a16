"""Which checks a kind has, by group and kind."""

from collections.abc import Callable, Mapping, Sequence

from container_kit.cluster.kinds.validation import (
    core,
    extending,
    governing,
    networking,
    rights,
    scaling,
    services,
    storage,
    workloads,
)
from container_kit.cluster.kinds.validation.common import Errors
from container_kit.cluster.meta import Object

__all__ = ["checks_for", "status_checks_for", "update_checks_for"]

Kind = tuple[str, str]

_MODULES = (core, extending, governing, networking, rights, scaling, services, storage, workloads)
_CHECKS: Mapping[Kind, Callable[[Object], Errors]] = {
    key: check for module in _MODULES for key, check in module.CHECKS.items()
}
_UPDATES: Mapping[Kind, Callable[[Object, Object], Errors]] = {
    key: check for module in _MODULES for key, check in getattr(module, "UPDATES", {}).items()
}


def checks_for(group: str, kind: str) -> Sequence[Callable[[Object], Errors]]:
    """What must hold of an object of this kind."""
    check = _CHECKS.get((group, kind))
    return () if check is None else (check,)


def update_checks_for(group: str, kind: str) -> Sequence[Callable[[Object, Object], Errors]]:
    """What must hold of a change, beside the checks of the new object."""
    check = _UPDATES.get((group, kind))
    return () if check is None else (check,)


def status_checks_for(group: str, kind: str) -> Sequence[Callable[[Object, Object], Errors]]:
    """What must hold of a change of the status."""
    check = core.STATUS_CHECKS.get((group, kind))
    return () if check is None else (check,)
