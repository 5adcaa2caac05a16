"""What every namespace gets: a service account ``default``, and the certificate of the server's authority.

Both come back when somebody deletes them, and the certificate when somebody changes it.

Source: Kubernetes documentation, "Managing Service Accounts" (ServiceAccount controller, root CA publisher).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping

from container_kit.cluster.client import ApiExists, ApiForbidden
from container_kit.cluster.controllers.framework import Manager, Mapper, keys_of
from container_kit.cluster.meta import Key, Object, is_deleting, name_of, namespace_of

__all__ = ["RootCaPublisher", "ServiceAccountController"]

_ACCOUNT, _CONFIG_MAP = "default", "kube-root-ca.crt"
_DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such "
    "as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions "
    "of Kubernetes clusters."
)


class ServiceAccountController:
    """Gives each namespace its default account."""

    name = "service-account-controller"

    def __init__(self, manager: Manager) -> None:
        self._client = manager.client_of(self.name)
        self._namespaces = manager.informer("namespaces")
        self._accounts = manager.informer("serviceaccounts")

    def watches(self) -> Mapping[str, Mapper]:
        return {"namespaces": keys_of(_of_namespace), "serviceaccounts": _named(_ACCOUNT)}

    def reconcile(self, key: Key) -> None:
        if not _is_alive(self._namespaces.get("", key.name)):
            return
        if self._accounts.get(key.name, _ACCOUNT) is None:
            meta = {"name": _ACCOUNT, "namespace": key.name}
            with _unless_ending():
                self._client.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})


class RootCaPublisher:
    """Gives each namespace the certificate by which pods know the server.

    Args:
        certificate: PEM.
    """

    name = "root-ca-cert-publisher"

    def __init__(self, manager: Manager, certificate: str) -> None:
        self._client = manager.client_of(self.name)
        self._namespaces = manager.informer("namespaces")
        self._config_maps = manager.informer("configmaps")
        self._data = {"ca.crt": certificate}

    def watches(self) -> Mapping[str, Mapper]:
        return {"namespaces": keys_of(_of_namespace), "configmaps": _named(_CONFIG_MAP)}

    def reconcile(self, key: Key) -> None:
        if not _is_alive(self._namespaces.get("", key.name)):
            return
        found = self._config_maps.get(key.name, _CONFIG_MAP)
        if found is None:
            with _unless_ending():
                self._client.create(self._config_map(key.name))
        elif found.get("data") != self._data:
            self._client.update({**found, "data": self._data})

    def _config_map(self, namespace: str) -> Object:
        annotations = {"kubernetes.io/description": _DESCRIPTION}
        meta = {"name": _CONFIG_MAP, "namespace": namespace, "annotations": annotations}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": self._data}


def _is_alive(namespace: Object | None) -> bool:
    return namespace is not None and not is_deleting(namespace)


def _of_namespace(namespace: Object) -> Iterable[Key]:
    return (Key("namespaces", "", name_of(namespace)),)


def _named(name: str) -> Mapper:
    def keys(obj: Object) -> Iterable[Key]:
        return (Key("namespaces", "", namespace_of(obj)),) if name_of(obj) == name else ()

    return keys_of(keys)


@contextlib.contextmanager
def _unless_ending() -> Iterator[None]:
    """A namespace that ends in this moment needs nothing any more."""
    try:
        yield
    except ApiExists:
        return
    except ApiForbidden as error:
        if not any(cause.get("reason") == "NamespaceTerminating" for cause in error.causes):
            raise
