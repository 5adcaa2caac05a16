"""Resource quotas: how much of each limit is used, as far as objects that are there tell.

Admission counts what is about to come and refuses what is too much; this controller counts again when objects
change or go. What an object uses is in `meta.quota`, for both.

Source: kubernetes.io, "Resource Quotas".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from container_kit.cluster.controllers.framework import Informer, Manager, Mapper, keys_of
from container_kit.cluster.meta import Key, Object, key_of, namespace_of
from container_kit.cluster.meta.quota import counted_resource, total
from container_kit.errors import NotFound

__all__ = ["QuotaController"]

_QUOTAS = "resourcequotas"
_ALWAYS = ("pods", "services", "persistentvolumeclaims")
_RETRY_S = 0.02


class QuotaController:
    """Keeps the status of every ResourceQuota true."""

    name = "resourcequota-controller"

    def __init__(self, manager: Manager) -> None:
        self._manager, self._client, self._clock = manager, manager.client_of(self.name), manager.clock
        self._quotas = manager.informer(_QUOTAS)
        self._counted: dict[str, Informer] = {resource: manager.informer(resource) for resource in _ALWAYS}

    def watches(self) -> Mapping[str, Mapper]:
        own: dict[str, Mapper] = {_QUOTAS: keys_of(lambda quota: (key_of(_QUOTAS, quota),))}
        return own | dict.fromkeys(_ALWAYS, self._limiting)

    def _limiting(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        """The quotas of the namespace of an object that has changed."""
        return [key_of(_QUOTAS, quota) for quota in self._quotas.in_namespace(namespace_of(new or old or {}))]

    def reconcile(self, key: Key) -> float | None:
        quota = self._quotas.get(key.namespace, key.name)
        if quota is None:
            return None
        hard = quota["spec"].get("hard") or {}
        informers = [self._informer(resource) for name in hard if (resource := counted_resource(name))]
        if not all(informer is None or informer.is_synced for informer in informers):
            return _RETRY_S
        used = total(
            hard, lambda resource: self._objects(resource, key.namespace), quota["spec"], self._clock.now()
        )
        status = {"hard": hard, "used": used}
        if (quota.get("status") or {}) != status:
            self._client.update_status({**quota, "status": status})
        return None

    def _objects(self, resource: str, namespace: str) -> list[Object]:
        informer = self._informer(resource)
        return informer.in_namespace(namespace) if informer is not None else []

    def _informer(self, resource: str) -> Informer | None:
        """Objects of a resource, looked at from the first quota on that counts them; None if it does not
        exist.
        """
        found = self._counted.get(resource)
        if found is None:
            try:
                self._client.resource(resource)
            except NotFound:
                return None
            found = self._counted[resource] = self._manager.informer(resource)
            found.listen(self._recount)
        return found

    def _recount(self, old: Object | None, new: Object | None) -> None:
        for key in self._limiting(old, new):
            self._manager.enqueue(self, key)
