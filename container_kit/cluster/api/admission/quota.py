"""Resource quotas: a namespace gets no more than it may have.

What is used is counted in the quota's status, here when something is added and by the quota controller
when something goes; a check and the count that follows from it are one step.

Source: Kubernetes, "Resource Quotas".
"""

import threading
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from container_kit.cluster.api.admission.refusal import refused
from container_kit.cluster.api.plugins import CREATE, UPDATE, Attributes, Plugin
from container_kit.cluster.meta import Clock, Object
from container_kit.cluster.meta.quota import NOTHING, Amount, counted_resource, is_in_scope, total, usage_of
from container_kit.cluster.store import Changed, Record, Store

__all__ = ["ResourceQuota"]

_QUOTAS = "resourcequotas"
_TRIES = 10
# Kinds of which an update can use more than before.
_GROWING = ("services", "persistentvolumeclaims")
# What every container must say when a quota limits it.
_COMPUTE = {
    "cpu": ("requests", "cpu"),
    "memory": ("requests", "memory"),
    "requests.cpu": ("requests", "cpu"),
    "requests.memory": ("requests", "memory"),
    "limits.cpu": ("limits", "cpu"),
    "limits.memory": ("limits", "memory"),
}


class ResourceQuota(Plugin):
    """Refuses what would exceed a quota, and counts what does not."""

    name = "ResourceQuota"

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._lock = threading.Lock()

    def handles(self, attributes: Attributes) -> bool:
        if not attributes.namespace or attributes.subresource:
            return False
        return attributes.operation == CREATE or (
            attributes.operation == UPDATE and attributes.resource.key in _GROWING
        )

    def validate(self, attributes: Attributes) -> None:
        if next(iter(attributes.world.list(_QUOTAS, attributes.namespace)), None) is None:
            return
        with self._lock:
            for record in self._store.list(_QUOTAS, attributes.namespace).records:
                self._charge(attributes, record)

    def _charge(self, attributes: Attributes, record: Record) -> None:
        """Check one quota and count the object in it."""
        for _ in range(_TRIES):
            charged = self._charged(attributes, record.object)
            if charged is None or attributes.dry_run:
                return
            try:
                self._store.replace(record, charged)
            except Changed:
                found = self._store.get(_QUOTAS, record.namespace, record.name)
                if found is None:
                    return
                record = found
            else:
                return
        raise refused(attributes, f"quota {record.name} changes too often to be checked: try again")

    def _charged(self, attributes: Attributes, quota: Object) -> Object | None:
        """The quota with the object counted, None if it has nothing to do with it."""
        obj, resource = attributes.obj, attributes.resource.key
        spec, name = quota.get("spec") or {}, quota["metadata"]["name"]
        hard = (quota.get("status") or {}).get("hard") or spec.get("hard") or {}
        mine = {limit: hard[limit] for limit in hard if counted_resource(limit) == resource}
        if obj is None or not mine or not is_in_scope(spec, resource, obj):
            return None
        if resource == "pods":
            _check_constraints(attributes, name, mine, obj)
        added = _added(resource, obj, attributes.old, mine)
        if not added:
            return None
        used = self._used(attributes, quota, hard)
        _check_limits(attributes, name, mine, used, added)
        new = {limit: str(used.get(limit, NOTHING).plus(added.get(limit, NOTHING))) for limit in hard}
        return {**quota, "status": {**(quota.get("status") or {}), "hard": hard, "used": new}}

    def _used(self, attributes: Attributes, quota: Object, hard: dict[str, str]) -> dict[str, Amount]:
        """What the status says; counted anew while no controller has counted yet."""
        used = (quota.get("status") or {}).get("used") or {}
        if not set(hard) <= set(used):
            now: datetime = self._clock.now()
            used = total(
                hard,
                lambda resource: attributes.world.list(resource, attributes.namespace),
                quota.get("spec") or {},
                now,
            )
        return {limit: Amount.parse(amount) for limit, amount in used.items()}


def _added(resource: str, obj: Object, old: Object | None, limits: dict[str, str]) -> dict[str, Amount]:
    """What the write uses more than before, of what is limited."""
    new = usage_of(resource, obj)
    before = usage_of(resource, old) if old is not None else {}
    growth = {
        limit: Amount(new[limit].value - before.get(limit, NOTHING).value, new[limit].notation)
        for limit in limits
        if limit in new
    }
    return {limit: amount for limit, amount in growth.items() if amount.value > 0}


def _check_constraints(attributes: Attributes, quota: str, limits: dict[str, str], pod: Object) -> None:
    """Every container must say what it wants of each thing that is limited."""
    containers = [*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or ())]
    silent = {
        limit: [each["name"] for each in containers if not _says(each, *_COMPUTE[limit])]
        for limit in sorted(limits)
        if limit in _COMPUTE
    }
    missing = [f"{limit} for: {','.join(sorted(names))}" for limit, names in silent.items() if names]
    if missing:
        raise refused(attributes, f"failed quota: {quota}: must specify {'; '.join(missing)}")


def _says(container: dict[str, Any], key: str, name: str) -> bool:
    return name in ((container.get("resources") or {}).get(key) or {})


def _check_limits(
    attributes: Attributes,
    quota: str,
    limits: dict[str, str],
    used: dict[str, Amount],
    added: dict[str, Amount],
) -> None:
    exceeded = [
        limit
        for limit, amount in sorted(added.items())
        if used.get(limit, NOTHING).value + amount.value > Amount.parse(limits[limit]).value
    ]
    if not exceeded:
        return
    requested = _shown(exceeded, {limit: str(added[limit]) for limit in exceeded})
    present = _shown(exceeded, {limit: str(used.get(limit, NOTHING)) for limit in exceeded})
    limited = _shown(exceeded, limits)
    problem = f"exceeded quota: {quota}, requested: {requested}, used: {present}, limited: {limited}"
    raise refused(attributes, problem)


def _shown(names: Iterable[str], amounts: dict[str, str]) -> str:
    return ",".join(f"{name}={amounts[name]}" for name in names)
