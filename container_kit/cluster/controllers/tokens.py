"""Tokens in Secrets: filled in for the account that the Secret names, and gone with it.

Such tokens do not end; new programs ask for one that does (``TokenRequest``).

Source: Kubernetes documentation, "Service account token Secrets".
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable, Iterable, Mapping

from container_kit.cluster.client import ApiNotFound
from container_kit.cluster.controllers.framework import Manager, Mapper, keys_of
from container_kit.cluster.meta import (
    Key,
    Object,
    annotations_of,
    is_deleting,
    key_of,
    name_of,
    namespace_of,
    uid_of,
)

__all__ = ["TokenController"]

_TYPE = "kubernetes.io/service-account-token"
_NAME, _UID = "kubernetes.io/service-account.name", "kubernetes.io/service-account.uid"
_INDEX = "account"

Sign = Callable[[Object, Object], str]
"""A token for an account (the first), kept in a Secret (the second)."""


class TokenController:
    """Fills in and deletes Secrets of service accounts.

    Args:
        certificate: That of the server's authority, PEM.
        sign: Makes a token.
    """

    name = "tokens-controller"

    def __init__(self, manager: Manager, certificate: str, sign: Sign) -> None:
        self._client, self._sign = manager.client_of(self.name), sign
        self._certificate = certificate
        self._accounts, self._secrets = manager.informer("serviceaccounts"), manager.informer("secrets")
        self._secrets.add_index(_INDEX, lambda secret: (_account_of(secret),))

    def watches(self) -> Mapping[str, Mapper]:
        return {"secrets": keys_of(_token_secret), "serviceaccounts": keys_of(self._secrets_of)}

    def reconcile(self, key: Key) -> None:
        secret = self._secrets.get(key.namespace, key.name)
        if secret is None:
            self._drop_references(key)
            return
        if is_deleting(secret):
            return
        name = annotations_of(secret)[_NAME]
        account = self._accounts.get(key.namespace, name)
        if account is None or annotations_of(secret).get(_UID, uid_of(account)) != uid_of(account):
            with contextlib.suppress(ApiNotFound):
                self._client.delete("secrets", key.name, key.namespace, uid=uid_of(secret))
        elif missing := self._missing(account, secret):
            annotations = {**annotations_of(secret), _UID: uid_of(account)}
            meta = {**secret["metadata"], "annotations": annotations}
            self._client.update(
                {**secret, "metadata": meta, "data": {**(secret.get("data") or {}), **missing}}
            )

    def _drop_references(self, key: Key) -> None:
        """No account lists a token that is gone."""
        for account in self._accounts.in_namespace(key.namespace):
            listed = account.get("secrets") or []
            rest = [each for each in listed if each.get("name") != key.name]
            if len(rest) < len(listed):
                self._client.update({**account, "secrets": rest})

    def _missing(self, account: Object, secret: Object) -> dict[str, str]:
        data = secret.get("data") or {}
        wanted = {"ca.crt": self._certificate}
        if not data.get("namespace"):
            wanted["namespace"] = namespace_of(secret)
        if not data.get("token"):
            wanted["token"] = self._sign(account, secret)
        encoded = {key: base64.b64encode(text.encode()).decode() for key, text in wanted.items()}
        return {key: text for key, text in encoded.items() if data.get(key) != text}

    def _secrets_of(self, account: Object) -> Iterable[Key]:
        place = f"{namespace_of(account)}/{name_of(account)}"
        return [key_of("secrets", secret) for secret in self._secrets.by_index(_INDEX, place)]


def _account_of(secret: Object) -> str:
    """Namespace and name of the account that a Secret has a token of; empty for other Secrets."""
    name = annotations_of(secret).get(_NAME, "")
    return f"{namespace_of(secret)}/{name}" if secret.get("type") == _TYPE and name else ""


def _token_secret(secret: Object) -> Iterable[Key]:
    return (key_of("secrets", secret),) if _account_of(secret) else ()
